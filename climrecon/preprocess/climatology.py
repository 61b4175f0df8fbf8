"""Monthly climatologies, and anomalies from them."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.fields import Months

#: Years of a reference period that each calendar month needs, of thirty.
NEEDED_SHARE = 20.0 / 30.0


def check_covered(index: IntArray, period: tuple[int, int]) -> int:
    """Years needed in each calendar month of ``period``, after making sure that ``index`` has them.

    Raises
    ------
    InputDataError
        If a calendar month has fields in fewer than two thirds of the years; with the counts.
    """
    inside = index[(index // 12 >= period[0]) & (index // 12 <= period[1])]
    years = period[1] - period[0] + 1
    needed = int(np.ceil(NEEDED_SHARE * years - 1e-9))
    counts = np.bincount(np.unique(inside) % 12, minlength=12)
    if counts.min() < needed:
        few = np.flatnonzero(counts < needed)
        counted = (f"{counts.min()} to {counts.max()}" if counts.min() != counts.max() else str(counts.min())) + (
            f" (too few in month {', '.join(str(m + 1) for m in few)})" if len(few) < 12 else ""
        )
        raise InputDataError(
            f"The climatology of {period[0]}-{period[1]} needs {needed} years of its {years} in each calendar "
            f"month; there are {counted}.",
            "Choose a reference_period that the data covers, or give anomalies.",
        )
    return needed


def monthly_climatology(values: FloatArray, index: IntArray, period: tuple[int, int]) -> FloatArray:
    """(12, H, W) means of each calendar month over the years of ``period``; NaN where too few.

    Parameters
    ----------
    values:
        (T, H, W), NaN where missing; any unit.
    index:
        (T,) months since 0000-01.

    Raises
    ------
    InputDataError
        If a calendar month has fields in fewer than two thirds of the years.
    """
    needed = check_covered(index, period)
    inside = (index // 12 >= period[0]) & (index // 12 <= period[1])
    climatology = np.full((12, *values.shape[1:]), np.nan)
    for month in range(12):
        fields = values[inside & (index % 12 == month)]
        present = np.isfinite(fields).sum(axis=0)
        mean = np.nansum(fields, axis=0, dtype=np.float64) / np.where(present > 0, present, 1)
        climatology[month] = np.where(present >= needed, mean, np.nan)
    return climatology


def anomalies_of(
    values: FloatArray, index: IntArray, period: tuple[int, int], *, ratio_from: float | None = None
) -> FloatArray:
    """Absolute (T, H, W) values less their monthly climatology over ``period``, or in per cent of it.

    Cells whose climatology cannot be worked out become missing.

    Parameters
    ----------
    ratio_from:
        The least climatology that values are divided by; where it is less they become missing. None: differences.

    Raises
    ------
    InputDataError
        If the period is not covered.
    """
    climatology = monthly_climatology(values, index, period)
    anomalies = np.empty_like(values)
    for month in range(12):
        here = index % 12 == month
        if ratio_from is None:
            anomalies[here] = values[here] - climatology[month]
        else:
            divisor = np.where(climatology[month] > ratio_from, climatology[month], np.nan)
            anomalies[here] = 100.0 * values[here] / divisor
    return anomalies


def rebase_complete(field: FloatArray, time: Months, period: tuple[int, int]) -> FloatArray:
    """(12, H, W) offsets to subtract so that complete anomalies refer to ``period``.

    A field with gaps is never re-based cell by cell: cells with few years would get another base than
    their neighbours.

    Raises
    ------
    InputDataError
        If the field has gaps, or the period has fewer than two thirds of its years.
    """
    if not np.isfinite(field).all():
        raise InputDataError("A field with gaps cannot be re-based cell by cell.", "Reconstruct it first.")
    return monthly_climatology(field, time.index, period)
