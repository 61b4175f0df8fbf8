"""Series and tables made from a product: global mean, indices, coverage, trends, the years with the highest mean."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon import indices
from climrecon.array_types import FloatArray, IntArray
from climrecon.fields import Steps
from climrecon.grid import NINO34, coverage, observed_mean, weighted_mean
from climrecon.output.product import NO_SKILL, Product
from climrecon.parameters import BY_NAME
from climrecon.scores.series import NINETY, annual_means
from climrecon.scores.trends import slope, trend
from climrecon.settings.periods import parse_periods
from climrecon.variables import VARIABLES, Index

__all__ = ["NINETY", "IndexSeries", "RankedYear", "Series", "Trend", "highest_years", "make_series", "trends"]

TREND_PERIODS = tuple(one.years for one in parse_periods(str(BY_NAME["trend_periods"].default)))


@dataclass(frozen=True)
class IndexSeries:
    """An index by step of time, its standard deviation or None, and the observed share of its cells, the least of two."""

    index: Index
    values: FloatArray
    sd: FloatArray | None
    observed: FloatArray


@dataclass(frozen=True)
class Series:
    """Series of a product, a value for each step of time, in the variable's units, and shares of area.

    ``raw`` is the mean of what was observed, by HadCRUT's convention on a global grid; ``ours`` the area mean of the
    complete field; ``*_sd`` its standard deviation or None; ``coverage`` by name of those regions that the grid holds,
    ``covered`` of the whole. ``skilled`` is the mean of the complete field without the cells of no skill, by the same
    convention as ``raw``; None where no cell is without skill.
    """

    time: Steps
    raw: FloatArray
    ours: FloatArray
    ours_sd: FloatArray | None
    coverage: dict[str, FloatArray]
    indices: tuple[IndexSeries, ...] = ()
    skilled: FloatArray | None = None

    @property
    def covered(self) -> FloatArray:
        """(T,) observed share of the whole domain."""
        return next(iter(self.coverage.values()))

    def annual(self, values: FloatArray) -> tuple[IntArray, FloatArray]:
        """Whole years, and the mean of their steps (NaN if one is missing)."""
        return annual_means(values, self.time)

    def annual_sd(self, sd: FloatArray | None) -> FloatArray | None:
        """Standard deviation of annual means, between independent and fully persistent monthly errors.

        How errors persist from month to month is not part of the estimate; fully persistent errors
        (the mean of the monthly standard deviations) are the careful side and are taken here.
        """
        return None if sd is None else self.annual(sd)[1]


def make_series(product: Product) -> Series:
    """All series of ``product``."""
    observations, grid = product.observations, product.observations.grid
    held = indices.held(grid, VARIABLES[observations.variable].indices)
    regions = {one.name: grid.region_weights(one) for one in grid.regions if one is not NINO34}
    areas = {(one.title, number): area for one in held for number, area in enumerate(indices.areas(grid, one))}
    any_unskilled, found = False, defaultdict[Any, list[FloatArray]](list)
    for part in product.blocks():
        mask, infilled = observations.mask[part], product.infilled[part]
        unskilled = product.status[part] == NO_SKILL
        any_unskilled |= bool(unskilled.any())
        found["raw"].append(observed_mean(product.observed_field(part), grid))
        found["ours"].append(weighted_mean(infilled, grid.area))
        found["skilled"].append(observed_mean(np.where(unskilled, np.nan, infilled), grid))
        for name, region in regions.items():
            found["coverage", name].append(coverage(mask, region))
        for key, area in areas.items():
            found["mean", key].append(weighted_mean(infilled, area))
            found["observed", key].append(coverage(mask, area))
    series = {key: np.concatenate(parts) for key, parts in found.items()}

    def index_series(index: Index) -> IndexSeries:
        keys = [key for key in areas if key[0] == index.title]
        means = [series["mean", key] for key in keys]
        values = means[0] - means[1] if index.less else means[0]
        observed = np.min([series["observed", key] for key in keys], axis=0)
        return IndexSeries(index, values, product.region_sd.get(index.title), observed)

    return Series(
        time=observations.time,
        raw=series["raw"],
        ours=series["ours"],
        ours_sd=product.region_sd.get(grid.whole.name),
        coverage={name: series["coverage", name] for name in regions},
        indices=tuple(map(index_series, held)),
        skilled=series["skilled"] if any_unskilled else None,
    )


@dataclass(frozen=True)
class Trend:
    """Least-squares trends over ``first``..``last``, units of the variable per decade; ``raw``: None where not covered.

    ``half`` is half of the fit's 90 % interval, whose residuals may persist (:func:`climrecon.scores.trends.trend`): how
    well a straight line describes the years; None where they persist too long for one. ``reconstruction_sd`` is what
    the reconstruction's own spread leaves, None if it has none. ``skilled`` is the trend without the cells of no
    skill, None if there are none.
    """

    first: int
    last: int
    raw: float | None
    ours: float
    half: float | None
    reconstruction_sd: float | None = None
    skilled: float | None = None


def _slope(years: NDArray[Any], values: FloatArray) -> float | None:
    return float(slope(years, values)) if np.isfinite(values).all() else None


def trends(series: Series) -> list[Trend]:
    """Trends of annual means over the standard periods that the series covers, else over all of it.

    The reconstruction's spread takes its errors as persistent within a year and independent from year to
    year: a slope is ``sum(x y) / sum(x x)``, so its variance is ``sum(x x s s) / sum(x x) ** 2``. With fewer
    than ten whole years there are no trends.
    """
    years, ours = series.annual(series.ours)
    raw, spread = series.annual(series.raw)[1], series.annual_sd(series.ours_sd)
    skilled = None if series.skilled is None else series.annual(series.skilled)[1]
    if len(years) < 10:
        return []
    periods = [p for p in TREND_PERIODS if years[0] <= p[0] and years[-1] >= p[1]]
    whole = (int(years[0]), int(years[-1]))
    fitted = []
    for first, last in dict.fromkeys([*periods, whole]):
        inside = (years >= first) & (years <= last)
        x, y = years[inside] - years[inside].mean(), ours[inside]
        if len(x) < 3 or not np.isfinite(y).all():
            continue
        fit = trend(years[inside], y)
        half = None if fit.interval is None else fit.interval[1] - fit.slope
        of_ours = None if spread is None else 10.0 * float(np.sqrt(((x * spread[inside]) ** 2).sum()) / (x @ x))
        without = None if skilled is None else _slope(years[inside], skilled[inside])
        fitted.append(Trend(first, last, _slope(years[inside], raw[inside]), fit.slope, half, of_ours, without))
    return fitted


@dataclass(frozen=True)
class RankedYear:
    """A year's mean with its standard deviation and the raw mean, in the variable's units."""

    year: int
    ours: float
    sd: float | None
    raw: float | None


def highest_years(series: Series, count: int = 10) -> list[RankedYear]:
    """The complete years with the highest mean, the highest first."""
    years, ours = series.annual(series.ours)
    raw, sd = series.annual(series.raw)[1], series.annual_sd(series.ours_sd)
    order = np.argsort(-ours)[:count]

    def known(values: FloatArray | None, at: int) -> float | None:
        return float(values[at]) if values is not None and np.isfinite(values[at]) else None

    return [RankedYear(int(years[at]), float(ours[at]), known(sd, at), known(raw, at)) for at in order]
