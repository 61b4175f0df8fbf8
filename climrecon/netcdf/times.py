"""Time axes of all kinds to steps of a frequency: the one reader of times, for fields, catalogues and the watch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cftime
import netCDF4
import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.frequency import FREQUENCIES, MONTH, SEASON, Frequency
from climrecon.netcdf.coordinates import coordinate_along, texts_of
from climrecon.netcdf.decoding import AS, DAYS_IN, ISO, SINCE, Decoded, dates_of, decoded, of_texts, unit_of, units_of
from climrecon.netcdf.names import span_in

_NAMES = ("time", "t", "valid_time", "date")
#: Endings of the names of bounds, behind the name of the time or behind ``time``.
_BOUNDS = ("_bnds", "_bounds", "_bound", "_bnd", "bnds", "bounds", "_edges")
#: Share of the bounds that must hold their times to be believed for all.
_SOUND_SHARE = 0.5


@dataclass(frozen=True)
class TimeAxis:
    """A time axis as it was read.

    Attributes
    ----------
    index:
        (T,) steps of the frequency it was read for, as :class:`climrecon.steps.Steps` counts them.
    days:
        (T,) days since any origin, to a few days where the file gives months or years alone.
    stamped:
        Whether the stamps themselves, without bounds or other evidence, give ``index`` by dates that any program reads.
    """

    name: str
    index: IntArray
    days: FloatArray
    calendar: str
    notes: tuple[str, ...]
    stamped: bool


def find_time(file: netCDF4.Dataset, variable: netCDF4.Variable) -> tuple[str, netCDF4.Variable]:
    """The time dimension of ``variable``, and the coordinate along it.

    Raises
    ------
    InputDataError
        If there is none.
    """

    def fits(coordinate: netCDF4.Variable) -> bool:
        units = str(getattr(coordinate, "units", "")).strip()
        stated = str(getattr(coordinate, "standard_name", "")).lower() == "time" or SINCE.match(units)
        return bool(stated or AS.match(units)) or coordinate.name.lower() in _NAMES or _holds_dates(coordinate)

    for dimension in variable.dimensions:
        coordinate = coordinate_along(file, dimension, fits)
        characters = (v for v in file.variables.values() if v.ndim == 2 and v.dimensions[0] == dimension)
        if coordinate is None:
            coordinate = next((v for v in characters if _holds_dates(v)), None)
        if coordinate is not None:
            return str(dimension), coordinate
    raise InputDataError(
        f"{variable.name}[{', '.join(variable.dimensions)}] has no time axis.",
        "Fields (time, latitude, longitude) are expected, with a time coordinate.",
    )


def _holds_dates(variable: netCDF4.Variable) -> bool:
    texts = texts_of(variable)
    return texts is not None and bool(texts) and bool(ISO.match(texts[0]))


def month_index(file: netCDF4.Dataset, time: netCDF4.Variable) -> TimeAxis:
    """The months of a monthly time axis; see :func:`step_index`."""
    return step_index(file, time, MONTH)


def step_index(file: netCDF4.Dataset, time: netCDF4.Variable, frequency: Frequency) -> TimeAxis:
    """The steps of a time axis of ``frequency``, by :func:`read_axis`.

    Raises
    ------
    InputDataError
        If the axis cannot be read or is of another frequency.
    """
    axis = read_axis(file, time, frequency, strict=True)
    _check_steps(axis, frequency)
    return axis


def read_axis(
    file: netCDF4.Dataset, time: netCDF4.Variable, frequency: Frequency = MONTH, *, strict: bool = False
) -> TimeAxis:
    """The steps of ``frequency`` that hold each time, whatever the frequency of the file.

    Understands ``days since`` and its like in all CF calendars, ``months since``, ``years since``,
    ``day as %Y%m%d.%f``, ``month as %Y%m.%f``, plain YYYYMM and YYYYMMDD, decimal years, and dates as text.
    Where a file gives the bounds of its steps, by the attribute or by a usual name, in units of their own or not,
    their middles count: raw model output is often stamped at the end. Without bounds that can be read, steps of months
    stamped at their end are recognised by the months in the file's name, by the widths of bounds, by the model that wrote
    the file, or by a record of whole years that would otherwise run from February to January.

    Parameters
    ----------
    strict:
        Whether bounds of other widths than the frequency's are refused.

    Raises
    ------
    InputDataError
        If the axis cannot be read.
    """
    units, calendar = units_of(time, "", "standard")
    texts = texts_of(time)
    raw = texts if texts is not None else time[:]
    if not len(np.atleast_1d(raw)) or (texts is None and np.ndim(raw) != 1):
        raise InputDataError(f"The time axis {time.name} is empty.", "Fields with times are expected.")
    try:
        if texts is not None:
            times = of_texts(texts, time.name)
            return _without_bounds(file, time.name, times, None, calendar, frequency, plain=False)
        values = np.ma.filled(np.ma.asarray(raw).astype(np.float64), np.nan)
        if not np.isfinite(values).all():
            raise InputDataError(f"The time axis {time.name} holds missing values.", "Repair the file.")
        plain = unit_of(units) in DAYS_IN
        bounds = _bounds(file, time, units, calendar, values)
        sound = np.zeros(0, bool) if bounds is None else _sound(bounds, values)
        if bounds is not None and sound.all() and (values < bounds[:, 1]).all():
            if strict:
                _check_bounds(bounds, units, calendar, time.name, frequency)
            times = decoded(bounds.mean(axis=1), units, calendar)
            return TimeAxis(time.name, times.steps(frequency, calendar), times.days, calendar, (), plain)
        times = decoded(values, units, calendar)
        if bounds is None or sound.mean() < _SOUND_SHARE:
            offsets = None if bounds is None else bounds - values[:, None]
            return _without_bounds(file, time.name, times, offsets, calendar, frequency, plain)
        if strict:
            _check_bounds(bounds[sound], units, calendar, time.name, frequency)
        middle = decoded(bounds[sound].mean(axis=1), units, calendar).steps(frequency, calendar)
        stamped = times.steps(frequency, calendar)
    except (ValueError, OverflowError, TypeError) as error:
        raise InputDataError(
            f"The time axis {time.name} with units {units!r} and calendar {calendar!r} cannot be read: {error}",
            "Units like 'days since 1850-01-01' are expected.",
        ) from error
    index, notes = stamped.copy(), tuple[str, ...]()
    later = stamped[sound] - middle
    index[sound] = middle
    if not sound.all() and (later == later[0]).all():
        index[~sound] -= later[0]
    if later.any():
        word = frequency.plural
        notes = (f"the times of {time.name} stand at the end of their {word}; the {word} are those of its bounds",)
    return TimeAxis(time.name, index, times.days, calendar, notes, plain and np.array_equal(index, stamped))


def _bounds(
    file: netCDF4.Dataset, time: netCDF4.Variable, units: str, calendar: str, values: FloatArray
) -> FloatArray | None:
    """(T, 2) bounds in the units of the times, found by the attribute or else by name; None if there are none."""
    by_name = {name.lower(): variable for name, variable in file.variables.items()}
    names = [str(getattr(time, "bounds", "")), *(stem + end for stem in (time.name, "time") for end in _BOUNDS)]
    for name in names:
        found = by_name.get(name.lower())
        if found is None or found.dtype is str or found.dtype.kind not in "fiu":
            continue
        if sorted(found.shape) != sorted((len(values), 2)) or time.dimensions[0] not in found.dimensions:
            continue
        bounds = np.ma.filled(np.ma.asarray(found[:]).astype(np.float64), np.nan)
        bounds = bounds if found.dimensions[0] == time.dimensions[0] else bounds.T
        own = units_of(found, units, calendar)
        if own == (units, calendar):
            return bounds
        known = np.isfinite(bounds)
        try:
            bounds[known] = cftime.date2num(dates_of(bounds[known], *own), units, calendar=calendar)
        except (ValueError, OverflowError, TypeError):
            continue
        return bounds
    return None


def _sound(bounds: FloatArray, values: FloatArray) -> BoolArray:
    """Which bounds hold their times: some files hold zeros for the first."""
    with np.errstate(invalid="ignore"):
        ordered, after = bounds[:, 0] < bounds[:, 1], bounds[:, 0] <= values
        return np.asarray(ordered & after & (values <= bounds[:, 1]))


def _without_bounds(
    file: netCDF4.Dataset,
    name: str,
    times: Decoded,
    offsets: FloatArray | None,
    calendar: str,
    frequency: Frequency,
    plain: bool,
) -> TimeAxis:
    """The axis by its stamps alone, or a step earlier where evidence shows that they stand at the end of their steps.

    Parameters
    ----------
    offsets:
        (T, 2) bounds less times, of bounds that do not hold the times; None where there are none.
    """
    index, notes = times.steps(frequency, calendar), tuple[str, ...]()
    why = _why_at_the_end(file, times, index, offsets, frequency)
    word, words = frequency.word, frequency.plural
    if why:
        index = index - 1
        notes = (
            f"the times of {name} are taken as the end of their {words}, each a {word} earlier than its date: {why}",
        )
    elif why is not None:
        notes = (
            f"the times of {name} stand at 00:00 on the first without bounds; they are taken as the beginning of {words}",
        )
    elif frequency == SEASON:
        notes = (
            f"the times of {name} have no bounds; each is taken for the season DJF, MAM, JJA or SON that holds it",
        )
    return TimeAxis(name, index, times.days, calendar, notes, plain and not why)


def _why_at_the_end(
    file: netCDF4.Dataset, times: Decoded, index: IntArray, offsets: FloatArray | None, frequency: Frequency
) -> str | None:
    """Why stamps at 00:00 on the first are the ends of the steps before; "" if it is open, None if they are not."""
    if not frequency.months or not times.start or len(index) < 2 or (np.diff(index) != 1).any():
        return None
    if ((times.months - frequency.first) % frequency.months).any():
        return None
    span = (int(index[0]), int(index[-1]))
    named = span_in(Path(file.filepath()).stem)
    named = None if named is None else (frequency.of_months(named[0]), frequency.of_months(named[1]))
    if named == span:
        return None
    if named == (span[0] - 1, span[1] - 1):
        return f"the file's name holds these {frequency.plural}"
    if offsets is not None and np.isfinite(offsets).all():
        fixed = np.ptp(offsets, axis=0) < 1e-3
        if fixed[1] and not fixed[0]:
            return f"the widths of its bounds are those of the {frequency.plural} before"
        if fixed[0] and not fixed[1]:
            return None
    if str(getattr(file, "source", "")).strip() in ("CAM", "CLM") or hasattr(file, "time_period_freq"):
        return "CESM, which wrote the file, stamps its means at their end"
    year = frequency.per_year
    if span[0] % year == 1 and (span[1] + 1) % year == 1:
        second, first = ("February", "January") if year == 12 else ("MAM", "DJF")
        return f"the record would otherwise run from {second} to {first}"
    return None if span[0] % year == 0 else ""  # a record that begins with a year has no stamps at the end


def _check_bounds(bounds: FloatArray, units: str, calendar: str, name: str, frequency: Frequency) -> None:
    """Refuse means over other times than the steps of ``frequency``."""
    if unit_of(units) not in DAYS_IN:
        return
    days = np.diff(bounds, axis=1)[:, 0] * DAYS_IN[unit_of(units)]
    least, most = frequency.days
    wrong = (days < least) | (days > most)
    if wrong.any():
        odd = float(days[np.argmax(wrong)])
        raise InputDataError(
            f"The time axis {name} is not {frequency.adjective}: {int(wrong.sum())} of its {len(days)} fields are means "
            f"over another time, e.g. {odd:g} days.",
            _means_expected(frequency, odd),
        )
    begin = decoded(bounds[:, 0], units, calendar).months
    first = "December, March, June and September" if frequency == SEASON else "January"
    if frequency.months > 1 and ((begin - frequency.first) % frequency.months).any():
        raise InputDataError(
            f"The {frequency.plural} of the time axis {name} do not begin in {first}.",
            f"{frequency.adjective.capitalize()} means as cdo {frequency.operator} makes them are expected.",
        )


def _means_expected(frequency: Frequency, days: float) -> str:
    """What to do about fields that are ``days`` long or apart."""
    other = next((one for one in FREQUENCIES.values() if one.days[0] <= days <= one.days[1]), None)
    state = f", or state time_frequency={other.name}" if other not in (None, frequency) and other else ""
    wanted = frequency.adjective.capitalize()
    if days > frequency.days[1]:
        return f"{wanted} means are expected; choose another file{state}."
    return f"{wanted} means are expected; make them first, e.g. with cdo {frequency.operator}{state}."


def _check_steps(axis: TimeAxis, frequency: Frequency) -> None:
    """Refuse fields of other frequencies; one time given several times is a duplicate, not a finer step."""
    present, times = np.unique(axis.index), np.unique(axis.days)
    days = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    if len(times) >= 3 and len(present) <= len(times) // 2:
        raise InputDataError(
            f"The time axis {axis.name} is finer than {frequency.adjective} ({len(axis.index)} fields in {len(present)} "
            f"{frequency.plural}).",
            _means_expected(frequency, days),
        )
    steps = np.diff(present)
    if len(present) >= 3 and steps.min() >= 3:
        apart = int(np.median(steps))
        raise InputDataError(
            f"The time axis {axis.name} is not {frequency.adjective}: its fields are {apart} {frequency.plural} apart.",
            _means_expected(frequency, days),
        )
