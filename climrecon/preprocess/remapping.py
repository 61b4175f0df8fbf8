"""Files on curvilinear, rotated or unstructured grids, remapped to a regular grid as they are read."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from climrecon.array_types import FloatArray
from climrecon.errors import InputDataError
from climrecon.grid import Grid
from climrecon.netcdf.forms import readable
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time
from climrecon.preprocess.axes import Horizontal, eastward_longitude, find_horizontal, is_called
from climrecon.preprocess.cdo import cdo_folder, link, run_cdo, write_grid
from climrecon.preprocess.regrid import OBSERVED_SHARE, ROUNDING, means_and_shares, write_fields

#: A step in degrees, and the columns and rows of a global grid.
STEP, GLOBAL = re.compile(r"\d{1,2}(\.\d{1,4})?"), re.compile(r"r(\d{1,4})x(\d{1,4})")
#: Most cells of a grid that is asked for; more are a misprint, or no work for these methods.
MOST_CELLS = 2_000_000
#: Columns and rows that a cell of the grid is cut into where the file states no corners of its cells.
_FINER = 4
_NO_CORNERS = "corner coordinates missing"


@dataclass(frozen=True)
class Remapping:
    """From the cells of a file to a regular grid.

    Attributes
    ----------
    path, name:
        The file, and its variable.
    cells:
        How the variable lies in the file: rows and columns as they stand there; one column of an unstructured grid. Its
        latitudes and longitudes are those of all cells, row by row, NaN where unknown.
    target:
        The axes of the regular grid.
    """

    path: Path
    name: str
    cells: Horizontal
    target: Horizontal

    def __call__(self, values: FloatArray, notes: list[str]) -> FloatArray:
        """(T, H, W) area means of (T, Y, X) ``values`` of the file's cells, NaN where less than half of a cell is known.

        First-order conservative (cdo's ``remapcon``). Where the file states no corners of its cells, values are taken
        bilinearly at the points of a finer grid first.

        Raises
        ------
        InputDataError
            If cdo cannot use the file's grid.
        """
        mask = np.isfinite(values)
        with (
            tempfile.TemporaryDirectory(prefix="climrecon-") as scratch,
            cdo_folder(Path(scratch), self.target.grid) as folder,
        ):
            fields = {"weighted": np.where(mask, values, 0.0), "share": mask.astype(np.float32)}
            write_fields(fields, folder / "in.nc")
            run_cdo(["-seltimestep,1", f"-selname,{self.name}", link(self.path, folder), "cells.nc"], folder)
            source = ("-setgrid,cells.nc", "in.nc", "out.nc")
            how = "remapped conservatively"
            try:
                run_cdo(["-remapcon,grid.txt", *source], folder, CDO_REMAP_NORM="destarea")
            except InputDataError as error:
                if _NO_CORNERS not in error.message:
                    raise
                if self.cells.grid.shape[1] == 1:
                    raise InputDataError(
                        f"The unstructured grid of {self.name} has no corners of its cells.",
                        "Add their bounds to the file, or remap it first, e.g. cdo remapdis,GRID IN OUT.",
                    ) from error
                write_grid(finer(self.target.grid), folder / "finer.txt")
                run_cdo(["-remapcon,grid.txt", "-remapbil,finer.txt", *source], folder, CDO_REMAP_NORM="destarea")
                how = "remapped bilinearly to a finer grid, since the file states no corners of its cells, and then"
                how += " conservatively"
            with netCDF4.Dataset(folder / "out.nc") as file:
                mean, share = means_and_shares(file["weighted"][:], file["share"][:])
        notes.append(f"{how} to {self.target.grid.describe()}, by grid; cells at least half observed count as observed")
        return np.where(share >= OBSERVED_SHARE - ROUNDING, mean, np.nan).astype(np.float32)


def remapping_of(path: Path, file: netCDF4.Dataset, variable: netCDF4.Variable, wanted: str) -> Remapping:
    """The remapping of ``variable`` to the grid that is ``wanted``: a step in degrees, ``r360x180``, or a file.

    Raises
    ------
    InputDataError
        If the variable has no coordinates of its cells, or not rows before columns, or the grid cannot be used.
    """
    lat, lon, dimensions = _coordinates(file, variable)
    if _is_eastward(file, dimensions[0]):
        rows, columns = dimensions[-1], dimensions[0]
        raise InputDataError(
            f"{variable.name} has its columns ({columns}) before its rows ({rows}); cdo expects rows first.",
            f"Turn it first, e.g. ncpdq -a time,{rows},{columns} IN OUT.",
        )
    shape = tuple(file.dimensions[name].size for name in dimensions)
    height, width = shape if len(shape) == 2 else (*shape, 1)
    cells = Horizontal(
        dimensions[0], dimensions[-1], lat, lon, np.arange(height), np.arange(width), Grid.regular(height, width)
    )
    known = np.isfinite(lat)
    return Remapping(path, str(variable.name), cells, _axes_of(target_grid(wanted.strip(), lat[known], lon[known])))


def _coordinates(file: netCDF4.Dataset, variable: netCDF4.Variable) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """Latitudes and longitudes (N,) of all cells of ``variable``, degrees, NaN where unknown, and their dimensions."""
    if both := coordinates_of(file, variable):
        lat, lon = map(degrees, both)
        known = np.isfinite(lat) & np.isfinite(lon) & (np.abs(lat) <= 90.0) & (np.abs(lon) <= 720.0)
        return np.where(known, lat, np.nan), np.where(known, lon, np.nan), both[0].dimensions
    if rotated := _rotated(file, variable):
        return rotated
    axes = find_horizontal(file, variable)  # raises where there are no axes either
    lat, lon = np.meshgrid(axes.lat, axes.lon, indexing="ij")
    return lat.ravel(), lon.ravel(), tuple(n for n in variable.dimensions if n in (axes.lat_name, axes.lon_name))


def _is_eastward(file: netCDF4.Dataset, dimension: str) -> bool:
    """Whether the coordinate along a dimension is one of longitudes, or of longitudes about a rotated pole."""
    axis = file.variables.get(dimension)
    if axis is None or axis.dimensions != (dimension,):
        return False
    return is_called(axis, "longitude") or str(getattr(axis, "standard_name", "")) == "grid_longitude"


def coordinates_of(
    file: netCDF4.Dataset, variable: netCDF4.Variable
) -> tuple[netCDF4.Variable, netCDF4.Variable] | None:
    """Latitude and longitude of each cell of ``variable``, of a grid that is curvilinear or unstructured; else None."""
    time = find_time(file, variable)[0]
    for count in (2, 1):
        names = tuple(name for name in variable.dimensions if name != time)[-count:]
        lat, lon = (
            next((v for v in file.variables.values() if v.dimensions == names and is_called(v, axis)), None)
            for axis in ("latitude", "longitude")
        )
        if lat is not None and lon is not None:
            return lat, lon
    return None


def is_rotated(file: netCDF4.Dataset, variable: netCDF4.Variable) -> bool:
    """Whether the grid of ``variable`` is regular about a pole that the file states."""
    mapping = file.variables.get(str(getattr(variable, "grid_mapping", "")))
    stated = str(getattr(mapping, "grid_mapping_name", "")) == "rotated_latitude_longitude"
    return stated and set(variable.dimensions[-2:]) <= set(file.variables)


def _rotated(
    file: netCDF4.Dataset, variable: netCDF4.Variable
) -> tuple[FloatArray, FloatArray, tuple[str, ...]] | None:
    """As :func:`_coordinates`, of a rotated grid that states its pole alone; None if it is none (CF, appendix F)."""
    if not is_rotated(file, variable):
        return None
    mapping, names = file[variable.grid_mapping], variable.dimensions[-2:]
    pole = [np.deg2rad(float(getattr(mapping, f"grid_north_pole_{axis}"))) for axis in ("latitude", "longitude")]
    lat, lon = np.meshgrid(*(np.deg2rad(degrees(file[name])) for name in names), indexing="ij")
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    towards = np.cos(pole[0]) * z - np.sin(pole[0]) * x
    east = np.sin(pole[1]) * towards - np.cos(pole[1]) * y
    north = np.arcsin(np.clip(np.sin(pole[0]) * z + np.cos(pole[0]) * x, -1.0, 1.0))
    turned = (
        np.rad2deg(one).ravel() for one in (north, np.arctan2(east, np.cos(pole[1]) * towards + np.sin(pole[1]) * y))
    )
    return (*turned, names)


def degrees(coordinate: netCDF4.Variable, of: netCDF4.Variable | None = None) -> FloatArray:
    """Values of a coordinate, or of bounds ``of`` a coordinate, flattened, in degrees, NaN where missing."""
    values = np.ma.filled(coordinate[:].astype(np.float64), np.nan).ravel()
    units = str(getattr(coordinate if of is None else of, "units", ""))
    return np.rad2deg(values) if units.lower().startswith("rad") else values


def target_grid(wanted: str, lat: FloatArray, lon: FloatArray) -> Grid:
    """The grid that is asked for: a step in degrees over the extent of (N,) ``lat`` and ``lon``, ``r360x180``, a file.

    Raises
    ------
    InputDataError
        If it is none of these, or has too many cells.
    """
    if match := GLOBAL.fullmatch(wanted):
        columns, rows = map(int, match.groups())
        if min(columns, rows) < 2:
            raise InputDataError(f"grid={wanted} has fewer than two rows or columns.", "E.g. grid=r360x180.")
        _refuse_too_many(wanted, rows, columns)
        return Grid.regular(rows, columns)
    if STEP.fullmatch(wanted):
        return _over_extent(wanted, float(wanted), lat, lon)
    path, _ = readable(Path(wanted), "grid")
    with opened(path) as file:
        for variable in file.variables.values():
            if variable.ndim >= 2:
                try:
                    return find_horizontal(file, variable).grid
                except InputDataError:
                    continue
    raise InputDataError(f"grid={wanted} holds no variable with latitude and longitude axes.", "E.g. grid=0.5.")


def _over_extent(wanted: str, step: float, lat: FloatArray, lon: FloatArray) -> Grid:
    if step <= 0.0:
        raise InputDataError(f"grid={wanted} is no step.", "Name a step in degrees, e.g. grid=0.5.")
    east = np.sort(eastward_longitude(lon))
    south, north = max(np.floor(lat.min() / step) * step, -90.0), min(np.ceil(lat.max() / step) * step, 90.0)
    west, last = np.floor(east[0] / step) * step, np.ceil(east[-1] / step) * step
    # Cells as large as the step, but for whole circles and poles.
    around = last - west > 360.0 - 2.0 * step or np.diff(east, append=east[0] + 360.0).max() <= 2.0 * step
    if around:
        west, last = -180.0, 180.0
    rows, columns = (max(round(extent / step), 2) for extent in (north - south, last - west))
    _refuse_too_many(wanted, rows, columns)
    ends = ((float(south), float(north), rows), (float(west), float(last), columns))
    lat, lon = (np.round(np.linspace(first, end, count + 1), 9) for first, end, count in ends)
    return Grid(lat, lon)


def finer(grid: Grid) -> Grid:
    """Each cell cut into :data:`_FINER` rows and columns."""
    lat, lon = (
        np.interp(np.arange(_FINER * (len(own) - 1) + 1) / _FINER, np.arange(len(own)), own)
        for own in (grid.lat_edges, grid.lon_edges)
    )
    return Grid(lat, lon)


def _refuse_too_many(wanted: str, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise InputDataError(
            f"grid={wanted} has {rows * columns} cells; {MOST_CELLS} are expected at most.", "Name a coarser grid."
        )


def _axes_of(grid: Grid) -> Horizontal:
    height, width = grid.shape
    return Horizontal("lat", "lon", grid.lat, grid.lon, np.arange(height), np.arange(width), grid)
