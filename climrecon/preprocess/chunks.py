"""One data set's files, each read by itself, joined in time; rows written twice are read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.datasets import DataSet, Release, Stated, canonical_variable, release_of
from climrecon.errors import InputDataError
from climrecon.fields import Steps
from climrecon.frequency import DAY
from climrecon.grid import Grid
from climrecon.memory import blocks_of, new_array, release
from climrecon.netcdf.coordinates import member_count
from climrecon.netcdf.opening import opened
from climrecon.preprocess.axes import Horizontal
from climrecon.preprocess.base_period import base_period
from climrecon.preprocess.field import field_of, find_variable
from climrecon.preprocess.missing import Packing, Tally, without_flags
from climrecon.preprocess.remapping import remapping_of
from climrecon.preprocess.request import PrepareRequest
from climrecon.preprocess.values import check_units, check_values, is_anomaly, of_each_step, to_units
from climrecon.variables import VARIABLES


@dataclass(frozen=True)
class Chunk:
    """One file: values in the package's order and units, steps of time, axes, release, and a tally of masked cells.

    ``metadata`` are fields of :class:`climrecon.fields.Source`.
    """

    values: FloatArray
    time: Steps
    axes: Horizontal
    anomaly: bool
    base: tuple[int, int] | None
    stated: Stated
    release: Release | None
    metadata: dict[str, Any]
    notes: list[str]
    tally: Tally


def read_chunk(path: Path, request: PrepareRequest, realisation: int | None = None) -> Chunk:
    """Read one file; of one that holds several members their mean, where all of them have a value.

    Parameters
    ----------
    request:
        Which variable is wanted, what its values are, and what the user or the catalogue states about the file.
    realisation:
        Which member, from 0, of a file that holds several along a dimension; None: their mean.

    Raises
    ------
    InputDataError
        If it cannot be used; the message names the file and the reason.
    """
    notes: list[str] = []
    tally = Tally()
    with opened(path) as file:
        description = VARIABLES[request.variable]
        stated = Stated(
            str(path.absolute()), file.__dict__, model=request.facets.get("model", ""), named=request.data_set
        )
        known = release_of(stated)
        row = known.data_set if known else None
        variable = find_variable(file, request.variable, request.obs_variable, row, request.values)
        notes += _choice_notes(file, variable, request, row)
        stated = replace(stated, variable=variable.__dict__)
        release = release_of(stated)
        row = release.data_set if release else None
        cells = remapping_of(path, file, variable, request.grid) if request.grid else None
        remapping = None if request.as_written else cells
        field = field_of(
            file,
            variable,
            lambda units: check_units(units, description),
            request.frequency,
            cells.cells if cells else None,
        )
        units = field.units
        notes += field.notes
        members = member_count(variable)
        plausible = description.plausible(units)

        def read(member: int | None) -> FloatArray:
            first: dict[str, Any] = {} if member else {"notes": notes}
            values = field.read(member, tally=tally, plausible=plausible, scratch=request.scratch, **first)
            values = without_flags(values, plausible, description, tally)
            return remapping(values, first.get("notes", [])) if remapping else values

        if realisation is None and members > 1:
            values = _mean_of_members(read, members)
            notes.append(f"the file holds {members} members; the observations are their mean")
        else:
            values = read(realisation)
        horizontal = remapping.target if remapping else field.horizontal
        notes += horizontal.notes
        labels, place = field.time.labels(), horizontal.place
        if not any(np.isfinite(values[part]).any() for part in blocks_of(values)):
            check_values(values, True, labels, place, description)
        anomaly = is_anomaly(request.values, stated, row, variable, values, description)
        values = of_each_step(to_units(values, units, anomaly, description), units, field.time)
        if anomaly and units.strip() in ("", "1"):
            notes.append(f"{variable.name} states no units; its anomalies are taken as {description.units}")
        values = without_flags(values, description.limits(anomaly), description, tally)
        if not request.as_written:  # its means were judged
            check_values(values, anomaly, labels, place, description)
        metadata = {
            "variable_in_file": variable.name,
            "dtype": "float32" if remapping else Packing.of(variable).dtype,
            "references": str(getattr(file, "references", getattr(file, "reference", ""))),
            **{key: str(getattr(file, key, "")) for key in ("title", "institution", "history")},
        }
    base = _base(stated, release, field.time, notes) if anomaly else None
    if release:
        notes.insert(0, release.note)
    return Chunk(values, field.time, horizontal, anomaly, base, stated, release, metadata, notes, tally)


def _choice_notes(
    file: netCDF4.Dataset, variable: netCDF4.Variable, request: PrepareRequest, data_set: DataSet | None
) -> list[str]:
    """Notes on the choice of ``variable``: by the user, or among several."""
    if request.obs_variable:
        return [f"{variable.name} is read as {request.variable}, by obs_variable"]
    others = [
        name
        for name, one in file.variables.items()
        if one.dimensions == variable.dimensions
        and name != variable.name
        and canonical_variable(name, one.__dict__, data_set) == request.variable
    ]
    return [f"{variable.name} is read, not {', '.join(others)}; obs_variable chooses another"] if others else []


def _base(stated: Stated, release: Release | None, time: Steps, notes: list[str]) -> tuple[int, int] | None:
    """First and last year of the anomalies' reference period: as the file states it, else by default of its data set."""
    statement, others = base_period(stated, (int(time.year.min()), int(time.year.max())))
    if statement is not None:
        first, last = statement.period
        notes.append(f"the base period is {first}-{last}, by {statement.where}")
        notes += [f"{one.where} states another base period, {one.period[0]}-{one.period[1]}" for one in others]
        return statement.period
    notes += [
        f"{one.where} mentions {one.period[0]}-{one.period[1]}, which is not taken for the base period"
        for one in others
    ]
    if release and release.base:
        first, last = release.base
        notes.append(
            f"the file does not state its base period; {first}-{last} is the default of the data set {release.name}"
        )
        return release.base
    notes.append("the file does not state its base period, and there is no default; reference_period is taken for it")
    return None


