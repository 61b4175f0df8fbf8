"""How large the files of a training are, before it begins."""

from __future__ import annotations

from torch import nn

from climrecon.grid import Grid
from climrecon.methods.unet.build import empty_unet
from climrecon.training import published_task
from climrecon.training.recipe_settings import PublishedRecipe, Recipe, UNetRecipe

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
    assert isinstance(recipe, UNetRecipe)
    own = {"misfit": recipe.misfit, "auxiliary": recipe.auxiliary, "rows": grid.shape[0], "columns": grid.shape[1]}
    return empty_unet({**recipe.model_dump(), **own})
