"""A small archive to train on: waves on the sphere whose shape depends on their sign."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.data.masks import MaskSource, smoother
from climrecon.data.noise import NoiseSource
from climrecon.grid import Grid
from climrecon.training.fields import TrainingFields
from climrecon.training.recipes import recipe
from climrecon.training.run import Trained, train

GRID = Grid.regular(8, 16)
SMOOTH = smoother(GRID, 3000.0)


def fields(months: int = 60, members: int = 2, seed: int = 0, name: str = "member") -> TrainingFields:
    rng = np.random.default_rng(seed)
    count = months * members
    waves = rng.normal(size=(count, GRID.area.size)) @ SMOOTH.T
    values = (waves + 0.8 * np.maximum(waves, 0.0)).reshape(count, *GRID.shape)
    index = np.tile(np.arange(months) + 1900 * 12, members)
    return TrainingFields(
        values.astype(np.float32),
        index % 12 + 1,
        index,
        np.repeat(np.arange(members), months),
        tuple(f"{name}{number}" for number in range(members)),
        GRID,
    )


def gaps(mask_seed: int = 1, error_level: float | None = None) -> tuple[MaskSource, NoiseSource]:
    rng = np.random.default_rng(mask_seed)
    land = rng.random(GRID.area.size) < 0.3
    masks = MaskSource(rng.random((20, GRID.area.size)) < 0.6, ~land, SMOOTH, np.repeat(GRID.lat, GRID.shape[1]))
    own = None if error_level is None else np.full((1, GRID.area.size), error_level)
    return masks, NoiseSource(SMOOTH, SMOOTH, own=own)


PUBLISHED: dict[str, Any] = {
    "rows": 16,
    "widths": (4, 6),
    "masks": 30,
    "batch": 6,
    "check_every": 10,
    "validation_years": 3,
}
UNET: dict[str, Any] = {
    "rank": 10,
    "trailing": 8,
    "width": 4,
    "pool": 80,
    "folds": 2,
    "batch": 6,
    "check_every": 10,
    "validation_years": 3,
    "checks": 20,
    "warm_up": 3,
}


def small(name: str, folder: Path, iterations: int = 30, **more: Any) -> Trained:
    """Train a small network of recipe ``name``."""
    given = dict(PUBLISHED if name == "kadow2020" else UNET)
    sources = gaps(**{key: more.pop(key) for key in ("mask_seed", "error_level") if key in more})
    names = ("seed", "start", "report", "max_hours", "drawing", "references", "shown")
    settings = {key: more.pop(key) for key in list(more) if key not in names}
    arguments: dict[str, Any] = {"seed": 3, "device": "cpu", **more}
    made = recipe(name, **{**given, "iterations": iterations, **settings})
    return train(made, fields(), fields(36, 1, 9, "held"), *sources, folder=folder, **arguments)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    small(sys.argv[1], Path(sys.argv[2]), checkpoint_seconds=0.0)
