"""How large the errors of observed cells are where a data set does not say, or does not say all.

A network learned from fields that are smooth over 1,200 km: what a real cell holds beyond them (weather of
its own, too few stations or ships in it) is an error to the network, stated by no data set. It is estimated
by maximum likelihood from the observations themselves, one number for sea and one for land.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from climrecon.model.lowrank import MEAN_PRIOR_SD

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]

#: Standard deviations that are tried, K.
LEVELS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.2)
#: Months and cells a month that are looked at: enough for two numbers, and quick.
MONTHS, CELLS, FEWEST = 10, 300, 40


@dataclass(frozen=True)
class ErrorLevel:
    """Error that is not stated: standard deviations over sea and over land, K, and months they come from."""

    sea: float
    land: float
    n_months: int

    def on(self, land: FloatArray) -> FloatArray:
        """Standard deviation of cells with land fraction ``land`` (any shape), K."""
        return np.asarray(np.sqrt(land * self.land**2 + (1.0 - land) * self.sea**2))


def estimate_error_level(
    covariance: FloatArray,
    scale: FloatArray,
    land: FloatArray,
    values: FloatArray,
    mask: BoolArray,
    stated: FloatArray | None,
    month: IntArray,
    seed: int = 0,
) -> ErrorLevel | None:
    """Most likely unstated error of the observed cells; None where too few cells are observed to tell.

    Parameters
    ----------
    covariance, scale, land:
        (P, P) in units of the calendar month's standard deviation, (12, P) K, and (P,) land fraction.
    values, mask, stated, month:
        (T, P) K, (T, P), (T, P) errors that the data set states in K (NaN where none) or None, (T,) 1..12.

    Source: Cressie (1993), Statistics for Spatial Data, section 2.6 (the nugget by maximum likelihood), the
    month's mean having a flat prior.
    """
    usable = np.flatnonzero(mask.sum(axis=1) >= FEWEST)
    if not len(usable):
        return None
    rng = np.random.default_rng(seed)
    samples = []
    for index in rng.choice(usable, min(MONTHS, len(usable)), replace=False):
        cells = np.flatnonzero(mask[index])
        if len(cells) > CELLS:
            cells = rng.choice(cells, CELLS, replace=False)
        spread = scale[month[index] - 1, cells]
        flat = MEAN_PRIOR_SD / spread
        matrix = covariance[np.ix_(cells, cells)].astype(np.float64) + np.outer(flat, flat)
        known = np.zeros(len(cells)) if stated is None else np.nan_to_num(stated[index, cells])
        samples.append((matrix, values[index, cells] / spread, spread, known, land[cells]))

    def deviance(sea: float, ground: float) -> float:
        level = ErrorLevel(sea, ground, 0)
        return sum(_deviance(*sample, level) for sample in samples)

    sea, ground = 0.3, 0.3
    for _ in range(2):
        sea = min(LEVELS, key=lambda value: deviance(value, ground))
        ground = min(LEVELS, key=lambda value: deviance(sea, value))
    return ErrorLevel(sea, ground, len(samples))


def _deviance(
    matrix: FloatArray,
    observed: FloatArray,
    spread: FloatArray,
    known: FloatArray,
    land: FloatArray,
    level: ErrorLevel,
) -> float:
    """-2 log likelihood of one month, less its constant."""
    total = matrix.copy()
    total[np.diag_indices_from(total)] += (known**2 + level.on(land) ** 2) / spread**2
    try:
        factor = cho_factor(total, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:  # a covariance of half-precision patterns may fail where errors are tiny
        return np.inf
    determinant = 2.0 * float(np.log(np.diag(factor[0])).sum())
    return determinant + float(observed @ cho_solve(factor, observed, check_finite=False))
