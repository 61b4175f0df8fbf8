"""How far forced responses go: the amplitudes under which months that were left out are most likely.

Covariances are learned without one part of the period after the other; observations are drawn of that part's months.
Parts are contiguous, since it is another climate than the one learned from that the forced response is to explain. A
share of the months is taken to other climates by the responses of models whose patterns are not among those that are
judged.

Source: type II maximum likelihood (Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, section 5.4),
cross-validated; the determinant and inverse of a covariance with few directions added: ibid., A.9 and A.10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

    share: float
    coldest: float = 0.0
    warmest: float = 0.0

    def draw(
        self, rng: np.random.Generator, count: int, responses: ForcedResponses
    ) -> tuple[NDArray[np.float64], IntArray]:
        """(count,) warmings, K of the global mean, 0 where a month stays as it is, and whose response they follow."""
        which = rng.integers(max(len(responses), 1), size=count)
        warming = rng.uniform(self.coldest, self.warmest, count)
        return np.where(rng.random(count) < self.share * bool(len(responses)), warming, 0.0), which


@dataclass(frozen=True)
class Amplitudes:
    """Standard deviations, K of the global mean, of warmings that follow forced responses.

    Attributes
    ----------
    mean, differences:
        Of the mean response, and of the differences between sources; see :meth:`ForcedResponses.directions`.
    own:
        Of a record's own response.
    """

    mean: float = 0.0
    differences: float = 0.0
    own: float = 0.0


@dataclass(frozen=True)
class Likelihood:
    """What the likelihood of N months takes, seen through one mask: products of whitened observations and directions.

    ``gram`` (F, F) and ``projected`` (F, N) of the directions with amplitudes of 1 K, ``square`` the sum of squares of
    the observations; ``kinds`` (F,) which amplitude is whose; ``constant`` what the covariance alone adds.
    """

    gram: FloatArray
    projected: FloatArray
    square: float
    kinds: tuple[str, ...]
    constant: float

    def log_likelihood(self, amplitudes: Amplitudes) -> float:
        """Less what does not depend on the amplitudes."""
        size = np.array([getattr(amplitudes, kind) for kind in self.kinds])
        inner = np.eye(len(size)) + size[:, None] * self.gram * size
        scaled = size[:, None] * self.projected
        explained = float((scaled * np.linalg.solve(inner, scaled)).sum())
        return float(0.5 * (explained - self.square - scaled.shape[1] * np.linalg.slogdet(inner)[1]))


@dataclass(frozen=True)
class Observed:
    """Months that were left out as one mask observes them: ``values`` (N, C), K, in ``cells`` (C,), with errors.

    ``position`` (N,) is the calendar month, 0..11.
    """

    position: IntArray
    cells: IntArray
    values: FloatArray

    def likelihoods(
        self, scale: FloatArray, covariance: FloatArray, directions: FloatArray, kinds: tuple[str, ...]
    ) -> Iterator[Likelihood]:
        """One for each calendar month.

        Parameters
        ----------
        scale, covariance:
            (12, P) K and (P, P), of :class:`SampleCovariance`.
        directions, kinds:
            (F, 12, P) K for amplitudes of 1 K, and which amplitude is whose.
        """
        base = _definite(covariance[np.ix_(self.cells, self.cells)])
        for month in np.unique(self.position):
            here = scale[month, self.cells]
            level = MEAN_PRIOR_SD / here
            factor = np.linalg.cholesky(base + np.diag((ERROR / here) ** 2) + np.outer(level, level))
            white = np.linalg.solve(factor, (self.values[self.position == month] / here).T)
            along = np.linalg.solve(factor, (directions[:, month, self.cells] / here).T)
            constant = -white.shape[1] * float(np.log(np.diag(factor) * here).sum())
            yield Likelihood(along.T @ along, along.T @ white, float((white**2).sum()), kinds, constant)


def parts_left_out(index: IntArray, judging: BoolArray) -> Iterator[tuple[BoolArray, IntArray]]:
    """Contiguous parts of the months that judge: which months are learned from without it, and its rows.

    All sources lose the dates of the part, also models that run freely: two sources may be one history.

    Parameters
    ----------
    index:
        (N,) months since 0000-01.
    judging:
        (N,) which months judge.
    """
    edges = np.quantile(index[judging], np.arange(1, PARTS) / PARTS)
    part_of = np.searchsorted(edges, index, side="right")
    for number in range(PARTS):
        rows = np.flatnonzero(judging & (part_of == number))
        if len(rows):
            yield (index < index[rows].min()) | (index > index[rows].max()), rows


def observed(
    flat: FloatArray,
    month: IntArray,
    rows: IntArray,
    usable: BoolArray,
    masks: MaskSource,
    climates: Climates,
    judged: ForcedResponses,
    rng: np.random.Generator,
) -> Iterator[Observed]:
    """The months ``rows`` in random order, a share through each of :data:`MASKS` masks, and with errors.

    Parameters
    ----------
    flat, month:
        (N, P) anomalies, K, NaN where missing, and (N,) calendar months 1..12.
    usable:
        (P,) cells that may be observed.
    climates, judged:
        Where months are taken, and by whose responses; none: they stay as they are.
    """
    for some in np.array_split(rng.permutation(rows), MASKS):
        known = np.flatnonzero(masks.draw(rng) & np.isfinite(flat[some]).all(axis=0) & usable)
        cells = np.sort(rng.permutation(known)[:CELLS])
        warming, which = climates.draw(rng, len(some), judged)
        position = month[some] - 1
        values = flat[some][:, cells] + ERROR * rng.normal(size=(len(some), len(cells)))
        if len(judged):
            values += warming[:, None] * judged.patterns[which, position][:, cells]
        yield Observed(position, cells, values)


def fit_amplitudes(
    fields: FloatArray,
    index: IntArray,
    grid: Grid,
    responses: Callable[[BoolArray], ForcedResponses],
    masks: MaskSource,
    climates: Climates,
    seed: int,
    *,
    judging: BoolArray | None = None,
    weights: FloatArray | None = None,
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
        That a share of the months are judged in.
    judging:
        (N,) months that are left out and judge; None: all.
    weights:
        (N,) by which months count in the covariance; None: all alike.
    """
    flat = fields.reshape(len(fields), -1)
    judging = np.ones(len(index), bool) if judging is None else judging
    weights = np.ones(len(index)) if weights is None else weights
    parts: list[Likelihood] = []
    for number, (keep, rows) in enumerate(parts_left_out(index, judging)):
        # Months without weight are left out of the arithmetic: a cell that they alone know has no scale.
        learned = keep & (weights > 0)
        sample = SampleCovariance(fields[learned], index[learned] % 12 + 1, grid, weights[learned])
        covariance, usable = sample.whole_year(), np.all(sample.scale > 0, axis=0)
        known = responses(keep)
        few = len(known) < FEWEST_TO_SPLIT
        learning, judged = (known if few else known.without(known.names[first::2]) for first in (1, 0))
        directions = learning.directions(1.0, 1.0)
        kinds = ("mean", *["differences"] * (len(directions) - 1))[: len(directions)]
        rng = np.random.default_rng([seed, number])
        for seen in observed(flat, index % 12 + 1, rows, usable, masks, climates, judged, rng):
            parts += seen.likelihoods(sample.scale, covariance, directions, kinds)
    return _best(parts)


def _best(parts: Sequence[Likelihood]) -> Amplitudes:
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
