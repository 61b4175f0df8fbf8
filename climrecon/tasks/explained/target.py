"""The cells of a grid whose weighted sum is explained."""

from __future__ import annotations

import numpy as np

from climrecon import indices
from climrecon.array_types import BoolArray, FloatArray
from climrecon.errors import InputDataError
from climrecon.grid import Grid, Region
from climrecon.settings.targets import WHOLE, Target, of_index, parse_target
from climrecon.variables import VARIABLES


def target_of(text: str | None, variable: str, grid: Grid) -> Target:
    """What ``region`` names; where it is empty, the variable's first index that the grid holds, else its mean."""
    if text:
        return parse_target(text, variable)
    held = indices.held(grid, VARIABLES[variable].indices)
    return of_index(held[0]) if held else Target(WHOLE)


def weights_on(grid: Grid, target: Target) -> FloatArray:
    """(H, W) weights of the cells of ``grid``, which has the variable's domain.

    Raises
    ------
    InputDataError
        If the grid does not hold the target.
    """
    if target.place is not None:
        weights = _cell_at(grid, *target.place).astype(np.float64) * (grid.area > 0)
        held = bool(weights.any())
    elif target.index is not None:
        held = bool(indices.held(grid, [target.index]))
        weights = indices.weights(grid, target.index) if held else grid.area
    elif target.box is not None:
        region = Region(target.name, *target.box)
        held = grid.holds(region)
        weights = grid.mean_weights(region) if held else grid.area
    else:
        return grid.area
    if not held:
        raise InputDataError(
            f"The observations do not hold {target.name}: they are on {grid.describe()}.",
            f"Choose a region or a place within their domain, or region={WHOLE} for the mean of all cells.",
        )
    return weights


def _cell_at(grid: Grid, lat: float, lon: float) -> BoolArray:
    """(H, W) True in the cell that holds a place; none where the grid does not reach it."""
    row = (grid.lat_edges[:-1] <= lat) & (lat < grid.lat_edges[1:])
    row[-1] |= lat == grid.lat_edges[-1]
    edges = grid.lon_edges - grid.lon_edges[0]
    east = np.mod(lon - grid.lon_edges[0], 360.0)
    return np.asarray(row[:, None] & ((edges[:-1] <= east) & (east < edges[1:]))[None, :])
