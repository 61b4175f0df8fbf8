"""cdo, the one place where it is called (argument lists, never a shell), and files for it.

Files are handed over as they are where cdo can read them, else one member is copied with its dimensions in cdo's order:
cdo wants time first and one dimension of levels at most; members along a dimension are its levels. It knows dates and
counts of days, not text or decimal years, and no bounds that nothing links.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cftime
import netCDF4
import numpy as np

from climrecon.array_types import IntArray
from climrecon.errors import DependencyError, InputDataError, OutputError
from climrecon.frequency import MONTH, Frequency
from climrecon.grid import Grid
from climrecon.netcdf.coordinates import member_dimension, texts_of
from climrecon.netcdf.forms import local
from climrecon.netcdf.times import TimeAxis, find_time, step_index
from climrecon.preprocess.missing import RANGES, Packing

_FULL = re.compile(r"no space left|disk quota|file too large", re.IGNORECASE)


@cache
def cdo_program() -> str:
    """Path of the cdo program.

    Raises
    ------
    DependencyError
        If it is not installed.
    """
    program = shutil.which("cdo")
    if program is None:
        raise DependencyError(
            "cdo (Climate Data Operators) is needed to bring this grid to the network's grid, and is not installed.",
            "Install it: apt-get install cdo, or conda install -c conda-forge cdo.",
        )
    return program


@cache
def cdo_version() -> str:
    """Version of cdo, or "" where there is none."""
    program = shutil.which("cdo")
    if program is None:
        return ""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"version (\S+)", answer.stdout + answer.stderr)
    return match[1] if match else ""


def run_cdo(arguments: Sequence[str], folder: Path, **environment: str) -> None:
    """Run one chained cdo call in ``folder``, whose files it names without a path; it writes single precision.

    ``environment`` are variables that change how cdo works.

    cdo reads wildcards and brackets in names as syntax, so users' paths never reach it: link them into
    ``folder`` under a plain name.

    Raises
    ------
    InputDataError
        If cdo fails; with its message.
    OutputError
        If the disk is full, or cdo was ended from outside (by a limit on memory or files, or by hand): that is
        nothing to hold against its input.
    DependencyError
        If it is not installed.
    """
    command = [cdo_program(), "-s", "-O", "-f", "nc2", "-b", "F32", *arguments]
    answer = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False, env=os.environ | environment
    )
    if answer.returncode < 0:
        raise OutputError(
            f"cdo was ended by {signal.Signals(-answer.returncode).name} while it wrote in {folder}.",
            "Is there too little memory or disk, or a limit on them? The same command continues.",
        )
    if answer.returncode:
        message = " ".join((answer.stderr or answer.stdout).split())[-400:]
        if _FULL.search(message):
            raise OutputError(
                f"The disk is full: cdo could not write in {folder}.", "Free some space, or choose another folder."
            )
        call = " ".join(command)
        raise InputDataError(
            f"cdo could not prepare the data: {message}", f"Check the file with 'cdo sinfo'; the call was: {call}"
        )


def write_grid(grid: Grid, path: Path) -> None:
    """Write cdo's description of ``grid`` (cell centres and bounds)."""
    height, width = grid.shape
    lat_bounds = " ".join(f"{a:.10g} {b:.10g}" for a, b in zip(grid.lat_edges[:-1], grid.lat_edges[1:], strict=True))
    lon_bounds = " ".join(f"{a:.10g} {b:.10g}" for a, b in zip(grid.lon_edges[:-1], grid.lon_edges[1:], strict=True))
    path.write_text(
        "gridtype = lonlat\n"
        f"xsize = {width}\nysize = {height}\n"
        f"xvals = {' '.join(f'{v:.10g}' for v in grid.lon)}\nxbounds = {lon_bounds}\n"
        f"yvals = {' '.join(f'{v:.10g}' for v in grid.lat)}\nybounds = {lat_bounds}\n"
    )


def link(path: Path, folder: Path, number: int = 0) -> str:
    """The plain name ``in0000.nc`` … of a link in ``folder`` to a user's file, unpacked where it is compressed."""
    name = f"in{number:04d}.nc"
    (folder / name).symlink_to(local(Path(path)).resolve())
    return name


