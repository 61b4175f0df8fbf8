"""Latitude and longitude of a file, and the permutation to the package's own order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError
from climrecon.grid import Grid

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer[Any]]

_LAT = ("lat", "latitude", "nav_lat", "y")
_LON = ("lon", "longitude", "nav_lon", "x")


@dataclass(frozen=True)
class Horizontal:
    """Horizontal axes of a file.

    ``rows`` and ``columns`` are the file's indices in the package's order (south to north, from -180);
    ``lat`` and ``lon`` the file's own values in its own order.
    """

    lat_name: str
    lon_name: str
    lat: FloatArray
    lon: FloatArray
    rows: IntArray
    columns: IntArray
    grid: Grid


def find_horizontal(file: netCDF4.Dataset, variable: netCDF4.Variable) -> Horizontal:
    """The horizontal axes of ``variable``.

    Raises
    ------
    InputDataError
        If they are missing, curvilinear, irregular, or do not cover the globe.
    """
    lat_name, lon_name = (
        _name(file, variable, _LAT, "degrees_north"),
        _name(file, variable, _LON, "degrees_east"),
    )
    if lat_name is None or lon_name is None:
        found = ", ".join(f"{name} {file[name].shape}" for name in file.variables)
        curvilinear = any(file[name].ndim == 2 for name in file.variables if name.lower() in _LAT)
        raise InputDataError(
            f"{variable.name} has a curvilinear grid (two-dimensional latitudes)."
            if curvilinear
            else f"{variable.name}{variable.dimensions} has no latitude and longitude axis; the file holds {found}.",
            "A global latitude-longitude grid is expected; remap the file first, e.g. cdo remapcon,r72x36.",
        )
    lat = np.ma.filled(file[lat_name][:].astype(np.float64), np.nan)
    lon = np.ma.filled(file[lon_name][:].astype(np.float64), np.nan)
    if not (np.isfinite(lat).all() and np.isfinite(lon).all()) or len(lat) < 2 or len(lon) < 2:
        raise InputDataError(
            "The latitudes or longitudes hold missing values, or fewer than two.", "Repair the file."
        )
    rows = np.argsort(lat)
    wrapped = np.where(lon >= 180.0 - 1e-6, lon - 360.0, lon)
    wrapped = np.where(wrapped < -180.0 - 1e-6, wrapped + 360.0, wrapped)
    columns = np.argsort(wrapped)
    grid = Grid(_lat_edges(lat[rows], _bounds(file, lat_name, rows)), _lon_edges(wrapped[columns]))
    _check(grid, lat[rows], wrapped[columns])
    return Horizontal(lat_name, lon_name, lat, lon, rows, columns, grid)


def _name(
    file: netCDF4.Dataset, variable: netCDF4.Variable, names: tuple[str, ...], units: str
) -> str | None:
    for dimension in variable.dimensions:
        if dimension in file.variables and file[dimension].ndim == 1:
            coordinate = file[dimension]
            given = str(getattr(coordinate, "units", "")).lower().replace("degree_", "degrees_")
            if dimension.lower() in names or given == units:
                return str(dimension)
    return None


def _bounds(file: netCDF4.Dataset, name: str, order: IntArray) -> FloatArray | None:
    bounds = getattr(file[name], "bounds", None)
    if bounds and bounds in file.variables and file[bounds].shape == (len(order), 2):
        values = np.ma.filled(file[bounds][:].astype(np.float64), np.nan)[order]
        if np.isfinite(values).all():
            return np.sort(values, axis=1)
    return None


def _lat_edges(lat: FloatArray, bounds: FloatArray | None) -> FloatArray:
    if bounds is not None and np.allclose(bounds[1:, 0], bounds[:-1, 1], atol=1e-3):
        edges = np.append(bounds[:, 0], bounds[-1, 1])
        if (edges[:-1] < lat).all() and (lat < edges[1:]).all():
            return np.asarray(np.clip(edges, -90.0, 90.0))
    middle = 0.5 * (lat[1:] + lat[:-1])
    first, last = lat[0] - (middle[0] - lat[0]), lat[-1] + (lat[-1] - middle[-1])
    # Gaussian rows and rows centred on a pole end at the pole, wherever halving the spacing puts them.
    near = 0.75 * float(np.median(np.diff(lat)))
    first = -90.0 if first < -90.0 + near else first
    last = 90.0 if last > 90.0 - near else last
    return np.concatenate([[first], middle, [last]])


def _lon_edges(lon: FloatArray) -> FloatArray:
    step = float(np.median(np.diff(lon)))
    edges = np.append(lon - 0.5 * step, lon[-1] + 0.5 * step)
    # 5-degree cells are exact in binary, 1.875-degree ones are not: keep the circle closed.
    if abs(edges[-1] - edges[0] - 360.0) < 0.05 * step:
        edges = edges[0] + np.linspace(0.0, 360.0, len(edges))
    return np.asarray(edges)


def _check(grid: Grid, lat: FloatArray, lon: FloatArray) -> None:
    problems = []
    if (np.diff(lat) <= 0).any() or (np.diff(lon) <= 0).any():
        problems.append("a latitude or longitude stands there twice")
    if np.abs(lat).max() > 90.0 + 1e-6:
        problems.append(f"latitudes reach {lat[np.argmax(np.abs(lat))]:g} degrees")
    if len(lon) > 2 and np.ptp(np.diff(lon)) > 0.02 * float(np.median(np.diff(lon))):
        problems.append("the longitudes are not evenly spaced")
    if not grid.wraps:
        problems.append(f"the longitudes cover {grid.lon_edges[-1] - grid.lon_edges[0]:g} of 360 degrees")
    if not (np.isclose(grid.lat_edges[0], -90) and np.isclose(grid.lat_edges[-1], 90)):
        problems.append(f"the latitudes cover {grid.lat_edges[0]:g} to {grid.lat_edges[-1]:g}")
    if problems:
        raise InputDataError(
            f"The grid cannot be used: {'; '.join(problems)}.",
            "A global, regular or Gaussian latitude-longitude grid is expected.",
        )
