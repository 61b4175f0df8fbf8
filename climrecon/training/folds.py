"""Folds of a cross-fit: the covariances of a fold are learned without its months and those next to them.

A fold is made of several runs of years, spread over the whole period. Covariances learned without one contiguous
quarter of the period would know nothing of regions that were observed, or of variability that occurred, in that quarter
alone.
"""

from __future__ import annotations

import numpy as np

from climrecon.array_types import BoolArray, IntArray

#: Runs of a fold, where the period is long enough.
RUNS = 3
#: Fewest months of a run.
FEWEST_MONTHS = 24
#: Months left out on both sides of a run: neighbours in time are similar.
MARGIN = 2


def folds_of(index: IntArray, count: int, runs: int = RUNS, period: IntArray | None = None) -> IntArray:
    """(N,) fold of each month, 0 to ``count`` - 1; a month's neighbours are in its fold, save at the ends of a run.

    Parameters
    ----------
    index:
        (N,) months since 0000-01.
    runs:
        Of a fold, at most: fewer where runs would have less than :data:`FEWEST_MONTHS` months.
    period:
        Months that the runs share evenly; None: ``index``.
    """
    period = np.asarray(index if period is None else period)
    runs = max(1, min(runs, len(np.unique(period)) // (count * FEWEST_MONTHS)))
    edges = np.quantile(period, np.arange(1, count * runs) / (count * runs))
    return np.searchsorted(edges, np.asarray(index), side="right") % count


def outside(index: IntArray, fold: IntArray, number: int, margin: int = MARGIN) -> BoolArray:
    """(N,) which months lie more than ``margin`` months away from those of the fold ``number``."""
    months = np.unique(index[fold == number])
    near = np.unique(months[:, None] + np.arange(-margin, margin + 1))
    return ~np.isin(index, near)
