"""Errors that a data set does not state, and its variability on scales that the training fields lack.

The training fields are smooth over 1,200 km. Variability of a real cell beyond them is either independent of other
cells (weather, few stations or ships), an error to the network, or correlated over some hundred or thousand
kilometres. All are estimated by maximum likelihood from the observations themselves, for sea and land: an error, and
the variances of two local covariances, one as a share of the training fields' variance and one in K^2. Sea and land
are distinguished where there are cells enough of either. Lab log 10 has the comparison with other forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.methods.priors.low_rank import MEAN_PRIOR_SD
from climrecon.methods.priors.stationary_covariance import LocalCovariance
from climrecon.methods.threads import one_thread_each

#: Standard deviations that are tried, K.
LEVELS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.2)
#: Shares of the regional covariance that are tried, and variances of the local one, K^2.
REGIONAL_SHARES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
LOCAL_VARIANCES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2)
#: Length that each falls off with, km; beyond twice of it there is none.
REGIONAL_KM, LOCAL_KM = 2000.0, 1000.0
#: Months and cells a month that are looked at: enough for a few numbers, and quick. Of fewer months more cells.
MONTHS, CELLS, MOST_CELLS, FEWEST = 10, 300, 1000, 40
#: Land fraction below which a cell counts as sea; above 1 less this it counts as land. Sea and land are distinguished
#: where both have as many cells a month as a month needs.
OPEN_SEA = 0.1
#: Most rounds over the numbers.
ROUNDS = 6
#: Values of a number that are tried on each side of the present one: while sea and land have the same, and then.
N_CANDIDATES, N_CANDIDATES_APART = 2, 1
#: Of sea and land each: error, share of the regional covariance, variance of the local one, in turns.
Numbers = tuple[float, ...]
#: What is moved in turn: which values are tried, and the positions of the numbers that get them. First what sea and land
#: hold beyond the training fields is the same, which is most of it, then each has its own.
TOGETHER = ((LEVELS, (0,)), (LEVELS, (1,)), (REGIONAL_SHARES, (2, 3)), (LOCAL_VARIANCES, (4, 5)))
APART = (
    *((LEVELS, (position,)) for position in (0, 1)),
    *((REGIONAL_SHARES, (position,)) for position in (2, 3)),
    *((LOCAL_VARIANCES, (position,)) for position in (4, 5)),
)


class SurfaceErrors(NamedTuple):
    """Errors and variability of a data set over sea, or over land.

    Attributes
    ----------
    error:
        Standard deviation of the errors that are not stated, K.
    regional:
        Variance of a covariance of 2,000 km, as a share of the training fields'.
    local:
        Variance of one of 1,000 km, K^2.
    """

    error: float
    regional: float = 0.0
    local: float = 0.0

    def variability(self, units: str) -> str:
        """Variability beyond the training fields, in words; "" if none."""
        parts = []
        if self.regional:
            parts.append(f"{100 * self.regional:g} % of their variance over {REGIONAL_KM:,.0f} km")
        if self.local:
            parts.append(f"{self.local:g} {units}2 over {LOCAL_KM:,.0f} km")
        return " and ".join(parts)


@dataclass(frozen=True)
class DataSetErrors:
    """Errors and variability of a data set beyond the training fields and the stated errors.

    Attributes
    ----------
    sea, land:
        Of cells of the sea and of land; coasts lie between them.
    n_months:
        Months that it was estimated from.
    """

    sea: SurfaceErrors
    land: SurfaceErrors
    n_months: int = 0

    def on(self, land: FloatArray) -> FloatArray:
        """Standard deviation of unstated errors of cells with land fraction ``land`` (any shape), K."""
        return np.sqrt(_between(self.sea.error**2, self.land.error**2, land))

    def roots(self, land: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Roots of the variances of the regional and of the local covariance of cells as in :meth:`on`."""
        regional, local = (
            _between(at_sea**0.5, on_land**0.5, land)
            for at_sea, on_land in zip(self.sea[1:], self.land[1:], strict=True)
        )
        return regional, local

    def variability(self, units: str) -> str:
        """Variability beyond the training fields, in words."""
        sea, land = self.sea.variability(units), self.land.variability(units)
        if not (sea or land):
            return "no variability that the training fields lack"
        if sea == land:
            return f"variability that the training fields lack: {sea}"
        return f"variability that the training fields lack: over sea {sea or 'none'}; over land {land or 'none'}"

    def covariance(
        self, distance: FloatArray, scale: FloatArray, land: FloatArray, shape: tuple[int, int]
    ) -> LocalCovariance | None:
        """The covariance that is added to the learned one, in its units, or None.

        Parameters
        ----------
        distance, scale, land:
            (P, P) km, (12, P) standard deviation of each calendar month, K, (P,) land fraction.
        shape:
            (H, W) of the global grid.
        """
        height, width = shape
        meridian = distance[::width].reshape(height, height, width)
        whole_year = np.sqrt((scale**2).mean(axis=0))
        regional, local = self.roots(land)
        parts = [(_kernel(meridian, REGIONAL_KM), regional), (_kernel(meridian, LOCAL_KM), local / whole_year)]
        used = [(kernel, factor) for kernel, factor in parts if factor.any()]
        if not used:
            return None
        tensors = [[torch.as_tensor(part, dtype=torch.float32) for part in one] for one in used]
        return LocalCovariance.of([kernel for kernel, _ in tensors], [factor for _, factor in tensors])


def _between(sea: float, land: float, share: FloatArray) -> FloatArray:
    """Interpolation between sea and land, for land fractions ``share``."""
    return np.asarray(share * land + (1.0 - share) * sea)


