"""Observed cells withheld in folds: which cells a fold withholds, and the sums that its scores are made of.

The truth is the observation, which errs too: a prediction of the observation has the variance of the estimate and that of
the observation's error.

Source: Arlot & Celisse (2010), Statist. Surv. 4:40 (cross-validation); Roberts et al. (2017), Ecography 40:913 (blocks in
space and time, since the errors of neighbours are alike).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.fields import Observations, Steps
from climrecon.geography import regions_of
from climrecon.grid import BLOCK_DEGREES, Grid
from climrecon.scores import scores
from climrecon.scores.masked_truth import MaskedTruth, MethodOutput, Sums, cell_sums, together

#: What is withheld at once.
CELLS, BLOCKS, REGIONS = "cells", "blocks", "regions"
#: Months of a span, whatever the steps.
SPAN = 24
#: A region is one where it has this share of the observations.
FEWEST = 0.001


@dataclass(frozen=True)
class Folds:
    """Observed cells by the fold that withholds them.

    Attributes
    ----------
    number:
        (T, H, W) fold of each observed cell; -1 where nothing is observed, or no fold withholds it.
    labels:
        Name of each fold.
    """

    number: IntArray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def withheld(self, fold: int) -> BoolArray:
        """(T, H, W) cells that a fold withholds."""
        return np.asarray(self.number == fold)

    def kept(self, observations: Observations, fold: int) -> Observations:
        """The observations without those that a fold withholds."""
        mask = observations.mask & ~self.withheld(fold)
        return replace(observations, values=np.where(mask, observations.values, np.nan), mask=mask)


def folds_of(mask: BoolArray, time: Steps, grid: Grid, kind: str, count: int, seed: int) -> Folds:
    """The folds that observed cells are withheld in, each cell once.

    Parameters
    ----------
    mask:
        (T, H, W) True where observed.
    kind:
        ``cells``: single cells of single steps. ``blocks``: blocks of 20 degrees of single steps. ``spans``: a
        continent or ocean basin for 24 months. These are drawn into ``count`` folds. ``regions``: a continent or ocean
        basin in all steps, one fold each; of those with few observations none is withheld.
    """
    rng = np.random.default_rng(seed)
    if kind == CELLS:
        number: IntArray = rng.integers(count, size=mask.shape).astype(np.int16)  # of days there are many
    elif kind == BLOCKS:
        row, column = grid.blocks(block_size(grid))
        drawn = rng.integers(count, size=(len(mask), row[-1] + 1, column[-1] + 1))
        number = drawn[:, row[:, None], column[None, :]]
    else:
        region, names = regions_of(grid)
        if kind == REGIONS:
            share = np.bincount(region.ravel(), mask.sum(axis=0).ravel(), len(names)) / max(mask.sum(), 1)
            chosen = np.flatnonzero(share >= FEWEST)
            fold = np.full(len(names), -1)
            fold[chosen] = np.arange(len(chosen))
            number = np.broadcast_to(fold[region], mask.shape)
            return Folds(np.where(mask, number, -1), tuple(names[one] for one in chosen))
        months = time.months
        span = (months - months[0]) // SPAN
        number = rng.integers(count, size=(span[-1] + 1, len(names)))[span[:, None, None], region]
    filled = np.unique(number[mask])  # a fold that nothing was drawn into is none
    place = np.full(count, -1, np.int16)
    place[filled] = np.arange(len(filled))
    found = np.where(mask, place[number], np.int16(-1))
    return Folds(found, tuple(f"fold {one + 1}" for one in range(len(filled))))


def block_size(grid: Grid) -> float:
    """Degrees of a block: :data:`~climrecon.grid.BLOCK_DEGREES`, or a quarter of the rows of a small region.

    An explanation of a region has smaller blocks, for a map: :data:`climrecon.methods.influence.BLOCKS_OF_REGION`.
    """
    return BLOCK_DEGREES if grid.is_global else min(BLOCK_DEGREES, float(np.ptp(grid.lat_edges)) / 4.0)


def by_block(field: FloatArray, grid: Grid) -> FloatArray:
    """(..., N) sums of (..., H, W) over blocks, see :func:`block_size`."""
    row, column = grid.blocks(block_size(grid))
    into_rows, into_columns = (np.eye(place[-1] + 1)[place] for place in (row, column))
    summed = np.einsum("...hw,hr,wc->...rc", field, into_rows, into_columns, optimize=True)
    return np.asarray(summed.reshape(*field.shape[:-2], -1))


@dataclass(frozen=True)
class Predictions:
    """What a method estimates where observations are withheld, each cell by the fold that withholds it.

    Attributes
    ----------
    mean, stddev:
        (T, H, W) estimate of the true field, of any value where nothing is withheld; the latter None where there is none.
    error_sd:
        (T, H, W) error of the observations that the method works with.
    """

    mean: FloatArray
    stddev: FloatArray | None
    error_sd: FloatArray

    @property
    def spread(self) -> FloatArray | None:
        """(T, H, W) standard deviation of a prediction of the observation."""
        return None if self.stddev is None else np.hypot(self.stddev, self.error_sd)

    def part(self, steps: slice) -> Predictions:
        """Those of some steps."""
        return Predictions(self.mean[steps], None if self.stddev is None else self.stddev[steps], self.error_sd[steps])


def withheld_sums(known: MaskedTruth, made: Predictions, noise: FloatArray, draws: dict[str, FloatArray]) -> Sums:
    """All sums that the scores of one method on withheld cells are made of.

    Parameters
    ----------
    known:
        With the observations as its truth, NaN where none is withheld, and without a mask.
    noise:
        (T, H, W) errors of the observations that are taken off squared errors, of all methods the same.
    draws:
        As of :class:`climrecon.scores.masked_truth.MethodOutput`.
    """
    found = cell_sums(known, MethodOutput(made.mean, made.spread, draws=draws))
    return found | together([_own_sums(known.part(block), made.part(block), noise[block]) for block in known.blocks])


def _own_sums(known: MaskedTruth, made: Predictions, noise: FloatArray) -> Sums:
    """What withheld cells have beyond the sums of all cells: by step, and ``block/...`` by block of cells."""
    grid, scored, spread = known.grid, known.scored, made.spread
    found: Sums = {}
    weights = np.where(scored, grid.area, 0.0)
    error = np.where(scored, made.mean - np.nan_to_num(known.truth), 0.0)
    fields = {"squares": error**2, "weight": np.ones_like(error)}
    found["noise"] = (weights * np.where(scored, noise, 0.0) ** 2).sum(axis=(1, 2))
    if spread is not None:
        sd, mean, truth = (
            np.where(scored, one, fill) for one, fill in ((spread, 1.0), (made.mean, 0.0), (known.truth, 0.0))
        )
        fields["crps"] = scores.crps_normal(mean, sd, truth)
        fields["logs"] = scores.log_score_normal(mean, sd, truth)
        found["logs"] = (weights * fields["logs"]).sum(axis=(1, 2))
    for name, field in fields.items():
        found[f"block/{name}"] = by_block((weights * field).sum(axis=0), grid)
    return found
