"""Values of a file: fill values, units, base period, and whether they are anomalies or absolute."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import netCDF4
import numpy as np

from climrecon.array_types import FloatArray
from climrecon.datasets import release_of
from climrecon.errors import InputDataError
from climrecon.netcdf.coordinates import member_dimension
from climrecon.preprocess.axes import Horizontal
from climrecon.variables import VARIABLES, Variable

#: Values beyond this, and these, are fill values, whether a file declares them or not.
_BEYOND = 9.9e19
_FILLS = (-9999.0, -999.0, 9999.0, -99999.0)
#: Values read at once, so that masks and double precision never exist for a whole file.
_BLOCK = 1 << 22
_SAMPLE = 200_000

_YEAR = r"(1[89]\d\d|20\d\d)"
_PERIOD = re.compile(rf"{_YEAR}\s*(?:-|–|:|/|,|\s|to|until)\s*{_YEAR}")
_BASE_WORDS = re.compile(r"anomal|base|relative|climatolog|climo|reference|w\.?r\.?t|normals", re.IGNORECASE)
_BASE_ATTRIBUTES = (
    "reference_period",
    "climatology_period",
    "base_period",
    "baseline",
    "baseline_period",
    "climo_period",
)
_DESCRIPTIONS = ("long_name", "comment", "title", "description", "units", "summary")
#: Lengths in years that a base period can have; longer ones are the span of the data.
_BASE_YEARS = (10, 40)


def unpacked_dtype(variable: netCDF4.Variable) -> str:
    """``float32`` or ``float64``: what the variable's values are after scale and offset (CF, 8.1)."""
    factors = [
        np.asarray(getattr(variable, name)).dtype for name in ("scale_factor", "add_offset") if hasattr(variable, name)
    ]
    kind = np.result_type(*factors) if factors else variable.dtype
    return "float64" if kind == np.float64 else "float32"


def read_values(variable: netCDF4.Variable, time_name: str, axes: Horizontal, realisation: int | None = None) -> Any:
    """(T, H, W) in the unpacked dtype with NaN where missing, in the package's order.

    Read block by block along time; whatever order the dimensions stand in the file. Further dimensions must
    have length one, but for that of members of which ``realisation`` chooses one, from 0.

    Raises
    ------
    InputDataError
        If a further dimension is longer.
    """
    order = [variable.dimensions.index(name) for name in (time_name, axes.lat_name, axes.lon_name)]
    others = [position for position in range(variable.ndim) if position not in order]
    of_members = [p for p in others if realisation is not None and variable.dimensions[p] == member_dimension(variable)]
    long = [
        f"{variable.dimensions[p]} ({variable.shape[p]})"
        for p in others
        if variable.shape[p] != 1 and p not in of_members[:1]
    ]
    if long:
        raise InputDataError(
            f"{variable.name} has a further dimension: {', '.join(long)}.", "Select one of its values first."
        )
    steps, height, width = (variable.shape[position] for position in order)
    # Not narrower than the file: observed cells must come back bit by bit.
    values = np.empty((steps, height, width), unpacked_dtype(variable))
    block = _block_length(variable, order[0], height * width)
    for start in range(0, steps, block):
        chosen: list[Any] = [slice(None)] * variable.ndim
        chosen[order[0]] = slice(start, start + block)
        for position in of_members[:1]:
            chosen[position] = slice(realisation, realisation + 1) if realisation is not None else slice(None)
        piece = missing_to_nan(variable[tuple(chosen)])
        moved = np.transpose(piece, others + order).reshape(-1, height, width)
        values[start : start + block] = moved[:, axes.rows][:, :, axes.columns]
    return values


