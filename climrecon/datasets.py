"""The table of data sets, and which data set, release and variable a file holds.

A data set that is to be known is one more row of :data:`DATA_SETS`: reader, catalogue builder and search take all that
they know of it from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from climrecon.variables import VARIABLES


@dataclass(frozen=True)
class DataSet:
    """What the package knows of a data set.

    Patterns are regular expressions, sought without regard to case.

    Attributes
    ----------
    name:
        As the facet ``model`` names it; with its ``generation`` where this is a part of the name (HadCRUT5).
    pattern:
        Of file names and titles, with all its aliases.
    version:
        Of the version in a file's name, as first group, where the usual patterns do not find it.
    blended:
        Whether it blends air temperature over land with sea-surface temperature.
    base:
        First and last year of its anomalies' reference period, for files that do not state it; None for absolute
        values.
    institute:
        Facet.
    names:
        Its names of variables in files, lower case -> CMOR name; usual ones stand in :mod:`climrecon.variables`.
    generations:
        Whether the first number of the version is a part of the name.
    reanalysis:
        Whether it is a reanalysis, whose files may bear CMOR names.
    infilled, infilled_folder:
        Of names and titles, and of folders, of products whose gaps the producer has filled.
    """

    name: str
    pattern: str
    version: str = ""
    blended: bool = False
    base: tuple[int, int] | None = None
    institute: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    generations: bool = False
    reanalysis: bool = False
    infilled: str = ""
    infilled_folder: str = ""


#: Blends come first: their names and titles name their parts too (``gistemp1200_GHCNv4_ERSSTv5.nc``).
DATA_SETS: tuple[DataSet, ...] = (
    DataSet(
        "CowtanWay", r"had4_krig|cowtan",
        blended=True, base=(1961, 1990), institute="UYork", infilled=r"had4_krig|cowtan",
    ),
    DataSet(
        "HadCRUT", r"hadcrut",
        blended=True, base=(1961, 1990), institute="MOHC", generations=True,
        names={"tas_mean": "tas", "tas_median": "tas", "temperature_anomaly": "tas"},
        infilled=r"hadcrut\.?5[\w.]*\banalysis\b|\.analysis\.anomalies|(?<!re)analysis-|20crai",
        # At CEDA the analysis and the gappy fields bear the same file names.
        infilled_folder=r"/hadcrut\.?5[^/]*/(?:[^/]+/)?analysis/",
    ),
    DataSet(
        "GISTEMP", r"gistemp",
        blended=True, base=(1951, 1980), institute="NASA-GISS", names={"tempanomaly": "tas"},
    ),
    DataSet(
        "NOAAGlobalTemp", r"noaa_?global_?temp|noaa global surface temp|air\.mon\.anom",
        blended=True, base=(1971, 2000), institute="NOAA", names={"anom": "tas"},
    ),
    DataSet(
        "BerkeleyEarth", r"land_and_ocean_latlong|berkeley",
        blended=True, base=(1951, 1980), institute="BerkeleyEarth",
    ),
    DataSet("CRUTEM", r"crutem", base=(1961, 1990), institute="MOHC", generations=True),
    DataSet(
        "HadSST", r"hadsst", base=(1961, 1990), institute="MOHC", generations=True, names={"tos_mean": "tos"}
    ),
    DataSet("ERSST", r"ersst", institute="NOAA", names={"ssta": "tos"}),
    DataSet("20CR", r"20cr|air\.2m\.mon", institute="NOAA-PSL", reanalysis=True, names={"air": "tas"}),
)  # fmt: skip
#: Names of infilled products of any data set.
_INFILLED = r"infilled|climrecon-"
#: Names and standard names of fields about a variable, not of it.
_ABOUT_A_VARIABLE = re.compile(r"climatolog|_unc\b|uncertainty|error|std|spread|bnds|bounds|status|flag", re.IGNORECASE)
_VERSION = re.compile(r"(?<!\d)(?<!\d\.)(\d+(?:\.\d+){2,3})(?![\d]|\.\d)")
_SHORT_VERSION = re.compile(r"[._ -]v(\d{1,3}[a-z]?(?:[._]\d{1,2}(?!\d))*)(?![a-z\d])", re.IGNORECASE)
#: ``HadCRUT4``, ``ERSSTv5``: behind the data set's name; not the 1200 km of ``gistemp1200``.
_VERSION_BEHIND = re.compile(r"v?(\d{1,2}[a-z]?)(?![a-z\d])", re.IGNORECASE)


@dataclass(frozen=True)
class Release:
    """A data set and its version, "" if this is not known."""

    data_set: DataSet
    version: str

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.data_set.name


def release_of(name: str, title: str = "", version: str = "") -> Release | None:
    """Data set and version of a file, by patterns, so that future releases are recognised too; None if unknown.

    Parameters
    ----------
    name, title:
        Of the file; the name decides before the title.
    version:
        The file's attribute, read where the name has none.
    """
    for text in (name, title):
        for row in DATA_SETS:
            if match := _search(row.pattern, text):
                number = (
                    _search(row.version, name)
                    or _VERSION.search(name)
                    or _VERSION.search(version)
                    or _SHORT_VERSION.search(name)
                    or _VERSION.search(title)
                    or _SHORT_VERSION.search(title)
                    or _VERSION_BEHIND.match(text, match.end())
                )
                return Release(row, number[1].replace("_", ".") if number else "")
    return None


def infilled_product(name: str, title: str = "") -> str | None:
    """Why a product is known to be infilled, by its file name or title; None if it is not."""
    if _search(r"non-?infilled", f"{name} {title}"):
        return None
    pattern = "|".join(filter(None, (*(row.infilled for row in DATA_SETS), _INFILLED)))
    for what, text in (("name", name), ("title", title)):
        if match := _search(pattern, text):
            return f"its {what} says that its gaps are filled already ({match[0]!r})"
    return None


def infilled_folder(path: str) -> str | None:
    """The part of ``path`` that is the folder of an infilled product, None if no folder is."""
    matches = (_search(row.infilled_folder, path) for row in DATA_SETS)
    return next((match[0] for match in matches if match), None)


def canonical_variable(name_in_file: str, attributes: Mapping[str, Any]) -> str | None:
    """CMOR name of a variable called ``name_in_file`` in its file, or None if it is not known.

    The name decides; where the name is not known, the standard name does.
    """
    name = name_in_file.lower()
    for one in VARIABLES.values():
        if name in one.names:
            return one.name
    for row in DATA_SETS:
        if name in row.names:
            return row.names[name]
    standard = str(attributes.get("standard_name", "")).strip().lower()
    if _ABOUT_A_VARIABLE.search(name_in_file) or _ABOUT_A_VARIABLE.search(standard):
        return None
    return next((one.name for one in VARIABLES.values() if standard in one.standard_names), None)


def _search(pattern: str, text: str) -> re.Match[str] | None:
    return re.search(pattern, text, re.IGNORECASE) if pattern else None
