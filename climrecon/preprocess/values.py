"""Values of a file: fill values, units, and whether they are anomalies or absolute."""

from __future__ import annotations

import re
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError
from climrecon.variables import dataset_of, is_celsius, is_kelvin

FloatArray = NDArray[np.floating[Any]]

ZERO_CELSIUS = 273.15
#: Monthly means on Earth stay within these; what does not is an error in the file, not weather.
LARGEST_ANOMALY = 60.0
ABSOLUTE_RANGE = (150.0, 350.0)

_PERIOD = re.compile(r"(1[89]\d\d|20\d\d)\s*(?:-|–|to|until)\s*(1[89]\d\d|20\d\d)")


def missing_to_nan(raw: Any) -> FloatArray:
    """Float array with NaN wherever a file says, by any convention, that a value is missing.

    The library has applied scale, offset, ``_FillValue``, ``missing_value`` and the valid range; files
    also use fill values they do not declare.
    """
    values = np.ma.filled(np.ma.asarray(raw).astype(np.float64), np.nan)
    with np.errstate(invalid="ignore"):
        undeclared = (values <= -1e20) | (np.abs(values) >= 9.9e19) | (values == -9999.0) | (values == -999.0)
    undeclared &= np.isfinite(values)
    return np.where(undeclared, np.nan, values)


def base_period(file: netCDF4.Dataset, variable: netCDF4.Variable) -> tuple[int, int] | None:
    """First and last year of the climatology the file says its anomalies refer to."""
    for holder in (variable, file):
        for name in ("reference_period", "climatology_period", "base_period", "baseline"):
            match = _PERIOD.search(str(getattr(holder, name, "")))
            if match:
                return int(match[1]), int(match[2])
    words = [
        getattr(holder, name, "")
        for holder in (variable, file)
        for name in ("long_name", "comment", "title", "description")
    ]
    for text in map(str, words):
        match = _PERIOD.search(text)
        if match and re.search(r"anomal|base|relative|climatolog|reference", text, re.IGNORECASE):
            return int(match[1]), int(match[2])
    return None


#: What is known of producers' base periods where their files do not say.
KNOWN_BASE = {
    "HadCRUT": (1961, 1990),
    "CRUTEM": (1961, 1990),
    "HadSST": (1961, 1990),
    "CowtanWay": (1961, 1990),
    "GISTEMP": (1951, 1980),
    "BerkeleyEarth": (1951, 1980),
    "NOAAGlobalTemp": (1971, 2000),
}


def is_anomaly(
    wanted: str, file: netCDF4.Dataset, variable: netCDF4.Variable, name: str, values: FloatArray
) -> bool:
    """Whether the values are anomalies: as the user says, else by attributes, product, then range.

    Raises
    ------
    InputDataError
        In doubt.
    """
    if wanted != "auto":
        return wanted == "anomaly"
    title = str(getattr(file, "title", ""))
    texts = (variable.name, *(str(getattr(variable, key, "")) for key in ("standard_name", "long_name")))
    if hasattr(variable, "reference_period") or any("anom" in text.lower() for text in texts):
        return True
    known = dataset_of(name, title)
    if known and known[0] in KNOWN_BASE:
        return True
    if base_period(file, variable) is not None and "anom" in f"{title} {name}".lower():
        return True
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.01, 0.99])
    units = str(getattr(variable, "units", ""))
    if is_kelvin(units) and low > 180.0:
        return False
    middle = float(np.median(np.abs(finite)))
    if is_celsius(units) and middle > 6.0 and high > 15.0:
        return False
    if low > -25.0 and high < 25.0 and middle < 4.0 and not (is_celsius(units) and high - low > 30.0):
        return True
    raise InputDataError(
        f"It is not clear whether {variable.name} ({units or 'no units'}, 98 % in {low:.1f} to {high:.1f}) holds "
        "anomalies or absolute temperatures.",
        "Say values=anomaly or values=absolute.",
    )


def to_kelvin(values: FloatArray, units: str, anomaly: bool) -> FloatArray:
    """Anomalies are differences, the same in K and degrees Celsius; absolute values get the offset.

    Raises
    ------
    InputDataError
        If ``units`` are not those of temperature.
    """
    if not units.strip() and anomaly:
        return values
    if is_kelvin(units):
        return values
    if is_celsius(units):
        return values if anomaly else values + ZERO_CELSIUS
    raise InputDataError(
        f"The units {units or '(none)'!r} are not those of a temperature.",
        "K or degrees Celsius are expected.",
    )


def check_values(values: FloatArray, anomaly: bool, labels: list[str]) -> None:
    """Refuse infinite, absurd and wholly missing data.

    Raises
    ------
    InputDataError
        With how many there are and where the first is.
    """
    problems = []
    if np.isnan(values).all():
        raise InputDataError("Every value is missing.", "Check that the file holds data for this period.")
    infinite = np.isinf(values)
    low, high = (-LARGEST_ANOMALY, LARGEST_ANOMALY) if anomaly else ABSOLUTE_RANGE
    absurd = ((values < low) | (values > high)) & ~infinite
    what = "anomaly" if anomaly else "temperature"
    for bad, text in ((infinite, "infinite"), (absurd, f"outside {low:g} to {high:g} K for an {what}")):
        if bad.any():
            where = np.argwhere(bad)[0]
            shown = "" if np.isinf(values[tuple(where)]) else f", {values[tuple(where)]:g} K"
            problems.append(
                f"{int(bad.sum())} values are {text}; the first in {labels[where[0]]} at row {where[1]}, "
                f"column {where[2]}{shown}"
            )
    if problems:
        raise InputDataError(
            f"The values cannot be used: {'; '.join(problems)}.",
            "Repair the file; if its values are of the other kind, say values=anomaly or values=absolute.",
        )
