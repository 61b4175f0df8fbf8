"""Time axes of all kinds to months: the one reader of times, for fields, catalogues and the watch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.netcdf.coordinates import coordinate_along, texts_of
from climrecon.netcdf.names import span_in

_NAMES = ("time", "t", "valid_time", "date")
#: Endings of the names of bounds, behind the name of the time or behind ``time``.
_BOUNDS = ("_bnds", "_bounds", "_bound", "_bnd", "bnds", "bounds", "_edges")
_AS = re.compile(r"^(day|month|year) as %Y(?P<month>%m)?(?P<day>%d)?", re.IGNORECASE)
_SINCE = re.compile(r"^(?P<unit>[a-z_]+)\s+since\s+(?P<origin>.+)$", re.IGNORECASE)
_ISO = re.compile(r"^(?P<year>\d{4})[-/.]?(?P<month>\d{2})([-/.]?(?P<day>\d{2})(?P<clock>\D.*)?)?$")
_DAYS_IN = {"day": 1.0, "hour": 1 / 24, "hr": 1 / 24, "h": 1 / 24, "minute": 1 / 1440, "second": 1 / 86400}
#: Names of calendars that cftime does not know.
_CALENDARS = {"360": "360_day", "365": "365_day", "none": "standard", "": "standard"}
#: A calendar month lasts this many days, with a day to spare on either side; and on average.
_MONTH_DAYS = (27.0, 32.0)
_MEAN_MONTH = 365.25 / 12
_YEARS = (1000.0, 3000.0)
#: Rounded fractions of a month may be off by half a day.
_ROUNDING = 0.016
#: Share of the bounds that must hold their times to be believed for all.
_SOUND_SHARE = 0.5


@dataclass(frozen=True)
class TimeAxis:
    """A time axis of any frequency.

    Attributes
    ----------
    index:
        (T,) ``year * 12 + month - 1``.
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


@dataclass(frozen=True)
class _Decoded:
    """(T,) months, days since any origin, and whether every time is the very start of its month."""

    index: IntArray
    days: FloatArray
    start: bool


def find_time(file: netCDF4.Dataset, variable: netCDF4.Variable) -> tuple[str, netCDF4.Variable]:
    """The time dimension of ``variable``, and the coordinate along it.

    Raises
    ------
    InputDataError
        If there is none.
    """

    def fits(coordinate: netCDF4.Variable) -> bool:
        units = str(getattr(coordinate, "units", "")).strip()
        stated = str(getattr(coordinate, "standard_name", "")).lower() == "time" or _SINCE.match(units)
        return bool(stated or _AS.match(units)) or coordinate.name.lower() in _NAMES or _holds_dates(coordinate)

    for dimension in variable.dimensions:
        coordinate = coordinate_along(file, dimension, fits)
        characters = (v for v in file.variables.values() if v.ndim == 2 and v.dimensions[0] == dimension)
        if coordinate is None:
            coordinate = next((v for v in characters if _holds_dates(v)), None)
        if coordinate is not None:
            return str(dimension), coordinate
    raise InputDataError(
        f"{variable.name}[{', '.join(variable.dimensions)}] has no time axis.",
        "Monthly fields (time, latitude, longitude) are expected, with a time coordinate.",
    )


def _holds_dates(variable: netCDF4.Variable) -> bool:
    texts = texts_of(variable)
    return texts is not None and bool(texts) and bool(_ISO.match(texts[0]))


def month_index(file: netCDF4.Dataset, time: netCDF4.Variable) -> TimeAxis:
    """The months of a monthly time axis, by :func:`read_axis`.

    Raises
    ------
    InputDataError
        If the axis cannot be read or is not monthly.
    """
    axis = read_axis(file, time, monthly=True)
    _check_monthly(axis.index, len(np.unique(axis.days)), axis.name)
    return axis


