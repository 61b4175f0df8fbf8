"""Fitting our own networks: samples with a cross-fitted posterior, a Gaussian score, one cycle of the rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist

from climrecon.data.geography import land_fraction
from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.errors import InputDataError, UsageError
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import learn_low_rank
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.low_rank import LowRankPrior
from climrecon.methods.unet.correcting import PartialUNet, most_levels
from climrecon.methods.unet.network import AnalysisUNet
from climrecon.methods.unet.reconstructor import PartialUNetReconstructor
from climrecon.training import analysis_task
from climrecon.training.auxiliary import statistics
from climrecon.training.banks import VALIDATION, Choices
from climrecon.training.distributed import Workers
from climrecon.training.fields import TrainingFields
from climrecon.training.folds import folds_of, outside
from climrecon.training.gaussian import LOSSES
from climrecon.training.precision import autocast_type
from climrecon.training.recipes import NativeRecipe
from climrecon.training.samples import IMAGES, Fields, SamplePool, draw_sample_pool
from climrecon.training.validation_set import ValidationSet, draw_validation_set

#: Cells above which the covariance, a matrix of cells by cells, would not fit.
MOST_CELLS = 6000
#: Months held in memory to draw the pool from.
MOST_MONTHS = 20_000


def learn_prior(fields: TrainingFields, rows: NDArray[np.integer[Any]], recipe: NativeRecipe) -> LowRankPrior:
    """The covariance of ``rows``, or of so many of them as the recipe allows.

    Raises
    ------
    InputDataError
        If fewer than two years of them have no gaps.
    """
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, recipe.covariance_months).astype(int))]
    values = np.asarray(fields.values[rows], dtype=np.float64)
    whole = np.isfinite(values).all((1, 2))
    if whole.sum() < 24:
        raise InputDataError(
            f"{whole.sum()} of {len(rows)} training months have no missing values; 24 are needed for covariances.",
            "Train on complete fields: a network cannot be taught with what is not known.",
        )
    month = np.asarray(fields.month)[rows][whole]
    learned = learn_low_rank(values[whole], month, fields.grid, recipe.rank)
    parts = (learned.vectors, learned.residual, learned.scale)
    return LowRankPrior(*(torch.as_tensor(part.copy(), dtype=torch.float32) for part in parts))


def geography(grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Land fraction (H, W), sine of latitude (H,), area (H, W)."""
    parts = (land_fraction(grid), np.sin(np.radians(grid.lat)), grid.area)
    land, sine, area = (torch.as_tensor(np.asarray(part), dtype=torch.float32) for part in parts)
    return land, sine, area


NativeNetwork = PartialUNet | AnalysisUNet
#: Called with what is prepared, how much is done, of how much.
Drawing = Callable[[str, int, int], None]


def check_grid(recipe: NativeRecipe, grid: Grid) -> None:
    """Refuse grids that are too fine, or cannot be halved as often as the recipe's depth wants.

    Raises
    ------
    UsageError
        Saying what would fit.
    """
    if grid.area.size > MOST_CELLS:
        raise UsageError(
            f"The recipe {recipe.name} takes grids of at most {MOST_CELLS} cells; the fields are on {grid.describe()}.",
            "Prepare the training set on 36 x 72 cells.",
        )
    most = most_levels(grid)
    if recipe.depth > most:
        raise UsageError(
            f"The recipe {recipe.name} with depth={recipe.depth} halves rows and columns {recipe.depth - 1} times; "
            f"{grid.describe()} can be halved {most - 1} times.",
            f"Use depth={most} or less, and width for a larger network.",
        )


def empty_network(
    recipe: NativeRecipe,
    grid: Grid,
    prior: LowRankPrior,
    width: int | None = None,
    scale: tuple[Tensor, Tensor] | None = None,
    stride: int = 1,
    misfit: bool | None = None,
) -> NativeNetwork:
    """The recipe's network with fresh weights around ``prior``.

    ``scale`` are (V, P) mean and standard deviation of auxiliary variables; ``stride`` that of the network started from;
    ``misfit`` whether it has that channel; None: as the recipe says.
    """
    misfit = recipe.misstated > 0 if misfit is None else misfit
    parts = (*geography(grid), recipe.width if width is None else width)
    if recipe.neighbour_months:
        assert isinstance(prior, FullPrior)
        return AnalysisUNet(prior, *parts, stride, misfit, recipe.depth)
    return PartialUNet(prior, *parts, recipe.depth, recipe.auxiliary, scale)


