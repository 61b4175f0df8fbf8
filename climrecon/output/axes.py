"""The axes of a result: the source file's own latitude and longitude, months with their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cftime
import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.fields import Steps
from climrecon.grid import Grid
from climrecon.output.product import Product
from climrecon.preprocess.axes import eastward_longitude

_CALENDARS = (
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "noleap",
    "365_day",
    "360_day",
    "julian",
    "all_leap",
    "366_day",
)
TIME_UNITS = "days since 1850-01-01 00:00:00"
#: Of missing values.
FILL = np.float32(1e20)


def add_variable(
    file: netCDF4.Dataset,
    name: str,
    kind: str,
    dimensions: tuple[str, ...],
    attributes: Mapping[str, Any],
    values: Any,
    **storage: Any,
) -> None:
    """Add a variable with its attributes and values; ``storage`` as of ``Dataset.createVariable``."""
    variable = file.createVariable(name, kind, dimensions, **storage)
    variable.setncatts(dict(attributes))
    variable[:] = values


def add_grid(file: netCDF4.Dataset, grid: Grid, *, long_name: bool = True) -> None:
    """Add the axes ``lat`` and ``lon`` of a grid, see :func:`add_horizontal_axis`."""
    for name, centres, edges in (("lat", grid.lat, grid.lat_edges), ("lon", grid.lon, grid.lon_edges)):
        add_horizontal_axis(file, name, centres, np.stack([edges[:-1], edges[1:]], axis=1), long_name=long_name)


def add_horizontal_axis(
    file: netCDF4.Dataset, name: str, values: FloatArray, bounds: FloatArray, *, long_name: bool = True
) -> None:
    """Add ``lat`` or ``lon``: dimension, (N,) cell centres and (N, 2) bounds, degrees; ``bnds`` where it is not there."""
    standard, units, axis = {"lat": ("latitude", "degrees_north", "Y"), "lon": ("longitude", "degrees_east", "X")}[name]
    file.createDimension(name, len(values))
    described = {"standard_name": standard, "long_name": standard, "units": units, "axis": axis}
    if not long_name:
        del described["long_name"]
    _add_axis(file, name, described, values, bounds)


def add_time_axis(file: netCDF4.Dataset, time: Steps, calendar: str, name: str = "time") -> None:
    """Add the middle of each step and its bounds to a file with the dimension ``name``; ``bnds`` as for lat and lon."""
    calendar = calendar if calendar in _CALENDARS else "standard"
    described = {"standard_name": "time", "long_name": "time", "units": TIME_UNITS, "calendar": calendar, "axis": "T"}
    _add_axis(file, name, described, *step_coordinates(time, calendar))


def _add_axis(
    file: netCDF4.Dataset, name: str, described: Mapping[str, str], values: FloatArray, bounds: FloatArray
) -> None:
    if "bnds" not in file.dimensions:
        file.createDimension("bnds", 2)
    add_variable(file, name, "f8", (name,), {**described, "bounds": f"{name}_bnds"}, values)
    add_variable(file, f"{name}_bnds", "f8", (name, "bnds"), {}, bounds)


def write_axes(file: netCDF4.Dataset, product: Product) -> None:
    """Create the dimensions and the time, latitude and longitude variables with their bounds.

    Latitude, longitude and their order are those of the file that was read; a time axis that is not CF is
    rewritten: the middle of each step, with bounds, in the source's calendar where CF knows it.
    """
    source, time, grid = product.observations.source, product.observations.time, product.observations.grid
    file.createDimension("time", None)
    add_time_axis(file, time, source.calendar)
    twice = len(source.lat) == 2 * grid.shape[0]
    lat_edges = grid.lat_edges
    if twice:
        lat_edges = np.interp(np.arange(2 * grid.shape[0] + 1) / 2.0, np.arange(grid.shape[0] + 1), grid.lat_edges)
    rows, columns = np.argsort(np.argsort(source.lat)), np.argsort(np.argsort(eastward_longitude(source.lon)))
    lon_bounds = np.stack([grid.lon_edges[:-1], grid.lon_edges[1:]], axis=1)[columns]
    lon_bounds += (np.round((source.lon - lon_bounds.mean(1)) / 360.0) * 360.0)[:, None]
    add_horizontal_axis(file, "lat", source.lat, np.stack([lat_edges[:-1], lat_edges[1:]], axis=1)[rows])
    add_horizontal_axis(file, "lon", source.lon, lon_bounds)


def step_coordinates(time: Steps, calendar: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T,) middle and (T, 2) bounds of each step as numbers in the file's time units."""
    bounds = np.asarray(cftime.date2num(time.edges(calendar), TIME_UNITS, calendar=calendar), dtype=np.float64)
    return bounds.mean(axis=1), bounds
