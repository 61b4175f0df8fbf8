"""One method's value of one month: contributions, changes without groups of observations, and what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.fields import Observations
from climrecon.geography import land_fraction, regions_of, with_domain
from climrecon.grid import Grid
from climrecon.methods.contract import Method
from climrecon.methods.influence import Window, blocks_left_out, by_occlusion, cells_within
from climrecon.output.explanation import Block, Explained, Worth
from climrecon.settings import RunSettings
from climrecon.settings.periods import parse_month
from climrecon.settings.targets import Target
from climrecon.tasks.explained.target import target_of, weights_on
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
            f"{month}, to be explained, is in none of the {time.counted()} of {observations.source.label} "
            f"({time.span()}); the nearest is {time.labels()[at]}.",
            "Choose a month of the observations, within period if one is given.",
        )
    if not observations.mask[at].any():
        raise InputDataError(
            f"Nothing is observed in {time.labels()[at]}: its estimate is the climatology, and no observation's.",
            "Choose a month with observations.",
        )
    return at


def months_at(observations: Observations, settings: RunSettings) -> list[int]:
    """Positions of the months to explain, each once: two months may be of one season. Checks the value too.

    Raises
    ------
    InputDataError
        If the observations do not hold a month, nothing is observed in it, or the grid does not hold the value.
    """
    found = list(dict.fromkeys(month_at(observations, month) for month in settings.explained_months))
    if found:
        _value(observations, settings)
    return found


def _value(observations: Observations, settings: RunSettings) -> tuple[Grid, Target, FloatArray]:
    """The grid with its domain, and on it the value and its weights."""
    grid = with_domain(observations.grid, VARIABLES[settings.variable].exists, observations.mask, settings.domain)
    target = target_of(settings.region, settings.variable, grid)
    return grid, target, weights_on(grid, target)


def explain(
    method: LoadedMethod,
    observations: Observations,
    settings: RunSettings,
    at: int,
    notes: Sequence[str],
    reporter: Reporter,
) -> Explained:
    """Explain the value that ``settings`` name.

    Parameters
    ----------
    observations:
        On the method's grid; the method is calibrated to them.
    at:
        Position of the month, see :func:`months_at`.
    notes:
        Of the result, before those that are found here.

    Raises
    ------
    InputDataError
        If the grid does not hold the value.
    """
    grid, target, weights = _value(observations, settings)
    reconstructor = method.reconstructor
    window = Window.of(observations, at, reconstructor)
    estimate, seen = window.estimate(reconstructor), window.seen.reshape(-1)
    blocks = [(block.extent(), cells_within(grid, block)) for block in blocks_left_out(grid)]
    blocks, regions = ([one for one in groups if seen[one[1]].any()] for groups in (blocks, _regions(grid)))
    groups = [*blocks, *regions]
    observed = [cells[seen[cells]] for _, cells in groups]
    worth, reductions = _worth(window, reconstructor, weights, grid, observed)
    found = window.influence(reconstructor, weights) or by_occlusion(window, reconstructor, weights, reporter.step)
    if found.without is not None:
        changes = found.without(observed)
    else:
        changes = window.without(reconstructor, weights, observed, reporter.step)
    own = found.contributions[window.position].reshape(-1)
    rows = [
        Block(name, cells, len(some), float(own[some].sum()), float(change), reduction)
        for (name, cells), some, change, reduction in zip(groups, observed, changes, reductions, strict=True)
    ]
    of_blocks, of_regions = rows[: len(blocks)], rows[len(blocks) :]
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
        blocks=of_blocks,
        regions=of_regions,
        agreement=_agreement(of_blocks),
        worth=worth,
        notes=[*notes, *_notes(window, weights, settings, observations)],
    )


def _regions(grid: Grid) -> list[tuple[str, IntArray]]:
    """Continents and ocean basins with the flat indices of their cells; none on a regional grid, which cuts them."""
    if not grid.is_global:
        return []
    number, names = regions_of(grid)
    return [(name, np.flatnonzero(number == one)) for one, name in enumerate(names)]


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
