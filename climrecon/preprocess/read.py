"""Reading observations as their producers write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError
from climrecon.fields import Months, Observations, Source
from climrecon.files import sha256_of
from climrecon.grid import Grid
from climrecon.preprocess.axes import Horizontal, find_horizontal
from climrecon.preprocess.climatology import anomalies_of
from climrecon.preprocess.times import find_time, month_index
from climrecon.preprocess.values import (
    KNOWN_BASE,
    base_period,
    check_values,
    is_anomaly,
    missing_to_nan,
    to_kelvin,
)
from climrecon.variables import canonical_variable, dataset_of, infilled_product

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

#: A product with fewer gaps than this has been filled already, or has none to fill.
COMPLETE_COVERAGE = 0.97


@dataclass(frozen=True)
class PrepareRequest:
    """What is wanted of files.

    ``period`` are the first and last month wanted, ``year * 12 + month - 1``, None is open.
    ``allow_complete`` reads fields without gaps too (for evaluation).
    """

    variable: str = "tas"
    values: str = "auto"
    period: tuple[int | None, int | None] = (None, None)
    reference_period: tuple[int, int] = (1961, 1990)
    facets: dict[str, str] = field(default_factory=dict)
    allow_complete: bool = False


@dataclass(frozen=True)
class _Chunk:
    """One file: its values in the package's order, months, axes and attributes."""

    values: FloatArray
    index: IntArray
    axes: Horizontal
    calendar: str
    anomaly: bool
    base: tuple[int, int] | None
    about: dict[str, str]


