"""What variables are called, by producers and by CMOR; their units. Standard library alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: CMOR name -> names producers give the variable in their files, lower case.
NAMES: dict[str, tuple[str, ...]] = {
    "tas": (
        "tas",
        "tas_mean",
        "tas_median",
        "temperature_anomaly",
        "tempanomaly",
        "temperature",
        "anom",
        "air",
        "t2m",
        "2t",
        "trefht",
        "tas_analysis",
    ),
    "tos": ("tos", "tos_mean", "sst", "ssta", "sst_anomaly"),
    "psl": ("psl", "slp", "msl", "prmsl"),
    "pr": ("pr", "precip", "precipitation"),
    "sftlf": ("sftlf", "lsm", "land_mask"),
    "sic": ("sic", "siconc", "ice"),
}
#: Variables that networks may take beside their own -> units and what an anomaly in them is multiplied by; those of
#: networks come first.
AUXILIARY: dict[str, dict[str, float]] = {
    "psl": {"Pa": 1.0, "hPa": 100.0, "mbar": 100.0, "mb": 100.0, "millibars": 100.0, "millibar": 100.0},
    "tos": {"K": 1.0},
    "pr": {"kg m-2 s-1": 1.0, "kg/m2/s": 1.0, "mm/day": 1.0 / 86400.0, "mm day-1": 1.0 / 86400.0},
}
_BY_NAME = {name: cmor for cmor, names in NAMES.items() for name in names}

_STANDARD_NAMES = {
    "air_temperature": "tas",
    "air_temperature_anomaly": "tas",
    "surface_temperature": "tas",
    "surface_temperature_anomaly": "tas",
    "sea_surface_temperature": "tos",
    "sea_surface_temperature_anomaly": "tos",
    "air_pressure_at_sea_level": "psl",
    "precipitation_flux": "pr",
}

#: Fields that carry the standard name of a variable, but are something said about it.
_NOT_THE_VARIABLE = re.compile(
    r"climatolog|_unc\b|uncertainty|error|std|spread|bnds|bounds|status|flag", re.IGNORECASE
)

_KELVIN = re.compile(r"^(kelvins?|(°|deg(ree)?s?[ _.]*)?k(elvins?)?)$", re.IGNORECASE)
_CELSIUS = re.compile(r"^(celsius|(°|º|deg(ree)?s?[ _.]*)?c(elsius|entigrade)?)$", re.IGNORECASE)


def canonical_variable(name_in_file: str, attributes: Mapping[str, Any]) -> str | None:
    """CMOR name of a variable called ``name_in_file`` in its file, or None if it is not known.

    The name decides; the standard name helps where the name says nothing.
    """
    known = _BY_NAME.get(name_in_file.lower())
    if known:
        return known
    standard = str(attributes.get("standard_name", "")).strip().lower()
    if _NOT_THE_VARIABLE.search(name_in_file) or _NOT_THE_VARIABLE.search(standard):
        return None
    return _STANDARD_NAMES.get(standard)


def is_kelvin(units: str) -> bool:
    """Whether ``units`` are kelvins."""
    return bool(_KELVIN.match(units.strip()))


def is_celsius(units: str) -> bool:
    """Whether ``units`` are degrees Celsius."""
    return bool(_CELSIUS.match(units.strip()))


#: Products whose gaps their producers have filled already, told by file name or title.
_INFILLED = re.compile(
    r"hadcrut\.?5[\w.]*\banalysis\b|\.analysis\.anomalies|(?<!re)analysis-|had4_krig|cowtan|infilled|20crai|climrecon-",
    re.IGNORECASE,
)


def infilled_product(name: str, title: str = "") -> str | None:
    """Why a product is known to be infilled, by its file name or title; None if it is not."""
    if re.search(r"non-?infilled", f"{name} {title}", re.IGNORECASE):
        return None
    for what, text in (("name", name), ("title", title)):
        match = _INFILLED.search(text)
        if match:
            return f"its {what} says that its gaps are filled already ({match[0]!r})"
    return None


#: How data sets are told by file name: pattern -> (data set, whether it blends air and sea). Blends come
#: first: their names and titles name their parts too (``gistemp1200_GHCNv4_ERSSTv5.nc``).
_DATASETS: tuple[tuple[re.Pattern[str], str, bool], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name, blended)
    for pattern, name, blended in (
        (r"had4_krig|cowtan", "CowtanWay", True),
        (r"hadcrut", "HadCRUT", True),
        (r"gistemp", "GISTEMP", True),
        (r"noaa_?global_?temp|noaa global surface temp|air\.mon\.anom", "NOAAGlobalTemp", True),
        (r"land_and_ocean_latlong|berkeley", "BerkeleyEarth", True),
        (r"crutem", "CRUTEM", False),
        (r"hadsst", "HadSST", False),
        (r"ersst", "ERSST", False),
        (r"20cr|air\.2m\.mon", "20CR", False),
    )
)
_VERSION = re.compile(r"(?<!\d)(?<!\d\.)(\d+(?:\.\d+){2,3})(?![\d]|\.\d)")
_SHORT_VERSION = re.compile(r"[._ -]v(\d{1,3}[a-z]?(?:[._]\d{1,2}(?!\d))*)(?![a-z\d])", re.IGNORECASE)
#: ``HadCRUT4``, ``ERSSTv5``: behind the data set's own name; not the 1200 km of ``gistemp1200``.
_VERSION_BEHIND = re.compile(r"v?(\d{1,2}[a-z]?)(?![a-z\d])", re.IGNORECASE)


def dataset_of(name: str, title: str = "", version: str = "") -> tuple[str, str, bool] | None:
    """Data set, version and whether it blends air over land with sea-surface temperature.

    Told by pattern from a file's name, else from its title, so that releases to come are known too:
    ``HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc`` gives ``("HadCRUT", "5.0.2.0", True)``. Where the name
    has no version, the file's own ``version`` attribute is read, then its title.
    """
    for text in (name, title):
        for pattern, dataset, blended in _DATASETS:
            said = pattern.search(text)
            if said:
                found = (
                    _VERSION.search(name)
                    or _VERSION.search(version)
                    or _SHORT_VERSION.search(name)
                    or _VERSION.search(title)
                    or _SHORT_VERSION.search(title)
                    or _VERSION_BEHIND.match(text, said.end())
                )
                return dataset, found[1].replace("_", ".") if found else "", blended
    return None
