"""Distances and covariances on the sphere, and what follows from them. numpy only.

``P`` is the number of cells, H * W in row-major order; ``N`` the number of fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.grid import EARTH_RADIUS_KM, Grid

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]


def unit_vectors(grid: Grid) -> NDArray[np.float64]:
    """(P, 3) positions of the cell centres on the unit sphere."""
    height, width = grid.shape
    lat = np.radians(np.repeat(grid.lat, width))
    lon = np.radians(np.tile(grid.lon, height))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def great_circle(grid: Grid) -> NDArray[np.float64]:
    """(P, P) great-circle distances between cell centres, km.

    From the chord, which keeps its digits at small distances where the arc cosine loses them.
    """
    points = unit_vectors(grid)
    chord2 = np.maximum(2.0 - 2.0 * points @ points.T, 0.0)
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
    """

    vectors: FloatArray
    residual: FloatArray
    scale: FloatArray

    def prior_sd(self) -> FloatArray:
        """(12, P) standard deviation about the month's mean, K."""
        return np.asarray(self.scale * np.sqrt((self.vectors**2).sum(axis=1) + self.residual))


def seasonal_scale(
    fields: FloatArray, month: IntArray, window: int = 2, shared: float = 0.2
) -> NDArray[np.float64]:
    """(12, P) standard deviation by calendar month.

    Parameters
    ----------
    fields:
        (N, P) anomalies from the month's mean.
    month:
        (N,) calendar months, 1..12.
    window:
        Months on either side that are pooled: some decades give few fields a month.
    shared:
        Weight of the all-year variance, for the same reason.
    """
    squares = fields**2
    whole_year = squares.mean(axis=0)
    scale = np.empty((12, fields.shape[1]))
    for position in range(12):
        distance = np.abs((month - 1 - position + 6) % 12 - 6)
        scale[position] = (1 - shared) * squares[distance <= window].mean(axis=0) + shared * whole_year
    return np.sqrt(scale)


def learn_low_rank(
    fields: FloatArray, month: IntArray, grid: Grid, rank: int, localisation_km: float = 6000.0
) -> LowRank:
    """Covariances of complete fields about each month's area mean, localised and cut to ``rank``.

    The sample covariance of some hundred fields has spurious correlations at long distances; a
    Gaussian taper exp(-d^2 / 2 L^2) removes them (Houtekamer & Mitchell 2001, Mon. Wea. Rev.
    129:123). Eigenvectors are taken in the area-weighted metric, so that the many small cells near
    the poles do not use up the rank.

    Parameters
    ----------
    fields:
        (N, H, W) complete anomalies, K.
    month:
        (N,) calendar months, 1..12.
    """
    flat = fields.reshape(len(fields), -1).astype(np.float64)
    area = grid.area.reshape(-1)
    flat = flat - (flat @ area)[:, None]
    scale = seasonal_scale(flat, month)
    scaled = flat / scale[month - 1]
    covariance = scaled.T @ scaled / len(scaled)
    covariance *= np.exp(-0.5 * (great_circle(grid) / localisation_km) ** 2)
    metric = np.sqrt(area * area.size)
    values, vectors = np.linalg.eigh(covariance * metric[:, None] * metric[None, :])
    leading = vectors[:, ::-1][:, :rank] * np.sqrt(np.maximum(values[::-1][:rank], 0.0)) / metric[:, None]
    # A residual of exactly zero would make an error-free observation an infinite weight.
    residual = np.maximum(np.diag(covariance) - (leading**2).sum(axis=1), 1e-3)
    return LowRank(leading, residual, scale)
