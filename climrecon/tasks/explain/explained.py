"""One method's value of one month: contributions, changes without blocks of observations, and what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.fields import Observations
from climrecon.geography import land_fraction, with_domain
from climrecon.grid import Grid
from climrecon.methods.contract import Method
from climrecon.methods.influence import Window, blocks_left_out, by_occlusion, cells_within
from climrecon.output.explanation import Block, Explained, Worth
from climrecon.settings import RunSettings
from climrecon.settings.periods import parse_month
from climrecon.tasks.explain.target import target_of, weights_on
from climrecon.tasks.methods import LoadedMethod
from climrecon.variables import VARIABLES
from climrecon.workflow.progress import Reporter


def month_at(observations: Observations, month: str) -> int:
    """Position of a month in the observations.

    Raises
    ------
    InputDataError
        If the observations do not hold it, or nothing is observed in it.
    """
    time, wanted = observations.time, parse_month(month)
    at = time.nearest(wanted)
    if not time.holds(wanted, at):
        raise InputDataError(
            f"month={month} is in none of the {time.counted()} of {observations.source.label} ({time.span()}); the "
            f"nearest is {time.labels()[at]}.",
            "Choose a month of the observations, within period if one is given.",
        )
    if not observations.mask[at].any():
        raise InputDataError(
            f"Nothing is observed in {time.labels()[at]}: its estimate is the climatology, and no observation's.",
            "Choose a month with observations.",
        )
    return at


def explain(
    method: LoadedMethod, observations: Observations, settings: RunSettings, notes: Sequence[str], reporter: Reporter
) -> Explained:
    """Explain the value of the month that ``settings`` name.

    Parameters
    ----------
    observations:
        On the method's grid; the method is calibrated to them.

    Raises
    ------
    InputDataError
        If the grid does not hold the value, or the observations the month.
    """
    at, variable = month_at(observations, settings.month or ""), VARIABLES[settings.variable]
    grid = with_domain(observations.grid, variable.exists, observations.mask, settings.domain)
    target = target_of(settings.region, settings.variable, grid)
    weights = weights_on(grid, target)
    reconstructor = method.reconstructor
    window = Window.of(observations, at, reconstructor)
    estimate = window.estimate(reconstructor)
    blocks = [(block.extent(), cells_within(grid, block)) for block in blocks_left_out(grid)]
    blocks = [(name, cells) for name, cells in blocks if window.seen.reshape(-1)[cells].any()]
    observed = [cells[window.seen.reshape(-1)[cells]] for _, cells in blocks]
    worth, reductions = _worth(window, reconstructor, weights, grid, observed)
    found = window.influence(reconstructor, weights) or by_occlusion(window, reconstructor, weights, reporter.step)
    if found.without is not None:
        changes = found.without(observed)
    else:
        changes = window.without(reconstructor, weights, observed, reporter.step)
    own = found.contributions[window.position].reshape(-1)
    rows = [
        Block(name, cells, len(some), float(own[some].sum()), float(change), reduction)
        for (name, cells), some, change, reduction in zip(blocks, observed, changes, reductions, strict=True)
    ]
    return Explained(
        info=method.info,
        target=target,
        variable=settings.variable,
        grid=grid,
        time=window.time,
        position=window.position,
        values=window.values,
        mask=window.mask,
        land=land_fraction(grid),
        weights=weights,
        influence=replace(found, without=None),  # it holds matrices of cells by cells
        estimate=window.value_of(estimate, weights),
        stated_sd=None if estimate.area_mean_sd is None else float(estimate.area_mean_sd(weights)[window.position]),
        blocks=rows,
        agreement=_agreement(rows),
        worth=worth,
        notes=[*notes, *_notes(window, weights, settings, observations)],
    )


def _notes(window: Window, weights: FloatArray, settings: RunSettings, observations: Observations) -> list[str]:
    units, notes = VARIABLES[settings.variable].units, []
    base, wanted = observations.reference_period, settings.reference_period.years
    if base is not None and base != wanted:
        notes.append(f"values refer to the observations' own base, {base[0]}-{base[1]}")
    if np.count_nonzero(weights) == 1 and (window.seen & (weights > 0)).any():
        value = float(window.values[window.position][weights > 0][0])
        notes.append(
            f"the cell is observed ({value:+.2f} {units}): an infilled field keeps that; the analysis is explained"
        )
    return notes


def _agreement(blocks: Sequence[Block]) -> tuple[float, float]:
    """Rank correlation, and share by size of equal signs; NaN where there is nothing to compare."""
    from scipy.stats import spearmanr

    sums, changes = (np.array([getattr(one, name) for one in blocks]) for name in ("contribution", "change"))
    same = float(np.abs(sums)[np.sign(sums) == np.sign(changes)].sum())
    whole = float(np.abs(sums).sum())
    if len(blocks) < 3 or not np.ptp(sums) or not np.ptp(changes):
        return np.nan, same / whole if whole else np.nan
    return float(spearmanr(sums, changes).statistic), same / whole


def _worth(
    window: Window, method: Method, weights: FloatArray, grid: Grid, groups: Sequence[IntArray]
) -> tuple[Worth | None, Sequence[float | None]]:
    """What observations, and groups of them, are worth under the method's Gaussian model; None where it has none.

    The model's matrices of cells by cells are gone when this ends.
    """
    model = window.gaussian(method)
    if model is None:
        return None, [None] * len(groups)
    target, shape = weights.reshape(-1).astype(np.float64), weights.shape
    typical = float(np.sqrt(np.median(model.error)))
    each = np.full(weights.size, np.nan)
    each[model.cells] = model.reductions(target)
    missing = ~window.seen & (grid.area > 0)
    gains = np.where(missing, model.gain(target, typical).reshape(shape), np.nan)
    worth = Worth(model.variance(target), model.prior_variance(target), each.reshape(shape), gains, typical)
    return worth, list(model.without(target, np.zeros(weights.size), groups)[1])
