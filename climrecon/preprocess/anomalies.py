"""Members that are anomalies already, as observational data sets publish them: with their gaps, base and flags.

They are read as observations are: known cells stay as they are, and a cell of the network's grid is known where half of
its area is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.errors import InputDataError
from climrecon.fields import Steps
from climrecon.frequency import MONTH, Frequency
from climrecon.grid import Grid
from climrecon.netcdf.opening import opened
from climrecon.preprocess.chunks import Chunk, check_alike, joined, read_chunk, read_once
from climrecon.preprocess.climatology import anomalies_of
from climrecon.preprocess.field import field_of, find_variable
from climrecon.preprocess.filled import flags_of
from climrecon.preprocess.regrid import OBSERVED_SHARE, ROUNDING, remap_with_gaps
from climrecon.preprocess.request import PrepareRequest
from climrecon.preprocess.values import read_values


def prepare_anomalies(
    files: Sequence[Path],
    grid: Grid,
    reference_period: tuple[int, int],
    scratch: Path,
    variable: str,
    *,
    realisation: int | None = None,
    last_counts: bool = False,
    asked: str = "",
    frequency: Frequency = MONTH,
) -> tuple[FloatArray, Steps]:
    """(T, H, W) anomalies of one member on ``grid``, NaN where missing or marked as filled, and their steps.

    Anomalies to ``reference_period`` stay as they are: with gaps, a mean over the years there are would be another base
    for each cell. Those to other years are re-based cell by cell, and cells without two thirds of the years in a
    calendar month are then missing. Months without a single known cell are absent.

    Parameters
    ----------
    realisation:
        Which member, from 0, of files that hold several along a dimension.
    last_counts:
        Whether, of months that stand in several files, those of the file named last are taken; otherwise months of
        different content are refused.
    asked:
        The grid that was asked for, see :func:`climrecon.preprocess.models.prepare_member`.

    Raises
    ------
    InputDataError
        If a file cannot be used, files do not go together, or another base's period is not covered.
    DependencyError, OutputError
        Of remapping with cdo.
    """
    names = [Path(path).name for path in files]
    chunks = [_known_of(Path(path), variable, realisation, asked, frequency) for path in files]
    if last_counts:
        check_alike(chunks, names)
        values, time = _last_of(chunks)
    else:
        values, time = joined(chunks, names, [])
    order = np.argsort(time.index, kind="stable")
    values, time = values[order], time[order]
    values, source = read_once(values, chunks[0].axes.grid, [])
    if not grid.same_as(source):
        values, share = remap_with_gaps(values, np.isfinite(values), source, grid, scratch)
        values = np.where(share >= OBSERVED_SHARE - ROUNDING, values, np.nan)
    if chunks[0].base != reference_period:
        values = anomalies_of(values, time, reference_period)
    known = np.isfinite(values).any(axis=(1, 2))
    if not known.any():
        raise InputDataError(
            f"{names[0]} has no cell that is known in enough years of {reference_period[0]}-{reference_period[1]}.",
            "Choose a reference_period that the data covers.",
        )
    return np.asarray(values[known], np.float32), time[known]


def _known_of(path: Path, variable_name: str, realisation: int | None, asked: str, frequency: Frequency) -> Chunk:
    """A file without the cells that it marks as filled."""
    chunk = read_chunk(path, PrepareRequest(variable_name, frequency, "anomaly", grid=asked), realisation)
    with opened(path) as file:
        variable = find_variable(file, variable_name)
        flags = flags_of(file, variable)
        if flags is None:
            return chunk
        field = field_of(file, variable, frequency=frequency)
        if asked:
            raise InputDataError(
                f"{path.name} marks cells as filled, which is not understood while it is remapped (grid={asked}).",
                "Take the filled cells out of the file, or remap it first and leave out grid.",
            )
        marks = read_values(file.variables[flags.name], field.time_name, field.horizontal, realisation)
    return replace(chunk, values=np.where(flags.filled(marks), np.nan, chunk.values))


def _last_of(chunks: Sequence[Chunk]) -> tuple[FloatArray, Steps]:
    """Values and steps of all chunks; a step that stands in several is that of the last."""
    values = np.concatenate([chunk.values for chunk in reversed(chunks)])
    index = np.concatenate([chunk.time.index for chunk in reversed(chunks)])
    steps, first = np.unique(index, return_index=True)
    return values[first], replace(chunks[0].time, index=steps)
