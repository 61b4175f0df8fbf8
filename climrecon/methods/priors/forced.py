"""The forced response: how climate changes from place to place where the globe warms by 1 K.

A covariance that was learned from some decades knows little of warmer and colder climates. The patterns of the forced
response of climate models, and of the training data themselves, enter it as directions of their own.

Shapes: S sources, P = H * W cells, F directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray, IntArray
from climrecon.grid import Grid

#: Years from which calendar months have patterns of their own, with the adjacent ones.
SEASONAL_YEARS = 100
#: Fewest years of a run, and least standard deviation of its slow warming, K, for a pattern.
FEWEST_YEARS, LEAST_WARMING = 20, 0.08
#: Directions in which models differ: so many leading ones.
DIFFERENCES = 6


@dataclass(frozen=True)
class ForcedResponses:
    """Forced response patterns of several sources on one grid.

    Attributes
    ----------
    names:
        Of the sources.
    patterns:
        (S, 12, P) change of each calendar month per kelvin of the annual global mean, K/K.
    area:
        (P,) share of the globe's area; sums to 1.
    """

    names: tuple[str, ...]
    patterns: NDArray[np.float64]
    area: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.names)

    def __add__(self, other: ForcedResponses) -> ForcedResponses:
        return replace(
            self, names=(*self.names, *other.names), patterns=np.concatenate([self.patterns, other.patterns])
        )

    def without(self, names: Sequence[str]) -> ForcedResponses:
        """Those of other sources."""
        keep = [number for number, name in enumerate(self.names) if name not in names]
        return replace(self, names=tuple(self.names[n] for n in keep), patterns=self.patterns[keep])

    def directions(self, mean: float, differences: float) -> NDArray[np.float64]:
        """(F, 12, P) K: one standard deviation each of independent departures from a uniform warming.

        The mean pattern, and the leading patterns of the differences between sources: the sum of the products of these
        is the differences' covariance, but for the small share of the rest.

        Parameters
        ----------
        mean, differences:
            Standard deviations, K of the global mean, of the warming that follows the mean pattern, and of that which
            departs from it as the sources do from each other.
        """
        departures = self.patterns - (self.patterns @ self.area)[..., None]
        if not len(self):
            return departures
        common = departures.mean(axis=0)
        found = [mean * common[None]]
        if len(self) > 1 and differences:
            weights = np.sqrt(self.area)
            scaled = ((departures - common) * weights).reshape(len(self), -1) / np.sqrt(len(self) - 1)
            _, sizes, axes = np.linalg.svd(scaled, full_matrices=False)
            count = min(DIFFERENCES, len(self) - 1)
            leading = (sizes[:count, None] * axes[:count]).reshape(count, *common.shape) / weights
            found.append(differences * leading)
        return np.concatenate(found)


def none_on(grid: Grid) -> ForcedResponses:
    """No response of any source."""
    return ForcedResponses((), np.empty((0, 12, grid.area.size)), grid.area.reshape(-1))


def response_of(
    fields: FloatArray, index: IntArray, grid: Grid, fewest_years: int = FEWEST_YEARS
) -> NDArray[np.float64] | None:
    """(12, P) change of each calendar month per kelvin of the annual global mean, K/K; None where a run determines none.

    The regression of each cell on a cubic in time that is fitted to the global mean: the cubic holds what is forced, and
    little of what varies by itself. From :data:`SEASONAL_YEARS` on each calendar month is regressed with those beside
    it; else all months together.

    Parameters
    ----------
    fields:
        (N, H, W) anomalies of one run, K, NaN where missing.
    index:
        (N,) months since 0000-01.
    fewest_years:
        That determine one.
    """
    index = np.asarray(index)
    n_years = len(np.unique(index // 12))
    if n_years < fewest_years:
        return None
    flat = fields.reshape(len(fields), -1).astype(np.float64)
    known = np.isfinite(flat)
    filled, area = np.where(known, flat, 0.0), grid.area.reshape(-1)
    years = (index - index.mean()) / 12.0
    level = np.polyval(np.polyfit(years, (filled @ area) / np.maximum(known @ area, 1e-9), 3), years)
    if level.std() < LEAST_WARMING:
        return None

    def slopes(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        there, at = known[rows], level[rows]
        about = at[:, None] * there - (at @ there / np.maximum(there.sum(axis=0), 1)) * there
        return np.asarray((filled[rows] * about).sum(axis=0) / np.maximum((about**2).sum(axis=0), 1e-12))

    if n_years < SEASONAL_YEARS:
        pattern = np.broadcast_to(slopes(np.ones(len(index), bool)), (12, flat.shape[1])).copy()
    else:
        away = np.abs((index % 12 - np.arange(12)[:, None] + 6) % 12 - 6)
        pattern = np.stack([slopes(away[month] <= 1) for month in range(12)])
    annual = float((pattern @ area).mean())
    return pattern / annual if annual > 0.1 else None
