"""A complete record seen through gaps, a method's estimate of it, and the sums that scores follow from.

A step's sums stay, not its fields: any score over any years, and the test over years, follow from them. Cells count
that were **missing** under the mask and whose truth is known; regional means are those of the whole analysis, over the
cells whose truth is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon import indices
from climrecon.array_types import BoolArray, FloatArray
from climrecon.fields import Steps
from climrecon.frequency import DAY
from climrecon.geography import is_land
from climrecon.grid import GLOBE, NAMED_REGIONS, REGION, Grid, weighted_mean
from climrecon.scores import scores
from climrecon.scores.series import annual_means
from climrecon.scores.structure import structure_sums
from climrecon.variables import VARIABLES, Variable

#: Names of regions and indices whose means have scores, and a spread from the joint distribution of the cells; one of the
#: first two is the whole of a grid, see :attr:`climrecon.grid.Grid.regions`.
REGIONS = tuple(
    dict.fromkeys(
        (
            GLOBE.name,
            REGION,
            *(region.name for region in NAMED_REGIONS),
            *(index.title for variable in VARIABLES.values() for index in variable.indices),
        )
    )
)
#: Central intervals whose coverage is counted; bins of the histogram of probability transforms.
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BINS = 10
RAW = "raw_mean"
#: Cells of a month whose ranks are compared, at least.
FEWEST_RANKED = 10
#: A regional interval is judged only where so much of the region's truth is known.
WHOLE = 0.99
#: Values of a record of days whose sums are taken at once; sums of other records are taken of all their steps at once.
AT_ONCE = 4_000_000
#: Sums over time; all others have an entry a step.
_OVER_TIME = ("cell_squares", "cell_count", "histogram", "spread_skill", "block/")

Sums = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class MaskedTruth:
    """Complete months and the mask they are seen through.

    Attributes
    ----------
    truth:
        (T, H, W) K, NaN where it is not known.
    mask:
        (T, H, W) True where observed.
    variable:
        Of the truth: by its description values may be skewed, as of precipitation, and then totals and ranks count too;
        and its indices have scores.
    """

    name: str
    truth: FloatArray
    mask: BoolArray
    time: Steps
    grid: Grid
    variable: Variable = VARIABLES["tas"]

    @cached_property
    def means(self) -> dict[str, list[FloatArray]]:
        """(H, W) areas of each region and index that has scores: one, or two whose means are subtracted."""
        means: dict[str, list[FloatArray]] = {one.name: [self.grid.region_weights(one)] for one in self.grid.regions}
        held = indices.held(self.grid, self.variable.indices)
        return means | {one.title: indices.areas(self.grid, one) for one in held}

    @property
    def weights(self) -> dict[str, FloatArray]:
        """(H, W) weights whose sum with a field is each of :attr:`means`."""
        shares = {name: [area / area.sum() for area in areas] for name, areas in self.means.items()}
        return {name: first - less[0] if less else first for name, (first, *less) in shares.items()}

    def part(self, steps: slice) -> MaskedTruth:
        """Some of its steps."""
        return replace(self, truth=self.truth[steps], mask=self.mask[steps], time=self.time[steps])

    @property
    def blocks(self) -> list[slice]:
        """Parts of the time axis whose sums are taken one after the other, so that memory does not grow with days."""
        if self.time.frequency != DAY:
            return [slice(None)]
        count = max(1, AT_ONCE // self.grid.area.size)
        return [slice(start, start + count) for start in range(0, len(self.time), count)]

    @property
    def known(self) -> BoolArray:
        """(T, H, W) cells whose truth is known."""
        return np.asarray(np.isfinite(self.truth))

    @property
    def scored(self) -> BoolArray:
        """(T, H, W) cells that count: missing under the mask, truth known."""
        return self.known & ~self.mask


@dataclass(frozen=True)
class MethodOutput:
    """A method's estimate of a record.

    Attributes
    ----------
    mean, stddev:
        (T, H, W) K; the latter None where the method has none.
    region_sd:
        Region name -> (T,) standard deviation of the region's mean, K.
    region_draws:
        Region name -> (M, T) regional means of realisations, K.
    region_mean:
        Region name -> (T,) means where they are not those of ``mean`` (the mean of observed cells).
    draws:
        What scores of realisations are made of: :func:`climrecon.scores.ensembles.draw_sums`, and
        :func:`climrecon.scores.structure.structure_sums` of one realisation.
    """

    mean: FloatArray
    stddev: FloatArray | None = None
    region_sd: Mapping[str, FloatArray] = field(default_factory=dict)
    region_draws: Mapping[str, FloatArray] = field(default_factory=dict)
    region_mean: Mapping[str, FloatArray] = field(default_factory=dict)
    draws: Mapping[str, FloatArray] = field(default_factory=dict)

    def part(self, steps: slice) -> MethodOutput:
        """Some of its steps, without realisations."""
        return MethodOutput(
            self.mean[steps],
            None if self.stddev is None else self.stddev[steps],
            {name: series[steps] for name, series in self.region_sd.items()},
            region_mean={name: series[steps] for name, series in self.region_mean.items()},
        )


def _rank_correlations(estimate: FloatArray, truth: FloatArray, scored: BoolArray) -> FloatArray:
    """(T,) Spearman's rank correlation over the cells of each month that count; NaN where there are few."""
    from scipy.stats import spearmanr

    found = np.full(len(truth), np.nan)
    for month, cells in enumerate(scored):
        if cells.sum() >= FEWEST_RANKED and np.ptp(estimate[month][cells]) > 0 and np.ptp(truth[month][cells]) > 0:
            found[month] = spearmanr(estimate[month][cells], truth[month][cells]).statistic
    return found


