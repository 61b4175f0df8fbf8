"""To the network's grid and back, conservatively."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.fields import Observations, Source
from climrecon.grid import Grid
from climrecon.preprocess.cdo import run_cdo, write_grid

FloatArray = NDArray[np.floating[Any]]

#: Share of a target cell that must be observed for the cell to count as observed.
OBSERVED_SHARE = 0.5


def to_network_grid(observations: Observations, grid: Grid, scratch: Path) -> Observations:
    """Observations on ``grid``: as they are if it is theirs, else remapped conservatively with cdo.

    A cell counts as observed if at least half of its area is; its error is remapped like its value,
    which takes the errors within a cell as fully correlated: the careful side.
    """
    if grid.same_as(observations.grid):
        return observations
    share = remap(observations.mask.astype(np.float32), observations.grid, grid, scratch)
    values = remap(np.where(observations.mask, observations.values, np.nan), observations.grid, grid, scratch)
    mask = np.isfinite(values) & (share >= OBSERVED_SHARE)
    errors = None
    if observations.obs_sd is not None:
        known = np.where(observations.mask, observations.obs_sd, np.nan)
        errors = remap(known, observations.grid, grid, scratch)
    return replace(
        observations,
        values=np.where(mask, values, np.nan).astype(np.float32),
        mask=mask,
        obs_sd=errors,
        grid=grid,
    )


def remap(field: FloatArray, source: Grid, target: Grid, scratch: Path) -> FloatArray:
    """(T, H, W) fields with gaps (NaN) from ``source`` to ``target`` by first-order conservative remapping.

    Source: Jones (1999), Mon. Wea. Rev. 127:2204; cdo's ``remapcon``.
    """
    before, after, grids = (
        scratch / "remap-in.nc",
        scratch / "remap-out.nc",
        (scratch / "from.txt", scratch / "to.txt"),
    )
    write_grid(source, grids[0])
    write_grid(target, grids[1])
    with netCDF4.Dataset(before, "w", format="NETCDF3_64BIT_OFFSET") as file:
        for name, size in (("time", None), ("lat", source.shape[0]), ("lon", source.shape[1])):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",)).units = "months since 0000-01-01"
        file["time"][:] = np.arange(len(field))
        file.createVariable("field", "f4", ("time", "lat", "lon"), fill_value=-1e30)
        file["field"][:] = np.where(np.isfinite(field), field, -1e30)
    try:
        run_cdo(["-f", "nc4", f"-remapcon,{grids[1]}", f"-setgrid,{grids[0]}", before, after])
        with netCDF4.Dataset(after) as file:
            return np.asarray(np.ma.filled(file["field"][:].astype(np.float32), np.nan))
    finally:
        for path in (before, after, *grids):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class FileGrid:
    """The way back: from the network's grid to the file's own grid and order.

    Parameters
    ----------
    own:
        Grid of the observations as read (rows written twice are read once).
    network:
        Grid of the estimates.
    source:
        The file's own latitudes and longitudes in its own order.
    scratch:
        Folder for cdo's files.
    """

    own: Grid
    network: Grid
    source: Source
    scratch: Path

    def own_grid(self, field: FloatArray) -> FloatArray:
        """(T, H, W) of the network's grid on the observations' own grid."""
        if self.own.same_as(self.network):
            return field
        return remap(field, self.network, self.own, self.scratch)

    def file_order(self, field: FloatArray) -> NDArray[Any]:
        """(..., H, W) of the observations' grid in the file's own rows and columns."""
        return file_order(field, self.source)


def file_order(field: NDArray[Any], source: Source) -> NDArray[Any]:
    """(..., H, W) in the package's order to the file's own order; rows written twice are so again."""
    if len(source.lat) == 2 * field.shape[-2]:
        field = np.repeat(field, 2, axis=-2)
    rows = np.argsort(np.argsort(source.lat))
    wrapped = np.where(source.lon >= 180.0 - 1e-6, source.lon - 360.0, source.lon)
    wrapped = np.where(wrapped < -180.0 - 1e-6, wrapped + 360.0, wrapped)
    columns = np.argsort(np.argsort(wrapped))
    return np.asarray(field[..., rows, :][..., columns])
