"""What a training is validated on: held-out steps under fixed masks and errors, and scores on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.fields import Context, Months
from climrecon.frequency import DAY, YEAR
from climrecon.grid import Grid
from climrecon.methods.contract import Method
from climrecon.training.auxiliary import seen_of
from climrecon.training.fields import TrainingFields

#: Share of the area whose truth must be known for a month to count for the annual mean; cells beyond count as estimated
#: without error.
KNOWN_SHARE = 0.9
#: Steps from the beginning of one span to that of the next, so that no network takes steps of both for neighbours; of
#: days the spans are longer.
APART, APART_OF_DAYS = 24, 48
#: Masks every validation month is seen through.
MASKS = 2


@dataclass(frozen=True)
class ValidationSet:
    """N steps as they are seen, and as they are.

    Attributes
    ----------
    values, stated:
        (N, H, W) K, 0 where missing; and the stated one-sigma errors.
    mask, scored:
        (N, H, W) True where observed; where the truth is known.
    truth:
        (N, H, W) K.
    month, year:
        (N,) calendar month; number of the whole year (of one member, under one mask) a step belongs to, -1: none.
    index:
        (N,) counts steps within a span (a year), spans being far ``apart``: a step's neighbours are those of its span.
    grid:
        Of the steps.
    auxiliary:
        (N, V, H, W) what is seen of auxiliary variables, NaN elsewhere; None where the network takes none.
    """

    values: FloatArray
    stated: FloatArray
    mask: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    truth: FloatArray
    month: NDArray[np.integer[Any]]
    year: NDArray[np.integer[Any]]
    index: NDArray[np.integer[Any]]
    grid: Grid
    auxiliary: FloatArray | None = None
    apart: int = APART

    def score(self, mean: FloatArray) -> dict[str, float]:
        """Scores of (N, H, W) estimates.

        ``rmse``: area-weighted, over the missing cells; ``annual_r`` and ``annual_rmse``: of the annual global mean.
        """
        error = np.where(self.scored, mean - self.truth, 0.0)
        weight = self.grid.area * (self.scored & ~self.mask)
        result = {"rmse": float(np.sqrt((error**2 * weight).sum() / max(weight.sum(), 1e-12)))}
        years = self.year >= 0
        if self.year.max() >= 2:
            means = [
                np.bincount(self.year[years], (field[years] * self.grid.area).sum((1, 2)))
                / np.bincount(self.year[years])
                for field in (self.truth + error, self.truth)
            ]
            result["annual_r"] = float(np.corrcoef(means[0], means[1])[0, 1])
            result["annual_rmse"] = float(np.sqrt(np.mean((means[0] - means[1]) ** 2)))
        return result

    def estimate(self, method: Method, size: int | None = None) -> FloatArray:
        """(N, H, W) means by ``method``, ``size`` steps at a time; by default two whole spans, with their neighbours."""
        of_span = np.flatnonzero(np.diff(self.index // self.apart, prepend=-1) != 0)
        starts = of_span[::2] if size is None else np.arange(0, len(self.truth), size)
        means = []
        for first, last in zip(starts, [*starts[1:], len(self.truth)], strict=True):
            part = slice(first, last)
            context = Context(self.grid, Months(self.index[part]))
            given = (self.values[part], self.mask[part], self.stated[part], self.month[part])
            means.append(method.reconstruct(*given, context).mean)
        return np.concatenate(means)


def whole_spans(fields: TrainingFields, count: int) -> NDArray[np.integer[Any]]:
    """Positions of the steps of up to ``count`` whole spans (years), spread over members and time.

    Where none is whole: as many steps, spread evenly.
    """
    span = np.asarray(fields.member, np.int64) * 100_000 + fields.span
    _, first, steps = np.unique(span, return_index=True, return_counts=True)
    whole = np.flatnonzero(steps >= fields.span_steps)
    if not len(whole):
        return np.unique(np.linspace(0, len(fields) - 1, fields.span_steps * count).astype(int))
    chosen = whole[np.unique(np.linspace(0, len(whole) - 1, count).astype(int))]
    return np.concatenate([np.arange(first[i], first[i] + steps[i]) for i in chosen])


def draw_validation_set(
    fields: TrainingFields,
    masks: MaskSource,
    noise: NoiseSource | None,
    years: int,
    seed: int,
    auxiliary_sd: FloatArray | None = None,
) -> ValidationSet:
    """Draw masks (each held for a whole span) and persisting errors for whole spans; the same for the same ``seed``.

    Parameters
    ----------
    auxiliary_sd:
        (V, P) standard deviations of the auxiliary variables of a network that takes some.
    """
    rows = np.tile(whole_spans(fields, years), MASKS)
    truth = np.asarray(fields.values[rows], dtype=np.float32)
    scored = np.isfinite(truth)
    if fields.scored is not None:
        scored &= np.asarray(fields.scored[rows])
    truth = np.where(scored, truth, np.float32(0.0))
    span, member = fields.span[rows], np.asarray(fields.member)[rows]
    ends = (np.diff(span) != 0) | (np.diff(rows) < 0) | (np.diff(member) != 0)
    block = np.cumsum(np.r_[True, ends]) - 1
    mask, values = np.zeros(truth.shape, bool), truth.copy()
    stated = np.full(truth.shape, 0.1, np.float32)
    step = 12.0 * fields.frequency.years
    for number in range(block[-1] + 1):
        of_block = block == number
        mask[of_block] = masks.draw(np.random.default_rng([seed, 1, number])).reshape(truth.shape[1:])
        if noise is not None:
            # Gaps and errors persist: ships and stations stay in use for a season.
            error, size = noise.draw_months(np.random.default_rng([seed, 2, number]), int(of_block.sum()), step)
            values[of_block] += error.reshape(-1, *truth.shape[1:]).astype(np.float32)
            stated[of_block] = size.reshape(truth.shape[1:])
    mask &= scored
    values[~mask] = 0.0
    # A year counts for the annual mean where all its steps are known, but for a few cells; spans of days are no years.
    enough = (scored * fields.grid.area).sum((1, 2)) >= KNOWN_SHARE
    of_year = np.arange(len(rows)) if fields.frequency == YEAR else block
    counts = np.bincount(of_year)
    good = (counts == fields.frequency.per_year) & (np.bincount(of_year, enough) == counts)
    number_of = np.where(good, np.cumsum(good) - 1, -1)
    month = np.asarray(fields.month)[rows]
    # Blocks are of single spans, in order, and no step of one is a neighbour of another's.
    apart, index = APART_OF_DAYS if fields.frequency == DAY else APART, np.asarray(fields.index)[rows]
    near = (apart * block + index - index[np.flatnonzero(np.r_[True, ends])][block]).astype(np.int64)
    auxiliary = fields.auxiliary_at(rows) if auxiliary_sd is not None else None
    if auxiliary is not None and auxiliary_sd is not None:
        for number, values_of in enumerate(auxiliary):
            rng = np.random.default_rng([seed, 3, number])
            shown = seen_of(values_of.reshape(len(values_of), -1), auxiliary_sd, masks, rng)
            auxiliary[number] = shown.reshape(values_of.shape)
    return ValidationSet(
        values, stated, mask, scored, truth, month, number_of[of_year], near, fields.grid, auxiliary, apart
    )


#: Estimates (N, H, W) means of cases.
Estimator = Callable[[ValidationSet], FloatArray]
