"""Scores of fields with sharp structures, such as rain: where a threshold is exceeded, and how much small scales vary.

All fields are (N, H, W) in the same units; ``where`` (N, H, W) is True at the cells that are scored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray


def critical_success_index(estimate: FloatArray, truth: FloatArray, where: BoolArray, threshold: float) -> float:
    """Hits over hits, misses and false alarms; NaN where neither field reaches the threshold.

    Source: Schaefer (1990), Wea. Forecasting 5:570.
    """
    estimated, happened = (estimate >= threshold) & where, (truth >= threshold) & where
    either = int((estimated | happened).sum())
    return int((estimated & happened).sum()) / either if either else float("nan")


def fraction_skill_score(
    estimate: FloatArray, truth: FloatArray, where: BoolArray, threshold: float, window: int
) -> float:
    """1 less the squared difference of the shares of cells that reach the threshold, over what it is without overlap.

    Shares are those within ``window`` x ``window`` cells around each cell, mirrored at the border; all cells of both
    fields enter them, and those ``where`` are compared. NaN where neither field reaches the threshold.

    Source: Roberts & Lean (2008), Mon. Wea. Rev. 136:78, equations 5 to 7.
    """
    from scipy.ndimage import uniform_filter

    shares = [uniform_filter((field >= threshold).astype(float), (0, window, window)) for field in (estimate, truth)]
    of_estimate, of_truth = (share[where] for share in shares)
    largest = float((of_estimate**2).sum() + (of_truth**2).sum())
    return 1.0 - float(((of_estimate - of_truth) ** 2).sum()) / largest if largest > 0 else float("nan")


def radial_power(fields: FloatArray, weights: FloatArray) -> NDArray[np.float64]:
    """(K,) mean spectral power of (N, S, S) fields at 1, 2, ... K = S // 2 waves per side, in all directions.

    Parameters
    ----------
    weights:
        (N, S, S) by which the departures from each field's weighted mean are multiplied: 0 outside of what is looked at,
        and falling towards its edge, which would be a sharp structure itself.

    Returns
    -------
    Means over the waves of a ring of wave numbers and over the fields, in squared units; a wave of amplitude a under
    weights of 1 has a power of a**2 / 4 at its wave number and at the opposite one.
    """
    size = fields.shape[-1]
    total = np.maximum(weights.sum((1, 2), keepdims=True), 1e-12)
    departures = (fields - (fields * weights).sum((1, 2), keepdims=True) / total) * weights
    power = (np.abs(np.fft.fft2(departures)) ** 2).mean(axis=0) / size**4
    number = np.fft.fftfreq(size, 1.0 / size)
    ring = np.rint(np.hypot(number[:, None], number[None, :])).astype(int)
    count = np.bincount(ring.ravel())
    return np.asarray((np.bincount(ring.ravel(), power.ravel()) / count)[1 : size // 2 + 1])
