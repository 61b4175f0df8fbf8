"""Numbers and texts of a time axis to dates."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cftime
import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.frequency import Frequency
from climrecon.steps import day_number

AS = re.compile(r"^(day|month|year) as %Y(?P<month>%m)?(?P<day>%d)?", re.IGNORECASE)
SINCE = re.compile(r"^(?P<unit>[a-z_]+)\s+since\s+(?P<origin>.+)$", re.IGNORECASE)
ISO = re.compile(r"^(?P<year>\d{4})[-/.]?(?P<month>\d{2})([-/.]?(?P<day>\d{2})(?P<clock>\D.*)?)?$")
DAYS_IN = {"day": 1.0, "hour": 1 / 24, "hr": 1 / 24, "h": 1 / 24, "minute": 1 / 1440, "second": 1 / 86400}
#: Names of calendars that cftime does not know.
_CALENDARS = {"360": "360_day", "365": "365_day", "none": "standard", "": "standard"}
_MEAN_MONTH = 365.25 / 12
_YEARS = (1000.0, 3000.0)
#: Rounded fractions of a month may be off by half a day.
_ROUNDING = 0.016


@dataclass(frozen=True)
class Decoded:
    """(T,) months, days since any origin, whether all times are the very start of a month; day of the month, if known."""

    months: IntArray
    days: FloatArray
    start: bool
    day: IntArray | None = None

    def steps(self, frequency: Frequency, calendar: str) -> IntArray:
        """(T,) the steps of ``frequency`` that hold the times.

        Raises
        ------
        ValueError
            If days are wanted of times that state months alone, or a day is none of the calendar's.
        """
        if frequency.months:
            return np.asarray(frequency.of_months(self.months))
        if self.day is None:
            raise ValueError("its values state no days")
        parts = zip(self.months.tolist(), self.day.tolist(), strict=True)
        dates = [cftime.datetime(month // 12, month % 12 + 1, day, calendar=calendar) for month, day in parts]
        return day_number(np.array(dates), calendar)


def units_of(variable: netCDF4.Variable, units: str, calendar: str) -> tuple[str, str]:
    """Units and calendar of ``variable``; where it states none, those given."""
    stated = str(getattr(variable, "calendar", calendar)).strip().lower()
    return str(getattr(variable, "units", units)).strip(), _CALENDARS.get(stated, stated)


def unit_of(units: str) -> str:
    """``day`` of ``days since …``; "" where units are of another form."""
    match = SINCE.match(units)
    return match["unit"].lower().rstrip("s") if match else ""


def dates_of(values: FloatArray, units: str, calendar: str) -> NDArray[Any]:
    """(T,) cftime dates of ``values`` in units of the form ``days since …``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cftime.CFWarning)
        dates = cftime.num2date(values, units, calendar=calendar, only_use_cftime_datetimes=True)
    return np.atleast_1d(dates)


def decoded(values: FloatArray, units: str, calendar: str) -> Decoded:
    """Times in units of any form that :func:`climrecon.netcdf.times.read_axis` understands.

    Raises
    ------
    ValueError, OverflowError, TypeError
        If they cannot be understood.
    """
    written = AS.match(units)
    if written and written["month"]:
        return _digits(values, with_day=bool(written["day"]))
    since = SINCE.match(units)
    if since is None:
        # Berkeley Earth: "year A.D.", 1850.0417 for the middle of January.
        if _YEARS[0] < values.min() and values.max() < _YEARS[1]:
            return _of_months(values * 12.0)
        if (values == np.floor(values)).all():
            return _digits(values, with_day=values.min() > 100.0 * 100.0 * _YEARS[0])
        raise ValueError("it names no origin")
    unit = unit_of(units)
    if unit in ("month", "year"):
        origin = dates_of(np.zeros(1), f"days since {since['origin']}", calendar)[0]
        part = (origin.day - 1) / 30.0 if unit == "month" else 0.0
        months = values * (12.0 if unit == "year" else 1.0)
        return _of_months(months + part, origin.year * 12 + origin.month - 1)
    dates = dates_of(values, units, calendar)
    index = np.array([date.year * 12 + date.month - 1 for date in dates], dtype=np.int64)
    start = all((date.day, date.hour, date.minute, date.second) == (1, 0, 0, 0) for date in dates)
    day = np.array([date.day for date in dates], dtype=np.int64)
    return Decoded(index, values * DAYS_IN.get(unit, 1.0), start, day)


def _of_months(months: FloatArray, origin: int = 0) -> Decoded:
    """From months begun since ``origin``, with half a day to spare for rounded fractions."""
    index = np.floor(months + _ROUNDING).astype(np.int64)
    return Decoded(np.asarray(index + origin), months * _MEAN_MONTH, bool((np.abs(months - index) <= _ROUNDING).all()))


def _digits(values: FloatArray, *, with_day: bool) -> Decoded:
    """From YYYYMM or YYYYMMDD with any fraction."""
    whole = np.floor(values).astype(np.int64)
    day = whole % 100 if with_day else np.zeros_like(whole)
    return _of_parts(
        whole // (10000 if with_day else 100), whole // (100 if with_day else 1) % 100, day, values - whole
    )


def _of_parts(year: IntArray, month: IntArray, day: IntArray, fraction: FloatArray) -> Decoded:
    """From years, months, days (0: not stated) and fractions of a day."""
    if ((month < 1) | (month > 12) | (year < _YEARS[0]) | (year > _YEARS[1])).any():
        raise ValueError("its values are not of the form YYYYMM")
    index = np.asarray(year * 12 + month - 1)
    start = bool(((day == 1) & (fraction == 0.0)).all())
    return Decoded(index, index * _MEAN_MONTH + day + fraction, start, day if (day > 0).all() else None)


def of_texts(texts: Sequence[str], name: str) -> Decoded:
    """Times as text, of the axis ``name``.

    Raises
    ------
    InputDataError
        If one is no date.
    """
    matches = [ISO.match(text) for text in texts]
    parts = np.array([[int(m[key] or 0) for key in ("year", "month", "day")] for m in matches if m], dtype=np.int64)
    if len(parts) < len(texts):
        odd = next(text for text, match in zip(texts, matches, strict=True) if not match)
        raise InputDataError(
            f"The time axis {name} holds text that is no date: {odd!r}.",
            "Write dates as 1850-01-15, or times in units like 'days since 1850-01-01'.",
        )
    clock = [float(bool(re.search("[1-9]", match["clock"] or ""))) / 2 for match in matches if match]
    return _of_parts(parts[:, 0], parts[:, 1], parts[:, 2], np.array(clock))
