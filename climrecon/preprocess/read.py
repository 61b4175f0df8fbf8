"""Reading observations as their producers write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.errors import InputDataError
from climrecon.fields import Observations, Source, Steps
from climrecon.files import input_sha256, unchanged_inputs
from climrecon.frequency import MONTH
from climrecon.geography import with_domain
from climrecon.grid import Grid
from climrecon.memory import blocks_of, new_array
from climrecon.netcdf.names import plain_name
from climrecon.preprocess.chunks import Chunk, joined, read_chunk, read_once, some, taken
from climrecon.preprocess.climatology import anomalies_of
from climrecon.preprocess.filled import INSTEAD, reason_against
from climrecon.preprocess.missing import Tally
from climrecon.preprocess.plausibility import doubtful_spread
from climrecon.preprocess.request import PrepareRequest
from climrecon.preprocess.uncertainty import with_errors
from climrecon.settings import Period
from climrecon.variables import VARIABLES, Variable

#: Share of the observed values that may be lost with cells whose climatology cannot be worked out.
MOST_DROPPED = 0.9


@unchanged_inputs()
def read_observations(
    files: Sequence[Path], request: PrepareRequest, *, uncorrelated: Path | None = None
) -> Observations:
    """Read one data set, which may be split in time over several files.

    Parameters
    ----------
    uncorrelated:
        File of one-sigma errors of the cells (HadCRUT5's ``uncorrelated``), or None.

    Returns
    -------
    Anomalies on the file's grid, in the package's order, relative to the file's base period. Rows written
    twice (HadCRUT4 on 72 x 72) are read once.

    Raises
    ------
    InputDataError
        If a file cannot be used; the message names the reason.
    """
    if not files:
        raise InputDataError("No file was given.", "Name at least one.")
    files = [Path(path) for path in files]
    chunks = [read_chunk(path, request) for path in files]
    notes = [note for chunk in chunks[:1] for note in chunk.notes]
    values, time = joined(chunks, [path.name for path in files], notes, request.scratch)
    tally = Tally()
    for one in chunks:
        tally.add(one.tally)
    chunk = replace(chunks[0], values=np.empty(0, np.float32))
    del chunks  # their values are in the joined ones
    once: list[str] = []
    values, grid = read_once(values, chunk.axes.grid, once)
    mask = _observed(values, request.scratch)
    notes += [*tally.note(float(mask.mean())), *once]
    grid = _with_domain(grid, mask, request, notes)
    infilled, dropped = "", ""
    if not request.allow_complete:
        allowed = request.allow_infilled
        infilled = _refuse_infilled(mask, grid, chunk, files[0].name, allowed, notes)
    base = chunk.base
    if not chunk.anomaly:
        base, variable = request.reference_period, VARIABLES[request.variable]
        try:
            if variable.kind != "absolute":
                values, dropped = _less_climatology(values, time, base, variable)
        except InputDataError as error:
            raise InputDataError(f"{files[0].name}: {error.message}", error.hint) from error
        if variable.kind != "absolute":
            into = (
                "anomalies relative to"
                if variable.kind == "anomaly"
                else f"per cent of the {time.frequency.adjective} means of"
            )
            notes.append(f"absolute values turned into {into} {base[0]}-{base[1]}")
    elif base is not None and base != request.reference_period:
        notes.append(f"the anomalies refer to {base[0]}-{base[1]}, their own base; gappy fields are not re-based")
    keep = _within(time, request.period)
    if not keep.all():
        values, time = taken(values, np.flatnonzero(keep), request.scratch), time[keep]
    mask = _observed(values, request.scratch)
    if not mask.any():
        raise InputDataError(f"Every value in {time.span()} is missing.", "Choose another period.")
    _gap_notes(time, mask, notes)
    observations = Observations(
        variable=request.variable,
        values=values,
        mask=mask,
        obs_sd=None,
        time=time,
        grid=grid,
        reference_period=base,
        source=_source(files, chunk, request, notes, infilled).warned(
            dropped,
            # What other means than monthly ones vary by is not described.
            doubtful_spread(values, mask, VARIABLES[request.variable], chunk.metadata["variable_in_file"])
            if time.frequency == MONTH
            else "",
        ),
    )
    if uncorrelated is None:
        return observations
    return with_errors(observations, Path(uncorrelated), allow_infilled=request.allow_infilled)


def _observed(values: FloatArray, scratch: Path | None) -> BoolArray:
    """(T, H, W) where there is a value."""
    mask = new_array(values.shape, bool, scratch)
    for part in blocks_of(values, mask):
        mask[part] = np.isfinite(values[part])
    return mask


def _less_climatology(
    values: FloatArray, time: Steps, base: tuple[int, int], variable: Variable
) -> tuple[FloatArray, str]:
    """Anomalies in place of values, and a warning on values lost without a climatology; refuses to lose most."""
    ratio_from = variable.least_climatology if variable.kind == "ratio" else None
    before = _count(values)
    anomalies = anomalies_of(values, time, base, ratio_from=ratio_from, out=values)
    after = _count(anomalies)
    lost = f"{100 * (1 - after / before):.1f} % of the observed values"
    years = f"fewer than two thirds of the years {base[0]}-{base[1]}{time.frequency.stands_in}"
    if ratio_from is not None:
        years += f", or a mean of at most {ratio_from:.2g} {variable.absolute_units}"
    if before - after > MOST_DROPPED * before:
        raise InputDataError(
            f"{lost} are in cells with {years}, and have no anomaly.",
            "Choose a reference_period in which more cells are observed, or give anomalies.",
        )
    return anomalies, f"{lost} are left out: their cells have {years}" if after < before else ""


def _count(values: FloatArray) -> int:
    return sum(int(np.isfinite(values[part]).sum()) for part in blocks_of(values))


def _refuse_infilled(mask: BoolArray, grid: Grid, chunk: Chunk, name: str, allowed: bool, notes: list[str]) -> str:
    """Refuse products whose gaps are filled; where they are ``allowed``, why the gaps seem filled, else ""."""
    row = chunk.release.data_set if chunk.release else None
    reason = reason_against(mask, grid, chunk.stated, row, anomaly=chunk.anomaly)
    if reason is None:
        return ""
    if not allowed:
        raise InputDataError(f"{name} is not reconstructed: {reason}.", INSTEAD)
    notes.append(f"read by allow_infilled, though {reason}; filled cells count as observations")
    return reason


def _with_domain(grid: Grid, mask: BoolArray, request: PrepareRequest, notes: list[str]) -> Grid:
    """The grid with the cells where the variable exists, or that a regional product holds."""
    variable = VARIABLES[request.variable]
    grid = with_domain(grid, variable.exists, mask, request.domain)
    whole = "the globe" if grid.is_global else "the region"
    if grid.exists is not None and not grid.exists.all():
        why = f"{variable.label} is estimated over the {grid.where or variable.exists} alone"
        if grid.where == "observed":
            why = (
                "cells that no month holds, beyond the observed ones or in water around a product of land, are outside "
                "the domain (domain=everywhere fills them)"
            )
        elif not grid.where:
            why = f"{variable.label} exists over {variable.area_in_words} alone"
        notes.append(
            f"{why}: {int((~grid.exists).sum())} cells, {100 * grid.outside_share:.0f} % of {whole}'s area, are neither "
            "estimated nor counted in means"
        )
    never = ~mask.any(axis=0) & (True if grid.exists is None else grid.exists)
    if not grid.is_global and never.any():
        notes.append(f"{int(never.sum())} cells of the domain are observed in no month, and are filled")
    return grid


def _within(time: Steps, period: tuple[int | None, int | None]) -> BoolArray:
    keep = np.asarray(Period(*period).holds(time.months))
    if not keep.any():
        raise InputDataError(f"No {time.word} of {time.span()} lies in the period asked for.", "Choose another period.")
    return keep


def _gap_notes(time: Steps, mask: BoolArray, notes: list[str]) -> None:
    absent, words = time.absent(), time.plural
    if len(absent) and len(time) > 2:
        notes.append(f"{len(absent)} {words} are absent: {some(absent.labels())}")
    empty = np.flatnonzero(~mask.any(axis=(1, 2)))
    if len(empty):
        shown = some(time[empty].labels())
        notes.append(f"{len(empty)} {words} hold no observation and are estimated without any: {shown}")


def _source(files: Sequence[Path], chunk: Chunk, request: PrepareRequest, notes: list[str], infilled: str) -> Source:
    release = chunk.release
    return Source(
        dataset=release.name if release else request.facets.get("model") or Path(plain_name(files[0].name)).stem,
        version=(release.version if release else "") or request.facets.get("version", ""),
        files=tuple(str(path) for path in files),
        sha256=tuple(input_sha256(path) for path in files),
        **chunk.metadata,
        blended=release is not None and release.data_set.blended and bool(VARIABLES[request.variable].blend),
        lat=chunk.axes.lat,
        lon=chunk.axes.lon,
        calendar=chunk.time.calendar,
        facets=dict(request.facets),
        notes=tuple(notes),
        infilled=infilled,
    )
