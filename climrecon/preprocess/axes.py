"""Latitude and longitude of a file, and the permutation to the package's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.grid import Grid
from climrecon.netcdf.coordinates import coordinate_along

#: Names of each axis, and its units; axes of projections are called y and x too.
_NAMES = {"latitude": ("lat", "latitude", "nav_lat"), "longitude": ("lon", "longitude", "nav_lon")}
_UNITS = {"latitude": "degrees_north", "longitude": "degrees_east"}
_SHORT = {"latitude": "y", "longitude": "x"}
#: Spacing of Gaussian rows varies by less than this share; what varies more is irregular.
_UNEVEN_ROWS = 0.12
#: Rows that end within this share of the spacing from a pole are taken to reach it.
_TO_THE_POLE = 0.75
#: Coordinates nearer to each other than this, degrees, are one place; longitudes in single precision are not nearer.
_SAME_PLACE = 1e-3
#: Rows within this share of the spacing from a pole are at it.
_EDGE = 0.02


@dataclass(frozen=True)
class Horizontal:
    """Horizontal axes of a file.

    ``lat_name`` and ``lon_name`` are dimensions; ``rows`` and ``columns`` the file's indices in the
    package's order (south to north, west to east); ``lat`` and ``lon`` the file's values in its order. Rows and columns
    that are written twice, as the meridian of 0 and 360 degrees, are among them once; ``notes`` say so.
    """

    lat_name: str
    lon_name: str
    lat: FloatArray
    lon: FloatArray
    rows: IntArray
    columns: IntArray
    grid: Grid
    notes: tuple[str, ...] = ()

    def place(self, row: int, column: int) -> str:
        """Where a cell of the package's order lies, in words."""
        lat, lon = np.sort(self.lat)[row], self.lon[np.argsort(eastward_longitude(self.lon))[column]]
        return f"latitude {lat:g}, longitude {lon:g}"


def wrapped_longitude(lon: FloatArray) -> FloatArray:
    """Longitudes in [-180, 180), the date line at -180 in spite of rounding."""
    return np.asarray((lon + 180.0 + 1e-6) % 360.0 - 180.0 - 1e-6)


def eastward_longitude(lon: FloatArray) -> FloatArray:
    """Longitudes that increase from west to east: in [-180, 180), but those of a region across the date line run on.

    A region begins behind the widest gap of the circle, if that is wider than any other step between its columns.
    """
    wrapped = wrapped_longitude(lon)
    ordered = np.unique(wrapped)
    steps = np.diff(ordered)
    if not len(steps) or steps.max() < 1.5 * max(ordered[0] + 360.0 - ordered[-1], float(np.median(steps))):
        return wrapped
    first = ordered[np.argmax(steps) + 1]
    return np.asarray(np.where(wrapped < first, wrapped + 360.0, wrapped))


def find_horizontal(file: netCDF4.Dataset, variable: netCDF4.Variable) -> Horizontal:
    """The horizontal axes of ``variable``.

    Raises
    ------
    InputDataError
        If they are missing, curvilinear, irregular, or edges of cells; or if one place has two different values.
    """
    latitude, longitude = (_find(file, variable, axis) for axis in _NAMES)
    if latitude is None or longitude is None or latitude.dimensions == longitude.dimensions:
        raise InputDataError(
            _no_axes(file, variable),
            "Latitude and longitude axes are expected; name a regular grid to remap the file to, e.g. grid=0.5 (degrees) "
            "or grid=r72x36.",
        )
    lat = np.ma.filled(latitude[:].astype(np.float64), np.nan)
    lon = np.ma.filled(longitude[:].astype(np.float64), np.nan)
    if not (np.isfinite(lat).all() and np.isfinite(lon).all()) or len(lat) < 2 or len(lon) < 2:
        raise InputDataError("The latitudes or longitudes hold missing values, or fewer than two.", "Repair the file.")
    names = str(latitude.dimensions[0]), str(longitude.dimensions[0])
    wrapped = eastward_longitude(lon)
    kept_rows, kept_columns = _places(lat, np.inf), _places(wrapped, 360.0)
    notes = [
        note
        for name, what, values, kept in zip(names, _NAMES, (lat, lon), (kept_rows, kept_columns), strict=True)
        for note in _once(variable, name, what, values, kept)
    ]
    rows, columns = (kept[np.argsort(values[kept])] for values, kept in ((lat, kept_rows), (wrapped, kept_columns)))
    lon_bounds = _bounds(file, longitude, columns)
    if lon_bounds is not None:
        lon_bounds = lon_bounds + (wrapped - lon)[columns, None]
    grid = Grid(_lat_edges(lat[rows], _bounds(file, latitude, rows)), _lon_edges(wrapped[columns], lon_bounds))
    _check(grid, lat[rows], wrapped[columns])
    _refuse_edges(grid, lat[rows], names)
    return Horizontal(*names, lat[kept_rows], lon[kept_columns], rows, columns, grid, tuple(notes))


