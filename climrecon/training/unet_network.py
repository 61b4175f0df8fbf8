"""Our own network for a recipe: covariances learned from training months, fresh weights, or those of another network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError, UsageError
from climrecon.geography import land_fraction
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import learn_patterns
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.unet.build import build_unet, unet_arguments
from climrecon.methods.unet.network import UNet, most_levels
from climrecon.methods.unet.partial import padding_of
from climrecon.training.auxiliary import statistics
from climrecon.training.calendar import margin_of
from climrecon.training.fields import TrainingFields
from climrecon.training.folds import folds_of, outside
from climrecon.training.forcing import Forcing, forces, responses_of_runs
from climrecon.training.rarely_known import FEWEST, with_neighbours
from climrecon.training.recipe_settings import UNetRecipe
from climrecon.training.source_weights import month_weights, spread_over_sets

#: Cells above which the covariance, a matrix of cells by cells, would not fit.
MOST_CELLS = 6000
#: Settings in which a recipe has to agree with the network that it goes on with.
CONTINUED = ("neighbour_months", "stride", "depth", "keeps_mean")


def _single(array: NDArray[Any]) -> Tensor:
    return torch.as_tensor(np.array(array, np.float32, order="C"))


def learn_full_prior(fields: TrainingFields, rows: IntArray, recipe: UNetRecipe, forcing: Forcing) -> FullPrior:
    """The covariance of ``rows``, or of so many of them as the recipe allows; cells may be missing.

    Training sets count by the weights of ``fields``. ``forcing`` adds the directions of other climates.

    Raises
    ------
    InputDataError
        If there are fewer than 24 fields, or too many cells are known in fewer.
    """
    rows = spread_over_sets(fields, rows[month_weights(fields, rows) > 0], recipe.covariance_months)
    if len(rows) < FEWEST:
        raise InputDataError(
            f"There are {len(rows)} training {fields.frequency.plural}; {FEWEST} are needed for covariances.",
            f"Train on more {fields.frequency.plural}: a longer period or more members.",
        )
    values: NDArray[np.floating[Any]] = np.asarray(fields.values[rows], dtype=np.float64)
    if fields.scored is not None:
        known = np.asarray(fields.scored[rows])
        # What is hardly ever known is taken as its producer filled it: no covariance would be worse.
        rare = known.sum(axis=0) < FEWEST
        values = np.where(known | rare, values, np.nan)
    values = with_neighbours(values, fields.grid)
    cells = int((fields.grid.area > 0).sum())
    rank = min(recipe.rank, cells)
    trailing = min(recipe.trailing, cells - rank)
    learned = learn_patterns(
        values,
        np.asarray(fields.month)[rows],
        fields.grid,
        rank + trailing,
        forced=forcing.directions(),
        seasons=recipe.seasons,
        weights=month_weights(fields, rows),
        tapers=recipe.tapers,
    )
    first, others = _single(learned.vectors[:, :rank]), _single(learned.vectors[:, rank:])
    seasons = None if learned.seasons is None else _single(learned.seasons)
    return FullPrior(first, others, _single(learned.residual), _single(learned.scale), seasons)


def set_normal(network: UNet, normal: FloatArray) -> None:
    """Have ``network`` take transformed values about their (12, P) mean ``normal``."""
    network.normal = torch.as_tensor(normal)


def geography(grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Land fraction (H, W), sine of latitude (H,), area (H, W)."""
    return _single(land_fraction(grid)), _single(np.sin(np.radians(grid.lat))), _single(grid.area)


#: Called with what is prepared, how much is done, of how much.
Drawing = Callable[[str, int, int], None]


def check_grid(recipe: UNetRecipe, grid: Grid) -> None:
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


def new_network(
    recipe: UNetRecipe,
    fields: TrainingFields,
    start: nn.Module | None,
    forcing: Forcing,
    drawing: Drawing | None = None,
) -> tuple[UNet, Sequence[FullPrior]]:
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
        network = continued(recipe, grid, start)
        return network, [network.prior]
    count = 1 if recipe.folds == 1 else recipe.folds + 1

    def report(done: int) -> None:
        if drawing is not None:
            drawing("Learning covariances", done, count)

    report(0)
    network = UNet(
        learn_full_prior(fields, np.arange(len(fields)), recipe, forcing),
        *geography(grid),
        width=recipe.width,
        stride=recipe.stride,
        depth=recipe.depth,
        padding=padding_of(grid),
        misfit=recipe.misfit,
        neighbour_months=recipe.neighbour_months,
        sees_level=recipe.sees_level,
        keeps_mean=recipe.keeps_mean,
        auxiliary=recipe.auxiliary,
        statistics=statistics(fields) if recipe.auxiliary else None,
    )
    report(1)
    if recipe.folds == 1:
        return network, [network.prior]
    index = np.asarray(fields.index)
    fold = folds_of(index, recipe.folds)
    priors = []
    for number in range(recipe.folds):
        rows = np.flatnonzero(outside(index, fold, number, margin_of(fields.frequency)))
        priors.append(learn_full_prior(fields, rows, recipe, forcing))
        report(number + 2)
    return network, priors


def refitted(network: UNet, fields: TrainingFields, recipe: UNetRecipe, forcing: Forcing) -> UNet:
    """The same weights on covariances and the runs' own responses that are learned from all of ``fields``."""
    if forces(recipe, fields.frequency):
        forcing = replace(forcing, runs=responses_of_runs(fields))
    prior = learn_full_prior(fields, np.arange(len(fields)), recipe, forcing)
    kept = {name: part for name, part in network.state_dict().items() if not name.startswith("prior.")}
    weights = {**kept, **{f"prior.{name}": part for name, part in prior.state_dict().items()}}
    return build_unet("the network with covariances of all months", weights, unet_arguments(network))


def continued(recipe: UNetRecipe, grid: Grid, start: nn.Module) -> UNet:
    """A copy of ``start``, if it is of the recipe's kind.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not isinstance(start, UNet) or start.shape != grid.shape:
        given = type(start).__name__ + (f" of {start.shape}" if isinstance(start, UNet) else "")
        raise UsageError(
            f"The recipe {recipe.name} starts from a network of its own kind on {grid.describe()}; {given} was given.",
            "Choose the recipe of the network to start from, or another network.",
        )
    for setting in CONTINUED:
        there, wanted = getattr(start, setting), getattr(recipe, setting)
        if there != wanted:
            raise UsageError(
                f"The network to start from has {setting}={there}, the recipe {recipe.name} has {setting}={wanted}.",
                f"Use recipe={recipe.name},{setting}={there}, or another network.",
            )
    if start.auxiliary != recipe.auxiliary:
        raise UsageError(
            f"The network to start from takes {', '.join(start.auxiliary) or 'no auxiliary variable'}; "
            f"{', '.join(recipe.auxiliary) or 'none'} was asked for.",
            "Give auxiliary= as that network has them, or another network.",
        )
    return build_unet("the network to start from", start.state_dict(), unet_arguments(start)).train()