def new_network(
    recipe: NativeRecipe, fields: TrainingFields, start: nn.Module | None, drawing: Drawing | None = None
) -> tuple[NativeNetwork, Sequence[LowRankPrior]]:
    """The network, and the cross-fit's priors.

    With ``start`` its covariance and weights are kept; it may have seen the training months, so that there is no
    cross-fit.

    Raises
    ------
    UsageError
        If the grid is too fine or ``start`` does not fit.
    """
    grid = fields.grid
    check_grid(recipe, grid)
    if start is not None:
        return continued(recipe, grid, start)
    learn: Callable[..., Any] = analysis_task.learn_full_prior if recipe.neighbour_months else learn_prior
    count = 1 if recipe.folds == 1 else recipe.folds + 1

    def report(done: int) -> None:
        if drawing is not None:
            drawing("Learning covariances", done, count)

    report(0)
    known = statistics(fields) if recipe.auxiliary else None
    tensors = None if known is None else (_single(known[0]), _single(known[1]))
    prior = learn(fields, np.arange(len(fields)), recipe)
    network = empty_network(recipe, grid, prior, scale=tensors)
    report(1)
    if recipe.folds == 1:
        return network, [network.prior]
    index = np.asarray(fields.index)
    fold = folds_of(index, recipe.folds)
    priors = []
    for number in range(recipe.folds):
        priors.append(learn(fields, np.flatnonzero(outside(index, fold, number)), recipe))
        report(number + 2)
    return network, priors


def _single(array: NDArray[Any]) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)


def continued(recipe: NativeRecipe, grid: Grid, start: nn.Module) -> tuple[NativeNetwork, Sequence[LowRankPrior]]:
    """A copy of ``start``, if it is of the recipe's kind.

    Raises
    ------
    UsageError
        If it is not.
    """
    kind = AnalysisUNet if recipe.neighbour_months else PartialUNet
    if not isinstance(start, AnalysisUNet | PartialUNet) or not isinstance(start, kind) or start.shape != grid.shape:
        found = f"{type(start).__name__} of {getattr(start, 'shape', '72 x 72')}"
        beside = "with" if recipe.neighbour_months else "without"
        raise UsageError(
            f"The recipe {recipe.name} starts from a native network {beside} neighbouring months on "
            f"{grid.describe()}; {found} was given.",
            "Choose the recipe of the network to start from (analysis for those with neighbouring months, as punet5), "
            "or another network.",
        )
    if start.depth != recipe.depth:
        raise UsageError(
            f"The network to start from has {start.depth} levels, the recipe {recipe.name} has {recipe.depth}.",
            f"Use recipe={recipe.name},depth={start.depth}, or another network.",
        )
    if start.auxiliary != recipe.auxiliary:
        raise UsageError(
            f"The network to start from takes {', '.join(start.auxiliary) or 'no auxiliary variable'}; "
            f"{', '.join(recipe.auxiliary) or 'none'} was asked for.",
            "Give auxiliary= as that network has them, or another network.",
        )
    prior = start.prior
    parts = [part.clone() for part in (prior.vectors, prior.residual, prior.scale)]
    width = start.width
    copied = (
        FullPrior(parts[0], prior.trailing.float().clone(), parts[1], parts[2], prior.coefficients_prior())
        if isinstance(prior, FullPrior)
        else LowRankPrior(*parts)
    )
    misfit = isinstance(start, AnalysisUNet) and start.misfit
    network = empty_network(recipe, grid, copied, width, stride=start.stride, misfit=misfit)
    network.load_state_dict(start.state_dict())
    return network, [network.prior]