def _places(values: FloatArray, circle: float) -> IntArray:
    """Indices of coordinates, in the file's order, without those of a place that an earlier one has."""
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order], append=values[order[0]] + circle)
    again = np.flatnonzero(steps < _SAME_PLACE)
    repeated = np.maximum(order[again], order[(again + 1) % len(order)])
    return np.setdiff1d(np.arange(len(values)), repeated)


def _once(variable: netCDF4.Variable, dimension: str, what: str, values: FloatArray, kept: IntArray) -> Iterator[str]:
    """Notes on rows or columns that are read once; refuses those with other values than those of the same place."""
    variable.set_auto_maskandscale(False)
    try:
        for again in np.setdiff1d(np.arange(len(values)), kept):
            apart = np.abs(values[kept] - values[again])
            first = kept[np.argmin(np.minimum(apart, np.abs(apart - 360.0)) if what == "longitude" else apart)]
            pair = f"{what} {values[again]:g}" + (f" is {values[first]:g} again" if apart.min() > 1.0 else " again")
            one, other = (
                variable[tuple(at if name == dimension else slice(None) for name in variable.dimensions)]
                for at in (first, again)
            )
            if not np.array_equal(one, other, equal_nan=variable.dtype.kind == "f"):
                raise InputDataError(
                    f"{pair.capitalize()}, with other values.",
                    f"Remove one of both from the file, e.g. with ncks -d {dimension},{kept[0]},{kept[-1]} IN OUT.",
                )
            yield f"{pair}, with equal values, and is read once"
    finally:
        variable.set_auto_maskandscale(True)


def is_called(coordinate: netCDF4.Variable, axis: str) -> bool:
    """Whether a variable is a ``latitude`` or ``longitude`` (``axis``) by its name or standard name."""
    return coordinate.name.lower() in _NAMES[axis] or _standard_name(coordinate) == axis


def _standard_name(coordinate: netCDF4.Variable) -> str:
    return str(getattr(coordinate, "standard_name", "")).lower()


def _find(file: netCDF4.Dataset, variable: netCDF4.Variable, axis: str) -> netCDF4.Variable | None:
    def fits(coordinate: netCDF4.Variable) -> bool:
        units = str(getattr(coordinate, "units", "")).lower().replace("degree_", "degrees_")
        return is_called(coordinate, axis) or units == _UNITS[axis]

    def short(coordinate: netCDF4.Variable) -> bool:
        standard = _standard_name(coordinate)
        return coordinate.name.lower() == _SHORT[axis] and "projection" not in standard and "grid_" not in standard

    coordinates = (coordinate_along(file, name, test) for test in (fits, short) for name in variable.dimensions)
    return next((one for one in coordinates if one is not None), None)


def _no_axes(file: netCDF4.Dataset, variable: netCDF4.Variable) -> str:
    curvilinear = [v.name for v in file.variables.values() if v.ndim == 2 and is_called(v, "latitude")]
    cells = coordinate_along(file, variable.dimensions[-1], lambda v: v.name.lower() in _NAMES["latitude"])
    shape = ", ".join(f"{name} ({size})" for name, size in zip(variable.dimensions, variable.shape, strict=True))
    if curvilinear:
        return f"{variable.name}[{shape}] has a curvilinear grid: {curvilinear[0]} is two-dimensional."
    if cells is not None and variable.ndim < 3:
        return f"{variable.name}[{shape}] has an unstructured grid: one dimension for all cells."
    return f"{variable.name}[{shape}] has no latitude and longitude axes."


def _bounds(file: netCDF4.Dataset, coordinate: netCDF4.Variable, order: IntArray) -> FloatArray | None:
    bounds = getattr(coordinate, "bounds", None)
    if bounds and bounds in file.variables and file[bounds].shape == (coordinate.size, 2):
        values = np.ma.filled(file[bounds][:].astype(np.float64), np.nan)[order]
        if np.isfinite(values).all():
            return np.sort(values, axis=1)
    return None


