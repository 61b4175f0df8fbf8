"""Fitting our own network: samples with a cross-fitted posterior, a Gaussian score, one cycle of the rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from climrecon.array_types import FloatArray
from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.fields import Auxiliary
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.training.banks import BANK, NEIGHBOURS, VALIDATION, Choices, MaskErrorBank
from climrecon.training.distributed import Workers
from climrecon.training.fields import TrainingFields
from climrecon.training.folds import folds_of
from climrecon.training.forcing import Forcing
from climrecon.training.gaussian import LOSSES
from climrecon.training.precision import autocast_type, convolutions_in
from climrecon.training.recipe_settings import UNetRecipe
from climrecon.training.samples import IMAGES, PackedSamples, SamplePool, draw_samples, sample_parts
from climrecon.training.source_weights import spread
from climrecon.training.unet_network import Drawing
from climrecon.training.validation_set import ValidationSet, draw_validation_set

#: Most months that samples are drawn from.
MOST_MONTHS = 20_000


class UNetModule(nn.Module):
    """The loss of a step: the recipe's score of the true field, area-weighted over all scored cells."""

    def __init__(
        self,
        network: UNet,
        pool: SamplePool | PackedSamples,
        choices: Choices,
        precision: torch.dtype | None,
        loss: str,
    ) -> None:
        super().__init__()
        self.cell_loss = LOSSES[loss]
        self.network, self.pool, self.choices, self.precision = network, pool, choices, precision
        self.correct = network.correct

    def forward(self, step: int) -> Tensor:
        """The mean loss of this process's share of the samples of ``step``."""
        return self.loss(self.pool, self.choices.at(step)[0], share=True)

    def loss(self, pool: SamplePool | PackedSamples, numbers: Tensor, share: bool = False) -> Tensor:
        """Of chosen samples. ``share``: weighted so that the mean over processes is that of their union."""
        network = self.network
        samples = pool.at(numbers)
        with convolutions_in(self.precision, samples.observed.device):
            correction = self.correct(samples.observed, samples.mask, samples.complete)
        mean, factor = network.corrected(correction.float(), samples.mean, samples.variance)
        stddev = factor * samples.variance.sqrt()
        error = (samples.truth - mean) / stddev
        weight = network.area * samples.scored
        total = weight.sum()
        if share and self.choices.workers.world > 1:
            dist.all_reduce(total)
            total = total / self.choices.workers.world
        return torch.as_tensor((self.cell_loss(error, stddev) * weight).sum() / total)


class UNetTask:
    """See :class:`climrecon.training.engine.Task`."""

    def __init__(
        self,
        recipe: UNetRecipe,
        network: UNet,
        pool: SamplePool | PackedSamples,
        checks: SamplePool,
        cases: ValidationSet,
        seed: int,
        workers: Workers,
    ) -> None:
        self.recipe, self.cases = recipe, cases
        self.network = network.to(workers.device)
        self.checks = checks.to(workers.device)
        # Samples and, behind them, their mirror images.
        images = IMAGES if recipe.mirror else 1
        choices = Choices(seed, recipe.batch, (images * len(pool),), workers)
        precision = autocast_type(recipe, workers.device)
        self.module = UNetModule(self.network, pool.to(workers.device), choices, precision, recipe.loss)
        if recipe.compile:
            self.module.correct = torch.compile(self.network.correct)

    @classmethod
    def drawn(
        cls,
        recipe: UNetRecipe,
        network: UNet,
        priors: Sequence[FullPrior],
        fields: TrainingFields,
        validation: TrainingFields,
        masks: MaskSource,
        noise: NoiseSource,
        seed: int,
        workers: Workers,
        forcing: Forcing,
        drawing: Drawing | None = None,
        folder: Path | None = None,
    ) -> UNetTask:
        """The task with samples of ``fields``, and with samples and whole years of ``validation``.

        Samples are drawn on the CPU, the same on any machine and in every process, and kept in ``folder``.
        """
        # A network that is gone on from may not see whether errors are misstated.
        misstated = recipe.misstated if network.misfit else 0.0
        size = min(BANK, max(recipe.pool, recipe.checks))
        step = 12.0 * fields.frequency.years
        draws = MaskErrorBank(masks, noise, seed, size, misstated, max(NEIGHBOURS, network.neighbour_months), step)
        fold, check = np.full(len(fields), -1), np.full(len(validation), -1)
        rows = spread(np.arange(len(fields)), MOST_MONTHS)
        fold[rows] = folds_of(np.asarray(fields.index), len(priors))[rows] if len(priors) > 1 else 0
        check[spread(np.arange(len(validation)), recipe.checks)] = 0
        reports = [
            None if drawing is None else partial(drawing, f"Drawing {what} samples")
            for what in ("training", "validation")
        ]
        parts = sample_parts(network, priors, fields, fold, draws, recipe.pool, seed + 1, forcing, reports[0])
        pool = PackedSamples(recipe.pool, parts, folder)
        # The best weights are chosen on months as they were.
        checks = draw_samples(
            network, [network.prior], validation, check, draws, recipe.checks, seed + 2, progress=reports[1]
        )
        sd = network.auxiliary_sd.cpu().numpy() if network.auxiliary else None
        cases = draw_validation_set(validation, masks, noise, recipe.validation_years, seed + VALIDATION, sd)
        return cls(recipe, network, pool, checks, cases, seed, workers)

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
        assert isinstance(network, UNet)
        scores = self.cases.score(estimate(network, self.cases))
        network.train()
        return {"score": float(score), **scores}

    def groups(self) -> list[dict[str, Any]]:
        """One parameter group."""
        return [{"params": list(self.network.parameters()), "factor": 1.0}]


def estimate(network: UNet, cases: ValidationSet) -> FloatArray:
    """(N, H, W) means of the validation's months; the network is put into evaluation mode."""
    # Distances are for a calibration to a data set, which is not made here.
    method = UNetReconstructor("", network, 0.3, 0.0, np.zeros((1, 1)), str(network.area.device))
    if cases.auxiliary is not None:
        method = method.with_auxiliary(Auxiliary(network.auxiliary, cases.index, cases.auxiliary))
    return cases.estimate(method)


def persistence_of(network: UNet, cases: ValidationSet, seed: int) -> float:
    """Correlation of the error of the global mean from month to month, 0 to 0.95; 0 where there are too few months.

    It is that of realisations, which hold what missing cells and the cells' own errors leave open: errors that persist
    are for a data set's ensemble to state. So the cases are observed with independent errors, as large as stated.
    """
    noise = np.random.default_rng(seed).normal(size=cases.truth.shape).astype(np.float32)
    observed = np.where(cases.mask, cases.truth + cases.stated * noise, np.float32(0.0))
    error = np.where(cases.scored, estimate(network, replace(cases, values=observed)) - cases.truth, 0.0)
    series = (error * cases.grid.area).sum((1, 2))
    follows = np.diff(cases.index) == 1
    first, second = series[:-1][follows], series[1:][follows]
    if len(first) < 10 or first.std() == 0 or second.std() == 0:
        return 0.0
    return round(float(np.clip(np.corrcoef(first, second)[0, 1], 0.0, 0.95)), 2)