def _block_length(variable: netCDF4.Variable, time_position: int, cells: int) -> int:
    """Times to read at once: whole chunks of the file, so that none is unpacked twice."""
    length = max(1, _BLOCK // cells)
    chunks = variable.chunking()
    if isinstance(chunks, list | tuple):
        stored = int(chunks[time_position])
        length = max(stored, length // stored * stored)
    return length


def missing_to_nan(raw: Any) -> FloatArray:
    """Float array with NaN for values that are missing by any convention.

    The library has applied scale, offset, ``_FillValue``, ``missing_value`` and the valid range; files
    also use fill values they do not declare.
    """
    given = np.ma.asarray(raw)
    masked = given if given.dtype.kind == "f" else given.astype(np.float64)
    values = np.array(np.ma.filled(masked, np.nan))
    with np.errstate(invalid="ignore"):
        undeclared = np.abs(values) >= _BEYOND
        for fill in _FILLS:
            undeclared |= values == fill
    undeclared &= np.isfinite(values)
    values[undeclared] = np.nan
    return values


def base_period(file: netCDF4.Dataset, variable: netCDF4.Variable) -> tuple[int, int] | None:
    """First and last year of the climatology of the anomalies, as the file states it."""
    for names, introduction in ((_BASE_ATTRIBUTES, None), (_DESCRIPTIONS, _BASE_WORDS)):
        for holder in (variable, file):
            for name in names:
                if period := _stated(str(getattr(holder, name, "")), introduction):
                    return period
    return None


def _stated(text: str, introduction: re.Pattern[str] | None) -> tuple[int, int] | None:
    """The first period in ``text`` as long as a base period, with ``introduction`` in the words around it."""
    for match in _PERIOD.finditer(text):
        first, last = int(match[1]), int(match[2])
        around = text[max(0, match.start() - 60) : match.start()] + " " + text[match.end() : match.end() + 30]
        if _BASE_YEARS[0] <= last - first + 1 <= _BASE_YEARS[1] and (not introduction or introduction.search(around)):
            return first, last
    return None


def is_anomaly(
    wanted: str, file: netCDF4.Dataset, variable: netCDF4.Variable, name: str, values: FloatArray, description: Variable
) -> bool:
    """Whether the values are anomalies: by the user's choice, else by attributes, product, then range.

    Raises
    ------
    InputDataError
        In doubt.
    """
    if wanted != "auto":
        return wanted == "anomaly"
    title = str(getattr(file, "title", ""))
    texts = (variable.name, *(str(getattr(variable, key, "")) for key in ("standard_name", "long_name")))
    if any(hasattr(variable, key) for key in _BASE_ATTRIBUTES) or any("anom" in text.lower() for text in texts):
        return True
    release = release_of(name, title)
    if release and release.data_set.base:
        return True
    if "anom" in f"{title} {name} {getattr(variable, 'statistic', '')}".lower():
        return True
    return _by_range(variable, values, description)


def _by_range(variable: netCDF4.Variable, values: FloatArray, description: Variable) -> bool:
    finite = values.ravel()[:: max(1, values.size // _SAMPLE)]
    finite = finite[np.isfinite(finite)]
    if len(finite) < 100:
        finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.01, 0.99])
    middle = float(np.median(np.abs(finite)))
    units = str(getattr(variable, "units", ""))
    accepted = description.accepted_units(units)
    if accepted and all(
        value > bound for value, bound in zip((low, middle, high), accepted.absolute_above, strict=True)
    ):
        return False
    reach, most = description.anomaly_within
    narrow = accepted is None or high - low <= accepted.largest_anomaly_range
    if low > -reach and high < reach and middle < most and narrow:
        return True
    raise InputDataError(
        f"It is not clear whether {variable.name} ({units or 'no units'}, 98 % in {low:.1f} to {high:.1f}) holds "
        f"anomalies or absolute {description.quantity}s.",
        "Say values=anomaly or values=absolute.",
    )


def check_units(units: str, description: Variable) -> None:
    """Refuse variables that cannot be observed, and units of other quantities; anomalies may have none at all.

    Raises
    ------
    InputDataError
        If observations of the variable cannot be reconstructed, or ``units`` are another quantity's.
    """
    if not description.observable:
        names = " or ".join(name for name, one in VARIABLES.items() if one.observable)
        raise InputDataError(
            f"Observations of {description.name} ({description.label}) cannot be reconstructed.",
            f"Choose variable={names}; a network may take {description.name} as an auxiliary variable."
            if description.auxiliary is not None
            else f"Choose variable={names}.",
        )
    if units.strip() not in ("", "1") and description.accepted and not description.accepted_units(units):
        raise InputDataError(
            f"The units {units!r} are not those of a {description.quantity}.",
            f"{description.units_in_words} are expected.",
        )


def to_units(values: FloatArray, units: str, anomaly: bool, description: Variable) -> FloatArray:
    """``values`` in the variable's units; anomalies are differences, which have no offset.

    Raises
    ------
    InputDataError
        If absolute values have no units.
    """
    accepted = description.accepted_units(units)
    if accepted is None and not anomaly:
        raise InputDataError(
            f"The variable states no units, so its absolute {description.quantity}s may be in "
            f"{description.units_in_words}.",
            f"Write them into the file, e.g. with ncatted -a units,{description.name},c,c,{description.units!r}.",
        )
    number = values.dtype.type
    if accepted and accepted.factor != 1.0:
        values = np.asarray(values * number(accepted.factor))
    if accepted and accepted.offset and not anomaly:
        values = np.asarray(values + number(accepted.offset))
    return values


def check_values(
    values: FloatArray, anomaly: bool, labels: list[str], place: Callable[[int, int], str], description: Variable
) -> None:
    """Refuse infinite, implausible and wholly missing data.

    Parameters
    ----------
    values:
        (T, H, W) in the variable's units.
    labels, place:
        Names of the months, and of cells by row and column.

    Raises
    ------
    InputDataError
        With how many there are and where the first is.
    """
    problems = []
    if np.isnan(values).all():
        raise InputDataError(
            "Every value is missing (NaN or fill value).", "Check that the file holds data for this period."
        )
    most, units = description.largest_anomaly, description.units
    low, high = (-most, most) if anomaly else description.absolute_range
    infinite = np.isinf(values)
    implausible = ((values < low) | (values > high)) & ~infinite
    what = "an anomaly" if anomaly else f"a {description.quantity}"
    for bad, text in ((infinite, "infinite"), (implausible, f"outside {low:g} to {high:g} {units} for {what}")):
        if bad.any():
            month, row, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
            value = values[month, row, column]
            shown = "" if np.isinf(value) else f" ({value:g} {units})"
            count = int(bad.sum())
            number = "1 value is" if count == 1 else f"{count} values are"
            problems.append(f"{number} {text}, the first{shown} in {labels[month]} at {place(int(row), int(column))}")
    if problems:
        raise InputDataError(
            f"The values cannot be used: {'; '.join(problems)}.",
            "Repair the file; if its values are of the other kind, say values=anomaly or values=absolute.",
        )
