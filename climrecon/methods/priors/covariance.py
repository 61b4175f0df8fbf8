"""Distances and covariances on the sphere, and what follows from them. numpy and scipy only.

``P`` is the number of cells, H * W in row-major order; ``N`` the number of fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray, IntArray
from climrecon.grid import EARTH_RADIUS_KM, Grid

#: A calendar month's standard deviation: months on either side that are pooled, and weight of the whole year's variance,
#: since some decades give few fields a month.
WINDOW, WHOLE_YEAR_SHARE = 2, 0.2
#: Cells up to which matrices of cells by cells are held, 200 MB; beyond, rows of so many cells at a time.
AT_ONCE, _ROWS = 5000, 500
#: Leading patterns that are tapered over LONG_KM; the rest of the covariance is tapered over SHORT_KM.
LARGE_SCALE_PATTERNS, LONG_KM, SHORT_KM = 6, 12000.0, 5000.0
#: Least standard deviation of a cell, as a share of the mean: rarely known cells have their neighbours' mean, which in a
#: small region is the month's own, and does not vary about it.
LEAST_SCALE = 0.03
#: Patterns up to which they are found one by one.
FEW = 16
#: A calendar month's own covariance: weight of months so many away (standard deviation of a Gaussian, in months), and
#: its share beside the whole year's.
SEASON_MONTHS, SEASON_SHARE = 1.5, 0.5


def unit_vectors(grid: Grid) -> NDArray[np.float64]:
    """(P, 3) positions of the cell centres on the unit sphere."""
    height, width = grid.shape
    lat = np.radians(np.repeat(grid.lat, width))
    lon = np.radians(np.tile(grid.lon, height))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def distances_by_rows(grid: Grid) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Parts (N, P) of :func:`great_circle`, with the cells they are of; one part up to :data:`AT_ONCE` cells."""
    if grid.area.size <= AT_ONCE:
        yield slice(None), great_circle(grid)
        return
    points = unit_vectors(grid)
    for first in range(0, len(points), _ROWS):
        part = slice(first, first + _ROWS)
        yield part, _distances(points[part], points)


def distances_between(points: FloatArray, first: IntArray, second: IntArray) -> NDArray[np.float64]:
    """(N, M) great-circle distances, km, between the cells (N,) ``first`` and (M,) ``second`` of (P, 3) unit vectors."""
    return _distances(points[first], points[second])


def great_circle(grid: Grid) -> NDArray[np.float64]:
    """(P, P) great-circle distances between cell centres, km.

    From the chord, which keeps its digits at small distances where the arc cosine loses them.
    """
    points = unit_vectors(grid)
    height, width = grid.shape
    if np.allclose(np.diff(grid.lon), 360.0 / width, atol=1e-9):
        # Only the difference of longitudes counts: one meridian's distances are all there are.
        meridian = _distances(points[::width], points).reshape(height, height, width)
        columns = np.arange(width)
        ahead = (columns[None, :] - columns[:, None]) % width
        return np.ascontiguousarray(meridian[:, :, ahead].transpose(0, 2, 1, 3)).reshape(len(points), len(points))
    return _distances(points, points)


def _distances(first: FloatArray, second: FloatArray) -> NDArray[np.float64]:
    """(N, M) km between (N, 3) and (M, 3) unit vectors."""
    chord2 = np.maximum(2.0 - 2.0 * first @ second.T, 0.0)
    return np.asarray(2.0 * EARTH_RADIUS_KM * np.arcsin(np.minimum(np.sqrt(chord2) / 2.0, 1.0)))


def exponential(distance: FloatArray, range_km: float) -> FloatArray:
    """Correlation exp(-d / range); positive definite on the sphere (Gneiting 2013, Bernoulli 19:1327)."""
    return np.asarray(np.exp(-distance / range_km))