def read_axis(file: netCDF4.Dataset, time: netCDF4.Variable, *, monthly: bool = False) -> TimeAxis:
    """The months of each time, whatever its frequency.

    Understands ``days since`` and its like in all CF calendars, ``months since``, ``years since``,
    ``day as %Y%m%d.%f``, ``month as %Y%m.%f``, plain YYYYMM and YYYYMMDD, decimal years, and dates as text.
    Where a file gives the bounds of its months, by the attribute or by a usual name, in units of their own or not,
    their middles count: raw model output is often stamped at the end. Without bounds that can be read, months stamped at
    their end are recognised by the months in the file's name, by the widths of bounds, by the model that wrote the
    file, or by a record of whole years that would otherwise run from February to January.

    Parameters
    ----------
    monthly:
        Whether bounds of other widths than a month's are refused.

    Raises
    ------
    InputDataError
        If the axis cannot be read.
    """
    units, calendar = _units_of(time, "", "standard")
    texts = texts_of(time)
    raw = texts if texts is not None else time[:]
    if not len(np.atleast_1d(raw)) or (texts is None and np.ndim(raw) != 1):
        raise InputDataError(f"The time axis {time.name} is empty.", "Monthly fields are expected.")
    try:
        if texts is not None:
            decoded = _of_texts(texts, time.name)
            return _without_bounds(file, time.name, decoded, None, calendar, plain=False)
        values = np.ma.filled(np.ma.asarray(raw).astype(np.float64), np.nan)
        if not np.isfinite(values).all():
            raise InputDataError(f"The time axis {time.name} holds missing values.", "Repair the file.")
        plain = _unit(units) in _DAYS_IN
        bounds = _bounds(file, time, units, calendar, values)
        sound = np.zeros(0, bool) if bounds is None else _sound(bounds, values)
        if bounds is not None and sound.all() and (values < bounds[:, 1]).all():
            if monthly:
                _check_width(bounds, units, time.name)
            decoded = _decoded(bounds.mean(axis=1), units, calendar)
            return TimeAxis(time.name, decoded.index, decoded.days, calendar, (), plain)
        decoded = _decoded(values, units, calendar)
        if bounds is None or sound.mean() < _SOUND_SHARE:
            offsets = None if bounds is None else bounds - values[:, None]
            return _without_bounds(file, time.name, decoded, offsets, calendar, plain)
        if monthly:
            _check_width(bounds[sound], units, time.name)
        middle = _decoded(bounds[sound].mean(axis=1), units, calendar)
    except (ValueError, OverflowError, TypeError) as error:
        raise InputDataError(
            f"The time axis {time.name} with units {units!r} and calendar {calendar!r} cannot be read: {error}",
            "Units like 'days since 1850-01-01' are expected.",
        ) from error
    index, notes = decoded.index.copy(), tuple[str, ...]()
    later = decoded.index[sound] - middle.index
    index[sound] = middle.index
    if not sound.all() and (later == later[0]).all():
        index[~sound] -= later[0]
    if later.any():
        notes = (f"the times of {time.name} stand at the end of their months; the months are those of its bounds",)
    return TimeAxis(time.name, index, decoded.days, calendar, notes, plain and np.array_equal(index, decoded.index))


def _units_of(variable: netCDF4.Variable, units: str, calendar: str) -> tuple[str, str]:
    """Units and calendar of ``variable``; where it states none, those given."""
    stated = str(getattr(variable, "calendar", calendar)).strip().lower()
    return str(getattr(variable, "units", units)).strip(), _CALENDARS.get(stated, stated)


def _unit(units: str) -> str:
    match = _SINCE.match(units)
    return match["unit"].lower().rstrip("s") if match else ""


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
        own = _units_of(found, units, calendar)
        if own == (units, calendar):
            return bounds
        known = np.isfinite(bounds)
        try:
            bounds[known] = cftime.date2num(_dates(bounds[known], *own), units, calendar=calendar)
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
    file: netCDF4.Dataset, name: str, decoded: _Decoded, offsets: FloatArray | None, calendar: str, plain: bool
) -> TimeAxis:
    """The axis by its stamps alone, or a month earlier where evidence shows that they stand at the end of their months.

    Parameters
    ----------
    offsets:
        (T, 2) bounds less times, of bounds that do not hold the times; None where there are none.
    """
    index, notes = decoded.index, tuple[str, ...]()
    why = _why_at_the_end(file, decoded, offsets)
    if why:
        index = index - 1
        notes = (
            f"the times of {name} are taken as the end of their months, each a month earlier than its date: {why}",
        )
    elif why is not None:
        notes = (
            f"the times of {name} stand at 00:00 on the first without bounds; they are taken as the beginning of months",
        )
    return TimeAxis(name, index, decoded.days, calendar, notes, plain and not why)


def _why_at_the_end(file: netCDF4.Dataset, decoded: _Decoded, offsets: FloatArray | None) -> str | None:
    """Why stamps at 00:00 on the first are the ends of the months before; "" if it is open, None if they are not."""
    index = decoded.index
    if not decoded.start or len(index) < 2 or (np.diff(index) != 1).any():
        return None
    span = (int(index[0]), int(index[-1]))
    named = span_in(Path(file.filepath()).stem)
    if named == span:
        return None
    if named == (span[0] - 1, span[1] - 1):
        return "the file's name holds these months"
    if offsets is not None and np.isfinite(offsets).all():
        fixed = np.ptp(offsets, axis=0) < 1e-3
        if fixed[1] and not fixed[0]:
            return "the widths of its bounds are those of the months before"
        if fixed[0] and not fixed[1]:
            return None
    if str(getattr(file, "source", "")).strip() in ("CAM", "CLM") or hasattr(file, "time_period_freq"):
        return "CESM, which wrote the file, stamps its means at their end"
    if span[0] % 12 == 1 and span[1] % 12 == 0:
        return "the record would otherwise run from February to January"
    return None if span[0] % 12 == 0 else ""  # a record that begins in January has no stamps at the end


