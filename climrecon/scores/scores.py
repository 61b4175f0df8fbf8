"""Scores. All arrays broadcast; weights need not sum to one; cells of weight zero do not count."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, ndtr, ndtri

from climrecon.array_types import FloatArray


def weighted_mean(values: FloatArray, weights: FloatArray) -> float:
    """Mean of ``values``, weighted."""
    weights = np.broadcast_to(weights, values.shape)
    return float(np.where(weights > 0, values, 0.0).ravel() @ weights.ravel() / weights.sum())


def rmse(estimate: FloatArray, truth: FloatArray, weights: FloatArray) -> float:
    """Root of the weighted mean squared error."""
    return sqrt(weighted_mean((estimate - truth) ** 2, weights))


def bias(estimate: FloatArray, truth: FloatArray, weights: FloatArray) -> float:
    """Weighted mean error."""
    return weighted_mean(estimate - truth, weights)


def crps_normal(mean: FloatArray, stddev: FloatArray, truth: FloatArray) -> FloatArray:
    """Continuous ranked probability score of normal distributions, in the units of ``truth``.

    Source: Gneiting et al. (2005), Mon. Wea. Rev. 133:1098, equation 5.
    """
    z = (truth - mean) / stddev
    density = np.exp(-0.5 * z**2) / sqrt(2.0 * pi)
    probability = 0.5 * (1.0 + erf(z / sqrt(2.0)))
    return np.asarray(stddev * (z * (2.0 * probability - 1.0) + 2.0 * density - 1.0 / sqrt(pi)))


def log_score_normal(mean: FloatArray, stddev: FloatArray, truth: FloatArray) -> FloatArray:
    """-log density of normal distributions at the truth; smaller is better."""
    return np.asarray(0.5 * ((truth - mean) / stddev) ** 2 + np.log(stddev * sqrt(2.0 * pi)))


def interval_coverage(
    mean: FloatArray, stddev: FloatArray, truth: FloatArray, weights: FloatArray, level: float = 0.9
) -> float:
    """Weighted share of truths inside the central interval of ``level`` of normal distributions."""
    half = float(ndtri(0.5 + level / 2.0))
    return weighted_mean((np.abs(truth - mean) <= half * stddev).astype(float), weights)


def correlation(first: FloatArray, second: FloatArray, *, detrended: bool = False) -> float:
    """Pearson's r of two series, after taking out least-squares lines if ``detrended``."""
    if detrended:
        first, second = (series - _line(series) for series in (first, second))
    if not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return float("nan")  # a constant goes along with nothing
    return float(np.corrcoef(first, second)[0, 1])


def _line(series: FloatArray) -> FloatArray:
    steps = np.arange(len(series))
    return np.asarray(np.polyval(np.polyfit(steps, series, 1), steps))


def trend_ratio(estimate: FloatArray, truth: FloatArray, time: FloatArray | None = None) -> float:
    """Slope of the estimate's least-squares line over that of the truth's."""
    steps = np.arange(len(truth)) if time is None else time
    return float(np.polyfit(steps, estimate, 1)[0] / np.polyfit(steps, truth, 1)[0])


def probability_transform(mean: FloatArray, stddev: FloatArray, truth: FloatArray) -> FloatArray:
    """Probability that normal distributions give to less than the truth; uniform if they are reliable.

    Source: Gneiting, Balabdaoui & Raftery (2007), J. R. Statist. Soc. B 69:243, section 3.1.
    """
    return np.asarray(ndtr((truth - mean) / stddev))


def inside_central(transform: FloatArray, level: float) -> NDArray[np.bool_]:
    """Whether truths with this probability ``transform`` lie in the central interval of ``level``."""
    return np.asarray(np.abs(transform - 0.5) <= level / 2.0)