@dataclass(frozen=True)
class LowRank:
    """A covariance of anomalies from the month's mean, ``s_m s_m' (E E' + diag(D))``.

    Attributes
    ----------
    vectors:
        (P, K): scaled leading eigenvectors E of the localised correlation-like matrix.
    residual:
        (P,): variance D that they leave, treated as independent from cell to cell.
    scale:
        (12, P): standard deviation s of each calendar month, K.
    seasons:
        (12, K, K): the covariance of the patterns' coefficients in each calendar month, or None where it is the
        unit matrix all year.
    """

    vectors: FloatArray
    residual: FloatArray
    scale: FloatArray
    seasons: FloatArray | None = None

    def prior_sd(self) -> FloatArray:
        """(12, P) standard deviation about the month's mean, K."""
        return np.asarray(self.scale * np.sqrt((self.vectors**2).sum(axis=1) + self.residual))


def seasonal_scale(fields: FloatArray, month: IntArray, weights: FloatArray | None = None) -> NDArray[np.float64]:
    """(12, P) standard deviation by calendar month, of the months around it and partly of the whole year.

    Parameters
    ----------
    fields:
        (N, P) anomalies from the month's mean, NaN where missing.
    month:
        (N,) calendar months, 1..12.
    weights:
        (N,) by which months count; None: all alike.
    """
    known = np.isfinite(fields) * (np.ones(len(fields)) if weights is None else weights)[:, None]
    squares = known * np.where(np.isfinite(fields), fields, 0.0) ** 2
    whole_year = squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1e-9)
    scale = np.empty((12, fields.shape[1]))
    for position in range(12):
        distance = np.abs((month - 1 - position + 6) % 12 - 6)
        near = distance <= WINDOW
        here = squares[near].sum(axis=0) / np.maximum(known[near].sum(axis=0), 1e-9)
        scale[position] = (1 - WHOLE_YEAR_SHARE) * here + WHOLE_YEAR_SHARE * whole_year
    return np.sqrt(scale)


class SampleCovariance:
    """The covariance of fields about each month's area mean, in units of the calendar month's standard deviation.

    Fields may have gaps: each pair of cells counts where both are known. The covariance is localised in two steps. The
    few leading patterns (El Nino, the annular modes) are real over half the globe and are estimated well, so they are
    tapered over :data:`LONG_KM`; what they leave is tapered over :data:`SHORT_KM`, both with Gaussians exp(-d^2 / 2 L^2).

    Source of two-scale localisation: Buehner & Shlyaeva (2015), Tellus A 67:28027.

    Parameters
    ----------
    fields:
        (N, H, W) or (N, P) anomalies, K, NaN where missing.
    month:
        (N,) calendar months, 1..12.
    weights:
        (N,) by which months count; None: all alike.
    tapers:
        km; in place of both lengths.
    """

    def __init__(
        self,
        fields: FloatArray,
        month: IntArray,
        grid: Grid,
        weights: FloatArray | None = None,
        tapers: tuple[float, float] = (LONG_KM, SHORT_KM),
    ) -> None:
        flat = fields.reshape(len(fields), -1).astype(np.float64)
        area = grid.area.reshape(-1)
        known = np.isfinite(flat) & (area > 0)
        filled = np.where(known, flat, 0.0)
        flat = flat - ((filled @ area) / (known @ area))[:, None]
        #: (12, P) standard deviation of each calendar month, K; 0 outside the grid's domain.
        self.scale = seasonal_scale(np.where(known, flat, np.nan), month, weights)
        self._month, self._weights = month, np.ones(len(flat)) if weights is None else weights
        self._scaled = np.divide(flat, self.scale[month - 1], out=np.zeros_like(flat), where=known)
        self._known = known.astype(np.float64)
        #: (P,) root of the cells' area, by which covariances are made alike for cells of any size.
        self.metric = np.sqrt(area * area.size)
        distance = great_circle(grid)
        self._long, self._short = (np.exp(-0.5 * (distance / length) ** 2) for length in tapers)
        self._whole_year = self._second_moment(self._weights, 1e-12)

    def whole_year(self) -> FloatArray:
        """(P, P) localised covariance of all months."""
        return self._localised(self._whole_year)

    def calendar_month(self, position: int) -> FloatArray:
        """(P, P) localised covariance of the calendar month ``position``, 0..11: partly the whole year's."""
        away = np.abs((self._month - 1 - position + 6) % 12 - 6)
        seasonal = self._second_moment(self._weights * np.exp(-0.5 * (away / SEASON_MONTHS) ** 2), 1e-9)
        return self._localised(SEASON_SHARE * seasonal + (1.0 - SEASON_SHARE) * self._whole_year)

    def _second_moment(self, weights: FloatArray, least: float) -> FloatArray:
        weighted = weights[:, None] * self._scaled
        return np.asarray(
            weighted.T @ self._scaled / np.maximum((weights[:, None] * self._known).T @ self._known, least)
        )

    def _localised(self, covariance: FloatArray) -> FloatArray:
        leading = leading_patterns(covariance, self.metric, LARGE_SCALE_PATTERNS)
        common = leading @ leading.T
        return np.asarray(common * self._long + (covariance - common) * self._short)