def _lat_edges(lat: FloatArray, bounds: FloatArray | None) -> NDArray[np.float64]:
    middle = 0.5 * (lat[1:] + lat[:-1])
    edges = np.concatenate([[lat[0] - (middle[0] - lat[0])], middle, [lat[-1] + (lat[-1] - middle[-1])]])
    if bounds is not None and np.allclose(bounds[1:, 0], bounds[:-1, 1], atol=1e-3):
        stated = np.append(bounds[:, 0], bounds[-1, 1])
        if (stated[:-1] <= lat).all() and (lat <= stated[1:]).all() and (np.diff(stated) > 0).all():
            edges = stated
    # Gaussian rows, rows centred on a pole and rounded bounds end at the pole, wherever halving the
    # spacing puts them: CMIP5's Gaussian bounds end at 89.98 degrees.
    near = _TO_THE_POLE * float(np.median(np.diff(lat)))
    if edges[0] < -90.0 + near:
        edges[0] = -90.0
    if edges[-1] > 90.0 - near:
        edges[-1] = 90.0
    return np.asarray(edges, np.float64)


def _lon_edges(lon: FloatArray, bounds: FloatArray | None = None) -> NDArray[np.float64]:
    step = float(np.median(np.diff(lon)))
    edges = np.append(lon - 0.5 * step, lon[-1] + 0.5 * step)
    if bounds is not None and np.allclose(bounds[1:, 0], bounds[:-1, 1], atol=1e-3):
        stated = np.append(bounds[:, 0], bounds[-1, 1])
        # Longitudes that are edges; rounded bounds about centres are no better than the centres.
        if np.allclose(stated[:-1], lon, atol=0.1 * step) or np.allclose(stated[1:], lon, atol=0.1 * step):
            edges = stated
    # 5-degree cells are exact in binary, 1.875-degree ones are not: keep the circle closed.
    if abs(edges[-1] - edges[0] - 360.0) < 0.05 * step:
        edges = edges[0] + np.linspace(0.0, 360.0, len(edges))
    return np.asarray(edges, np.float64)


def _refuse_edges(grid: Grid, lat: FloatArray, names: tuple[str, str]) -> None:
    """Refuse latitudes that are edges of cells, unless bounds say where the cells lie.

    Rows at even distance that fill the globe and begin at a pole cannot be centres: one would lie beyond a pole. Rows at
    both poles are centres.
    """
    step = 180.0 / len(lat)
    ends = np.abs([lat[0] + 90.0, lat[-1] - 90.0]) < _EDGE * step
    even = np.abs(np.diff(lat) - step).max() < _EDGE * step
    if even and ends[0] != ends[1] and np.ptp(np.diff(grid.lat_edges)) > _EDGE * step:
        shift = f"{'+' if ends[0] else '-'}{step / 2:g}"
        side, corner = ("southern", "western") if ends[0] else ("northern", "eastern")
        raise InputDataError(
            f"The {len(lat)} latitudes from {lat[0]:g} to {lat[-1]:g} are {side} edges of cells, not their centres.",
            f"Shift them, e.g. with ncap2 -s '{names[0]}={names[0]}{shift}' IN OUT, and {names[1]} too if these are "
            f"{corner} edges; or state the cells' bounds in the file.",
        )


def _check(grid: Grid, lat: FloatArray, lon: FloatArray) -> None:
    problems = []
    if np.abs(lat).max() > 90.0 + 1e-6:
        problems.append(f"latitudes reach {lat[np.argmax(np.abs(lat))]:g} degrees")
    if not problems:
        if len(lat) > 2 and np.ptp(np.diff(lat)) > _UNEVEN_ROWS * float(np.median(np.diff(lat))):
            problems.append("the latitudes are neither evenly spaced nor Gaussian")
        if len(lon) > 2 and np.ptp(np.diff(lon)) > 0.02 * float(np.median(np.diff(lon))):
            problems.append("the longitudes are not evenly spaced")
    if problems:
        raise InputDataError(
            f"The grid of {len(lat)} x {len(lon)} cells cannot be used: {'; '.join(problems)}.",
            "A regular or Gaussian latitude-longitude grid is expected, global or of a region; name one to remap the "
            "file to, e.g. grid=0.5 (degrees).",
        )
