"""Trends with intervals that allow for autocorrelated residuals, and probabilities of ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from climrecon.array_types import FloatArray, IntArray

#: Level of intervals, and the fewest years of a trend.
LEVEL, FEWEST_YEARS = 0.9, 10
#: Draws of Monte Carlo ranks.
DRAWS = 10_000
#: With fewer independent years than this the residuals do not give an interval.
_FEWEST_INDEPENDENT = 3.0
#: Residuals with less of the sum of squares than this are rounding errors.
_ROUNDING = 1e-24


@dataclass(frozen=True)
class Trend:
    """A least-squares trend.

    Attributes
    ----------
    slope:
        Units of the values per decade.
    sd:
        Its standard error; None if the residuals are too few or too persistent for one.
    interval:
        Central interval of :data:`LEVEL`; None without a standard error.
    lag_one, independent:
        Autocorrelation of the residuals from one year to the next, and the effective number of years.
    years:
        Number of years.
    """

    slope: float
    sd: float | None
    interval: tuple[float, float] | None
    lag_one: float
    independent: float
    years: int


def slope(years: FloatArray | IntArray, values: FloatArray) -> FloatArray:
    """Least-squares slopes of (..., Y) ``values`` over (Y,) ``years``, per decade."""
    x = np.asarray(years, np.float64) - np.mean(years)
    return np.asarray(10.0 * (values @ x) / (x @ x))


def trend(years: FloatArray | IntArray, values: FloatArray) -> Trend:
    """Trend of (Y,) annual ``values`` over (Y,) ``years``, all finite.

    With the lag-one autocorrelation r of the residuals, Y years are worth ``Y (1 - r) / (1 + r)`` independent ones, in
    the variance of the residuals and as degrees of freedom of Student's t. A negative r counts as zero, so that no
    interval is narrower than that of independent residuals. The estimate of r is corrected for its bias in short series.

    Source: Santer et al. (2008), Int. J. Climatol. 28:1703, equations 4-6; the bias of r by Kendall (1954), Biometrika
    41:403.
    """
    x, y = np.asarray(years, np.float64) - np.mean(years), np.asarray(values, np.float64)
    count, found = len(y), float(slope(years, y))
    left = y - y.mean() - 0.1 * found * x
    squares = float(left @ left)
    if squares <= _ROUNDING * float(values @ values):
        squares, lag_one = 0.0, 0.0
    else:
        raw = float(left[1:] @ left[:-1]) / squares
        lag_one = min(raw + (1.0 + 4.0 * raw) / count, 0.99)
    used = max(lag_one, 0.0)
    independent = count * (1.0 - used) / (1.0 + used)
    if independent < _FEWEST_INDEPENDENT:
        return Trend(found, None, None, lag_one, independent, count)
    sd = 10.0 * float(np.sqrt(squares / (independent - 2.0) / (x @ x)))
    half = float(stdtrit(independent - 2.0, 0.5 + 0.5 * LEVEL)) * sd
    return Trend(found, sd, (found - half, found + half), lag_one, independent, count)


def rank_probabilities(draws: FloatArray, ranks: int) -> FloatArray:
    """(Y, ranks) probability that each year has rank 1 (the highest) to ``ranks``, from (N, Y) equally likely series."""
    order = np.argsort(-draws, axis=1, kind="stable")[:, :ranks]
    found = np.zeros((draws.shape[1], ranks))
    for rank in range(order.shape[1]):
        found[:, rank] = np.bincount(order[:, rank], minlength=draws.shape[1]) / len(draws)
    return found


def drawn(values: FloatArray, sd: FloatArray, seed: int) -> FloatArray:
    """(DRAWS, Y) normal draws about (Y,) ``values``; errors of different years are independent."""
    return np.asarray(values + sd * np.random.default_rng(seed).standard_normal((DRAWS, len(values))))
