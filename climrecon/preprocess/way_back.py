"""From a regular grid back to the cells of the file that was remapped to it, and the file's own values there.

A cell of the file has the mean over its area of the bilinearly interpolated field, by the middles of triangles that it is
cut into, at most about a cell of the regular grid apart; without stated corners the value at its centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.fields import Observations
from climrecon.grid import Grid
from climrecon.netcdf.opening import opened
from climrecon.preprocess.chunks import joined, read_chunk, taken
from climrecon.preprocess.climatology import anomalies_of
from climrecon.preprocess.remapping import coordinates_of, degrees, remapping_of
from climrecon.preprocess.request import PrepareRequest
from climrecon.variables import VARIABLES

#: Triangles of a cell are cut into so many along each side at most.
_MOST_CUTS = 8
#: Cells whose weights are worked out at once.
_AT_ONCE = 20_000


@dataclass(frozen=True)
class FileCells:
    """The cells of a file.

    Attributes
    ----------
    path, name:
        The file, and its variable.
    dimensions, shape:
        Of the cells in the file: two, or one of an unstructured grid.
    lat, lon:
        (N,) centres, degrees, NaN where unknown, in the file's order.
    corners:
        (N, V, 2) latitudes and longitudes of the corners, degrees; None where the file states none.
    """

    path: Path
    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    lat: FloatArray
    lon: FloatArray
    corners: FloatArray | None


@dataclass(frozen=True)
class OnFileCells:
    """What a file holds on its cells: (T, Y, X) ``values`` as the package holds them, NaN where missing, in ``dtype``.

    An unstructured grid has one column.
    """

    cells: FileCells
    values: FloatArray
    dtype: str


def read_file_cells(files: Sequence[Path], request: PrepareRequest, observations: Observations) -> OnFileCells:
    """The values of remapped ``observations`` on the cells of their files, which :func:`check_same_cells` has looked at.

    Anomalies are the file's. Absolute values are less the climatology of the cell itself, and missing where a cell has
    none.

    Raises
    ------
    InputDataError
        If their kind of values is not that of ``observations``.
    """
    own = replace(request, as_written=True, obs_variable=observations.source.variable_in_file)
    chunks = [read_chunk(Path(path), own) for path in files]
    values, time = joined(chunks, [Path(path).name for path in files], [], request.scratch)
    first, variable = chunks[0], VARIABLES[request.variable]
    base = first.base if first.anomaly else request.reference_period
    if first.anomaly != chunks[-1].anomaly or base != observations.reference_period:
        raise InputDataError(
            f"{Path(files[0]).name}: the values of its cells are taken for another kind than their means.",
            "State values=anomaly or values=absolute.",
        )
    del chunks
    if not first.anomaly and variable.kind != "absolute":
        least = variable.least_climatology if variable.kind == "ratio" else None
        values = anomalies_of(values, time, request.reference_period, ratio_from=least, out=values)
    positions = np.searchsorted(time.index, observations.time.index)
    return OnFileCells(
        cells_of(Path(files[0]), observations.source.variable_in_file, request.grid),
        taken(values, positions, request.scratch),
        first.metadata["dtype"],
    )


def check_same_cells(files: Sequence[Path], name: str, grid: str) -> None:
    """Refuse files of one record whose cells differ, which one file of the result could not hold.

    Raises
    ------
    InputDataError
        With the two files.
    """
    first, *others = (cells_of(Path(path), name, grid) for path in files)
    for one in others:
        pairs = ((one.lat, first.lat), (one.lon, first.lon))
        if one.shape != first.shape or not all(np.allclose(*pair, atol=1e-4, equal_nan=True) for pair in pairs):
            raise InputDataError(
                f"{one.path.name} and {first.path.name} have different cells; with native_grid the same are expected.",
                "Leave out native_grid, or reconstruct the files one by one.",
            )


def cells_of(path: Path, name: str, grid: str) -> FileCells:
    """The cells of the variable ``name``, which was remapped to ``grid``."""
    with opened(path) as file:
        variable = file[name]
        cells = remapping_of(path, file, variable, grid).cells
        both, corners = coordinates_of(file, variable), None
        bounds = [file.variables.get(str(getattr(one, "bounds", ""))) for one in both or ()]
        if both and all(one is not None and one.shape[:-1] == both[0].shape for one in bounds):
            count = bounds[0].shape[-1]
            # Bounds have the units of their coordinate (CF, section 7.1).
            parts = [degrees(one, of).reshape(-1, count) for one, of in zip(bounds, both, strict=True)]
            corners = np.stack(parts, axis=-1)
        dimensions = tuple(dict.fromkeys((cells.lat_name, cells.lon_name)))
        shape = tuple(file.dimensions[one].size for one in dimensions)
        return FileCells(path, name, dimensions, shape, cells.lat, cells.lon, corners)


class WayBack:
    """From fields of a regular grid to a file's cells.

    Attributes
    ----------
    nearest:
        (N,) flat index of the cell of the grid that each centre lies in, of those beyond the grid the nearest.
    reached:
        (N,) whether the centre lies in the grid's domain.
    coarser:
        Whether the file states no corners and its cells are larger than those of the grid.
    """

    def __init__(self, grid: Grid, cells: FileCells) -> None:
        self._grid, self._cells = grid, cells
        self._exists = np.ones(grid.shape, bool) if grid.exists is None else grid.exists
        lat, lon = cells.lat, cells.lon
        self._known = known = np.isfinite(lat) & np.isfinite(lon)
        row, column, inside = self._place(np.where(known, lat, 0.0), np.where(known, lon, 0.0))
        self.nearest: IntArray = row * grid.shape[1] + column
        cuts = self._cuts()
        self.coarser = cells.corners is None and cuts > 1
        self._weights = vstack([self._weights_of(part, cuts) for part in _parts(len(lat))], format="csr")
        total = np.asarray(self._weights.sum(axis=1))
        self.reached: BoolArray = known & inside & self._exists.reshape(-1)[self.nearest] & (total > 0.0)
        self._total = np.where(total > 0.0, total, 1.0)

    def __call__(self, field: FloatArray) -> FloatArray:
        """(T, N) float32 of (T, H, W), NaN where the domain does not reach."""
        complete = np.where(self._exists, field, 0.0).reshape(len(field), -1).astype(np.float64)
        found = np.asarray(self._weights @ complete.T).T / self._total
        return np.where(self.reached, found, np.nan).astype(np.float32)

    def of_nearest(self, field: NDArray[Any]) -> NDArray[Any]:
        """(T, N) values of the cells of the grid that the centres lie in."""
        return field.reshape(len(field), -1)[:, self.nearest]

    def _place(self, lat: FloatArray, lon: FloatArray) -> tuple[IntArray, IntArray, BoolArray]:
        """Rows and columns that places lie in, of places beyond the grid the nearest ones, and which are within."""
        grid, east = self._grid, self._east(lon)
        row, column = (
            np.searchsorted(e, v, side="right") - 1 for e, v in ((grid.lat_edges, lat), (grid.lon_edges, east))
        )
        inside = (lat >= grid.lat_edges[0]) & (lat <= grid.lat_edges[-1]) & (grid.wraps | (east <= grid.lon_edges[-1]))
        # Beyond a region's eastern end the nearer end counts.
        past = grid.lon_edges[-1] + (360.0 - (grid.lon_edges[-1] - grid.lon_edges[0])) / 2.0
        column = np.where(east > past, 0, column)
        return row.clip(0, grid.shape[0] - 1), column.clip(0, grid.shape[1] - 1), inside

    def _east(self, lon: FloatArray) -> FloatArray:
        first = self._grid.lon_edges[0]
        return np.asarray(np.mod(lon - first, 360.0) + first)

    def _cuts(self) -> int:
        """Parts that each side of a cell's triangles is cut into, by the sizes of cells of file and grid."""
        from scipy.spatial import KDTree

        places = _vectors(self._cells.lat[self._known], self._cells.lon[self._known])
        if len(places) < 2:
            return 1
        sample = np.random.default_rng(0).permutation(places)[:2000]
        own = np.median(KDTree(places).query(sample, 2)[0][:, 1])
        step = np.deg2rad(np.diff(self._grid.lat_edges).mean())
        return int(np.clip(np.ceil(own / step - 0.25), 1, _MOST_CUTS))

    def _weights_of(self, part: slice, cuts: int) -> csr_array:
        """(n, H * W) weights of some cells, sums of those of their points; cells outside the domain have none."""
        lat, lon, weight, cell = _points(self._cells, part, cuts)
        grid, (height, width) = self._grid, self._grid.shape
        row, column, inside = self._place(lat, lon)
        weight = np.where(inside & self._exists[row, column], weight, 0.0)
        y = np.interp(lat, grid.lat, np.arange(height))
        centres, number = grid.lon, np.arange(width)
        if grid.wraps:
            centres = np.concatenate([centres[-1:] - 360.0, centres, centres[:1] + 360.0])
            number = np.arange(-1, width + 1)
        x = np.interp(self._east(lon), centres, number)
        rows, columns, values = [], [], []
        for below in (True, False):
            for left in (True, False):
                j, i = np.floor(y).astype(int), np.floor(x).astype(int)
                share = (1.0 - (y - j) if below else y - j) * (1.0 - (x - i) if left else x - i)
                j, i = np.minimum(j + (not below), height - 1), i + (not left)
                i = i % width if grid.wraps else np.minimum(i, width - 1)
                rows.append(cell)
                columns.append(j * width + i)
                values.append(weight * share * self._exists[j, i])
        shape = (part.stop - part.start, height * width)
        found = csr_array(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape, dtype=np.float64
        )
        found.eliminate_zeros()
        return found


