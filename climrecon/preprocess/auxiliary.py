"""Further variables of models and observations as anomalies in one unit each, on a network's grid.

A further variable is an input alone. Gaps may be where they like: models have no sea-surface temperature on land.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.fields import Months
from climrecon.grid import Grid
from climrecon.preprocess.axes import find_horizontal
from climrecon.preprocess.chunks import all_of, find_variable
from climrecon.preprocess.climatology import anomalies_of
from climrecon.preprocess.models import look_at, prepare_member
from climrecon.preprocess.opening import opened
from climrecon.preprocess.regrid import OBSERVED_SHARE, remap_with_gaps
from climrecon.preprocess.times import find_time, month_index
from climrecon.preprocess.values import read_values
from climrecon.variables import AUXILIARY, is_celsius, is_kelvin


def factor_to_units(variable: str, units: str) -> float:
    """By what anomalies in ``units`` are multiplied to be in those of :data:`climrecon.variables.AUXILIARY`.

    Raises
    ------
    InputDataError
        If ``units`` are none of the variable's.
    """
    known = AUXILIARY[variable]
    if "K" in known and (is_kelvin(units) or is_celsius(units)):
        return 1.0
    found = known.get(" ".join(units.split()))
    if found is None:
        raise InputDataError(
            f"The units {units!r} of {variable} are not understood; {', '.join(known)} are.",
            "Mend the units attribute, or leave the file out.",
        )
    return found


def prepare_further(
    files: Sequence[Path],
    grid: Grid,
    reference_period: tuple[int, int],
    scratch: Path,
    variable: str,
    realisation: int | None,
) -> tuple[FloatArray, Months]:
    """(T, H, W) anomalies of a further variable of one member, NaN where missing; see :func:`prepare_member`.

    Raises
    ------
    InputDataError
        If a file cannot be used.
    """
    factor = factor_to_units(variable, look_at(files, variable)[0].units)
    values, months = prepare_member(
        files, grid, reference_period, scratch, variable, realisation=realisation, gaps=True
    )
    return np.asarray(values * np.float32(factor), np.float32), months


def read_further(
    path: Path, variable: str, grid: Grid, reference_period: tuple[int, int], scratch: Path
) -> tuple[FloatArray, IntArray]:
    """(T, H, W) anomalies of observations or a reanalysis of a further variable, NaN where missing, and (T,) months.

    Cells without two thirds of the years of ``reference_period`` in a calendar month are missing: their anomalies are
    not known.

    Raises
    ------
    InputDataError
        If the file cannot be used.
    """
    with opened(path) as file:
        found = find_variable(file, variable)
        units = str(getattr(found, "units", ""))

        def time() -> tuple[str, IntArray]:
            dimension, coordinate = find_time(file, found)
            return dimension, month_index(file, coordinate)[0]

        (name, index), axes, factor = all_of(
            time, lambda: find_horizontal(file, found), lambda: factor_to_units(variable, units)
        )
        values = read_values(found, (name, axes.lat_name, axes.lon_name), axes.rows, axes.columns)
    order = np.argsort(index)
    index, values = index[order], values[order]
    if (np.diff(index) == 0).any():
        raise InputDataError("Months stand there more than once.", "Each month is expected once.")
    anomalies = np.asarray(anomalies_of(values, index, reference_period) * factor, np.float32)
    if not grid.same_as(axes.grid):
        anomalies, share = remap_with_gaps(anomalies, np.isfinite(anomalies), axes.grid, grid, scratch)
        anomalies = np.where(share >= OBSERVED_SHARE, anomalies, np.nan).astype(np.float32)
    if not np.isfinite(anomalies).any():
        raise InputDataError(
            f"No cell of {variable} has an anomaly relative to {reference_period[0]}-{reference_period[1]}.",
            "Give a file that covers these years.",
        )
    return anomalies, index
