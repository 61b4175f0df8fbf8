"""Auxiliary variables as channels: how they are normalised, and what of them a sample shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.data.masks import MaskSource
from climrecon.training.fields import TrainingFields

#: Shares of the samples that see nothing of an auxiliary variable, and all of it; the others see it through a mask of
#: observations, so that a network can be used with a reanalysis, with observations, and without any.
ABSENT, COMPLETE = 0.25, 0.25
#: Error of an auxiliary variable where it is seen, in its own standard deviations, independent from cell to cell.
ERROR = 0.2
#: Months for mean and standard deviation, at most.
_MONTHS = 6000
#: A cell known in fewer months than this takes the average cell's standard deviation.
_FEWEST = 24
#: Smallest standard deviation of a cell, as a share of the average cell's.
_SMALLEST = 0.1

DESCRIPTION = (
    f"{100 * ABSENT:.0f} % of the samples see nothing of an auxiliary variable, {100 * COMPLETE:.0f} % all of it, the "
    f"others as much as a month of observations sees of temperature; errors of {ERROR:g} standard deviations"
)


def statistics(fields: TrainingFields) -> tuple[FloatArray, FloatArray]:
    """(V, P) mean and standard deviation of each auxiliary variable and cell over the training months."""
    rows = np.unique(np.linspace(0, len(fields) - 1, _MONTHS).astype(int))
    means, spreads = [], []
    for part in fields.auxiliary.values():
        values = np.asarray(part[rows], np.float64).reshape(len(rows), -1)
        known = np.isfinite(values)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, values, 0.0).sum(0) / count
        spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(0) / count)
        enough = known.sum(0) >= _FEWEST
        weight = fields.grid.area.reshape(-1) * enough
        usual = float(np.sqrt((spread**2 * weight).sum() / max(weight.sum(), 1e-12))) or 1.0
        means.append(np.where(enough, mean, 0.0))
        spreads.append(np.where(enough, np.maximum(spread, _SMALLEST * usual), usual))
    return np.stack(means), np.stack(spreads)


def seen_of(values: FloatArray, spread: FloatArray, masks: MaskSource, rng: np.random.Generator) -> NDArray[np.float32]:
    """(V, P) of a month's auxiliary variables as a sample sees them, NaN elsewhere.

    Parameters
    ----------
    values, spread:
        (V, P) the variables, NaN where missing, and their standard deviations.
    """
    seen = np.full(values.shape, np.nan, np.float32)
    for number, (field, sd) in enumerate(zip(values, spread, strict=True)):
        kind = rng.random()
        error = ERROR * sd * rng.normal(size=field.shape)
        if kind < ABSENT:
            continue
        shown = np.ones(field.shape, bool) if kind < ABSENT + COMPLETE else masks.draw(rng)
        seen[number] = np.where(shown, field + error, np.nan)
    return seen
