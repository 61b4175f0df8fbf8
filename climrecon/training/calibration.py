"""Calibration of a trained network's spread: 90 % intervals hold 90 % of the unobserved cells and of means over boxes.

Two numbers are found: the factor on all standard deviations (``spread_factor``), and the factor on the deviations along
the leading patterns (``shared_factor``, see :meth:`climrecon.methods.priors.low_rank.Posterior.parts_of`). They come from
training months, each estimated with the cross-fitted covariance that has not seen the years around it. The validation
samples determine one number alone, and that of few years.

Shapes: B months, P cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.grid import Grid, Region
from climrecon.methods.priors.full_rank import LEAST_ERROR, FullPrior
from climrecon.methods.priors.low_rank import Posterior
from climrecon.methods.unet.channels import neighbour_steps
from climrecon.methods.unet.network import UNet
from climrecon.training.auxiliary import seen_of
from climrecon.training.fields import TrainingFields
from climrecon.training.folds import folds_of
from climrecon.training.samples import SamplePool, follows, known_cells

#: Share that calibrated intervals hold, and their half width in standard deviations.
SHARE = 0.9
HALF_WIDTH = math.sqrt(2.0) * float(torch.erfinv(torch.tensor(SHARE, dtype=torch.float64)))
#: Bounds of both factors, which few months determine badly.
BOUNDS = (0.6, 1.6)
#: Factors tried before the crossing is located: the share of boxes falls again where the second factor is large.
STEPS = 6
#: Errors of the observed cells, K, independent from cell to cell; they are stated, but never below the least error.
ERRORS = (0.0, 0.25, 0.5)
#: Calendar years (parts of one where the fold changes) that are estimated, at most, spread evenly over the members.
MOST_YEARS = 80
#: Coverage of the masks, as of records before 1900; how many are drawn to find one. Lab log 15 has dense masks.
COVERAGE, TRIES = (0.12, 0.40), 20
#: Boxes in degrees: southern edges of three bands, height, width. Three bands times three longitudes make nine.
SOUTHERN_EDGES, HEIGHT, WIDTH = (-55.0, -10.0, 30.0), 25.0, 50.0
#: Share of a box that the truth must cover.
BOX_KNOWN = 0.9
#: Purpose of the random stream.
STREAM = 3


@dataclass(frozen=True, eq=False)
class Judged:
    """Estimates of the months of a year whose truth is known.

    Attributes
    ----------
    error, factor:
        (B, P) of the estimate, K, and the learned factor on the standard deviation.
    posterior:
        See :class:`climrecon.methods.unet.network.UNetOutput`.
    unseen:
        (B, P) area of the cells that were not observed and whose truth is known; 0 in neighbours of the year.
    boxes:
        (3, B, P) weights of the means over boxes that were withheld; they sum to 1.
    whole:
        (3, B) months in which the truth of a box is known.
    """

    error: Tensor
    factor: Tensor
    posterior: Posterior
    unseen: Tensor
    boxes: Tensor
    whole: Tensor

    def cells(self, spread: float, shared: float) -> tuple[float, float]:
        """Area of the unobserved cells inside their intervals, and of all."""
        stddev = self.posterior.parts_of(self.factor * spread, shared).variance.sqrt()
        inside = self.error.abs() <= HALF_WIDTH * stddev
        return float((inside * self.unseen).sum()), float(self.unseen.sum())

    def means(self, spread: float, shared: float) -> tuple[float, float]:
        """Number of box means inside their intervals, and of all."""
        parts = self.posterior.parts_of(self.factor * spread, shared)
        stddev = torch.stack([self.posterior.weighted_mean_sd(weights, parts) for weights in self.boxes])
        inside = (self.boxes * self.error).sum(2).abs() <= HALF_WIDTH * stddev
        return float((inside & self.whole).sum()), float(self.whole.sum())


def calibrate(
    network: UNet,
    priors: Sequence[FullPrior],
    fields: TrainingFields,
    checks: SamplePool,
    masks: MaskSource,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Set the network's factors on the spread.

    Parameters
    ----------
    network:
        As trained; its two factors are set, on its device.
    priors:
        Covariances of the cross-fit, as the training samples were drawn with. Where there is one alone, or no box has
        known months, :func:`spread_factor` of ``checks`` sets the first factor, and the second stays.
    fields, masks:
        Months and gaps that are trained with.
    checks:
        Samples of the validation.
    progress:
        Called with the number of years that are estimated, and of all.

    Returns
    -------
    For a card: the two factors, the share inside 90 % intervals of unobserved cells and of box means, the numbers of
    months and of box means; or of validation samples.
    """
    # A small region holds none of the boxes, nor is there anything to estimate then.
    boxes = far_boxes(fields.grid).any()
    judged = _estimates(network, priors, fields, masks, seed, progress) if len(priors) > 1 and boxes else []
    if not any(bool(months.whole.any()) for months in judged):
        factor = float(network.spread_factor) * spread_factor(network, checks)
        network.spread_factor.fill_(float(np.clip(factor, *BOUNDS)))
        return {**_factors(network), "validation_samples": len(checks)}

    spread, shared = factors_of(judged)
    network.spread_factor.fill_(spread)
    network.shared_factor.fill_(shared)
    return {
        **_factors(network),
        "cells": round(_share(months.cells(spread, shared) for months in judged), 4),
        "boxes": round(_share(months.means(spread, shared) for months in judged), 4),
        "months": sum(int((months.unseen > 0).any(1).sum()) for months in judged) // len(SOUTHERN_EDGES),
        "box_means": sum(int(months.whole.sum()) for months in judged),
    }


