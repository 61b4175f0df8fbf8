"""Training of the native network from :class:`TrainingFields`, with the existing loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from climrecon.covariance import learn_low_rank
from climrecon.data.geography import land_fraction
from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.grid import Grid
from climrecon.model.lowrank import LowRankPrior
from climrecon.model.unet import PartialUNet
from climrecon.training.fields import TrainingFields
from climrecon.training.loop import History, Schedule, fit
from climrecon.training.samples import Fields, draw_pool

MOST_MONTHS = 3000


@dataclass(frozen=True)
class Trained:
    """Network and history."""

    network: PartialUNet
    history: History


def _prior(values: np.ndarray, month: np.ndarray, grid: Grid, rank: int) -> LowRankPrior:
    learned = learn_low_rank(values.reshape(-1, *grid.shape), month, grid, rank)
    parts = (learned.vectors, learned.residual, learned.scale)
    return LowRankPrior(*(torch.as_tensor(part.copy(), dtype=torch.float32) for part in parts))


def train(
    recipe: str,
    fields: TrainingFields,
    validation: TrainingFields,
    masks: MaskSource,
    noise: NoiseSource,
    *,
    folder: Path,
    seed: int,
    device: str,
    iterations: int | None,
    max_hours: float | None,
    start: object,
    report: Callable[[int, int, float, float], None],
) -> Trained:
    """Train."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    grid = fields.grid
    chosen = np.sort(rng.permutation(len(fields))[:MOST_MONTHS])
    values = np.asarray(fields.values[chosen], dtype=np.float64).reshape(len(chosen), -1)
    month = fields.month[chosen]
    steps = iterations or 4000
    prior = _prior(values, month, grid, 60)
    land = land_fraction(grid)
    network = PartialUNet(
        prior,
        torch.as_tensor(land, dtype=torch.float32),
        torch.as_tensor(np.sin(np.radians(grid.lat)), dtype=torch.float32),
        torch.as_tensor(grid.area, dtype=torch.float32),
        16,
    )
    zeros = np.zeros(len(chosen), dtype=int)
    pool_fields = Fields(values, np.isfinite(values), month, zeros)
    pool = draw_pool(network, [prior], pool_fields, masks, noise, min(200, 16 * steps), seed + 1)
    held = np.asarray(validation.values[:: max(1, len(validation) // 100)], dtype=np.float64)
    held = held.reshape(len(held), -1)
    held_month = validation.month[:: max(1, len(validation) // 100)]
    check_fields = Fields(held, np.isfinite(held), held_month, np.zeros(len(held), dtype=int))
    checks = draw_pool(network, [prior], check_fields, masks, noise, 64, seed + 2)
    history = fit(network, pool, checks, Schedule(steps=steps), seed, report)
    return Trained(network, history)
