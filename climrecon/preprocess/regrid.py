"""To the network's grid and back, conservatively."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray
from climrecon.fields import Observations, Source
from climrecon.grid import GLOBE, Grid
from climrecon.memory import blocks_of, new_array
from climrecon.preprocess.axes import eastward_longitude
from climrecon.preprocess.cdo import cdo_folder, run_cdo, write_grid

#: Share of a target cell's area that must be observed for the cell to count as observed.
OBSERVED_SHARE = 0.5
#: Shares are worked out in single precision: exactly half must not fall below a half.
ROUNDING = 1e-4


def to_network_grid(observations: Observations, grid: Grid, scratch: Path) -> Observations:
    """Observations on ``grid``: as they are if it is theirs, else remapped conservatively with cdo.

    A cell counts as observed if at least half of its area is; its error is remapped like its value,
    which takes the errors within a cell as fully correlated: the careful side.

    Raises
    ------
    DependencyError
        If cdo is needed and is not installed.
    OutputError
        If ``scratch`` cannot be written.
    """
    if grid.same_as(observations.grid):
        return observations
    values, share = remap_with_gaps(observations.values, observations.mask, observations.grid, grid, scratch)
    mask = share >= OBSERVED_SHARE - ROUNDING
    errors = None
    if observations.obs_sd is not None:
        known = observations.mask & np.isfinite(observations.obs_sd)
        errors, _ = remap_with_gaps(observations.obs_sd, known, observations.grid, grid, scratch)
        errors = _where(mask, errors, scratch)
    note = (
        f"remapped conservatively from {observations.grid.describe()} to {grid.describe()}; cells at least half "
        "observed count as observed"
    )
    return replace(
        observations,
        values=_where(mask, values, scratch),
        mask=mask,
        obs_sd=errors,
        grid=grid,
        source=replace(observations.source, notes=(*observations.source.notes, note)),
    )


def _where(mask: BoolArray, values: FloatArray, scratch: Path) -> FloatArray:
    """float32 ``values`` where ``mask``, else NaN."""
    known = new_array(values.shape, np.float32, scratch)
    for part in blocks_of(values, mask, known):
        known[part] = np.where(mask[part], values[part], np.nan)
    return known


def remap(field: FloatArray, source: Grid, target: Grid, scratch: Path) -> FloatArray:
    """(T, H, W) complete fields from ``source`` to ``target`` by first-order conservative remapping.

    Source: Jones (1999), Mon. Wea. Rev. 127:2204; cdo's ``remapcon``.
    """
    remapped = new_array((len(field), *target.shape), np.float32, scratch)
    for part in blocks_of(field, remapped):
        remapped[part] = _cdo_remap({"field": field[part]}, source, target, scratch)["field"]
    return remapped


def remap_with_gaps(
    values: FloatArray, mask: BoolArray, source: Grid, target: Grid, scratch: Path
) -> tuple[FloatArray, FloatArray]:
    """Area means over the observed part of each target cell, and the observed share of its area.

    Value times mask and mask are remapped as complete fields and divided: the same as remapping with gaps
    and normalising by the observed area, but the weights are worked out once instead of once a month.

    Returns
    -------
    (T, H, W) means, NaN where nothing is observed, and (T, H, W) shares 0..1.
    """
    shape = (len(values), *target.shape)
    means, shares = (new_array(shape, np.float32, scratch) for _ in range(2))
    covered = 1.0 if source.is_global else _covered(target, source)
    for part in blocks_of(values, mask, means):
        fields = {"weighted": np.where(mask[part], values[part], 0.0), "share": mask[part]}
        remapped = _cdo_remap(fields, source, target, scratch)
        means[part], share = means_and_shares(remapped["weighted"], remapped["share"])
        shares[part] = share * covered
    return means, shares


def means_and_shares(weighted: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(T, H, W) means, NaN where nothing is observed, and shares 0..1, from remapped values times mask, and masks."""
    share = np.nan_to_num(np.clip(np.ma.filled(share, np.nan), 0.0, 1.0))
    observed = share > ROUNDING
    mean = np.where(observed, np.ma.filled(weighted, np.nan) / np.where(observed, share, 1.0), np.nan)
    return mean.astype(np.float32), share


def _covered(target: Grid, source: Grid) -> NDArray[np.float64]:
    """(H, W) share of the area of each cell of ``target`` that ``source`` covers: cdo's shares are of that part."""
    within, cells = target.region_weights(source.whole), replace(target, exists=None).region_weights(GLOBE)
    return np.asarray(within / cells)


def _cdo_remap(fields: Mapping[str, NDArray[Any]], source: Grid, target: Grid, scratch: Path) -> dict[str, FloatArray]:
    """One cdo call for all ``fields``; its files are gone afterwards."""
    with cdo_folder(scratch, target) as folder:
        write_grid(source, folder / "from.txt")
        write_fields(fields, folder / "in.nc")
        run_cdo(["-remapcon,grid.txt", "-setgrid,from.txt", "in.nc", "out.nc"], folder)
        with netCDF4.Dataset(folder / "out.nc") as file:
            return {part: np.ma.filled(file[part][:].astype(np.float32), np.nan) for part in sorted(fields)}


def write_fields(fields: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write (T, H, W) fields for cdo, without coordinates."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        length, height, width = next(iter(fields.values())).shape
        for name, size in (("time", None), ("lat", height), ("lon", width)):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",)).units = "days since 2000-01-01"
        for name in fields:
            file.createVariable(name, "f4", ("time", "lat", "lon"))
        file["time"][:] = np.arange(length)
        for name, values in fields.items():
            file[name][:] = values


@dataclass(frozen=True)
class FileGrid:
    """The way back: from the network's grid to the file's grid and order.

    Parameters
    ----------
    native:
        Grid of the observations as read (rows written twice are read once).
    network:
        Grid of the estimates.
    source:
        The file's latitudes and longitudes in its order.
    scratch:
        Folder for cdo's files.
    """

    native: Grid
    network: Grid
    source: Source
    scratch: Path

    def to_native_grid(self, field: FloatArray) -> FloatArray:
        """(T, H, W) of the network's grid on the observations' grid."""
        if self.native.same_as(self.network):
            return field
        return remap(field, self.network, self.native, self.scratch)

    def file_order(self, field: FloatArray) -> NDArray[Any]:
        """(..., H, W) of the observations' grid in the file's rows and columns."""
        return file_order(field, self.source)


def file_order(field: NDArray[Any], source: Source) -> NDArray[Any]:
    """(..., H, W) in the package's order to the file's order; rows written twice are so again."""
    if len(source.lat) == 2 * field.shape[-2]:
        field = np.repeat(field, 2, axis=-2)
    rows = np.argsort(np.argsort(source.lat))
    columns = np.argsort(np.argsort(eastward_longitude(source.lon)))
    if (np.diff(columns) != 1).any():
        field = field[..., columns]
    if (np.diff(rows) == 1).all():
        return np.asarray(field)
    # Most files begin at one pole or the other; a view spares a copy of the record.
    return np.asarray(field[..., ::-1, :] if (np.diff(rows) == -1).all() else field[..., rows, :])