@contextmanager
def opened(path: Path) -> Iterator[netCDF4.Dataset]:
    """Open a netCDF file for reading.

    Raises
    ------
    InputDataError
        If it does not exist, may not be read, or is damaged or no netCDF.
    """
    try:
        file = netCDF4.Dataset(path)
    except PermissionError as error:
        raise InputDataError(f"{path} may not be read: permission denied.", "Ask its owner.") from error
    except FileNotFoundError as error:
        raise InputDataError(f"There is no file {path}.") from error
    except (OSError, RuntimeError) as error:
        raise InputDataError(
            f"{path} cannot be opened as netCDF: {error}",
            "It is damaged, cut short, or another kind of file.",
        ) from error
    try:
        yield file
    except InputDataError as error:
        raise InputDataError(f"{path.name}: {error.message}", error.hint) from error
    except (OSError, RuntimeError) as error:
        raise InputDataError(
            f"{path} cannot be read to its end: {error}", "It is damaged or cut short; fetch it again."
        ) from error
    finally:
        file.close()


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
    Anomalies on the file's own grid, in the package's order, on the file's own base period. Rows written
    twice (HadCRUT4 on 72 x 72) are read once.

    Raises
    ------
    InputDataError
        If a file cannot be used; the message says why.
    """
    chunks = [_read_chunk(path, request) for path in files]
    notes: list[str] = []
    values, index = _joined(chunks, [path.name for path in files], notes)
    first = chunks[0]
    values, grid = _once(values, first.axes, notes)
    base = first.base
    if not first.anomaly:
        values, base = anomalies_of(values, index, request.reference_period), request.reference_period
        notes.append(f"absolute values turned into anomalies relative to {base[0]}-{base[1]}")
    keep = np.ones(len(index), dtype=bool)
    if request.period[0] is not None:
        keep &= index >= request.period[0]
    if request.period[1] is not None:
        keep &= index <= request.period[1]
    if not keep.any():
        raise InputDataError(
            f"No month of {Months(index).span()} lies in the period asked for.", "Choose another period."
        )
    values, index = values[keep], index[keep]
    mask = np.isfinite(values)
    if not mask.any():
        raise InputDataError(f"Every value in {Months(index).span()} is missing.", "Choose another period.")
    _gap_notes(index, mask, notes)
    observations = Observations(
        variable=request.variable,
        values=values.astype(np.float32),
        mask=mask,
        obs_sd=None,
        time=Months(index),
        grid=grid,
        reference_period=base,
        source=_source(files, first, request, notes),
    )
    if not request.allow_complete:
        refuse_infilled(observations)
    if uncorrelated is not None:
        observations = _with_errors(observations, uncorrelated)
    return observations


def refuse_infilled(observations: Observations) -> None:
    """Refuse products whose gaps are filled already.

    Raises
    ------
    InputDataError
        With the reason: name, title, or coverage.
    """
    source = observations.source
    reason = infilled_product(Path(source.files[0]).name, source.title)
    weights = observations.grid.area
    covered = float((observations.mask * weights).sum((1, 2)).mean())
    if reason is None and covered > COMPLETE_COVERAGE:
        reason = f"{100 * covered:.1f} % of its area is covered, so there is nothing to reconstruct"
    if reason:
        raise InputDataError(
            f"{Path(source.files[0]).name} is not reconstructed: {reason}.",
            "Use the product with its real gaps, for HadCRUT5 the non-infilled 'anomalies' files.",
        )


def _variable(file: netCDF4.Dataset, wanted: str) -> netCDF4.Variable:
    candidates = [v for v in file.variables.values() if v.ndim >= 3]
    names = {v.name: canonical_variable(v.name, v.__dict__) for v in candidates}
    matching = [v for v in candidates if names[v.name] == wanted]
    if len(matching) == 1:
        return matching[0]
    exact = [v for v in matching if v.name == wanted]
    if exact:
        return exact[0]
    if matching:
        raise InputDataError(
            f"Several variables could be {wanted}: {', '.join(v.name for v in matching)}.",
            "Leave one in the file.",
        )
    found = (
        ", ".join(f"{v.name} ({names[v.name] or 'unknown'})" for v in candidates)
        or "none with three dimensions"
    )
    raise InputDataError(
        f"No variable is {wanted}; the file holds {found}.", "Choose another variable or file."
    )


def _read_chunk(path: Path, request: PrepareRequest) -> _Chunk:
    with opened(path) as file:
        variable = _variable(file, request.variable)
        time_name = find_time(file, variable)
        axes = find_horizontal(file, variable)
        index, calendar = month_index(file[time_name])
        values = _ordered(missing_to_nan(variable[:]), variable, time_name, axes)
        if np.isnan(values).all():
            raise InputDataError("Every value is missing.", "Check that the file holds data.")
        anomaly = is_anomaly(request.values, file, variable, path.name, values)
        values = to_kelvin(values, str(getattr(variable, "units", "")), anomaly)
        check_values(values, anomaly, Months(index).labels())
        title = str(getattr(file, "title", ""))
        known = dataset_of(path.name, title)
        base = base_period(file, variable) or (KNOWN_BASE.get(known[0]) if known else None)
        about = {
            "variable": variable.name,
            "dtype": str(np.dtype(np.float64 if variable.dtype == np.float64 else np.float32)),
            **{key: str(getattr(file, key, "")) for key in ("title", "institution", "references", "history")},
        }
    return _Chunk(values, index, axes, calendar, anomaly, base if anomaly else None, about)


def _ordered(values: FloatArray, variable: netCDF4.Variable, time_name: str, axes: Horizontal) -> FloatArray:
    """(T, H, W) in the package's order; other dimensions must have length one."""
    order = [variable.dimensions.index(name) for name in (time_name, axes.lat_name, axes.lon_name)]
    others = [position for position in range(variable.ndim) if position not in order]
    long = [f"{variable.dimensions[p]} ({values.shape[p]})" for p in others if values.shape[p] != 1]
    if long:
        raise InputDataError(
            f"{variable.name} has a further dimension: {', '.join(long)}.", "Select one of its values first."
        )
    moved = np.transpose(values, others + order)
    moved = moved.reshape(moved.shape[len(others) :])
    return np.asarray(moved[:, axes.rows][:, :, axes.columns])


def _joined(chunks: Sequence[_Chunk], names: list[str], notes: list[str]) -> tuple[FloatArray, IntArray]:
    """Chunks in order of time; equal months in two chunks are dropped, different ones refused."""
    for chunk, name in zip(chunks[1:], names[1:], strict=True):
        if not chunk.axes.grid.same_as(chunks[0].axes.grid):
            raise InputDataError(
                f"{name} is on a grid of {chunk.axes.grid.describe()}, {names[0]} on {chunks[0].axes.grid.describe()}.",
                "The files of one data set must share a grid.",
            )
        if chunk.anomaly != chunks[0].anomaly:
            raise InputDataError(f"{name} and {names[0]} differ: one holds anomalies, one absolute values.")
    values = np.concatenate([chunk.values for chunk in chunks])
    index = np.concatenate([chunk.index for chunk in chunks])
    order = np.argsort(index, kind="stable")
    values, index = values[order], index[order]
    twice = np.flatnonzero(np.diff(index) == 0)
    if len(twice):
        equal = [np.array_equal(values[i], values[i + 1], equal_nan=True) for i in twice]
        if not all(equal) or len(chunks) == 1:
            labels = Months(index[twice]).labels()
            raise InputDataError(
                f"{len(twice)} months stand there more than once: {_some(labels)}.",
                "Each month is expected once; remove the duplicates.",
            )
        notes.append(f"{len(twice)} months stand in two files with equal values; read once")
        keep = np.ones(len(index), dtype=bool)
        keep[twice + 1] = False
        values, index = values[keep], index[keep]
    return values, index


