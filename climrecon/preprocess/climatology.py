"""Monthly climatologies, and anomalies from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

#: Years of a reference period that each calendar month needs, of thirty.
NEEDED_SHARE = 20.0 / 30.0


def monthly_climatology(values: FloatArray, index: IntArray, period: tuple[int, int]) -> FloatArray:
    """(12, H, W) means of each calendar month over the years of ``period``; NaN where too few.

    Raises
    ------
    InputDataError
        If a calendar month has fields in fewer than two thirds of the years.
    """
    inside = (index // 12 >= period[0]) & (index // 12 <= period[1])
    needed = int(np.ceil(NEEDED_SHARE * (period[1] - period[0] + 1)))
    counts = np.bincount(index[inside] % 12, minlength=12)
    if counts.min() < needed:
        raise InputDataError(
            f"The climatology of {period[0]}-{period[1]} needs {needed} years in each calendar month; "
            f"there are {counts.min()} to {counts.max()}.",
            "Choose a reference_period that the data covers, or give anomalies.",
        )
    climatology = np.full((12, *values.shape[1:]), np.nan)
    for month in range(12):
        fields = values[inside & (index % 12 == month)]
        present = np.isfinite(fields).sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean = np.nansum(fields, axis=0) / np.where(present > 0, present, 1)
        climatology[month] = np.where(present >= needed, mean, np.nan)
    return climatology


def anomalies_of(values: FloatArray, index: IntArray, period: tuple[int, int]) -> FloatArray:
    """Absolute (T, H, W) values less their monthly climatology over ``period``.

    Cells whose climatology cannot be worked out become missing.

    Raises
    ------
    InputDataError
        If the period is not covered.
    """
    return np.asarray(values - monthly_climatology(values, index, period)[index % 12])
