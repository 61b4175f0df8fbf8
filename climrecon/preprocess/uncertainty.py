"""Errors of observed cells: files of uncorrelated errors, and members of an ensemble."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np

from climrecon.array_types import FloatArray
from climrecon.errors import InputDataError
from climrecon.fields import Observations, Steps
from climrecon.files import input_sha256
from climrecon.grid import Grid
from climrecon.netcdf.opening import opened
from climrecon.preprocess.chunks import read_chunk, read_once
from climrecon.preprocess.field import field_of
from climrecon.preprocess.filled import INSTEAD
from climrecon.preprocess.plausibility import check_errors
from climrecon.preprocess.request import PrepareRequest
from climrecon.preprocess.values import check_units, to_units
from climrecon.variables import VARIABLES

#: Share of the observed cells that may lack an error in months that have errors: those that a producer fills have none.
MOST_WITHOUT_ERROR = 0.2


def with_errors(observations: Observations, uncorrelated: Path, *, allow_infilled: bool = False) -> Observations:
    """Observations with the one-sigma error of their cells, (T, H, W), NaN where it is not known.

    Raises
    ------
    InputDataError
        If the file cannot be used or does not go with the observations, if its errors cannot be right, or if so many
        cells have none that their values are interpolated, unless this is allowed.
    """
    source = observations.source
    errors = read_uncorrelated(uncorrelated, observations)
    share = float(np.mean(errors[observations.mask] > 0))
    if share == 0.0:
        unused = f"{uncorrelated.name} states no error above zero of an observed cell, and is not used"
        return replace(observations, source=source.warned(unused))
    doubt = check_errors(errors, observations, VARIABLES[observations.variable], uncorrelated.name)
    stated = np.isfinite(errors)
    seen = observations.mask & stated.any(axis=(1, 2), keepdims=True)
    lacking = float((seen & ~stated).sum() / max(seen.sum(), 1))
    if lacking > MOST_WITHOUT_ERROR:
        reason = f"{100 * lacking:.0f} % of its cells have no error in {uncorrelated.name}: they seem to be filled"
        if not allow_infilled:
            raise InputDataError(f"{Path(source.files[0]).name} is not reconstructed: {reason}.", INSTEAD)
        source = replace(source, notes=(*source.notes, f"read by allow_infilled, though {reason}"), infilled=reason)
    return replace(
        observations,
        obs_sd=errors,
        source=replace(
            source,
            files=(*source.files, str(uncorrelated)),
            sha256=(*source.sha256, input_sha256(uncorrelated)),
            notes=(*source.notes, f"uncorrelated cell errors from {uncorrelated.name}{share_in_words(share)}"),
        ).warned(doubt),
    )


def share_in_words(share: float) -> str:
    """``, for 40.0 % of the observed cells``; nothing where all have an error."""
    return f", for {100 * share:.1f} % of the observed cells" if share < 0.999 else ""


def read_uncorrelated(path: Path, like: Observations) -> FloatArray:
    """(T, H, W) one-sigma errors that ``path`` states for the months and cells of ``like``.

    Raises
    ------
    InputDataError
        If the file has no such variable, another grid, negative errors, or no month in common.
    """
    with opened(path) as file:
        field = field_of(
            file, _error_variable(file), lambda units: check_units(units, VARIABLES[like.variable]), like.time.frequency
        )
        errors = to_units(field.read(), field.units, True, VARIABLES[like.variable])
        if (errors < 0).any() or np.isinf(errors).any():
            raise InputDataError(f"{field.variable.name} holds negative or infinite errors.", "Repair the file.")
    return aligned(errors, field.time, field.horizontal.grid, like, path.name)


def _error_variable(file: netCDF4.Dataset) -> netCDF4.Variable:
    fields = [v for v in file.variables.values() if v.ndim >= 3]
    errors = [
        v
        for v in fields
        if v.name.lower().endswith(("unc", "uncertainty")) or "standard_error" in str(getattr(v, "standard_name", ""))
    ]
    if len(errors) != 1:
        held = ", ".join(v.name for v in fields) or "no fields"
        raise InputDataError(
            f"One variable of cell errors (…_unc) is expected; the file holds {held}.", "Choose another file."
        )
    return errors[0]


def read_member(path: Path, request: PrepareRequest, like: Observations, realisation: int | None = None) -> FloatArray:
    """(T, H, W) float32 anomalies of one ensemble member, on the months and grid of ``like``.

    Months the member lacks are NaN.

    Parameters
    ----------
    realisation:
        Which member, from 0, of a file that holds several along a dimension.

    Raises
    ------
    InputDataError
        If the file cannot be used, or has another grid, kind or base.
    """
    if request.obs_variable:  # members may call it otherwise than their mean does
        with opened(path) as file:
            request = request if request.obs_variable in file.variables else replace(request, obs_variable="")
    chunk = read_chunk(path, request, realisation)
    if not chunk.anomaly:
        raise InputDataError(
            f"{path.name} holds absolute values; its ensemble holds anomalies.",
            "Use members of one release, or obs_members=0 to leave them out.",
        )
    if chunk.base is not None and like.reference_period is not None and chunk.base != like.reference_period:
        raise InputDataError(
            f"{path.name} refers to {chunk.base[0]}-{chunk.base[1]}, the observations to "
            f"{like.reference_period[0]}-{like.reference_period[1]}.",
            "Members and their mean must come from one release.",
        )
    if len(np.unique(chunk.time.index)) != len(chunk.time):
        raise InputDataError(f"{path.name}: {chunk.time.plural} stand there more than once.", "Remove the duplicates.")
    return aligned(chunk.values, chunk.time, chunk.axes.grid, like, path.name)


def aligned(values: FloatArray, time: Steps, grid: Grid, like: Observations, name: str) -> FloatArray:
    """(T, H, W) ``values`` of the file ``name`` on the time axis of ``like``; NaN where they have none.

    Raises
    ------
    InputDataError
        If the grids differ, or no step is in common.
    """
    once, merged = read_once(values, grid, [])
    if merged.same_as(like.grid):
        values, grid = once, merged
    if not grid.same_as(like.grid):
        raise InputDataError(
            f"{name} is on a grid of {grid.describe()}, the observations on {like.grid.describe()}.",
            "Both must come from one release.",
        )
    _, ours, theirs = np.intersect1d(like.time.index, time.index, return_indices=True)
    if not len(ours):
        raise InputDataError(
            f"{name} has no {time.word} in common with the observations ({like.time.span()}).",
            "Both must come from one release.",
        )
    found = np.full(like.values.shape, np.nan, np.float32)
    found[ours] = values[theirs]
    return found
