"""Paired differences of two methods' scores, with intervals: a test of "better".

Errors of one year are like those of the next: masks persist, and so does the climate. The interval is that of a t test
whose variance comes from slow fluctuations of the difference alone, which hold what persistence adds: the mean square
of its first cosine coefficients, as many as the test has degrees of freedom. Both methods have the same years, so that
months difficult for both do not count.

Source: Mueller (2007), J. Econometrics 141:1331; 0.4 n^(2/3) cosines, Lazarus, Lewis, Stock & Watson (2018), J. Bus.
Econ. Stat. 36:541. Scores are linearised (delta method); records are put together with the degrees of freedom of
Satterthwaite (1946), Biometrics Bull. 2:110.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray

#: The level of the intervals, and the fewest years for one.
LEVEL, FEWEST = 0.9, 5
#: How the interval is found, in words.
INTERVAL = f"{100 * LEVEL:.0f} % interval of a paired t test with the variance of slow fluctuations"
#: Verdicts: the interval lies below zero, above zero, holds zero; there are too few years for an interval.
BETTER, WORSE = "better", "worse"
SIMILAR, UNTESTED = "does not differ significantly", "too few years"


def _score(sums: FloatArray, weights: FloatArray, root: bool) -> tuple[float, FloatArray]:
    """Weighted mean of (N,) ``sums``, or its root, and what each year adds to its deviation."""
    if not len(weights):
        return float("nan"), sums
    value = sums.sum() / weights.sum()
    influence = (sums - value * weights) / weights.sum()
    if not root:
        return float(value), influence
    return float(np.sqrt(value)), influence / (2.0 * np.sqrt(value)) if value > 0 else np.zeros_like(influence)


def half_width(influence: FloatArray, records: Sequence[int]) -> float | None:
    """Half of the interval of a sum of (N,) contributions of years, those of each record in order.

    ``records`` are the years of each; they stand one after the other. None where no record has two years.
    """
    from scipy.stats import t as student

    variances, freedom, start = [], [], 0
    for count in records:
        own, start = influence[start : start + count], start + count
        if count > 1:
            cosines = np.arange(1, min(count - 1, max(2, round(0.4 * count ** (2 / 3)))) + 1)
            waves = np.cos(np.pi * cosines[:, None] * (np.arange(count) + 0.5) / count)
            variances.append(2.0 * float(np.square(waves @ own).mean()))
            freedom.append(len(cosines))
    if not freedom:
        return None
    # Records of a single year are taken to vary as the others' years do.
    share = len(influence) / sum(count for count in records if count > 1)
    variance = sum(variances)
    if variance == 0.0:
        return 0.0
    degrees = variance**2 / sum(one**2 / own for one, own in zip(variances, freedom, strict=True))
    return float(student.ppf((1.0 + LEVEL) / 2.0, degrees) * np.sqrt(variance * share))


def difference(
    first: FloatArray, second: FloatArray, weights: FloatArray, records: Sequence[int], root: bool = True
) -> dict[str, Any]:
    """The first method's score less the second's, with its interval and a verdict on the first.

    Parameters
    ----------
    first, second, weights:
        (N,) sums of the years and their weights; years without weight do not count.
    records:
        Years of each record (a member); they stand one after the other.
    root:
        The score is the root of the weighted mean.

    Returns
    -------
    ``difference``, ``interval`` (two numbers; None with fewer than :data:`FEWEST` years) and ``first_is``, a verdict.
    """
    used = weights > 0
    counts = [int(part.sum()) for part in np.split(used, np.cumsum(records)[:-1])]
    (one, of_first), (other, of_second) = (_score(sums[used], weights[used], root) for sums in (first, second))
    half = half_width(of_first - of_second, counts) if used.sum() >= FEWEST else None
    if half is None:
        return {"difference": one - other, "interval": None, "first_is": UNTESTED}
    low, high = one - other - half, one - other + half
    return {
        "difference": one - other,
        "interval": [low, high],
        "first_is": BETTER if high < 0 else WORSE if low > 0 else SIMILAR,
    }


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
