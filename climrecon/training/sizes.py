"""How large the files of a training are, before it begins."""

from __future__ import annotations

import torch
from torch import nn

from climrecon.grid import Grid
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.low_rank import LowRankPrior
from climrecon.training import published_task
from climrecon.training.native_network import empty_network
from climrecon.training.recipes import NativeRecipe, PublishedRecipe, Recipe

#: A checkpoint holds the weights, their average, the best, and the optimiser's two moments; and one is written next to
#: the one before.
COPIES = 12


def weights_bytes(recipe: Recipe, grid: Grid, start: nn.Module | None) -> int:
    """Bytes of the weights of the network that ``recipe`` makes, or goes on from."""
    return bytes_of(start if start is not None else _empty(recipe, grid))


def bytes_of(network: nn.Module) -> int:
    """Bytes of the weights of ``network``."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def checkpoint_bytes(weights: int) -> int:
    """Bytes that checkpoints take at most: two of them while one is written."""
    return COPIES * weights


def _empty(recipe: Recipe, grid: Grid) -> nn.Module:
    if isinstance(recipe, PublishedRecipe):
        return published_task.new_network(recipe, None)
    assert isinstance(recipe, NativeRecipe)
    cells = grid.area.size
    parts = (torch.zeros(cells), torch.ones(12, cells))
    if recipe.neighbour_months:
        patterns = torch.zeros(cells, recipe.rank), torch.zeros(cells, recipe.trailing)
        size = recipe.rank + recipe.trailing
        seasons = torch.zeros(12, size, size) if recipe.seasons else None
        return empty_network(recipe, grid, FullPrior(*patterns, *parts, seasons))
    return empty_network(recipe, grid, LowRankPrior(torch.zeros(cells, recipe.rank), *parts))
