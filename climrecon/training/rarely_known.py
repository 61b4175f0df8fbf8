"""Cells known in too few months for a covariance: the poles of a data set before the stations there."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.errors import InputDataError
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import great_circle
from climrecon.training.fields import TrainingFields

#: Fewest months for covariances.
FEWEST = 24
#: Neighbours of such a cell lie within so many km.
NEAR_KM = 1500.0
#: Share of the area above which fields with such cells do not cover the globe.
MOST_AREA = 1.0 / 3.0
#: Months that are looked at together.
_AT_ONCE = 2000


def rarely_known(fields: TrainingFields) -> BoolArray:
    """(H, W) cells of the domain without a value in all but a few months, of all months that are learned from."""
    count = np.zeros(fields.grid.shape, np.int64)
    for start in range(0, len(fields), _AT_ONCE):
        count += np.isfinite(fields.values[start : start + _AT_ONCE]).sum(axis=0)
    return np.asarray((count < FEWEST) & (fields.grid.area > 0))


def text_on(rare: BoolArray) -> str:
    """Text on these cells for notes and cards; "" where there are none."""
    if not rare.any():
        return ""
    what = "1 cell is" if rare.sum() == 1 else f"{rare.sum()} cells are"
    whose = "its covariances are its" if rare.sum() == 1 else "their covariances are their"
    return f"{what} known in fewer than {FEWEST} months; {whose} neighbours'."


def with_neighbours(values: FloatArray, grid: Grid) -> FloatArray:
    """(N, H, W) values whose rarely known cells take, month by month, the area mean of the known cells nearby.

    Those are within 1,500 km; where none is known there, the nearest known cell stands alone. A mean varies less than a
    cell: the variance there is a lower bound. As given where no cell of the domain is rarely known.

    Raises
    ------
    InputDataError
        If such cells are more than a third of the area.
    """
    known = np.isfinite(values).reshape(len(values), -1)
    rare = np.flatnonzero((known.sum(axis=0) < FEWEST) & (grid.area.reshape(-1) > 0))
    if not len(rare):
        return values
    share = float(grid.area.reshape(-1)[rare].sum())
    if share > MOST_AREA:
        raise InputDataError(
            f"{len(rare)} cells, {100 * share:.0f} % of the area, are known in fewer than {FEWEST} of {len(values)} "
            "training months, too few for covariances; a third of the area at most can take those of its neighbours.",
            "Train on fields that cover the globe, or on a period with more observations.",
        )
    known[:, rare] = False
    distance = great_circle(grid)[rare]
    flat = np.where(known, values.reshape(len(values), -1), 0.0)
    near = (distance <= NEAR_KM) * grid.area.reshape(-1)
    weight = known @ near.T
    mean = (flat @ near.T) / np.where(weight > 0, weight, 1.0)
    for month, cell in np.argwhere(weight == 0):
        if known[month].any():
            mean[month, cell] = flat[month, np.argmin(np.where(known[month], distance[cell], np.inf))]
        else:
            mean[month, cell] = np.nan
    result = np.where(known, flat, np.nan)
    result[:, rare] = mean
    return np.asarray(result.reshape(values.shape))
