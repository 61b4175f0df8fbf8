"""cdo, the one place where it is called: argument lists, never a shell."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from climrecon.errors import DependencyError, InputDataError, OutputError
from climrecon.grid import Grid
from climrecon.netcdf.forms import local

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


def run_cdo(arguments: Sequence[str], folder: Path) -> None:
    """Run one chained cdo call in ``folder``, whose files it names without a path; it writes single precision.

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
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
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
