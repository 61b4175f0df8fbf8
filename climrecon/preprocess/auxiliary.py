"""Auxiliary variables of models and observations as anomalies in one unit each, on a network's grid.

An auxiliary variable is an input alone and may have gaps anywhere: models have no sea-surface temperature on land.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.fields import Steps
from climrecon.frequency import MONTH, Frequency
from climrecon.grid import Grid
from climrecon.netcdf.opening import opened
from climrecon.preprocess.climatology import anomalies_of
from climrecon.preprocess.field import field_of, find_variable
from climrecon.preprocess.missing import Tally, without_flags
from climrecon.preprocess.models import inspected, prepare_member
from climrecon.preprocess.regrid import OBSERVED_SHARE, remap_with_gaps
from climrecon.variables import VARIABLES


def factor_to_units(variable: str, units: str) -> float:
    """Factor from anomalies in ``units`` to those in the variable's units.

    Raises
    ------
    InputDataError
        If ``units`` are none of the variable's.
    """
    to_ours = VARIABLES[variable].conversion(units)
    if to_ours is None:
        raise InputDataError(
            f"The units {units!r} of {variable} are not those of a {VARIABLES[variable].quantity}.",
            f"Units that convert to {VARIABLES[variable].absolute_units} are expected: mend the attribute, or leave the "
            "file out.",
        )
    return to_ours.factor


def prepare_auxiliary(
    files: Sequence[Path],
    grid: Grid,
    reference_period: tuple[int, int],
    scratch: Path,
    variable: str,
    realisation: int | None,
    frequency: Frequency = MONTH,
) -> tuple[FloatArray, Steps]:
    """(T, H, W) anomalies of an auxiliary variable of one member, NaN where missing; see :func:`prepare_member`.

    Raises
    ------
    InputDataError
        If a file cannot be used.
    """
    factor_to_units(variable, inspected(files, variable, frequency)[0].units)  # refuses those of other quantities
    values, months = prepare_member(
        files, grid, reference_period, scratch, variable, realisation=realisation, gaps=True, frequency=frequency
    )
    return np.asarray(values, np.float32), months


def read_auxiliary(
    path: Path,
    variable: str,
    grid: Grid,
    reference_period: tuple[int, int],
    scratch: Path,
    frequency: Frequency = MONTH,
) -> tuple[FloatArray, IntArray]:
    """(T, H, W) anomalies of an auxiliary variable from observations or a reanalysis, NaN where missing, and (T,) stamps
    of its steps (:attr:`climrecon.steps.Steps.stamps`).

    Cells without two thirds of the years of ``reference_period`` in a calendar month are missing: their anomalies are
    not known.

    Raises
    ------
    InputDataError
        If the file cannot be used.
    """
    with opened(path) as file:
        field = field_of(file, find_variable(file, variable), lambda units: factor_to_units(variable, units), frequency)
        plausible = VARIABLES[variable].plausible(field.units)
        values = without_flags(field.read(plausible=plausible), plausible, VARIABLES[variable], Tally())
    order = np.argsort(field.time.index)
    time, values = field.time[order], values[order]
    if (np.diff(time.index) == 0).any():
        raise InputDataError(
            f"{time.plural.capitalize()} stand there more than once.", f"Each {time.word} is expected once."
        )
    factor = factor_to_units(variable, field.units)
    anomalies = np.asarray(anomalies_of(values, time, reference_period) * factor, np.float32)
    source = field.horizontal.grid
    if not grid.same_as(source):
        anomalies, share = remap_with_gaps(anomalies, np.isfinite(anomalies), source, grid, scratch)
        anomalies = np.where(share >= OBSERVED_SHARE, anomalies, np.nan).astype(np.float32)
    if not np.isfinite(anomalies).any():
        raise InputDataError(
            f"No cell of {variable} has an anomaly relative to {reference_period[0]}-{reference_period[1]}.",
            "Give a file that covers these years.",
        )
    return anomalies, time.stamps
