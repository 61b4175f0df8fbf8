"""Files of forced response patterns: the change of a variable per kelvin of global warming, of one model or of many."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.errors import InputDataError
from climrecon.grid import Grid
from climrecon.netcdf.opening import opened
from climrecon.preprocess.axes import Horizontal, find_horizontal
from climrecon.preprocess.regrid import remap
from climrecon.variables import VARIABLES

#: Labels of a season axis -> calendar months, 1..12.
SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
ANNUAL = "ANN"
#: Area mean of a pattern, per kelvin of the global mean: 1 but for what a file is rounded or defined by.
PLAUSIBLE = (0.7, 1.3)


def read_patterns(path: Path, grid: Grid, scratch: Path) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The patterns of a file on ``grid``, by calendar month, normalised to an annual area mean of 1.

    The field's dimensions are latitude and longitude; before them, where there are several models, these (a
    coordinate of names); and, where the pattern has seasons, one of four or five labels (``DJF``, ``MAM``, ``JJA``,
    ``SON``, and ``ANN``) or of twelve months. A model without some season has its annual pattern there.

    Returns
    -------
    Names of the models, or of the file, and (S, 12, P) patterns, K/K.

    Raises
    ------
    InputDataError
        If the file has no such field, or a pattern is not the change per kelvin.
    """
    with opened(path) as file:
        variable = _field(file, path)
        axes = find_horizontal(file, variable)
        names, by_month = _by_month(file, variable, axes, path)
    flat = by_month.reshape(-1, *axes.grid.shape)
    if not grid.same_as(axes.grid):
        flat = remap(flat.astype(np.float32), axes.grid, grid, scratch).astype(np.float64)
    patterns = flat.reshape(len(names), 12, -1)
    annual = patterns.mean(axis=1) @ grid.area.reshape(-1)
    strange = ~((annual > PLAUSIBLE[0]) & (annual < PLAUSIBLE[1]))
    if strange.any():
        number = int(np.argmax(strange))
        raise InputDataError(
            f"The pattern {names[number]} in {path.name} has an area mean of {annual[number]:.2f}; a change per kelvin "
            "of the global mean has one of about 1.",
            "Divide the pattern by the warming that it belongs to, or leave it out.",
        )
    return names, patterns / annual[:, None, None]


def _field(file: netCDF4.Dataset, path: Path) -> netCDF4.Variable:
    candidates = [v for v in file.variables.values() if v.ndim >= 2 and v.dtype.kind == "f" and "bnds" not in v.name]
    unit = VARIABLES["tas"].units
    accepted = (f"{unit} {unit}-1", f"{unit}/{unit}", "1")
    per_kelvin = [v for v in candidates if str(getattr(v, "units", "")).replace("^", "").strip() in accepted]
    if len(per_kelvin) != 1:
        found = ", ".join(f"{v.name} ({getattr(v, 'units', 'no units')})" for v in candidates) or "no field"
        raise InputDataError(
            f"{path.name} has {found}; one field in K K-1 (kelvin per kelvin of global warming) is expected.",
            "Name another file, or state the units of its field.",
        )
    return per_kelvin[0]


def _by_month(
    file: netCDF4.Dataset, variable: netCDF4.Variable, axes: Horizontal, path: Path
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names, and (S, 12, H, W) in the package's order."""
    others = [name for name in variable.dimensions if name not in (axes.lat_name, axes.lon_name)]
    values = np.ma.filled(variable[:].astype(np.float64), np.nan)
    order = [variable.dimensions.index(name) for name in (*others, axes.lat_name, axes.lon_name)]
    values = values.transpose(order)[..., axes.rows[:, None], axes.columns]
    labels = {name: _labels(file, name) for name in others}
    seasonal = [name for name in others if _is_seasonal(labels[name])]
    models = [name for name in others if name not in seasonal]
    if len(seasonal) > 1 or len(models) > 1:
        raise InputDataError(
            f"{variable.name} in {path.name} has the dimensions {', '.join(variable.dimensions)}.",
            "One of models and one of seasons or months are expected before latitude and longitude.",
        )
    if seasonal:
        values = np.moveaxis(values, others.index(seasonal[0]), 0)
        values = _months(values, labels[seasonal[0]])
    else:
        values = np.broadcast_to(values, (12, *values.shape))
    names = labels[models[0]] if models else (path.stem,)
    by_month = values.reshape(12, len(names), *values.shape[-2:]).swapaxes(0, 1)
    if not np.isfinite(by_month).all():
        bad = [name for name, one in zip(names, by_month, strict=True) if not np.isfinite(one).all()]
        raise InputDataError(f"Patterns with missing cells in {path.name}: {', '.join(bad[:6])}.", "Leave them out.")
    return names, np.ascontiguousarray(by_month)


def _labels(file: netCDF4.Dataset, dimension: str) -> tuple[str, ...]:
    """Of a dimension's coordinate; numbers from 1 where it has none."""
    if dimension not in file.variables:
        return tuple(str(number + 1) for number in range(len(file.dimensions[dimension])))
    values = file[dimension][:]
    if getattr(values, "dtype", np.dtype(object)).kind == "S":
        values = netCDF4.chartostring(values) if values.ndim > 1 else values.astype(str)
    return tuple(str(value) for value in values)


def _is_seasonal(labels: tuple[str, ...]) -> bool:
    return set(SEASONS) <= set(labels) <= {*SEASONS, ANNUAL} or labels == tuple(str(month) for month in range(1, 13))


def _months(values: NDArray[np.float64], labels: tuple[str, ...]) -> NDArray[np.float64]:
    """(12, …) from (K, …) seasons or months; a season that is missing is the annual pattern."""
    if len(labels) == 12:
        return values
    season_of = {month: name for name, months in SEASONS.items() for month in months}
    found = np.stack([values[labels.index(season_of[month])] for month in range(1, 13)])
    if ANNUAL in labels:
        annual = np.broadcast_to(values[labels.index(ANNUAL)], found.shape)
        complete = np.isfinite(found).all(axis=(-2, -1), keepdims=True)
        found = np.where(complete, found, annual)
    return found
