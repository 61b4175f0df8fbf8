"""Time axes of all kinds to months."""

from __future__ import annotations

import re
from typing import Any

import cftime
import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.floating[Any]]

_AS = re.compile(r"^(day|month|year) as %Y(?P<month>%m)?", re.IGNORECASE)


def find_time(file: netCDF4.Dataset, variable: netCDF4.Variable) -> str:
    """Name of the time dimension of ``variable``.

    Raises
    ------
    InputDataError
        If there is none.
    """
    for dimension in variable.dimensions:
        if dimension in file.variables:
            units = str(getattr(file[dimension], "units", "")).lower()
            if " since " in units or _AS.match(units) or dimension.lower() in ("time", "t"):
                return str(dimension)
    raise InputDataError(
        f"{variable.name}{variable.dimensions} has no time axis.",
        "Monthly fields (time, latitude, longitude) are expected.",
    )


def month_index(time: netCDF4.Variable) -> tuple[IntArray, str]:
    """``year * 12 + month - 1`` of each time, and the calendar.

    Understands ``days since`` and its like in all CF calendars, ``months since``, ``month as %Y%m.%f``
    and decimal years.

    Raises
    ------
    InputDataError
        If the axis cannot be read or is not monthly.
    """
    units = str(getattr(time, "units", "")).strip()
    calendar = str(getattr(time, "calendar", "standard")).lower()
    raw = time[:]
    if np.ma.getmaskarray(raw).any():
        raise InputDataError(f"The time axis {time.name} holds missing values.", "Repair the file.")
    values = np.ma.filled(raw).astype(np.float64)
    if values.ndim != 1 or not len(values):
        raise InputDataError(f"The time axis {time.name} is empty.", "Monthly fields are expected.")
    try:
        index = _index(values, units, calendar)
    except (ValueError, OverflowError) as error:
        raise InputDataError(
            f"The time axis {time.name} with units {units!r} and calendar {calendar!r} cannot be read: {error}",
            "Units like 'days since 1850-01-01' are expected.",
        ) from error
    _check_monthly(index, time.name)
    return index, calendar


def _index(values: FloatArray, units: str, calendar: str) -> IntArray:
    match = _AS.match(units)
    if match and match["month"]:  # "day as %Y%m%d.%f" and "month as %Y%m.%f"
        digits = 6 if "%d" not in units else 8
        whole = np.floor(values).astype(np.int64) // (100 if digits == 8 else 1)
        return np.asarray(whole // 100 * 12 + whole % 100 - 1)
    plain = units.lower()
    if " since " not in plain:
        # Berkeley Earth: "year A.D.", 1850.0417 for the middle of January.
        if ("year" in plain or not plain) and values.min() > 1000 and values.max() < 3000:
            return np.asarray(np.floor(values * 12.0 + 1e-4).astype(np.int64))
        raise ValueError("it names no origin")
    if plain.startswith("month"):
        origin = cftime.num2date(0, "days" + units[units.lower().index(" since ") :], calendar=calendar)
        return np.asarray(np.floor(values + 1e-6).astype(np.int64) + origin.year * 12 + origin.month - 1)
    dates = cftime.num2date(values, units, calendar=calendar, only_use_cftime_datetimes=True)
    return np.array([date.year * 12 + date.month - 1 for date in np.atleast_1d(dates)], dtype=np.int64)


def _check_monthly(index: IntArray, name: str) -> None:
    steps = np.diff(index)
    if len(index) >= 3 and np.median(np.abs(steps)) >= 12:
        raise InputDataError(
            f"The time axis {name} is not monthly: its fields are {int(np.median(np.abs(steps)))} months apart.",
            "Monthly means are expected.",
        )
    if len(index) >= 40 and (steps == 0).mean() > 0.9:
        raise InputDataError(
            f"The time axis {name} is finer than monthly ({len(index)} fields in {len(np.unique(index))} months).",
            "Monthly means are expected; make them first, e.g. with cdo monmean.",
        )