def _mean_of_members(read: Callable[[int], FloatArray], members: int) -> FloatArray:
    """(T, H, W) mean over the members of one file; one of them is in memory at a time."""
    first = read(0)
    total = first.astype(np.float64)
    for member in range(1, members):
        total += read(member)
    return np.asarray((total / members).astype(first.dtype))


def joined(
    chunks: Sequence[Chunk], names: Sequence[str], notes: list[str], scratch: Path | None = None
) -> tuple[FloatArray, Steps]:
    """Values and steps of all chunks in order of time.

    Steps of time that stand in two files with equal values are read once; in one file, or different, they are
    refused.

    Raises
    ------
    InputDataError
        If the files differ in grid, kind or base, or a step stands there twice.
    """
    check_alike(chunks, names)
    index = np.concatenate([chunk.time.index for chunk in chunks])
    time = replace(chunks[0].time, index=index)
    values = chunks[0].values if len(chunks) == 1 else one_after_the_other([one.values for one in chunks], scratch)
    number = np.repeat(np.arange(len(chunks)), [len(chunk.time) for chunk in chunks])
    if (np.diff(index) > 0).all():
        return values, time
    order = np.argsort(index, kind="stable")
    values, time, number, words = taken(values, order, scratch), time[order], number[order], time.plural
    again = np.flatnonzero(np.diff(time.index) == 0)
    if not len(again):
        return values, time
    shown = some(list(dict.fromkeys(time[again].labels())))
    within = [i for i in again if number[i] == number[i + 1]]
    if within:
        raise InputDataError(
            f"{names[number[within[0]]]}: {len(within)} {words} stand there more than once: "
            f"{some(list(dict.fromkeys(time[within].labels())))}.",
            f"Each {time.word} is expected once; remove the duplicates.",
        )
    differing = [i for i in again if not np.array_equal(values[i], values[i + 1], equal_nan=True)]
    if differing:
        first = differing[0]
        raise InputDataError(
            f"{len(differing)} {words} stand in two files with different values: "
            f"{some(time[differing].labels())} in {names[number[first]]} and {names[number[first + 1]]}.",
            "Leave out one of the files.",
        )
    notes.append(f"{len(again)} {words} stand in two files with equal values and are read once: {shown}")
    keep = np.ones(len(time), dtype=bool)
    keep[again + 1] = False
    return taken(values, np.flatnonzero(keep), scratch), time[keep]


