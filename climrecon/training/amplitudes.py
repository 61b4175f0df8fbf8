"""How far forced responses go: the amplitudes under which months that were left out are most likely.

Covariances are learned without one part of the period after the other; observations are drawn of that part's months.
Parts are contiguous, since it is another climate than the one learned from that the forced response is to explain. A
share of the months is taken to other climates by the responses of models whose patterns are not among those that are
judged.

Source: type II maximum likelihood (Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, section 5.4),
cross-validated; the determinant and inverse of a covariance with few directions added: ibid., A.9 and A.10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import SampleCovariance
from climrecon.methods.priors.forced import ForcedResponses
from climrecon.methods.priors.low_rank import MEAN_PRIOR_SD

#: Contiguous parts of the period, each left out once.
PARTS = 3
#: Masks a part, observed cells of each, and the error of an observed cell, K.
MASKS, CELLS, ERROR = 4, 160, 0.3
#: Amplitudes that are tried, K of the global mean.
STEPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
#: Sources from which on some are kept to judge by.
FEWEST_TO_SPLIT = 4
#: Rounds in which each amplitude is chosen once, at most.
ROUNDS = 6


@dataclass(frozen=True)
class Climates:
    """Other climates: a ``share`` of months is taken there by a warming between ``coldest`` and ``warmest``, K."""

    share: float = 0.5
    coldest: float = -1.5
    warmest: float = 2.5

    def draw(
        self, rng: np.random.Generator, count: int, responses: ForcedResponses
    ) -> tuple[NDArray[np.float64], IntArray]:
        """(count,) warmings, K of the global mean, 0 where a month stays as it is, and whose response they follow."""
        which = rng.integers(max(len(responses), 1), size=count)
        warming = rng.uniform(self.coldest, self.warmest, count)
        return np.where(rng.random(count) < self.share * bool(len(responses)), warming, 0.0), which


@dataclass(frozen=True)
class Amplitudes:
    """Arguments of :meth:`ForcedResponses.directions`: standard deviations, K of the global mean.

    Attributes
    ----------
    mean, differences:
        Of the mean response, and of the differences between sources.
    """

    mean: float = 0.0
    differences: float = 0.0


@dataclass(frozen=True)
class _Part:
    """What the likelihood of N months takes, seen through one mask: products of whitened observations and directions.

    ``gram`` (F, F) and ``projected`` (F, N) of the directions with amplitudes of 1 K, ``square`` the sum of squares of
    the observations; ``kinds`` (F,) which amplitude is whose.
    """

    gram: FloatArray
    projected: FloatArray
    square: float
    kinds: tuple[str, ...]

    def log_likelihood(self, amplitudes: Amplitudes) -> float:
        """Less what does not depend on the amplitudes."""
        size = np.array([getattr(amplitudes, kind) for kind in self.kinds])
        inner = np.eye(len(size)) + size[:, None] * self.gram * size
        scaled = size[:, None] * self.projected
        explained = float((scaled * np.linalg.solve(inner, scaled)).sum())
        return float(0.5 * (explained - self.square - scaled.shape[1] * np.linalg.slogdet(inner)[1]))


def fit_amplitudes(
    fields: FloatArray,
    index: IntArray,
    grid: Grid,
    responses: Callable[[BoolArray], ForcedResponses],
    masks: MaskSource,
    climates: Climates,
    seed: int,
) -> Amplitudes:
    """The amplitudes under which months left out are most likely.

    Parameters
    ----------
    fields:
        (N, H, W) anomalies, K, NaN where missing.
    index:
        (N,) months since 0000-01.
    responses:
        The forced responses, those of the training data themselves from the months that a (N,) mask names. Where there
        are four or more, every second is learned from and the others are judged by.
    masks:
        What is observed.
    climates:
        That half of the months are judged in.
    """
    flat = fields.reshape(len(fields), -1)
    parts: list[_Part] = []
    edges = np.quantile(index, np.arange(1, PARTS) / PARTS)
    part_of = np.searchsorted(edges, index, side="right")
    for number in range(PARTS):
        keep = part_of != number
        sample = SampleCovariance(fields[keep], index[keep] % 12 + 1, grid)
        covariance = sample.whole_year()
        known = responses(keep)
        few = len(known) < FEWEST_TO_SPLIT
        learned, judged = (known if few else known.without(known.names[first::2]) for first in (1, 0))
        directions = learned.directions(1.0, 1.0)
        kinds = ("mean", *["differences"] * (len(directions) - 1))[: len(directions)]
        rng = np.random.default_rng([seed, number])
        for rows in np.array_split(rng.permutation(np.flatnonzero(~keep)), MASKS):
            observed = np.flatnonzero(masks.draw(rng) & np.isfinite(flat[rows]).all(axis=0))
            cells = np.sort(rng.permutation(observed)[:CELLS])
            warming, which = climates.draw(rng, len(rows), judged)
            position = index[rows] % 12
            values = flat[rows][:, cells] + ERROR * rng.normal(size=(len(rows), len(cells)))
            if len(judged):
                values += warming[:, None] * judged.patterns[which, position][:, cells]
            base = _definite(covariance[np.ix_(cells, cells)])
            for month in np.unique(position):
                scale = sample.scale[month, cells]
                level = MEAN_PRIOR_SD / scale
                factor = np.linalg.cholesky(base + np.diag((ERROR / scale) ** 2) + np.outer(level, level))
                white = np.linalg.solve(factor, (values[position == month] / scale).T)
                along = np.linalg.solve(factor, (directions[:, month, cells] / scale).T)
                parts.append(_Part(along.T @ along, along.T @ white, float((white**2).sum()), kinds))
    return _best(parts)


def _best(parts: Sequence[_Part]) -> Amplitudes:
    """By coordinates: each amplitude in turn, the others as they are."""
    names = sorted({kind for part in parts for kind in part.kinds})
    best, value = Amplitudes(**dict.fromkeys(names, 0.3)), -np.inf
    for _ in range(ROUNDS):
        before = best
        for name in names:
            for step in STEPS:
                tried = replace(best, **{name: step})
                found = sum(part.log_likelihood(tried) for part in parts)
                if found > value:
                    best, value = tried, found
        if best == before:
            break
    return best


def _definite(covariance: FloatArray) -> FloatArray:
    """A localised covariance of gappy fields, its negative eigenvalues cut."""
    values, axes = np.linalg.eigh(covariance)
    return np.asarray((axes * np.maximum(values, 0.0)) @ axes.T)