def _check_width(bounds: FloatArray, units: str, name: str) -> None:
    if _unit(units) not in _DAYS_IN:
        return
    days = np.diff(bounds, axis=1)[:, 0] * _DAYS_IN[_unit(units)]
    wrong = (days < _MONTH_DAYS[0]) | (days > _MONTH_DAYS[1])
    if wrong.any():
        raise InputDataError(
            f"The time axis {name} is not monthly: {int(wrong.sum())} of its {len(days)} fields are means over "
            f"another time, e.g. {days[np.argmax(wrong)]:g} days.",
            "Monthly means are expected; make them first, e.g. with cdo monmean.",
        )


def _dates(values: FloatArray, units: str, calendar: str) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cftime.CFWarning)
        dates = cftime.num2date(values, units, calendar=calendar, only_use_cftime_datetimes=True)
    return np.atleast_1d(dates)


def _decoded(values: FloatArray, units: str, calendar: str) -> _Decoded:
    written = _AS.match(units)
    if written and written["month"]:
        return _digits(values, with_day=bool(written["day"]))
    since = _SINCE.match(units)
    if since is None:
        # Berkeley Earth: "year A.D.", 1850.0417 for the middle of January.
        if _YEARS[0] < values.min() and values.max() < _YEARS[1]:
            return _of_months(values * 12.0)
        if (values == np.floor(values)).all():
            return _digits(values, with_day=values.min() > 100.0 * 100.0 * _YEARS[0])
        raise ValueError("it names no origin")
    unit = _unit(units)
    if unit in ("month", "year"):
        origin = _dates(np.zeros(1), f"days since {since['origin']}", calendar)[0]
        part = (origin.day - 1) / 30.0 if unit == "month" else 0.0
        months = values * (12.0 if unit == "year" else 1.0)
        return _of_months(months + part, origin.year * 12 + origin.month - 1)
    dates = _dates(values, units, calendar)
    index = np.array([date.year * 12 + date.month - 1 for date in dates], dtype=np.int64)
    start = all((date.day, date.hour, date.minute, date.second) == (1, 0, 0, 0) for date in dates)
    return _Decoded(index, values * _DAYS_IN.get(unit, 1.0), start)


def _of_months(months: FloatArray, origin: int = 0) -> _Decoded:
    """From months begun since ``origin``, with half a day to spare for rounded fractions."""
    index = np.floor(months + _ROUNDING).astype(np.int64)
    return _Decoded(np.asarray(index + origin), months * _MEAN_MONTH, bool((np.abs(months - index) <= _ROUNDING).all()))


def _digits(values: FloatArray, *, with_day: bool) -> _Decoded:
    """From YYYYMM or YYYYMMDD with any fraction."""
    whole = np.floor(values).astype(np.int64)
    day = whole % 100 if with_day else np.zeros_like(whole)
    return _of_parts(
        whole // (10000 if with_day else 100), whole // (100 if with_day else 1) % 100, day, values - whole
    )


def _of_parts(year: IntArray, month: IntArray, day: IntArray, fraction: FloatArray) -> _Decoded:
    """From years, months, days (0: not stated) and fractions of a day."""
    if ((month < 1) | (month > 12) | (year < _YEARS[0]) | (year > _YEARS[1])).any():
        raise ValueError("its values are not of the form YYYYMM")
    index = np.asarray(year * 12 + month - 1)
    return _Decoded(index, index * _MEAN_MONTH + day + fraction, bool(((day == 1) & (fraction == 0.0)).all()))


def _of_texts(texts: Sequence[str], name: str) -> _Decoded:
    matches = [_ISO.match(text) for text in texts]
    parts = np.array([[int(m[key] or 0) for key in ("year", "month", "day")] for m in matches if m], dtype=np.int64)
    if len(parts) < len(texts):
        odd = next(text for text, match in zip(texts, matches, strict=True) if not match)
        raise InputDataError(
            f"The time axis {name} holds text that is no date: {odd!r}.",
            "Write dates as 1850-01-15, or times in units like 'days since 1850-01-01'.",
        )
    clock = [float(bool(re.search("[1-9]", match["clock"] or ""))) / 2 for match in matches if match]
    return _of_parts(parts[:, 0], parts[:, 1], parts[:, 2], np.array(clock))


def _check_monthly(index: IntArray, different: int, name: str) -> None:
    """Refuse other than monthly fields; one time given ``different`` < T times is a duplicate, not a day."""
    present = np.unique(index)
    if different >= 3 and len(present) <= different // 2:
        raise InputDataError(
            f"The time axis {name} is finer than monthly ({len(index)} fields in {len(present)} months).",
            "Monthly means are expected; make them first, e.g. with cdo monmean.",
        )
    steps = np.diff(present)
    if len(present) >= 3 and steps.min() >= 3:
        raise InputDataError(
            f"The time axis {name} is not monthly: its fields are {int(np.median(steps))} months apart.",
            "Monthly means are expected.",
        )
