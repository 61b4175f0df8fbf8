"""Variables, time span and frequency of a netCDF file, from its header."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from climrecon.classic_netcdf import check_length
from climrecon.datasets import canonical_variable

_ERROR_OF = re.compile(r"_unc$|_cov$|uncertainty|covariance")
#: Days from one time to the next, up to which a frequency is called so. Months of 28 to 31 days and single
#: months that are absent are monthly still.
_STEPS = ((0.9, "hr"), (20.0, "day"), (300.0, "mon"))


def variables(file: Any) -> list[str]:
    """CMOR names of what an open file holds; errors count as the variable they are about.

    Raises
    ------
    ValueError
        If it holds no known variable.
    """
    names: list[str] = []
    for variable in file.variables.values():
        if variable.ndim < 2 or variable.name.endswith(("bnds", "_bounds", "vertices")):
            continue
        name = canonical_variable(variable.name, variable.__dict__)
        if name is None and _ERROR_OF.search(variable.name):
            name = canonical_variable(variable.name.split("_")[0], {})
        if name and name not in names:
            names.append(name)
    if not names:
        raise ValueError(f"no known variable; it holds {', '.join(file.variables) or 'none'}")
    return names


def times(file: Any) -> tuple[str, str]:
    """``YYYYMM-YYYYMM`` and the frequency, from the time axis of an open file; "" and fx where there is none."""
    for name in ("time", "t", "T"):
        if name in file.variables and file[name].ndim == 1 and len(file[name]):
            return _of_axis(file[name])
    return "", "fx"


def _of_axis(time: Any) -> tuple[str, str]:
    import netCDF4
    import numpy as np

    units = str(getattr(time, "units", ""))
    calendar = str(getattr(time, "calendar", "standard"))
    if " since " not in units:
        return "", "mon"
    ends = np.asarray(np.ma.filled(time[[0, -1] if len(time) > 1 else [0, 0]].astype(float), np.nan))
    try:
        first, last = netCDF4.num2date(ends, units, calendar)
    except (ValueError, OverflowError):  # the axis is mended, or refused, when the file is read
        return "", "mon"
    span = f"{first.year:04d}{first.month:02d}-{last.year:04d}{last.month:02d}"
    if len(time) < 3:
        return span, "mon"
    step = (last - first).total_seconds() / 86400.0 / (len(time) - 1)
    return span, next((frequency for upto, frequency in _STEPS if step <= upto), "yr")


def time_range(path: Path) -> str:
    """``YYYYMM-YYYYMM`` of a file's time axis, "" if it has none.

    Raises
    ------
    OSError, InputDataError
        If it cannot be opened.
    """
    import netCDF4

    check_length(path)
    with netCDF4.Dataset(path) as file:
        return times(file)[0]
