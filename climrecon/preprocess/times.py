"""Time axes of all kinds to months."""

from __future__ import annotations

import re

import cftime
import netCDF4
import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.preprocess.axes import coordinate_along

_AS = re.compile(r"^(day|month|year) as %Y(?P<month>%m)?(?P<day>%d)?", re.IGNORECASE)
_SINCE = re.compile(r"^(?P<unit>[a-z_]+)\s+since\s+(?P<origin>.+)$", re.IGNORECASE)
_DAYS_IN = {"day": 1.0, "hour": 1 / 24, "hr": 1 / 24, "h": 1 / 24, "minute": 1 / 1440, "second": 1 / 86400}
#: Names of calendars that cftime does not know.
_CALENDARS = {"360": "360_day", "365": "365_day", "none": "standard", "": "standard"}
#: A calendar month lasts this many days, with a day to spare on either side.
_MONTH_DAYS = (27.0, 32.0)
_YEARS = (1000.0, 3000.0)


def find_time(file: netCDF4.Dataset, variable: netCDF4.Variable) -> tuple[str, netCDF4.Variable]:
    """The time dimension of ``variable``, and the coordinate along it.

    Raises
    ------
    InputDataError
        If there is none.
    """

    def fits(coordinate: netCDF4.Variable) -> bool:
        units = str(getattr(coordinate, "units", "")).strip()
        return bool(_SINCE.match(units) or _AS.match(units)) or coordinate.name.lower() in ("time", "t")

    for dimension in variable.dimensions:
        coordinate = coordinate_along(file, dimension, fits)
        if coordinate is not None:
            return str(dimension), coordinate
    raise InputDataError(
        f"{variable.name}[{', '.join(variable.dimensions)}] has no time axis.",
        "Monthly fields (time, latitude, longitude) are expected, with a time coordinate.",
    )


def month_index(file: netCDF4.Dataset, time: netCDF4.Variable) -> tuple[IntArray, str]:
    """``year * 12 + month - 1`` of each time, and the calendar.

    Understands ``days since`` and its like in all CF calendars, ``months since``, ``years since``,
    ``day as %Y%m%d.%f``, ``month as %Y%m.%f``, plain YYYYMM and YYYYMMDD, and decimal years. Where a file
    gives the bounds of its months, their middles count: raw model output is often stamped at the end.

    Raises
    ------
    InputDataError
        If the axis cannot be read or is not monthly.
    """
    units = str(getattr(time, "units", "")).strip()
    calendar = str(getattr(time, "calendar", "standard")).strip().lower()
    calendar = _CALENDARS.get(calendar, calendar)
    raw = time[:]
    if raw.ndim != 1 or not raw.size:
        raise InputDataError(f"The time axis {time.name} is empty.", "Monthly fields are expected.")
    values = np.ma.filled(np.ma.asarray(raw).astype(np.float64), np.nan)
    if not np.isfinite(values).all():
        raise InputDataError(f"The time axis {time.name} holds missing values.", "Repair the file.")
    bounds = _bounds(file, time, values)
    if bounds is not None:
        _check_width(bounds, units, time.name)
        values = bounds.mean(axis=1)
    try:
        index = _index(values, units, calendar)
    except (ValueError, OverflowError) as error:
        raise InputDataError(
            f"The time axis {time.name} with units {units!r} and calendar {calendar!r} cannot be read: {error}",
            "Units like 'days since 1850-01-01' are expected.",
        ) from error
    _check_monthly(index, len(np.unique(values)), time.name)
    return index, calendar


def _bounds(file: netCDF4.Dataset, time: netCDF4.Variable, values: FloatArray) -> FloatArray | None:
    """(T, 2) bounds, if the file has some and they hold the times; else None."""
    name = getattr(time, "bounds", None)
    if not name or name not in file.variables or file[name].shape != (len(values), 2):
        return None
    bounds = np.ma.filled(np.ma.asarray(file[name][:]).astype(np.float64), np.nan)
    sound = (bounds[:, 0] < bounds[:, 1]) & (bounds[:, 0] <= values) & (values <= bounds[:, 1])
    return bounds if sound.all() else None


def _check_width(bounds: FloatArray, units: str, name: str) -> None:
    match = _SINCE.match(units)
    unit = match["unit"].lower().rstrip("s") if match else ""
    if unit not in _DAYS_IN:
        return
    days = np.diff(bounds, axis=1)[:, 0] * _DAYS_IN[unit]
    wrong = (days < _MONTH_DAYS[0]) | (days > _MONTH_DAYS[1])
    if wrong.any():
        raise InputDataError(
            f"The time axis {name} is not monthly: {int(wrong.sum())} of its {len(days)} fields are means over "
            f"another time, e.g. {days[np.argmax(wrong)]:g} days.",
            "Monthly means are expected; make them first, e.g. with cdo monmean.",
        )


def _index(values: FloatArray, units: str, calendar: str) -> IntArray:
    written = _AS.match(units)
    if written and written["month"]:
        return _digits(values, with_day=bool(written["day"]))
    since = _SINCE.match(units)
    if since is None:
        # Berkeley Earth: "year A.D.", 1850.0417 for the middle of January.
        if _YEARS[0] < values.min() and values.max() < _YEARS[1]:
            return _whole_months(values * 12.0)
        if (values == np.floor(values)).all():
            return _digits(values, with_day=values.min() > 100.0 * 100.0 * _YEARS[0])
        raise ValueError("it names no origin")
    unit = since["unit"].lower().rstrip("s")
    if unit in ("month", "year"):
        origin = cftime.num2date(0, f"days since {since['origin']}", calendar=calendar)
        part = (origin.day - 1) / 30.0 if unit == "month" else 0.0
        months = values * (12.0 if unit == "year" else 1.0)
        return np.asarray(_whole_months(months + part) + origin.year * 12 + origin.month - 1)
    dates = cftime.num2date(values, units, calendar=calendar, only_use_cftime_datetimes=True)
    return np.array([date.year * 12 + date.month - 1 for date in np.atleast_1d(dates)], dtype=np.int64)


def _whole_months(months: FloatArray) -> IntArray:
    """Months begun, with half a day to spare for rounded fractions."""
    return np.asarray(np.floor(months + 0.016).astype(np.int64))


def _digits(values: FloatArray, *, with_day: bool) -> IntArray:
    """From YYYYMM or YYYYMMDD with any fraction."""
    whole = np.floor(values).astype(np.int64) // (100 if with_day else 1)
    year, month = whole // 100, whole % 100
    if ((month < 1) | (month > 12) | (year < _YEARS[0]) | (year > _YEARS[1])).any():
        raise ValueError("its values are not of the form YYYYMM")
    return np.asarray(year * 12 + month - 1)


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
