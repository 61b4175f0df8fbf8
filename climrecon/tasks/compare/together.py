"""Products on one grid: their common cells and months, and means over both and over each product's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from climrecon import indices
from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.fields import Steps
from climrecon.geography import with_domain
from climrecon.grid import Grid, coverage, observed_mean, weighted_mean
from climrecon.memory import blocks_of
from climrecon.scores.series import annual_means
from climrecon.scores.trends import FEWEST_YEARS
from climrecon.settings import Period
from climrecon.variables import VARIABLES, Index

#: Share of a year's months that a cell needs for an annual value on maps, and of a period's years for a mean or a trend.
OF_YEAR, OF_PERIOD = 0.75, 2.0 / 3.0


@dataclass(frozen=True)
class OnGrid:
    """A product on the common grid: (T, H, W) values, NaN where missing, and what is known of its files.

    ``sd`` is the (T,) stated standard deviation of its own global mean, or None.
    """

    name: str
    values: FloatArray
    time: Steps
    about: Mapping[str, Any]
    sd: FloatArray | None = None


class Together:
    """All products.

    Parameters
    ----------
    grid:
        The common grid; its domain follows from the products.
    where:
        The parameter ``domain``.

    Raises
    ------
    InputDataError
        If the products have fewer than :data:`FEWEST_YEARS` whole years in common, or no cell.
    """

    def __init__(self, products: Sequence[OnGrid], grid: Grid, variable: str, where: str) -> None:
        self.products, self.variable = tuple(products), variable
        ever = np.any([_ever(one.values) for one in products], axis=0)
        self.grid = with_domain(grid, VARIABLES[variable].exists, ever[None], where)
        index = products[0].time.index
        for one in products[1:]:
            index = np.intersect1d(index, one.time.index)
        spans = ", ".join(f"{one.name} {one.time.span()}" for one in products)
        self.time = replace(products[0].time, index=index)
        self.years = annual_means(np.zeros(len(index)), self.time)[0]  # whole ones in common
        if len(self.years) < FEWEST_YEARS:
            raise InputDataError(
                f"The products have {len(self.years)} whole years in common ({spans}); {FEWEST_YEARS} are needed.",
                "Leave out the shortest product, or choose another period.",
            )
        self.rows = [np.searchsorted(one.time.index, index) for one in products]
        if not self.mask.any():
            raise InputDataError("No cell of any step has a value in every product.", "Leave out one product.")

    @cached_property
    def mask(self) -> BoolArray:
        """(T, H, W) cells of the common steps where every product has a value."""
        mask = np.ones((len(self.time), *self.grid.shape), bool)
        for one, rows in zip(self.products, self.rows, strict=True):
            for part in blocks_of(mask):
                mask[part] &= np.isfinite(one.values[rows[part]])
        return mask if self.grid.exists is None else mask & self.grid.exists

    @cached_property
    def covered(self) -> FloatArray:
        """(T,) share of the area in common."""
        return np.asarray(self.coverage(self.mask)[0])

    @cached_property
    def indices(self) -> tuple[Index, ...]:
        """Indices of the variable that the grid holds."""
        return indices.held(self.grid, VARIABLES[self.variable].indices)

    @cached_property
    def _areas(self) -> list[list[FloatArray]]:
        """(H, W) areas of the means of each of :attr:`indices`."""
        return [indices.areas(self.grid, one) for one in self.indices]

    def own_series(self, values: FloatArray) -> FloatArray:
        """(K, T) area mean and indices of (T, H, W) fields on their own cells, NaN without any."""
        parts = [self._series(self.grid.known(np.asarray(values[part]))) for part in blocks_of(values)]
        return np.concatenate(parts, axis=1)

    def common_series(self, values: FloatArray, number: int) -> FloatArray:
        """(K, T) the same over the common cells and steps; ``values`` are on the time axis of product ``number``."""
        rows = self.rows[number]
        parts = [self._series(np.where(self.mask[p], values[rows[p]], np.nan)) for p in blocks_of(self.mask)]
        return np.concatenate(parts, axis=1)

    def _series(self, field: FloatArray) -> FloatArray:
        found = [observed_mean(field, self.grid)]
        for areas in self._areas:
            first, *less = [weighted_mean(field, area) for area in areas]
            found.append(first - less[0] if less else first)
        return np.stack(found)

    def coverage(self, mask: BoolArray) -> FloatArray:
        """(K, T) share of the area, and of the cells of each index, that (T, H, W) ``mask`` holds."""
        groups: list[list[FloatArray]] = [[self.grid.area], *self._areas]
        return np.stack([np.min([coverage(mask, area) for area in areas], axis=0) for areas in groups])

    def annual_fields(self, number: int) -> FloatArray:
        """(Y, H, W) annual means over the common cells with :data:`OF_YEAR` of the months."""
        values, rows = self.products[number].values, self.rows[number]
        fields = np.full((len(self.years), *self.grid.shape), np.nan, np.float32)
        for at, year in enumerate(self.years):
            steps = np.flatnonzero(self.time.year == year)
            mask = self.mask[steps]
            count = mask.sum(axis=0)
            total = np.where(mask, values[rows[steps]], 0.0).sum(axis=0, dtype=np.float64)
            fields[at] = np.where(count >= OF_YEAR * len(steps), total / np.maximum(count, 1), np.nan)
        return fields


def _ever(values: FloatArray) -> BoolArray:
    return np.asarray(np.any([np.isfinite(values[part]).any(axis=0) for part in blocks_of(values)], axis=0))


def period_maps(years: IntArray, fields: FloatArray, period: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """(H, W) means and least-squares trends per decade over a period; NaN with less than :data:`OF_PERIOD` of it."""
    inside = (years >= period[0]) & (years <= period[1])
    x, y = years[inside].astype(np.float64), fields[inside].astype(np.float64)
    known = np.isfinite(y)
    count = known.sum(axis=0)
    enough = count >= OF_PERIOD * (period[1] - period[0] + 1)
    safe = np.maximum(count, 1)
    y = np.where(known, y, 0.0)
    mean = y.sum(axis=0) / safe
    centre = np.tensordot(x, known, axes=1) / safe
    off = np.where(known, x[:, None, None] - centre, 0.0)
    squares = (off**2).sum(axis=0)
    slope = 10.0 * (off * y).sum(axis=0) / np.where(squares > 0, squares, 1.0)
    return np.where(enough, mean, np.nan), np.where(enough, slope, np.nan)


def cut(period: Period, years: IntArray) -> tuple[int, int] | None:
    """First and last year of ``period`` among ``years``; None if fewer than :data:`FEWEST_YEARS` lie within."""
    first, last = period.years
    inside = years[(years >= first) & (years <= last)]
    return (int(inside[0]), int(inside[-1])) if len(inside) >= FEWEST_YEARS else None