def learn_patterns(
    fields: FloatArray,
    month: IntArray,
    grid: Grid,
    rank: int,
    *,
    forced: FloatArray | None = None,
    seasons: bool = False,
    weights: FloatArray | None = None,
    tapers: tuple[float, float] = (LONG_KM, SHORT_KM),
) -> LowRank:
    """The covariance of fields about each month's area mean as ``rank`` patterns; see :class:`SampleCovariance`.

    Cells outside the grid's domain are in no pattern: each is independent of all others, with the mean standard deviation
    of the domain.

    Parameters
    ----------
    fields:
        (N, H, W) anomalies, K, NaN where missing.
    month:
        (N,) calendar months, 1..12.
    rank:
        Number of patterns kept, by falling share of the area-weighted variance.
    forced:
        (F, 12, P) K: departures from a uniform warming, one standard deviation each, by calendar month; see
        :meth:`climrecon.methods.priors.forced.ForcedResponses.directions`. Colder and warmer climates than those learned
        from are then no surprise.
    seasons:
        Whether the patterns' coefficients get a covariance for each calendar month: half the whole year's, half
        that of the months around it.
    weights:
        (N,) by which months count; None: all alike.
    tapers:
        See :class:`SampleCovariance`.
    """
    sample = SampleCovariance(fields, month, grid, weights, tapers)
    metric, outside = sample.metric, sample.metric == 0.0
    usual = sample.scale[:, ~outside].mean(axis=1, keepdims=True)
    scale = np.where(outside, usual, np.maximum(sample.scale, LEAST_SCALE * usual))
    departures = np.zeros((12, scale.shape[1], 0)) if forced is None else (forced / scale).transpose(1, 2, 0)
    total = sample.whole_year()
    total += np.einsum("mpf,mqf->pq", departures, departures, optimize=True) / 12.0
    vectors = leading_patterns(total, metric, rank)
    residual = np.where(outside, 1.0, np.maximum(np.diag(total) - (vectors**2).sum(axis=1), 1e-4))
    if not seasons:
        return LowRank(vectors, residual, scale)
    # Rows that give the coefficients of a field: the patterns are orthogonal in the area-weighted metric.
    analysis = vectors * metric[:, None] ** 2
    analysis /= (vectors**2 * metric[:, None] ** 2).sum(axis=0)
    by_month = np.empty((12, rank, rank))
    for position in range(12):
        projected = analysis.T @ departures[position]
        values, axes = np.linalg.eigh(analysis.T @ sample.calendar_month(position) @ analysis + projected @ projected.T)
        by_month[position] = (axes * np.maximum(values, 1e-4)) @ axes.T
    return LowRank(vectors, residual, scale, by_month)


def leading_patterns(covariance: FloatArray, metric: FloatArray, rank: int) -> NDArray[np.float64]:
    """(P, K) leading eigenvectors in the area-weighted metric, scaled by the root of their variance; 0 without area."""
    # Here alone, since a reconstruction needs none of scipy, whose import takes half a second.
    from scipy.linalg import eigh
    from scipy.sparse.linalg import eigsh

    size = len(covariance)
    weighted = covariance * metric[:, None] * metric[None, :]
    if rank <= FEW and rank < size - 1:
        # Lanczos' method from a start that is always the same: a twentieth of the time.
        values, vectors = eigsh(weighted, rank, which="LA", v0=metric)
        order = np.argsort(values)
        values, vectors = values[order], vectors[:, order]
    else:
        values, vectors = eigh(weighted, subset_by_index=[size - rank, size - 1])
    leading = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0))
    return np.asarray(np.divide(leading, metric[:, None], out=np.zeros_like(leading), where=metric[:, None] > 0))