def flat_fields(fields: TrainingFields, rows: NDArray[np.integer[Any]], fold: NDArray[np.integer[Any]]) -> Fields:
    """Months as (N, P) arrays, 0 where not scored."""
    values = np.asarray(fields.values[rows], dtype=np.float64).reshape(len(rows), -1)
    scored = np.isfinite(values)
    if fields.scored is not None:
        scored &= np.asarray(fields.scored[rows]).reshape(len(rows), -1)
    # Cells not scored still hold the best guess there is, as an analysis gives it, or 0.
    auxiliary = fields.auxiliary_at(rows)
    flat = None if auxiliary is None else auxiliary.reshape(*auxiliary.shape[:2], -1)
    return Fields(np.nan_to_num(values), scored, np.asarray(fields.month)[rows], fold, flat)


class NativeModule(nn.Module):
    """The loss of a step: the recipe's score of the true field, area-weighted over all scored cells."""

    def __init__(
        self, network: NativeNetwork, pool: SamplePool, choices: Choices, precision: torch.dtype | None, loss: str
    ) -> None:
        super().__init__()
        self.cell_loss = LOSSES[loss]
        self.network, self.pool, self.choices, self.precision = network, pool, choices, precision
        self.correct = network.correct

    def forward(self, step: int) -> Tensor:
        """The mean loss of this process's share of the samples of ``step``."""
        return self.loss(self.pool, self.choices.at(step)[0], share=True)

    def loss(self, pool: SamplePool, numbers: Tensor, share: bool = False) -> Tensor:
        """Of chosen samples. ``share``: weighted so that the mean over processes is that of their union."""
        network = self.network
        samples = pool.at(numbers)
        inputs = (samples.observed, samples.mask, samples.complete)
        if self.precision is None:
            correction = self.correct(*inputs)
        else:
            with torch.autocast(inputs[0].device.type, self.precision):
                correction = self.correct(*inputs).float()
        mean, factor = network.corrected(correction, samples.mean, samples.variance)
        stddev = factor * samples.variance.sqrt()
        error = (samples.truth - mean) / stddev
        weight = network.area * samples.scored
        total = weight.sum()
        if share and self.choices.workers.world > 1:
            dist.all_reduce(total)
            total = total / self.choices.workers.world
        return torch.as_tensor((self.cell_loss(error, stddev) * weight).sum() / total)


