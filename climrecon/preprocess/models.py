"""Complete absolute fields of models and reanalyses as anomalies on a network's grid, by one cdo call."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError, OutputError
from climrecon.fields import Months
from climrecon.grid import Grid
from climrecon.preprocess.axes import find_horizontal
from climrecon.preprocess.cdo import run_cdo, write_grid
from climrecon.preprocess.chunks import all_of, find_variable, some
from climrecon.preprocess.climatology import check_covered
from climrecon.preprocess.opening import opened
from climrecon.preprocess.times import find_time, month_index
from climrecon.preprocess.values import LARGEST_ANOMALY, check_units, read_values

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class _Looked:
    """What must be known of a file before cdo reads it."""

    name: str
    index: IntArray


def prepare_member(
    files: Sequence[Path],
    grid: Grid,
    reference_period: tuple[int, int],
    scratch: Path,
    variable: str = "tas",
) -> tuple[FloatArray, Months]:
    """Anomalies of one member, which may be split in time over several files.

    Select, remap conservatively and take off the climatology of ``reference_period``, in one chained call
    without files in between.

    Returns
    -------
    (T, H, W) float32 anomalies in K on ``grid``, finite everywhere, and their months.

    Raises
    ------
    InputDataError
        If a file cannot be used, months stand there twice, the period is not covered, or the fields have
        gaps.
    DependencyError
        If cdo is not installed.
    """
    if not files:
        raise InputDataError("No file was given.", "Name at least one.")
    looked = [_look(Path(path), variable) for path in files]
    if len({one.name for one in looked}) > 1:
        raise InputDataError(
            f"The files of one member call their variable differently: {', '.join(one.name for one in looked)}.",
            "Rename it.",
        )
    index = np.concatenate([one.index for one in looked])
    months, counts = np.unique(index, return_counts=True)
    if (counts > 1).any():
        raise InputDataError(
            f"{int((counts > 1).sum())} months of {Path(files[0]).name} and its continuations stand there more than "
            f"once: {some(Months(months[counts > 1]).labels())}.",
            "Leave out the file that overlaps.",
        )
    check_covered(index, reference_period)
    try:
        with tempfile.TemporaryDirectory(prefix="member-", dir=scratch) as name:
            folder = Path(name)
            links = [f"in{number:04d}.nc" for number in range(len(files))]
            for link, path in zip(links, files, strict=True):
                (folder / link).symlink_to(Path(path).resolve())
            write_grid(grid, folder / "grid.txt")
            run_cdo(_chain(links, looked[0].name, reference_period), folder)
            return _read(folder / "out.nc", looked[0].name, Path(files[0]).name)
    except OSError as error:
        raise OutputError(
            f"The files for cdo cannot be written in {scratch}: {error}",
            "Is the disk full? Choose another folder.",
        ) from error


def _look(path: Path, wanted: str) -> _Looked:
    with opened(path) as file:
        variable = find_variable(file, wanted)
        found = all_of(
            lambda: month_index(file, find_time(file, variable)[1]),
            lambda: find_horizontal(file, variable),
            lambda: check_units(str(getattr(variable, "units", ""))),
        )
        return _Looked(str(variable.name), found[0][0])


def _chain(links: Sequence[str], name: str, period: tuple[int, int]) -> list[str]:
    """The call: anomalies are the remapped fields less the remapped fields' mean of each calendar month."""
    source = list(links) if len(links) == 1 else ["[", "-mergetime", *links, "]"]
    select = [f"-selname,{name}", *source]
    years = f"-selyear,{period[0]}/{period[1]}"
    return [
        *("-f", "nc2", "-b", "F32", "-ymonsub"),
        *("-remapcon,grid.txt", *select),
        *("-ymonmean", "-remapcon,grid.txt", years, *select),
        "out.nc",
    ]


def _read(path: Path, name: str, shown: str) -> tuple[FloatArray, Months]:
    with opened(path) as file:
        variable = file[name]
        time_name, coordinate = find_time(file, variable)
        axes = find_horizontal(file, variable)
        index, _ = month_index(file, coordinate)
        values = read_values(variable, (time_name, axes.lat_name, axes.lon_name), axes.rows, axes.columns)
    if not np.isfinite(values).all():
        raise InputDataError(
            f"{shown} has gaps: {int((~np.isfinite(values)).sum())} values are missing on the network's grid.",
            "Complete fields are expected.",
        )
    if np.abs(values).max() > LARGEST_ANOMALY:
        raise InputDataError(
            f"{shown} gives anomalies of up to {np.abs(values).max():g} K.",
            f"Monthly anomalies beyond {LARGEST_ANOMALY:g} K are errors; check the file.",
        )
    order = np.argsort(index)
    return values[order], Months(index[order])
