"""Paired differences of two methods' scores, with block-bootstrap intervals: a test of "better".

The bootstrap draws blocks of successive years, since errors of one year are like those of the next: masks persist, and
so does the climate. It draws the same years of both methods, so that months difficult for both do not count.

Source: Politis & Romano (1992), in Exploring the Limits of Bootstrap, 263 (the circular block bootstrap); blocks of
about n^(1/3), Hall, Horowitz & Jing (1995), Biometrika 82:561.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray, IntArray

#: Draws, the level of the intervals, and the fewest years for one.
DRAWS, LEVEL, FEWEST = 2000, 0.9, 5
#: Verdicts: the interval lies below zero, above zero, holds zero; there are too few years for an interval.
BETTER, WORSE = "better", "worse"
SIMILAR, UNTESTED = "does not differ significantly", "too few years"


def block_length(count: int) -> int:
    """Years a block, of ``count`` years."""
    return max(1, round(float(np.cbrt(count))))


def drawn_years(records: Sequence[int], seed: int, draws: int = DRAWS, length: int | None = None) -> IntArray:
    """(draws, N) positions of years, in blocks that do not cross from one record into the next.

    Parameters
    ----------
    records:
        Years of each record (a member); they stand one after the other.
    length:
        Years a block; by default :func:`block_length` of each record.
    """
    rng = np.random.default_rng(seed)
    found, start = [], 0
    for count in records:
        if count:
            size = min(length or block_length(count), count)
            first = rng.integers(count, size=(draws, -(-count // size)))
            steps = (first[:, :, None] + np.arange(size)) % count
            found.append(start + steps.reshape(draws, -1)[:, :count])
        start += count
    return np.concatenate(found, axis=1) if found else np.empty((draws, 0), dtype=np.int64)


def root_mean(sums: FloatArray, weights: FloatArray) -> FloatArray:
    """Root of the weighted mean, over the last axis, from sums of squares and of weights."""
    return np.asarray(np.sqrt(sums.sum(axis=-1) / weights.sum(axis=-1)))


def mean(sums: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted mean, over the last axis, from sums and weights."""
    return np.asarray(sums.sum(axis=-1) / weights.sum(axis=-1))


def difference(
    first: FloatArray,
    second: FloatArray,
    weights: FloatArray,
    positions: IntArray,
    score: Callable[[FloatArray, FloatArray], FloatArray] = root_mean,
) -> dict[str, Any]:
    """The first method's score less the second's, with its interval and a verdict on the first.

    Parameters
    ----------
    first, second, weights:
        (N,) sums of the years and their weights; years without weight do not count.
    positions:
        (draws, N) from :func:`drawn_years`.

    Returns
    -------
    ``difference``, ``interval`` (two numbers; None with fewer than :data:`FEWEST` years) and ``first_is``, a verdict.
    """
    observed = float(score(first, weights) - score(second, weights))
    if (weights > 0).sum() < FEWEST:
        return {"difference": observed, "interval": None, "first_is": UNTESTED}
    drawn = weights[positions]
    usable = drawn.sum(axis=1) > 0
    positions, drawn = positions[usable], drawn[usable]
    differences = score(first[positions], drawn) - score(second[positions], drawn)
    low, high = (float(v) for v in np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    verdict = BETTER if high < 0 else WORSE if low > 0 else SIMILAR
    return {"difference": observed, "interval": [low, high], "first_is": verdict}


def in_words(found: Mapping[str, Any], reference: str, units: str) -> str:
    """The result of :func:`difference` for RMSE in words, e.g. "RMSE better than that of kriging".

    An interval that holds zero may hold large differences too: then difference and interval stand there.
    """
    if found["first_is"] == UNTESTED:
        return f"too few years to compare its RMSE with that of {reference}"
    if found["first_is"] != SIMILAR:
        return f"RMSE {found['first_is']} than that of {reference}"
    low, high = found["interval"]
    return (
        f"RMSE less that of {reference} {found['difference']:+.3f} {units}, not significant "
        f"({100 * LEVEL:.0f} % interval {low:+.3f} to {high:+.3f})"
    )