def one_after_the_other(parts: Sequence[FloatArray], scratch: Path | None) -> FloatArray:
    """(T, H, W) arrays joined in time; in a file in ``scratch`` where they are too large for the memory."""
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    values, start = new_array(shape, np.result_type(*parts), scratch), 0
    for one in parts:
        for block in blocks_of(one):
            values[start + block.start : start + block.stop] = one[block]
            release(values)
        start += len(one)
    return values


def taken(values: FloatArray, positions: IntArray, scratch: Path | None) -> FloatArray:
    """(N, H, W) the fields at ``positions`` of (T, H, W) ``values``."""
    chosen = new_array((len(positions), *values.shape[1:]), values.dtype, scratch)
    for block in blocks_of(chosen):
        chosen[block] = values[positions[block]]
        release(values)
    return chosen


def check_alike(chunks: Sequence[Chunk], names: Sequence[str]) -> None:
    """Refuse chunks that differ in grid, kind or base, or in the calendar of their days.

    Raises
    ------
    InputDataError
        With what differs.
    """
    first = chunks[0]
    for chunk, name in zip(chunks[1:], names[1:], strict=True):
        problems = []
        if not chunk.axes.grid.same_as(first.axes.grid):
            problems.append(
                f"grids of {chunk.axes.grid.describe()} and {first.axes.grid.describe()}"
                if chunk.axes.grid.shape != first.axes.grid.shape
                else "grids with different latitudes or longitudes"
            )
        if chunk.release and first.release and chunk.release.name != first.release.name:
            problems.append(f"the data sets {chunk.release.name} and {first.release.name}")
        if chunk.time.frequency == DAY and chunk.time.calendar != first.time.calendar:
            problems.append(f"the calendars {chunk.time.calendar} and {first.time.calendar}")
        if chunk.anomaly != first.anomaly:
            problems.append("anomalies in one, absolute values in the other")
        elif chunk.base != first.base:
            problems.append(f"base periods {chunk.base} and {first.base}")
        if problems:
            raise InputDataError(
                f"{name} and {names[0]} cannot be joined: {'; '.join(problems)}.",
                "The files of one data set must share grid, kind and base period.",
            )


def read_once(values: FloatArray, grid: Grid, notes: list[str]) -> tuple[FloatArray, Grid]:
    """Rows that were written twice, read once: withholding one of a pair would leave its copy.

    Fields that do not change with latitude at all are no pairs of rows.
    """

    def equal(rows: slice, others: slice) -> bool:
        parts = blocks_of(values)
        return all(np.array_equal(values[one, rows], values[one, others], equal_nan=True) for one in parts)

    pairs = values.shape[1] % 2 == 0 and equal(slice(0, None, 2), slice(1, None, 2))
    if not pairs or equal(slice(1, -1, 2), slice(2, None, 2)):
        return values, grid
    notes.append(f"each of {values.shape[1] // 2} rows is written twice in the file; read once, written back twice")
    return np.ascontiguousarray(values[:, 0::2]), Grid(grid.lat_edges[0::2], grid.lon_edges)


def some(labels: Sequence[str]) -> str:
    """The first few of ``labels``."""
    return ", ".join(labels[:6]) + (" …" if len(labels) > 6 else "")
