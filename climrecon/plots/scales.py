"""Classes and colours of maps, from the description of the variable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.colors import BoundaryNorm

from climrecon.array_types import FloatArray
from climrecon.variables import VARIABLES


@dataclass(frozen=True, eq=False)
class Scale:
    """Classes of values with their colours (a name of matplotlib's), the label of the bar and its ticks."""

    norm: BoundaryNorm
    colours: str
    label: str
    ticks: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Scales:
    """Scales of a variable's anomalies, their differences, standard deviations and RMS errors."""

    anomaly: Scale
    difference: Scale
    spread: Scale
    rmse: Scale


@cache
def scales_of(variable: str) -> Scales:
    """Scales of ``variable``, the same object at each call.

    Raises
    ------
    ValueError
        If its description has no colours of maps.
    """
    units, maps = VARIABLES[variable].units, VARIABLES[variable].maps
    if maps is None:
        raise ValueError(f"The description of {variable} has no colours of maps.")

    def both_ways(limit: float, step: float, ticks: float, colours: str) -> Scale:
        norm = BoundaryNorm(np.arange(-limit, limit + 0.01 * step, step), 256, extend="both")
        return Scale(norm, colours, units, np.arange(-limit, limit + 0.1 * ticks, ticks))

    levels = np.array(maps.spread_levels)
    rmse = np.arange(0.0, maps.rmse_limit + 0.05 * maps.rmse_step, maps.rmse_step)
    return Scales(
        both_ways(maps.limit, maps.step, maps.ticks, maps.colours),
        both_ways(maps.difference_limit, maps.difference_step, maps.difference_ticks, maps.difference_colours),
        Scale(BoundaryNorm(levels, 256, extend="max"), maps.spread_colours, units, levels),
        Scale(BoundaryNorm(rmse, 256, extend="max"), maps.rmse_colours, units),
    )
