"""Complete fields to another reference period."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.errors import InputDataError
from climrecon.fields import Months
from climrecon.preprocess.climatology import monthly_climatology


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