class NativeTask:
    """See :class:`climrecon.training.engine.Task`."""

    def __init__(
        self,
        recipe: NativeRecipe,
        network: NativeNetwork,
        pool: SamplePool,
        checks: SamplePool,
        cases: ValidationSet,
        grid: Grid,
        seed: int,
        workers: Workers,
    ) -> None:
        self.recipe, self.grid, self.cases = recipe, grid, cases
        self.network = network.to(workers.device)
        self.checks = _moved(checks, workers)
        # Samples and, behind them, their mirror images.
        images = IMAGES if recipe.mirror and not recipe.auxiliary else 1
        choices = Choices(seed, recipe.batch, (images * len(pool),), workers)
        precision = autocast_type(recipe, workers.device)
        self.module = NativeModule(self.network, _moved(pool, workers), choices, precision, recipe.loss)
        if recipe.compile:
            self.module.correct = torch.compile(self.network.correct)

    @classmethod
    def drawn(
        cls,
        recipe: NativeRecipe,
        network: NativeNetwork,
        priors: Sequence[LowRankPrior],
        fields: TrainingFields,
        validation: TrainingFields,
        masks: MaskSource,
        noise: NoiseSource,
        seed: int,
        workers: Workers,
        drawing: Drawing | None = None,
    ) -> NativeTask:
        """The task with samples of ``fields``, and with samples and whole years of ``validation``.

        Samples are drawn on the CPU, the same on any machine and in every process.
        """
        pool, checks = draw_pools(recipe, network, priors, fields, validation, masks, noise, seed, drawing)
        sd = None
        if isinstance(network, PartialUNet) and network.auxiliary:
            sd = network.further_sd.cpu().numpy()
        cases = draw_validation_set(validation, masks, noise, recipe.validation_years, seed + VALIDATION, sd)
        return cls(recipe, network, pool, checks, cases, fields.grid, seed, workers)

    def begin(self, step: int) -> None:
        """Nothing changes on the way."""

    def rate(self, step: int) -> float:
        """One cycle: warm-up, then a cosine to zero."""
        recipe = self.recipe
        if step < recipe.warm_up:
            return recipe.rate * ((step + 1) / recipe.warm_up)
        share = (step - recipe.warm_up) / max(recipe.iterations - recipe.warm_up, 1)
        return recipe.rate * (0.5 * (1.0 + math.cos(math.pi * share)))

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """``score``: the loss on held-out samples; and RMSE and the annual global mean of whole years."""
        parts = torch.split(torch.arange(len(self.checks), device=self.checks.truth.device), 64)
        score = torch.stack([self.module.loss(self.checks, part) for part in parts]).mean()
        assert isinstance(network, PartialUNet | AnalysisUNet)
        return {"score": float(score), **self.cases.score(self.estimate(network, self.cases))}

    def estimate(self, network: nn.Module, cases: ValidationSet, chunk: int = 32) -> NDArray[Any]:
        """(N, H, W) means of the validation's months."""
        if isinstance(network, AnalysisUNet):
            found = analysis_task.estimate(network, cases, self.grid)
            network.train()
            return found
        assert isinstance(network, PartialUNet)
        method = PartialUNetReconstructor("", network, 0.3, str(next(network.parameters()).device))
        parts = []
        for start in range(0, len(cases.truth), chunk):
            part = slice(start, start + chunk)
            parts.append(
                method.means(
                    cases.values[part],
                    cases.mask[part],
                    cases.stated[part],
                    cases.month[part],
                    None if cases.auxiliary is None else cases.auxiliary[part],
                )
            )
        network.train()
        return np.concatenate(parts)

    def groups(self) -> list[dict[str, Any]]:
        """One parameter group."""
        return [{"params": list(self.network.parameters()), "factor": 1.0}]


def draw_pools(
    recipe: NativeRecipe,
    network: NativeNetwork,
    priors: Sequence[LowRankPrior],
    fields: TrainingFields,
    validation: TrainingFields,
    masks: MaskSource,
    noise: NoiseSource,
    seed: int,
    drawing: Drawing | None = None,
) -> tuple[SamplePool, SamplePool]:
    """Samples to train with, and to choose the best weights with."""
    rows = np.unique(np.linspace(0, len(fields) - 1, MOST_MONTHS).astype(int))
    fold = folds_of(np.asarray(fields.index), len(priors)) if len(priors) > 1 else np.zeros(len(fields), int)
    held = np.unique(np.linspace(0, len(validation) - 1, recipe.checks).astype(int))
    names = ("Drawing training samples", "Drawing validation samples")
    counts = (recipe.pool, recipe.checks)
    if isinstance(network, AnalysisUNet):
        full = [prior for prior in priors if isinstance(prior, FullPrior)]
        chosen = (np.full(len(fields), -1), np.full(len(validation), -1))
        chosen[0][rows], chosen[1][held] = fold[rows], 0
        sets = list(zip((fields, validation), chosen, counts, names, strict=True))
        # A network that is gone on from may not see whether errors are misstated.
        misstated = recipe.misstated if network.misfit else 0.0
        pool, checks = analysis_task.draw_pools(network, full, sets, masks, noise, seed, misstated, drawing)
        return pool, checks
    reports = [None if drawing is None else (lambda done, total, w=name: drawing(w, done, total)) for name in names]
    flat = flat_fields(fields, rows, fold[rows])
    pool = draw_sample_pool(network, priors, flat, masks, noise, recipe.pool, seed + 1, reports[0])
    checked = flat_fields(validation, held, np.zeros(len(held), int))
    return pool, draw_sample_pool(network, [network.prior], checked, masks, noise, recipe.checks, seed + 2, reports[1])


def _moved(pool: SamplePool, workers: Workers) -> SamplePool:
    return SamplePool(*(part.to(workers.device) for part in vars(pool).values()))
