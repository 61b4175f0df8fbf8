"""Values of a file: fill values, units, and whether they are anomalies or absolute."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.datasets import DataSet, Stated
from climrecon.errors import InputDataError
from climrecon.frequency import MONTH
from climrecon.memory import blocks_of, new_array, release
from climrecon.netcdf.coordinates import member_dimension
from climrecon.preprocess.axes import Horizontal
from climrecon.preprocess.missing import Packing, Tally
from climrecon.steps import Steps
from climrecon.variables import VARIABLES, Variable
from climrecon.variables.units import conversion

#: Values read at once, so that masks and double precision never exist for a whole file.
_BLOCK = 1 << 22
_SAMPLE = 200_000
_PER_MONTH = re.compile(r"(?<![a-z])mon(th)?s?(?![a-z])", re.IGNORECASE)

#: Attributes that only anomalies have.
_BASE_ATTRIBUTES = (
    "reference_period",
    "climatology_period",
    "base_period",
    "baseline",
    "baseline_period",
    "climo_period",
)


def read_values(
    variable: netCDF4.Variable,
    time_name: str,
    axes: Horizontal,
    realisation: int | None = None,
    *,
    tally: Tally | None = None,
    notes: list[str] | None = None,
    plausible: tuple[float, float] = (-np.inf, np.inf),
    scratch: Path | None = None,
) -> Any:
    """(T, H, W) in the unpacked dtype with NaN where missing, in the package's order.

    Read block by block along time; whatever order the dimensions stand in the file. Further dimensions must
    have length one, but for that of members of which ``realisation`` chooses one, from 0.

    Parameters
    ----------
    tally, notes:
        Take the number of cells that were masked by what the file does not declare as missing, and what was decided.
    plausible:
        Bounds of plausible values in the file's units, by which a valid range is read.
    scratch:
        Folder for an array that is too large for the memory.

    Raises
    ------
    InputDataError
        If a further dimension is longer, or the valid range masks all values.
    """
    # An unstructured grid has one dimension for both.
    order = [variable.dimensions.index(name) for name in dict.fromkeys((time_name, axes.lat_name, axes.lon_name))]
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
    steps, height, width = (*(variable.shape[position] for position in order), 1)[:3]
    packing, tally = Packing.of(variable), Tally() if tally is None else tally
    # Not narrower than the file: observed cells must come back bit by bit.
    values = new_array((steps, len(axes.rows), len(axes.columns)), packing.dtype, scratch)
    block = _block_length(variable, order[0], height * width)

    def part(start: int) -> tuple[Any, ...]:
        chosen: list[Any] = [slice(None)] * variable.ndim
        chosen[order[0]] = slice(start, start + block)
        for position in of_members[:1]:
            chosen[position] = slice(realisation, realisation + 1) if realisation is not None else slice(None)
        return tuple(chosen)

    packing.choose_range(map(part, range(0, steps, block)), plausible)
    for start in range(0, steps, block):
        piece = packing.values(packing.stored(part(start)), tally)
        moved = np.transpose(piece, others + order).reshape(-1, height, width)
        values[start : start + block] = moved[:, axes.rows][:, :, axes.columns]
        release(values)
    packing.check(values)
    tally.cells += values.size
    if notes is not None:
        notes += packing.notes
    return values


def _block_length(variable: netCDF4.Variable, time_position: int, cells: int) -> int:
    """Times to read at once: whole chunks of the file, so that none is unpacked twice."""
    length = max(1, _BLOCK // cells)
    chunks = variable.chunking()
    if isinstance(chunks, list | tuple):
        stored = int(chunks[time_position])
        length = max(stored, length // stored * stored)
    return length


def is_anomaly(
    wanted: str,
    stated: Stated,
    data_set: DataSet | None,
    variable: netCDF4.Variable,
    values: FloatArray,
    description: Variable,
) -> bool:
    """Whether the values are anomalies: by the user's choice, else by attributes, data set, names, then range.

    Raises
    ------
    InputDataError
        In doubt.
    """
    if description.kind != "anomaly":
        _refuse_anomalies(wanted, variable, values, description)
        return False
    if wanted != "auto":
        return wanted == "anomaly"
    if any(hasattr(variable, key) for key in _BASE_ATTRIBUTES) or is_called_anomaly(variable, description):
        return True
    if data_set and data_set.of_anomalies:
        return True
    if "anom" in f"{stated.title} {stated.name} {getattr(variable, 'statistic', '')}".lower():
        return True
    return _by_range(variable, values, description)


def _refuse_anomalies(wanted: str, variable: netCDF4.Variable, values: FloatArray, description: Variable) -> None:
    called = is_called_anomaly(variable, description)
    if wanted == "anomaly" or (wanted == "auto" and (called or bool(np.nanmin(values) < 0))):
        why = "its names" if called else "its negative values" if wanted == "auto" else "values=anomaly"
        raise InputDataError(
            f"{variable.name} holds anomalies by {why}; of {description.label} absolute values are expected, since the "
            "climatology that anomalies lack is needed.",
            "Give absolute values, or state values=absolute.",
        )


def is_called_anomaly(variable: netCDF4.Variable, description: Variable) -> bool:
    """Whether the names of a variable state that it holds anomalies."""
    texts = (variable.name, *(str(getattr(variable, key, "")) for key in ("standard_name", "long_name")))
    return variable.name.lower() in description.anomaly_names or any("anom" in text.lower() for text in texts)


def _by_range(variable: netCDF4.Variable, values: FloatArray, description: Variable) -> bool:
    finite = values.ravel()[:: max(1, values.size // _SAMPLE)]
    finite = finite[np.isfinite(finite)]
    if len(finite) < 100:
        finite = values[np.isfinite(values)]
    units = str(getattr(variable, "units", ""))
    accepted = description.accepted_units(units)
    if accepted and (to_scale := conversion(units, accepted.name)):
        absolute = to_scale(finite, difference=False)
        low, high = np.quantile(absolute, [0.01, 0.99])
        found = (low, np.median(np.abs(absolute)), high)
        if all(value > bound for value, bound in zip(found, accepted.absolute_above, strict=True)):
            return False
        finite = to_scale(finite, difference=True)
    low, high = np.quantile(finite, [0.01, 0.99])
    middle = float(np.median(np.abs(finite)))
    reach, most = description.anomaly_within
    narrow = accepted is None or high - low <= accepted.largest_anomaly_range
    if low > -reach and high < reach and middle < most and narrow:
        return True
    scale = accepted.name if accepted else units or "no units"
    raise InputDataError(
        f"It is not clear whether {variable.name} ({scale}, 98 % in {low:.1f} to {high:.1f}) holds "
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
    if units.strip() not in ("", "1") and not description.conversion(units):
        raise InputDataError(
            f"The units {units!r} are not those of a {description.quantity}.",
            f"{description.units_in_words} are expected, or other units of a {description.quantity}.",
        )


def to_units(values: FloatArray, units: str, anomaly: bool, description: Variable) -> FloatArray:
    """``values``, in place, in the variable's units; anomalies are differences, which have no offset.

    Raises
    ------
    InputDataError
        If absolute values have no units.
    """
    to_ours = description.conversion(units)
    if to_ours is None and not anomaly:
        raise InputDataError(
            f"The variable states no units, so its absolute {description.quantity}s may be in "
            f"{description.units_in_words}.",
            "Write them into the file, e.g. with ncatted -a "
            f"units,{description.name},c,c,{description.absolute_units!r}.",
        )
    if to_ours is not None:
        for part in blocks_of(values):
            values[part] = to_ours(values[part], difference=anomaly)
    return values


def of_each_step(values: FloatArray, units: str, time: Steps) -> FloatArray:
    """(T, H, W) values whose ``units`` are per month, which converters take for a month of mean length, by each month's.

    Values of longer or shorter steps stay as they are.
    """
    mean = conversion("month", "day")
    if mean is None or time.frequency != MONTH or not _PER_MONTH.search(units):
        return values
    parts = zip(time.year.tolist(), time.month.tolist(), strict=True)
    days = [cftime.datetime(year, month, 1, calendar=time.calendar).daysinmonth for year, month in parts]
    return np.asarray(values * (mean.factor / np.array(days))[:, None, None].astype(values.dtype))


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
    if all(np.isnan(values[part]).all() for part in blocks_of(values)):
        raise InputDataError(
            "Every value is missing (NaN or fill value).", "Check that the file holds data for this period."
        )
    units, (low, high) = description.absolute_units, description.limits(anomaly)
    what = "an anomaly" if anomaly else f"a {description.quantity}"

    def implausible(some: FloatArray) -> BoolArray:
        return np.asarray(((some < low) | (some > high)) & ~np.isinf(some))

    for is_bad, text in ((np.isinf, "infinite"), (implausible, f"outside {low:g} to {high:g} {units} for {what}")):
        count, first = 0, -1
        for part in blocks_of(values):
            bad = is_bad(values[part])
            if first < 0 and bad.any():
                first = part.start * bad[0].size + int(np.argmax(bad))
            count += int(bad.sum())
        if count:
            month, row, column = np.unravel_index(first, values.shape)
            value = values[month, row, column]
            shown = "" if np.isinf(value) else f" ({value:g} {units})"
            number = "1 value is" if count == 1 else f"{count} values are"
            problems.append(f"{number} {text}, the first{shown} in {labels[month]} at {place(int(row), int(column))}")
    if problems:
        raise InputDataError(
            f"The values cannot be used: {'; '.join(problems)}.",
            "Write missing values as the file's _FillValue, or correct its units; if its values are of the other kind, "
            "say values=anomaly or values=absolute.",
        )
