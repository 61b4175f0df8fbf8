"""Like with like: model fields blended as observed data sets blend them.

HadCRUT, GISTEMP and their like hold anomalies of sea-surface temperature over open water and of air
temperature over land and ice; a model's ``tas`` is air temperature everywhere, and warms faster over sea. A
network trained on ``tas`` would fill a blended data set with something else.

Source: Cowtan et al. (2015), Geophys. Res. Lett. 42:6526, doi 10.1002/2015GL064888; anomalies are blended,
not absolute temperatures, since data sets are made of anomalies of each.

*Ice edge.* The ice concentration of each calendar month is its mean over the reference period. With an edge that
moves, a cell would change from the anomaly of one quantity to that of another, each to its own climatology, when
its ice melts: a step that observations do not hold, for they take sea-surface temperature only where there was
open water in the reference period too (the ``fixed ice`` of Cowtan et al.).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cftime
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.errors import InputDataError
from climrecon.fields import Months, Steps
from climrecon.grid import Grid
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time
from climrecon.preprocess.axes import find_horizontal
from climrecon.preprocess.cdo import cdo_folder, chain, link, run_cdo
from climrecon.preprocess.climatology import check_covered
from climrecon.preprocess.field import find_variable
from climrecon.preprocess.missing import read_part
from climrecon.preprocess.models import inspected, prepare_member, source_grid, sources_of
from climrecon.preprocess.values import read_values

#: What a blend needs of a member.
NEEDED = ("tas", "tos", "sic", "sftlf")


def blend(
    air: FloatArray, sea: FloatArray, land: FloatArray, ice: FloatArray, month: NDArray[np.integer[Any]]
) -> FloatArray:
    """Blended anomalies: (1 - w) air + w sea with w = (1 - land) (1 - ice) where ``sea`` is known in all months.

    Parameters
    ----------
    air, sea:
        (T, H, W) anomalies of air and sea-surface temperature, K; ``sea`` NaN over land.
    land:
        (H, W) land fraction, 0..1.
    ice:
        (12, H, W) mean ice concentration of each calendar month as a share of the sea, 0..1; NaN over land.
    month:
        (T,) calendar months 1..12.

    Returns
    -------
    (T, H, W) anomalies in K, finite wherever ``air`` is.
    """
    known = np.isfinite(sea).all(axis=0)
    water = np.where(known, (1.0 - land) * (1.0 - np.nan_to_num(ice)), 0.0)[np.asarray(month, int) - 1]
    return np.asarray((1.0 - water) * air + water * np.nan_to_num(sea), dtype=np.float32)


def prepare_blended(
    files: Mapping[str, Sequence[Path]],
    grid: Grid,
    reference_period: tuple[int, int],
    scratch: Path,
    notes: list[str] | None = None,
) -> tuple[FloatArray, Steps]:
    """Blended anomalies of one member, for the months that ``tas`` and ``tos`` share.

    ``tos`` and ``sic`` may be on curvilinear ocean grids. They are remapped conservatively over their sea
    cells (means over the sea part of a target cell); cells without any sea take air temperature.

    Parameters
    ----------
    files:
        ``tas``, ``tos``, ``sic`` (each split in time at will) and ``sftlf``.
    notes:
        Takes decisions on the files' times.

    Raises
    ------
    InputDataError
        If one of them is lacking, cannot be used, or does not cover the reference period.
    """
    if lacking := [name for name in NEEDED if not files.get(name)]:
        raise InputDataError(
            f"The archive has no {', '.join(lacking)} of this member.", "Use training_target=auto or tas."
        )
    air, months = prepare_member(files["tas"], grid, reference_period, scratch, "tas", notes=notes)
    sea, of_sea = prepare_member(files["tos"], grid, reference_period, scratch, "tos", gaps=True, notes=notes)
    common, ours, theirs = np.intersect1d(months.index, of_sea.index, return_indices=True)
    check_covered(Months(common), reference_period)
    ice = _ice(files["sic"], grid, reference_period, scratch)
    land = _land(files["sftlf"][0], grid, scratch)
    time = Months(common)
    return blend(air[ours], sea[theirs], land, ice, time.month), time


def _ice(files: Sequence[Path], grid: Grid, period: tuple[int, int], scratch: Path) -> NDArray[np.floating[Any]]:
    """(12, H, W) mean ice concentration of each calendar month of ``period``, 0..1."""
    headers = inspected(files, "sic")
    check_covered(Months(np.concatenate([one.time.index for one in headers])), period)
    with cdo_folder(scratch, grid) as folder:
        source = chain(sources_of(headers, files, folder, dated=True), headers[0].name)
        run_cdo([*headers[0].remap, "-ymonmean", f"-selyear,{period[0]}/{period[1]}", *source, "out.nc"], folder)
        with opened(folder / "out.nc") as file:
            variable, axes = file[headers[0].name], find_horizontal(file, file[headers[0].name])
            # Its bounds span all years of a calendar month, so the axis is no monthly one.
            time, coordinate = find_time(file, variable)
            dates = cftime.num2date(coordinate[:], coordinate.units, getattr(coordinate, "calendar", "standard"))
            values = read_values(variable, time, axes)
    ordered = values[np.argsort([date.month for date in dates])]
    return _as_share(ordered, headers[0].units, Path(files[0]).name, "ice concentration")


def _land(path: Path, grid: Grid, scratch: Path) -> NDArray[np.floating[Any]]:
    """(H, W) land fraction, 0..1."""
    with opened(Path(path)) as file:
        variable = find_variable(file, "sftlf")
        remap, _, _ = source_grid(file, variable, curvilinear=False)
        name, units = str(variable.name), str(getattr(variable, "units", ""))
    with cdo_folder(scratch, grid) as folder:
        run_cdo([*remap, f"-selname,{name}", link(path, folder), "out.nc"], folder)
        with opened(folder / "out.nc") as file:
            axes = find_horizontal(file, file[name])
            values = read_part(file[name]).reshape(-1, *grid.shape)[0]
    share = _as_share(values[axes.rows][:, axes.columns], units, Path(path).name, "land fraction")
    return np.asarray(np.nan_to_num(share))  # some models mask the sea instead of writing zero


def _as_share(values: FloatArray, units: str, name: str, what: str) -> NDArray[np.floating[Any]]:
    """Percent or shares as shares; by the units, else by the values."""
    largest = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    percent = "%" in units or "percent" in units.lower() or (units.strip() in ("", "1") and largest > 1.5)
    share = values / 100.0 if percent else values
    if largest / (100.0 if percent else 1.0) > 1.01 or float(np.nanmin(share)) < -0.01:
        raise InputDataError(f"{name}: {what} of {largest:g} {units!r} is none.", "Check its units.")
    return np.asarray(np.clip(share, 0.0, 1.0))
