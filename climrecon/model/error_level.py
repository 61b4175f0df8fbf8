"""What a data set holds that training fields lack: errors it does not state, and variability on small scales.

A network learned from fields that are smooth over 1,200 km. What a real cell holds beyond them is either its
own (weather, too few stations or ships in it), an error to the network, or shared with cells some hundred
kilometres away. Both are estimated by maximum likelihood from the observations themselves: an error over sea,
one over land, and the variance of a local covariance, as a share of the training fields' variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from climrecon.model.lowrank import MEAN_PRIOR_SD

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]

#: Standard deviations that are tried, K.
LEVELS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.2)
#: Shares of the local covariance that are tried, and the length it falls off with, km.
LOCAL_SHARES, LOCAL_KM = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0), 1000.0
#: Months and cells a month that are looked at: enough for two numbers, and quick.
MONTHS, CELLS, FEWEST = 10, 300, 40
#: Most rounds over the three numbers.
ROUNDS = 6


@dataclass(frozen=True)
class ErrorLevel:
    """Errors that are not stated, over sea and over land (standard deviations, K); share of local variance."""

    sea: float
    land: float
    local: float
    n_months: int

    def on(self, land: FloatArray) -> FloatArray:
        """Standard deviation of cells with land fraction ``land`` (any shape), K."""
        return np.asarray(np.sqrt(land * self.land**2 + (1.0 - land) * self.sea**2))


def estimate_error_level(
    covariance: FloatArray,
    distance: FloatArray,
    scale: FloatArray,
    land: FloatArray,
    values: FloatArray,
    mask: BoolArray,
    stated: FloatArray | None,
    index: IntArray,
    seed: int = 0,
) -> ErrorLevel | None:
    """Most likely unstated errors and local variance; None where too few cells are observed to tell.

    Parameters
    ----------
    covariance, distance, scale, land:
        (P, P) in units of the calendar month's standard deviation, (P, P) km, (12, P) K, (P,) land fraction.
    values, mask, stated, index:
        (T, P) K, (T, P), (T, P) errors that the data set states in K (NaN where none) or None, (T,) months since
        0000-01.

    Source: Cressie (1993), Statistics for Spatial Data, section 2.6 (the nugget by maximum likelihood), the
    month's mean having a flat prior.
    """
    usable = np.flatnonzero(mask.sum(axis=1) >= FEWEST)
    if not len(usable):
        return None
    # Each month has a lot of its own, so that the months looked at hardly change when a record grows.
    streams = {int(row): np.random.default_rng([seed, int(index[row])]) for row in usable}
    lots = {row: stream.random() for row, stream in streams.items()}
    samples = []
    for row in sorted(lots, key=lots.__getitem__)[:MONTHS]:
        cells = np.flatnonzero(mask[row])
        if len(cells) > CELLS:
            cells = streams[row].choice(cells, CELLS, replace=False)
        spread = scale[int(index[row]) % 12, cells]
        flat = MEAN_PRIOR_SD / spread
        matrix = covariance[np.ix_(cells, cells)].astype(np.float64) + np.outer(flat, flat)
        near = np.exp(-distance[np.ix_(cells, cells)] / LOCAL_KM)
        known = np.zeros(len(cells)) if stated is None else np.nan_to_num(stated[row, cells])
        samples.append((matrix, near, values[row, cells] / spread, spread, known, land[cells]))

    def deviance(numbers: Sequence[float]) -> float:
        level = ErrorLevel(numbers[0], numbers[1], numbers[2], 0)
        return sum(_deviance(*sample, level) for sample in samples)

    # One number after the other, and again until none moves: the likelihood has one hill.
    best = [0.3, 0.3, 0.0]
    for _ in range(ROUNDS):
        before = list(best)
        for position, tried in enumerate((LEVELS, LEVELS, LOCAL_SHARES)):
            options = [
                [*best[:position], value, *best[position + 1 :]] for value in _beside(tried, best[position])
            ]
            best = min(options, key=deviance)
        if best == before:
            break
    return ErrorLevel(best[0], best[1], best[2], len(samples))


def _beside(tried: Sequence[float], value: float) -> Sequence[float]:
    """The two values below and above ``value``, and itself."""
    position = tried.index(value)
    return tried[max(position - 2, 0) : position + 3]


def _deviance(
    matrix: FloatArray,
    near: FloatArray,
    observed: FloatArray,
    spread: FloatArray,
    known: FloatArray,
    land: FloatArray,
    level: ErrorLevel,
) -> float:
    """-2 log likelihood of one month, less its constant."""
    total = matrix + level.local * near
    total[np.diag_indices_from(total)] += (known**2 + level.on(land) ** 2) / spread**2
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(total))
    if failed:  # a covariance of half-precision patterns may fail where errors are tiny
        return np.inf
    white = torch.linalg.solve_triangular(factor, torch.from_numpy(observed)[:, None].to(factor), upper=False)
    return float(2.0 * factor.diagonal().log().sum() + (white**2).sum())
