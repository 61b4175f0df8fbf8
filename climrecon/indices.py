"""Climate indices on a grid: those that it holds, the cells that their means are over, and their weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray
from climrecon.geography import is_land
from climrecon.grid import Grid, Region
from climrecon.variables import Index

#: With less of its domain's area off the coast of a surface, a product is one of this surface alone.
_BEYOND_COASTS = 0.05


def held(grid: Grid, indices: Sequence[Index]) -> tuple[Index, ...]:
    """Those of ``indices`` whose boxes the grid holds, and whose land or sea its domain has.

    An index over all land is left out on a domain of land and its coasts: the grid's own mean is that of the land there.
    Likewise of the sea.
    """
    return tuple(one for one in indices if _holds(grid, one))


def _holds(grid: Grid, index: Index) -> bool:
    if not all(grid.holds(Region("", *box)) for box in index.boxes):
        return False
    if not all(area.any() for area in areas(grid, index)):
        return False
    return bool(index.boxes) or (grid.where != index.surface and _beyond_coasts(grid, index) >= _BEYOND_COASTS)


def _beyond_coasts(grid: Grid, index: Index) -> float:
    """Share of the domain's area in cells that neither are of the index's surface nor adjoin one that is."""
    from scipy.ndimage import binary_dilation

    cells = np.pad(_surface(grid, index), ((0, 0), (1, 1)), mode="wrap" if grid.wraps else "edge")
    near = binary_dilation(cells, np.ones((3, 3)))[:, 1:-1]
    return float(grid.area[~near].sum())


def areas(grid: Grid, index: Index) -> list[FloatArray]:
    """(H, W) areas of the cells of each mean of an index: one, or two whose means are subtracted.

    Of a box the share of the grid's whole area that each cell of the domain has within it, without a box the share of the
    domain's area. Cells of the other surface have none: land is where at least half of a cell is land.
    """
    whole: list[FloatArray] = [grid.region_weights(Region("", *box)) for box in index.boxes]
    whole = whole or [grid.area]
    return whole if index.surface is None else [np.where(_surface(grid, index), area, 0.0) for area in whole]


def weights(grid: Grid, index: Index) -> NDArray[np.float64]:
    """(H, W) weights whose sum with a field is the index; they sum to 1, or to 0 for a difference of two boxes."""
    first, *less = [area / area.sum() for area in areas(grid, index)]
    return np.asarray(first - less[0] if less else first)


def event_weights(grid: Grid, index: Index) -> NDArray[np.float64]:
    """As :func:`weights`, less the mean that the index's events are relative to."""
    box = index.event_relative_to
    return weights(grid, index) - (grid.mean_weights(Region("", *box)) if box else 0.0)


def _surface(grid: Grid, index: Index) -> BoolArray:
    land = is_land(grid)
    return land if index.surface == "land" else ~land
