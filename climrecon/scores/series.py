"""Scores of series: a region's monthly or annual means compared with the truth's."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from climrecon.array_types import FloatArray, IntArray
from climrecon.fields import Steps
from climrecon.scores.scores import correlation, trend_ratio

#: Half width of the central 90 % of a normal distribution, in standard deviations.
NINETY = float(ndtri(0.95))


def annual_means(series: FloatArray, time: Steps, fewest: int | None = None) -> tuple[IntArray, FloatArray]:
    """Years with at least ``fewest`` steps, by default all, and the (..., Y) means of their steps of (..., T) series."""
    fewest = time.frequency.per_year if fewest is None else fewest
    time_years = time.year
    years, counts = np.unique(time_years, return_counts=True)
    whole = years[counts >= fewest]
    means = [series[..., time_years == year].mean(axis=-1) for year in whole]
    return whole, np.stack(means, axis=-1) if means else np.empty((*series.shape[:-1], 0))


def series_scores(estimate: FloatArray, truth: FloatArray, when: FloatArray) -> dict[str, float]:
    """Scores of a series compared with the truth's.

    Parameters
    ----------
    estimate, truth:
        (N,) K.
    when:
        (N,) times, for the trend, in any unit.

    Returns
    -------
    ``r``, ``r_detrended``, ``rmse`` and ``bias`` in K, ``trend_ratio``; NaN where fewer than three values, or a
    constant, leave one undefined.
    """
    known = np.isfinite(estimate) & np.isfinite(truth)
    ours, theirs, steps = estimate[known], truth[known], np.asarray(when, dtype=float)[known]
    nothing = float("nan")
    if not len(ours):
        return dict.fromkeys(("r", "r_detrended", "rmse", "bias", "trend_ratio"), nothing)
    enough = len(ours) > 2
    return {
        "r": correlation(ours, theirs) if enough else nothing,
        "r_detrended": correlation(ours, theirs, detrended=True) if enough else nothing,
        "rmse": float(np.sqrt(((ours - theirs) ** 2).mean())),
        "bias": float((ours - theirs).mean()),
        "trend_ratio": trend_ratio(ours, theirs, steps - steps.mean()) if enough else nothing,
    }