@torch.no_grad()
def factors_of(judged: Sequence[Judged]) -> tuple[float, float]:
    """The two factors with which both shares are :data:`SHARE`, or which come nearest within :data:`BOUNDS`."""

    def spread_for(shared: float) -> float:
        return _crossing(lambda spread: _share(months.cells(spread, shared) for months in judged))

    def boxes(shared: float) -> float:
        spread = spread_for(shared)
        return _share(months.means(spread, shared) for months in judged)

    shared = _crossing(boxes)
    return spread_for(shared), shared


def _share(counts: Iterable[tuple[float, float]]) -> float:
    inside, whole = np.sum(list(counts), axis=0)
    return float(inside / whole)


def _factors(network: UNet) -> dict[str, Any]:
    return {name: round(float(getattr(network, name)), 4) for name in ("spread_factor", "shared_factor")}


def _crossing(share: Callable[[float], float]) -> float:
    """The smallest factor within :data:`BOUNDS` with which ``share`` is :data:`SHARE`, or the one that comes nearest."""
    low, high = BOUNDS
    steps = np.linspace(low, high, STEPS)
    shares: list[float] = []
    for factor in steps:
        shares.append(share(factor))
        if shares[-1] >= SHARE:
            break
    else:
        return float(steps[np.argmax(shares)])
    if len(shares) == 1:
        return low
    return float(brentq(lambda factor: share(factor) - SHARE, *steps[len(shares) - 2 : len(shares)], xtol=1e-3))


def far_boxes(grid: Grid) -> FloatArray:
    """(3, 3, P) areas of nine boxes; the three of a row are so far apart that they can be withheld at once."""

    def box(row: int, band: int, south: float) -> FloatArray:
        west = (120.0 * row + 160.0 * band) % 360.0 - 180.0
        east = (west + WIDTH + 180.0) % 360.0 - 180.0
        return grid.region_weights(Region("", south, south + HEIGHT, west, east)).reshape(-1)

    return np.array([[box(row, *band) for band in enumerate(SOUTHERN_EDGES)] for row in range(3)])


def _years(fields: TrainingFields, fold: IntArray) -> list[IntArray]:
    """Numbers of the steps of some spans (years, see ``TrainingFields.span``); a span is of one member and fold."""
    parts = np.stack([fields.member, fields.span, fold])
    years = np.split(np.arange(len(fields)), np.flatnonzero((np.diff(parts) != 0).any(0)) + 1)
    return [years[n] for n in np.unique(np.linspace(0, len(years) - 1, MOST_YEARS).astype(int))]