def raw_mean(known: MaskedTruth, observed: FloatArray) -> MethodOutput:
    """The mean of the observed cells, no method at all: of a region's own cells, of all where it has none.

    Parameters
    ----------
    observed:
        (T, H, W) K as observed, NaN where missing.
    """

    def mean(weights: FloatArray) -> FloatArray:
        return np.concatenate([weighted_mean(observed[block], weights) for block in known.blocks])

    whole = np.nan_to_num(mean(known.grid.area))
    means = {}
    for name, areas in known.means.items():
        own = [mean(area) for area in areas]
        first, *less = [np.where(np.isfinite(one), one, whole) for one in own]
        means[name] = first - less[0] if less else first
    return MethodOutput(np.broadcast_to(whole[:, None, None], known.truth.shape), region_mean=means)


def sums_of(known: MaskedTruth, made: MethodOutput) -> Sums:
    """All sums that the scores of one method on one record are made of."""
    found = cell_sums(known, made)
    found |= {f"estimate/{key}": value for key, value in structure_of(known, made.mean).items()}
    for name, areas in known.means.items():
        own = together([_regional(known.part(block), made.part(block), name, areas) for block in known.blocks])
        if name in made.region_draws:
            draws = annual_means(made.region_draws[name], known.time)[1]
            own["annual_sd"] = draws.std(axis=0, ddof=1)
        found |= {f"{name}/{key}": value for key, value in own.items()}
    return found


def structure_of(known: MaskedTruth, fields: FloatArray) -> Sums:
    """:func:`climrecon.scores.structure.structure_sums` of (T, H, W) ``fields`` where the truth is known."""
    return together(
        [structure_sums(fields[block], np.isfinite(known.truth[block]), known.grid) for block in known.blocks]
    )


def together(parts: Sequence[Sums]) -> Sums:
    """The sums of all blocks of a record."""
    if len(parts) == 1:
        return parts[0]
    of_key = {key: [part[key] for part in parts] for key in parts[0]}
    return {
        key: np.sum(some, axis=0) if key.startswith(_OVER_TIME) else np.concatenate(some)
        for key, some in of_key.items()
    }


def cell_sums(known: MaskedTruth, made: MethodOutput) -> Sums:
    """The sums that scores of cells are made of, ``land/...`` those over land, and ``draws/...`` of realisations."""
    edges = _spread_edges(known, made)
    found = together([_cell_sums(known.part(block), made.part(block), edges) for block in known.blocks])
    return found | {f"draws/{key}": np.asarray(value) for key, value in made.draws.items()}