def _once(values: FloatArray, axes: Horizontal, notes: list[str]) -> tuple[FloatArray, Grid]:
    """Rows that were written twice, read once: withholding one of a pair would leave its copy."""
    height = values.shape[1]
    if height % 2 or not np.array_equal(values[:, 0::2], values[:, 1::2], equal_nan=True):
        return values, axes.grid
    notes.append(f"each of {height // 2} rows is written twice in the file; read once, written back twice")
    return values[:, 0::2], Grid(axes.grid.lat_edges[0::2], axes.grid.lon_edges)


def _some(labels: list[str]) -> str:
    return ", ".join(labels[:6]) + (" …" if len(labels) > 6 else "")


def _gap_notes(index: IntArray, mask: NDArray[np.bool_], notes: list[str]) -> None:
    absent = np.setdiff1d(np.arange(index[0], index[-1] + 1), index)
    if len(absent) and len(index) > 2:
        shown = Months(absent).labels()
        notes.append(f"{len(absent)} months are absent: {_some(shown)}")
    empty = np.flatnonzero(~mask.any(axis=(1, 2)))
    if len(empty):
        shown = Months(index[empty]).labels()
        notes.append(f"{len(empty)} months hold no observation and are estimated without any: {_some(shown)}")


def _source(files: Sequence[Path], chunk: _Chunk, request: PrepareRequest, notes: list[str]) -> Source:
    known = dataset_of(files[0].name, chunk.about["title"])
    dataset, version, blended = known or (request.facets.get("model") or files[0].stem, "", False)
    return Source(
        dataset=dataset,
        version=version or request.facets.get("version", ""),
        files=tuple(str(path) for path in files),
        sha256=tuple(sha256_of(path) for path in files),
        variable_in_file=chunk.about["variable"],
        title=chunk.about["title"],
        institution=chunk.about["institution"],
        references=chunk.about["references"],
        history=chunk.about["history"],
        blended=blended,
        lat=chunk.axes.lat,
        lon=chunk.axes.lon,
        dtype=chunk.about["dtype"],
        calendar=chunk.calendar,
        facets=dict(request.facets),
        notes=tuple(notes),
    )


def _with_errors(observations: Observations, path: Path) -> Observations:
    """Observations with the one-sigma errors that ``path`` states for their months."""
    with opened(path) as file:
        names = [
            v
            for v in file.variables.values()
            if v.ndim >= 3 and v.name.lower().endswith(("unc", "uncertainty"))
        ]
        if len(names) != 1:
            found = ", ".join(v.name for v in file.variables.values() if v.ndim >= 3)
            raise InputDataError(f"No variable of cell errors (…_unc); the file holds {found}.")
        time_name = find_time(file, names[0])
        axes = find_horizontal(file, names[0])
        index, _ = month_index(file[time_name])
        errors = _ordered(missing_to_nan(names[0][:]), names[0], time_name, axes)
    if not axes.grid.same_as(observations.grid):
        raise InputDataError(
            f"{path.name} is on a grid of {axes.grid.describe()}, the observations on {observations.grid.describe()}."
        )
    aligned = np.full(observations.values.shape, np.nan, np.float32)
    _, ours, theirs = np.intersect1d(observations.time.index, index, return_indices=True)
    aligned[ours] = errors[theirs]
    source = replace(
        observations.source,
        files=(*observations.source.files, str(path)),
        sha256=(*observations.source.sha256, sha256_of(path)),
        notes=(*observations.source.notes, f"uncorrelated cell errors from {path.name}"),
    )
    return replace(observations, obs_sd=aligned, source=source)
