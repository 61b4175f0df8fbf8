"""What a data set holds that training fields lack: errors it does not state, and variability on small scales.

A network learned from fields that are smooth over 1,200 km. What a real cell holds beyond them is either its
own (weather, too few stations or ships in it), an error to the network, or shared with cells some hundred or
thousand kilometres away. All are estimated by maximum likelihood from the observations themselves: an error over
sea, one over land, and the variances of two local covariances, one as a share of the training fields' variance and
one in K^2, alike everywhere. (Chosen on CRUTEM4 land months of 1865-1909: -2 log likelihood 3567 for both, 3634 and
3624 for either by itself, 3670 for an exponential of 1,000 km alone.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from climrecon.model.local import LocalCovariance
from climrecon.model.lowrank import MEAN_PRIOR_SD
from climrecon.model.threads import one_thread_each

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]

#: Standard deviations that are tried, K.
LEVELS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.2)
#: Shares of the regional covariance that are tried, and variances of the local one, K^2.
REGIONAL_SHARES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
LOCAL_VARIANCES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2)
#: Length that each falls off with, km; beyond twice of it there is none.
REGIONAL_KM, LOCAL_KM = 2000.0, 1000.0
#: Months and cells a month that are looked at: enough for a few numbers, and quick. Of fewer months more cells.
MONTHS, CELLS, MOST_CELLS, FEWEST = 10, 300, 1000, 40
#: Most rounds over the numbers.
ROUNDS = 6
#: Values of a number that are tried on each side of the present one, and all together.
BESIDE = 2
MOST_BESIDE = 2 * BESIDE + 1


@dataclass(frozen=True)
class ErrorLevel:
    """What a data set holds beyond the training fields and what it states.

    Attributes
    ----------
    sea, land:
        Errors, standard deviations in K.
    regional:
        Variance of a covariance of 2,000 km, as a share of the training fields'.
    local:
        Variance of one of 1,000 km, K^2.
    n_months:
        Months that it was estimated from.
    """

    sea: float
    land: float
    regional: float
    local: float
    n_months: int

    def on(self, land: FloatArray) -> FloatArray:
        """Standard deviation of cells with land fraction ``land`` (any shape), K."""
        return np.asarray(np.sqrt(land * self.land**2 + (1.0 - land) * self.sea**2))

    def variability(self) -> str:
        """What the data set holds beyond the training fields, in words."""
        found = []
        if self.regional:
            found.append(f"{100 * self.regional:g} % of their variance over {REGIONAL_KM:,.0f} km")
        if self.local:
            found.append(f"{self.local:g} K2 over {LOCAL_KM:,.0f} km")
        if not found:
            return "no variability that the training fields lack"
        return f"variability that the training fields lack: {' and '.join(found)}"

    def covariance(
        self, distance: FloatArray, scale: FloatArray, shape: tuple[int, int]
    ) -> LocalCovariance | None:
        """What is added to the learned covariance, in its units, or None.

        Parameters
        ----------
        distance, scale:
            (P, P) km, (12, P) standard deviation of each calendar month, K.
        shape:
            (H, W) of the global grid.
        """
        if not (self.regional or self.local):
            return None
        height, width = shape
        meridian = distance[::width].reshape(height, height, width)
        whole_year = np.sqrt((scale**2).mean(axis=0))
        parts = [
            (self.regional * _kernel(meridian, REGIONAL_KM), np.ones_like(whole_year)),
            (self.local * _kernel(meridian, LOCAL_KM), 1.0 / whole_year),
        ]
        used = [(kernel, factor) for kernel, factor in parts if kernel.any()]
        tensors = [[torch.as_tensor(part, dtype=torch.float32) for part in one] for one in used]
        return LocalCovariance.of([kernel for kernel, _ in tensors], [factor for _, factor in tensors])


def _kernel(distance: FloatArray, length: float) -> FloatArray:
    """Correlation at ``distance``, km: an exponential times Wendland's function, which ends it at twice ``length``.

    Positive definite, as both are. Source: Furrer, Genton & Nychka (2006), J. Comput. Graph. Stat. 15:502, table 1.
    """
    near = np.minimum(distance / (2.0 * length), 1.0)
    return np.asarray(np.exp(-distance / length) * (1.0 - near) ** 4 * (4.0 * near + 1.0))


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
    """Most likely unstated errors and local variances; None where too few cells are observed to tell.

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
    whole_year = np.sqrt((scale**2).mean(axis=0))
    chosen = sorted(lots, key=lots.__getitem__)[:MONTHS]
    most = min(CELLS * MONTHS // len(chosen), MOST_CELLS)
    for row in chosen:
        cells = np.flatnonzero(mask[row])
        if len(cells) > most:
            cells = streams[row].choice(cells, most, replace=False)
        spread = scale[int(index[row]) % 12, cells]
        flat = MEAN_PRIOR_SD / spread
        matrix = covariance[np.ix_(cells, cells)].astype(np.float64) + np.outer(flat, flat)
        apart, spread_there = distance[np.ix_(cells, cells)], whole_year[cells]
        near = (
            _kernel(apart, REGIONAL_KM),
            _kernel(apart, LOCAL_KM) / np.outer(spread_there, spread_there),
        )
        known = np.zeros(len(cells)) if stated is None else np.nan_to_num(stated[row, cells])
        samples.append((matrix, near, values[row, cells] / spread, spread, known, land[cells]))

    @cache
    def deviance(numbers: tuple[float, ...]) -> float:
        sea, land, regional, local = numbers
        level = ErrorLevel(sea, land, regional, local, 0)
        return sum(_deviance(*sample, level) for sample in samples)

    # One number after the other, and again until none moves: the likelihood has one hill. Its values side by side, by
    # one thread each: the matrices are too small for several threads to share them.
    best: tuple[float, ...] = (0.3, 0.3, 0.0, 0.0)
    with one_thread_each(MOST_BESIDE) as (pool, _):
        for _ in range(ROUNDS):
            before = best
            for position, tried in enumerate((LEVELS, LEVELS, REGIONAL_SHARES, LOCAL_VARIANCES)):
                options = [
                    (*best[:position], value, *best[position + 1 :])
                    for value in _beside(tried, best[position])
                ]
                best = min(zip(pool.map(deviance, options), options, strict=True))[1]
            if best == before:
                break
    return ErrorLevel(best[0], best[1], best[2], best[3], len(samples))


def _beside(tried: Sequence[float], value: float) -> Sequence[float]:
    """The :data:`BESIDE` values below and above ``value``, and itself."""
    position = tried.index(value)
    return tried[max(position - BESIDE, 0) : position + BESIDE + 1]


def _deviance(
    matrix: FloatArray,
    near: tuple[FloatArray, FloatArray],
    observed: FloatArray,
    spread: FloatArray,
    known: FloatArray,
    land: FloatArray,
    level: ErrorLevel,
) -> float:
    """-2 log likelihood of one month, less its constant."""
    total = matrix.copy()
    for size, one in zip((level.regional, level.local), near, strict=True):
        if size:
            total += size * one
    total[np.diag_indices_from(total)] += (known**2 + level.on(land) ** 2) / spread**2
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(total))
    if failed:  # a covariance of half-precision patterns may fail where errors are tiny
        return np.inf
    white = torch.linalg.solve_triangular(factor, torch.from_numpy(observed)[:, None].to(factor), upper=False)
    return float(2.0 * factor.diagonal().log().sum() + (white**2).sum())
