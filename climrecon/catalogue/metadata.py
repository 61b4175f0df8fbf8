"""Variables, time span and frequency of a netCDF file, from its header."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from climrecon.datasets import DataSet, canonical_variable
from climrecon.errors import InputDataError
from climrecon.frequency import SEASON

_ERROR_OF = re.compile(r"_unc$|_cov$|uncertainty|covariance")
#: Endings of the names of variables with two dimensions that are no fields.
NO_FIELDS = ("bnds", "_bounds", "_bound", "vertices")
#: Days from one time to the next, up to which a frequency is called so. Months of 28 to 31 days and single
#: months that are absent are monthly still.
_STEPS = ((0.9, "hr"), (20.0, "day"), (300.0, "mon"))


def variables(file: Any, data_set: DataSet | None = None) -> dict[str, str]:
    """CMOR name -> name in the file of what an open file holds; errors count as the variable they are about.

    Raises
    ------
    ValueError
        If it holds no known variable.
    """
    names: dict[str, str] = {}
    errors: dict[str, str] = {}
    for variable in file.variables.values():
        if variable.ndim < 2 or variable.name.endswith(NO_FIELDS):
            continue
        name = canonical_variable(variable.name, variable.__dict__, data_set)
        if name:
            names.setdefault(name, variable.name)
        elif _ERROR_OF.search(variable.name) and (of := canonical_variable(variable.name.split("_")[0], {})):
            errors.setdefault(of, variable.name)
    names |= {name: error for name, error in errors.items() if name not in names}
    if not names:
        raise ValueError(f"no known variable; it holds {', '.join(file.variables) or 'none'}")
    return names


def times(file: Any) -> tuple[str, str]:
    """``YYYYMM-YYYYMM`` and the frequency, from the time axis of an open file; "" and fx where there is none."""
    from climrecon.netcdf.times import find_time, read_axis

    for variable in file.variables.values():
        if variable.ndim < 2 or variable.name.endswith(NO_FIELDS):
            continue
        try:
            coordinate = find_time(file, variable)[1]
        except InputDataError:
            continue
        try:
            axis = read_axis(file, coordinate)
        except InputDataError:  # it is refused when the file is read
            return "", "mon"
        first, last = int(axis.index.min()), int(axis.index.max())
        span = "-".join(f"{month // 12:04d}{month % 12 + 1:02d}" for month in (first, last))
        if len(axis.index) < 3:
            return span, "mon"
        step = float(axis.days.max() - axis.days.min()) / (len(axis.days) - 1)
        if SEASON.days[0] <= step <= SEASON.days[1]:
            return span, SEASON.name
        return span, next((frequency for upto, frequency in _STEPS if step <= upto), "yr")
    return "", "fx"


def time_range(path: Path) -> str:
    """``YYYYMM-YYYYMM`` of a file's time axis, "" if it has none.

    Raises
    ------
    InputDataError
        If it cannot be opened.
    """
    from climrecon.netcdf.opening import opened

    with opened(path) as file:
        return times(file)[0]