@contextmanager
def cdo_folder(scratch: Path, grid: Grid) -> Iterator[Path]:
    """A temporary folder in ``scratch`` with cdo's description of ``grid``, ``grid.txt``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="cdo-", dir=scratch) as name:
            folder = Path(name)
            write_grid(grid, folder / "grid.txt")
            yield folder
    except OSError as error:
        raise OutputError(
            f"The files for cdo cannot be written in {scratch}: {error}",
            "Is the disk full? Choose another output folder.",
        ) from error


_UNITS = "days since 1850-01-01"
_MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class Layout:
    """How a variable lies in its file.

    Attributes
    ----------
    time, members:
        Dimension of the times, and of members or None.
    cells:
        Dimensions of the grid.
    readable:
        Whether cdo reads the variable as it lies, and no valid range is one of unpacked values.
    dated:
        Whether cdo reads the months of its times that :func:`climrecon.netcdf.times.read_axis` gives.
    """

    time: str
    members: str | None
    cells: tuple[str, ...]
    readable: bool
    dated: bool


def layout_of(
    file: netCDF4.Dataset,
    variable: netCDF4.Variable,
    plausible: tuple[float, float] = (-np.inf, np.inf),
    frequency: Frequency = MONTH,
) -> tuple[Layout, TimeAxis]:
    """How ``variable`` lies in ``file``, and its steps of ``frequency``.

    Parameters
    ----------
    plausible:
        Bounds of plausible values in the file's units, by which a valid range is read.

    Raises
    ------
    InputDataError
        If it has no time axis that can be read, or one of another frequency.
    """
    time, coordinate = find_time(file, variable)
    axis = step_index(file, coordinate, frequency)
    members = member_dimension(variable)
    cells = tuple(name for name in variable.dimensions if name not in (time, members))[-2:]
    labels = None if members is None or members not in file.variables else texts_of(file[members])
    in_order = variable.dimensions[0] == time and variable.dimensions[-2:] == cells
    readable = in_order and variable.ndim <= _MOST_DIMENSIONS and labels is None and texts_of(coordinate) is None
    # cdo compares a range of values with the packed numbers, and masks nearly all of them.
    packing, first_year = Packing.of(variable), [slice(None)] * variable.ndim
    first_year[variable.dimensions.index(time)] = slice(0, 12)
    packing.choose_range([tuple(first_year)], plausible)
    readable &= not packing.range_of_values
    return Layout(time, members, cells, readable, axis.stamped), axis


#: A file in cdo's folder, and the operators that choose its member.
Source = tuple[tuple[str, ...], str]


def cdo_sources(
    files: Sequence[Path],
    layouts: Sequence[Layout],
    months: Sequence[IntArray],
    names: Sequence[str],
    realisation: int | None,
    folder: Path,
    *,
    dated: bool = False,
) -> list[Source]:
    """Each of ``files`` in ``folder`` as cdo can read it, its fields in the file's order.

    Parameters
    ----------
    months:
        (T,) of each file, in the middle of its steps.
    names:
        Variables of one layout that a copy holds.
    realisation:
        Which member, from 0, of files that hold several along a dimension.
    dated:
        Whether cdo must read the months right: an operator of the chain goes by them.
    """
    sources: list[Source] = []
    for number, (path, layout, index) in enumerate(zip(files, layouts, months, strict=True)):
        if layout.readable and (layout.dated or not dated):
            level = () if realisation is None else (f"-sellevidx,{realisation + 1}",)
            sources.append((level, link(path, folder, number)))
        else:
            name = f"copy{number:04d}.nc"
            _copy(local(path), layout, index, names, realisation or 0, folder / name)
            sources.append(((), name))
    return sources


def chain(sources: Sequence[Source], name: str) -> list[str]:
    """Operators that give the variable ``name`` of all ``sources``, one after the other."""
    each = [[*level, f"-selname,{name}", file] for level, file in sources]
    return each[0] if len(each) == 1 else ["-cat", "[", *(part for one in each for part in one), "]"]


def _copy(path: Path, layout: Layout, months: IntArray, names: Sequence[str], realisation: int, target: Path) -> None:
    """One member with its dimensions in cdo's order, and days since 1850 in the middle of ``months``."""
    import xarray

    days = [cftime.date2num(cftime.datetime(int(m) // 12, int(m) % 12 + 1, 15), _UNITS, "standard") for m in months]
    along = {layout.time, layout.members}
    with warnings.catch_warnings(), xarray.open_dataset(path, engine="netcdf4", decode_cf=False, cache=False) as data:
        warnings.simplefilter("ignore")  # xarray's on attributes that it cannot interpret
        grid = [
            name
            for name, one in data.variables.items()
            if set(one.dims) & set(layout.cells) and not set(one.dims) & along and one.dtype.kind in "fiu"
        ]
        fields = data[[*names, *grid]].drop_vars([layout.time, *filter(None, [layout.members])], errors="ignore")
        others = [name for name in fields[names[0]].dims if name not in (layout.time, *layout.cells)]
        fields = fields.isel({name: realisation if name == layout.members else 0 for name in others}, drop=True)
        for name in names:
            fields[name] = fields[name].transpose(layout.time, *layout.cells)
            named = str(fields[name].attrs.pop("coordinates", "")).split()
            for key in RANGES:  # values outside are implausible, and refused as such
                fields[name].attrs.pop(key, None)
            if kept := [one for one in named if one in grid]:
                fields[name].attrs["coordinates"] = " ".join(kept)
        if layout.time != "time":
            fields = fields.rename({layout.time: "time"})
        fields["time"] = ("time", np.array(days, float), {"units": _UNITS, "calendar": "standard", "axis": "T"})
        fields.to_netcdf(target, engine="netcdf4", unlimited_dims=["time"])