def _cell_sums(known: MaskedTruth, made: MethodOutput, edges: FloatArray) -> Sums:
    grid, scored = known.grid, known.scored
    weights = np.where(scored, grid.area, 0.0)
    on_land = np.where(is_land(grid), weights, 0.0)
    truth = np.where(scored, known.truth, 0.0).astype(np.float64)
    error = np.where(scored, made.mean - truth, 0.0)
    found: Sums = {
        "index": np.asarray(known.time.index),
        "coverage": (known.mask * grid.area).sum(axis=(1, 2)),
        "cell_squares": (error**2).sum(axis=0),
        "cell_count": scored.sum(axis=0),
    }
    for place, area in (("", weights), ("land/", on_land)):
        found[f"{place}weight"] = area.sum(axis=(1, 2))
        found[f"{place}squares"] = (area * error**2).sum(axis=(1, 2))
        found[f"{place}errors"] = (area * error).sum(axis=(1, 2))
    if known.variable.to_methods.kind != "linear":
        found["totals"] = (weights * truth).sum(axis=(1, 2))
        found["rank_r"] = _rank_correlations(made.mean, truth, scored)
    if made.stddev is not None:
        sd = np.where(scored, np.maximum(made.stddev, 1e-6), 1.0)
        crps = scores.crps_normal(made.mean, sd, truth)
        transform = scores.probability_transform(made.mean, sd, truth)
        inside = [scores.inside_central(transform, level) for level in LEVELS]
        for place, area in (("", weights), ("land/", on_land)):
            found[f"{place}crps"] = (area * crps).sum(axis=(1, 2))
            found[f"{place}inside"] = np.stack([(area * one).sum(axis=(1, 2)) for one in inside], axis=1)
        bins = np.minimum((transform * BINS).astype(int), BINS - 1)
        found["histogram"] = np.bincount(bins.ravel(), weights.ravel(), minlength=BINS)
        found["spread_skill"] = _by_spread(weights[scored], sd[scored], error[scored], edges)
    return found


def _spread_edges(known: MaskedTruth, made: MethodOutput) -> FloatArray:
    """(BINS - 1,) tenths of the standard deviations; of days those of as many, spread evenly, as a block has."""
    if made.stddev is None:
        return np.zeros(BINS - 1)
    some = known.part(slice(None, None, len(known.blocks)))
    sd = np.maximum(made.stddev[:: len(known.blocks)][some.scored], 1e-6)
    return np.asarray(np.quantile(sd, np.arange(1, BINS) / BINS)) if len(sd) else np.zeros(BINS - 1)


def _by_spread(weights: FloatArray, sd: FloatArray, error: FloatArray, edges: FloatArray) -> FloatArray:
    """(3, BINS) sums of (N,) weights, variances and squared errors, by tenths of the standard deviations."""
    place = np.searchsorted(edges, sd)
    return np.stack([np.bincount(place, weights * one, BINS) for one in (np.ones_like(sd), sd**2, error**2)])


def _regional(known: MaskedTruth, made: MethodOutput, name: str, areas: Sequence[FloatArray]) -> Sums:
    """Series of a region or index."""
    truth, ours, complete = _mean(known, made.mean, areas[0])
    for area in areas[1:]:
        other, our_other, also = _mean(known, made.mean, area)
        truth, ours, complete = truth - other, ours - our_other, complete & also
    found: Sums = {"truth": truth, "estimate": np.where(np.isfinite(truth), made.region_mean.get(name, ours), np.nan)}
    if name in made.region_sd:
        found["sd"] = np.where(complete, made.region_sd[name], np.nan)
    return found


def _mean(known: MaskedTruth, estimate: FloatArray, area: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """(T,) means of truth and estimate over the cells of (H, W) ``area`` whose truth is known, and where that is all."""
    weights = np.where(known.known, area, 0.0)
    total = weights.sum(axis=(1, 2))
    share = np.where(total > 0, total, 1.0)
    truth = (np.nan_to_num(known.truth).astype(np.float64) * weights).sum(axis=(1, 2)) / share
    ours = (estimate * weights).sum(axis=(1, 2)) / share
    return np.where(total > 0, truth, np.nan), ours, np.asarray(total >= WHOLE * area.sum())