def _parts(count: int) -> Iterator[slice]:
    for first in range(0, count, _AT_ONCE):
        yield slice(first, min(first + _AT_ONCE, count))


def _points(cells: FileCells, part: slice, cuts: int) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Latitudes, longitudes and weights of the points that stand for some cells, and the cell of each, from 0.

    The triangles are those of the centre and each side; points are the middles of their parts.
    """
    lat, lon = cells.lat[part], cells.lon[part]
    number = np.arange(len(lat))
    known = np.isfinite(lat) & np.isfinite(lon)
    number, lat, lon = number[known], lat[known], lon[known]
    if cells.corners is None:
        return lat, lon, np.ones(len(lat)), number
    centre = _vectors(lat, lon)[:, None]
    corners = _vectors(*np.moveaxis(cells.corners[part][known], -1, 0))
    corners = np.where(np.isfinite(corners), corners, centre)
    after = np.roll(corners, -1, axis=1)
    area = np.linalg.norm(np.cross(corners - centre, after - centre), axis=-1) + 1e-12
    places, weights = [], []
    for a, b in _middles(cuts):
        middle = centre + a * (corners - centre) + b * (after - centre)
        places.append(middle)
        weights.append(area)
    x, y, z = np.moveaxis(np.stack(places), -1, 0)
    lat, lon = np.rad2deg(np.arctan2(z, np.hypot(x, y))), np.rad2deg(np.arctan2(y, x))
    every = np.broadcast_to(number[None, :, None], lat.shape)
    return lat.ravel(), lon.ravel(), np.stack(weights).ravel(), every.ravel()


def _middles(cuts: int) -> list[tuple[float, float]]:
    """Middles of the ``cuts`` ** 2 equal parts of a triangle, as shares of its two sides."""
    up = [(i + 1 / 3, j + 1 / 3) for i in range(cuts) for j in range(cuts - i)]
    down = [(i + 2 / 3, j + 2 / 3) for i in range(cuts - 1) for j in range(cuts - 1 - i)]
    return [(a / cuts, b / cuts) for a, b in (*up, *down)]


def _vectors(lat: FloatArray, lon: FloatArray) -> FloatArray:
    """(..., 3) places on the unit sphere."""
    y, x = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=-1)