@torch.no_grad()
def _estimates(
    network: UNet,
    priors: Sequence[FullPrior],
    fields: TrainingFields,
    masks: MaskSource,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> list[Judged]:
    """Each year three times: with its own mask, error and boxes withheld."""
    fold = folds_of(np.asarray(fields.index), len(priors))
    groups = far_boxes(fields.grid)
    network.spread_factor.fill_(1.0)
    found = []
    years = _years(fields, fold)
    for number, year in enumerate(years):
        prior = priors[fold[year[0]]].to(network.area.device)
        for group, boxes in enumerate(groups):
            rng = np.random.default_rng([seed, STREAM, number, group])
            found.append(_judge(network, prior, fields, year, masks, ERRORS[(number + group) % 3], boxes, rng))
        if progress:
            progress(number + 1, len(years))
    return found


def _sparse(masks: MaskSource, grid: Grid, rng: np.random.Generator) -> BoolArray:
    """(P,) a mask with a coverage within :data:`COVERAGE`, or the last of :data:`TRIES`."""
    for _ in range(TRIES):
        mask = masks.draw(rng)
        if COVERAGE[0] < mask @ grid.area.reshape(-1) < COVERAGE[1]:
            break
    return mask


def _judge(
    network: UNet,
    prior: FullPrior,
    fields: TrainingFields,
    year: IntArray,
    masks: MaskSource,
    error: float,
    boxes: FloatArray,
    rng: np.random.Generator,
) -> Judged:
    ends = ((year[0] if step < 0 else year[-1], step) for step in neighbour_steps(network.neighbour_months))
    rows = np.array(sorted([*year, *(row + step for row, step in ends if follows(fields, row, step))]))
    truth = np.stack([known_cells(fields, row) for row in rows])
    known = np.isfinite(truth)
    truth = np.where(known, truth, 0.0)
    seen = known & _sparse(masks, fields.grid, rng) & ~(boxes > 0).any(0)
    observed = truth + error * rng.normal(size=truth.shape)
    counted = np.isin(rows, year)[:, None]

    def tensor(array: Any, kind: torch.dtype = torch.float32) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(network.area.device, kind)

    auxiliary = None
    if network.auxiliary:
        given, spread = fields.auxiliary_at(rows), network.auxiliary_sd.cpu().numpy()
        assert given is not None
        auxiliary = tensor([seen_of(one.reshape(len(one), -1), spread, masks, rng) for one in given])
    made = network(
        tensor(observed),
        tensor(seen, torch.bool),
        tensor(np.full(truth.shape, max(error, LEAST_ERROR))),
        tensor(np.asarray(fields.month)[rows], torch.int64),
        tensor(np.asarray(fields.index)[rows], torch.int64),
        prior,
        auxiliary,
    )
    weights = boxes[:, None] * known
    total = weights.sum(2)
    return Judged(
        made.mean - tensor(truth),
        made.factor,
        made.posterior,
        network.area * tensor(known & ~seen & counted),
        tensor(weights / np.maximum(total, 1e-12)[..., None]),
        tensor((total >= BOX_KNOWN * boxes.sum(1)[:, None]) & (total > 0) & counted[:, 0], torch.bool),
    )


@torch.no_grad()
def spread_factor(network: UNet, validation: SamplePool) -> float:
    """The factor on all standard deviations with which central 90 % intervals hold 90 % of the unseen cells.

    Errors have heavier tails than a Gaussian's: the intervals of the network with the best score hold too much.
    ``validation`` holds months that were not trained on; cells count by their area.

    Source: Kuleshov, Fenner & Ermon (2018), ICML 80:2796 (recalibration of regression), with one number.
    """
    ratios, weights = [], []
    for rows in torch.split(torch.arange(len(validation)), 64):
        samples = validation.at(rows)
        correction = network.correct(samples.observed, samples.mask, samples.complete)
        mean, factor = network.corrected(correction, samples.mean, samples.variance)
        ratios.append((samples.truth - mean).abs() / (factor * samples.variance.sqrt()))
        unseen = samples.scored & (samples.mask[:, 0].flatten(1) == 0)
        weights.append(network.area * unseen)
    ratio, order = torch.cat(ratios).flatten().sort()
    below = torch.cat(weights).flatten()[order].double().cumsum(0)
    reached = ratio[torch.searchsorted(below, SHARE * below[-1])]
    return float(reached) / HALF_WIDTH