def _kernel(distance: FloatArray, length: float) -> FloatArray:
    """Correlation at ``distance``, km: an exponential times Wendland's function, which ends it at twice ``length``.

    Positive definite, as both are. Source: Furrer, Genton & Nychka (2006), J. Comput. Graph. Stat. 15:502, table 1.
    """
    near = np.minimum(distance / (2.0 * length), 1.0)
    return np.asarray(np.exp(-distance / length) * (1.0 - near) ** 4 * (4.0 * near + 1.0))


def estimate_data_set_errors(
    covariance: FloatArray,
    distance: FloatArray,
    scale: FloatArray,
    land: FloatArray,
    values: FloatArray,
    mask: BoolArray,
    stated: FloatArray | None,
    index: IntArray,
    month: IntArray | None = None,
    seed: int = 0,
) -> DataSetErrors | None:
    """Most likely unstated errors and local variances; None where too few cells are observed.

    Parameters
    ----------
    covariance, distance, scale, land:
        (P, P) in units of the calendar month's standard deviation, (P, P) km, (12, P) K, (P,) land fraction.
    values, mask, stated, index:
        (T, P) K, (T, P), (T, P) errors that the data set states in K (NaN where none) or None, (T,) numbers of
        the steps (months since 0000-01).
    month:
        (T,) calendar months 1..12; None: those of ``index``, which counts months.

    Source: Cressie (1993), Statistics for Spatial Data, section 2.6 (the nugget by maximum likelihood), the
    month's mean having a flat prior.
    """
    position = index % 12 if month is None else month - 1
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
        spread = scale[int(position[row]), cells]
        flat = MEAN_PRIOR_SD / spread
        matrix = covariance[np.ix_(cells, cells)].astype(np.float64) + np.outer(flat, flat)
        apart, spread_there = distance[np.ix_(cells, cells)], whole_year[cells]
        near = (_kernel(apart, REGIONAL_KM), _kernel(apart, LOCAL_KM) / np.outer(spread_there, spread_there))
        known = np.zeros(len(cells)) if stated is None else np.nan_to_num(stated[row, cells])
        samples.append(_Month(matrix, near, values[row, cells] / spread, spread, known, land[cells]))

    @cache
    def deviance(numbers: Numbers) -> float:
        level = _level_of(numbers)
        return sum(sample.deviance(level) for sample in samples)

    # One number after the other, and again until none moves. Errors and local variances do nearly the same, so that this
    # can end near the best; reconstructions with either are as good (lab log 10). Values side by side, by one
    # thread each: the matrices are too small for several threads to share them.
    on_land = np.concatenate([sample.land for sample in samples])
    either = min(int((on_land < OPEN_SEA).sum()), int((on_land > 1.0 - OPEN_SEA).sum()))
    apart_too = either >= FEWEST * len(samples)
    best: Numbers = (0.3, 0.3, 0.0, 0.0, 0.0, 0.0)
    with one_thread_each(2 * N_CANDIDATES + 1) as (pool, _):
        for moves, reach in ((TOGETHER, N_CANDIDATES), (APART, N_CANDIDATES_APART))[: 1 + apart_too]:
            for _ in range(ROUNDS):
                before = best
                for tried, positions in moves:
                    around = _candidates(tried, best[positions[0]], reach)
                    options = [_moved(best, positions, value) for value in around]
                    deviances = dict(zip(options, pool.map(deviance, options), strict=True))
                    # A number that does not change the likelihood stays as it is.
                    best = min(options, key=lambda option: (deviances[option], option != best))
                if best == before:
                    break
    return replace(_level_of(best), n_months=len(samples))


def _level_of(numbers: Numbers) -> DataSetErrors:
    """From errors, shares of the regional covariance and variances of the local one, of sea and of land each."""
    return DataSetErrors(SurfaceErrors(*numbers[0::2]), SurfaceErrors(*numbers[1::2]))


def _moved(numbers: Numbers, positions: tuple[int, ...], value: float) -> Numbers:
    moved = list(numbers)
    for position in positions:
        moved[position] = value
    return tuple(moved)


def _candidates(tried: Sequence[float], value: float, count: int) -> Sequence[float]:
    """The ``count`` values below and above ``value``, and itself."""
    position = tried.index(value)
    return tried[max(position - count, 0) : position + count + 1]


@dataclass(frozen=True)
class _Month:
    """One month's C observed cells, in units of the calendar month's standard deviation.

    Attributes
    ----------
    matrix, near:
        (C, C) learned covariance with the month's mean, and those of which shares are tried.
    observed:
        (C,) values.
    spread, known, land:
        (C,) standard deviation, K, stated errors, K, and land fraction.
    """

    matrix: FloatArray
    near: tuple[FloatArray, FloatArray]
    observed: FloatArray
    spread: FloatArray
    known: FloatArray
    land: FloatArray

    def deviance(self, level: DataSetErrors) -> float:
        """-2 log likelihood, less its constant."""
        total = self.matrix.copy()
        for root, one in zip(level.roots(self.land), self.near, strict=True):
            if root.any():
                total += one * root * root[:, None]
        total[np.diag_indices_from(total)] += (self.known**2 + level.on(self.land) ** 2) / self.spread**2
        factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(total))
        if failed:  # a covariance of half-precision patterns may fail where errors are tiny
            return np.inf
        observed = torch.from_numpy(self.observed)[:, None].to(factor)
        white = torch.linalg.solve_triangular(factor, observed, upper=False)
        return float(2.0 * factor.diagonal().log().sum() + (white**2).sum())
