"""Scores of realisations, equally likely complete fields. ``M`` of them, (M, ...); the truth has the shape (...)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from climrecon.array_types import BoolArray, FloatArray


def crps_ensemble(draws: FloatArray, truth: FloatArray) -> FloatArray:
    """(...) continuous ranked probability score of the empirical distribution of (M, ...) draws.

    Source: Hersbach (2000), Wea. Forecasting 15:559, in the form of Gneiting & Raftery (2007), J. Am. Stat. Assoc.
    102:359, equation 21; the mean difference of pairs from the sorted draws.
    """
    count = len(draws)
    rank = np.arange(1, count + 1).reshape(-1, *[1] * truth.ndim)
    between = ((2.0 * rank - count - 1.0) * np.sort(draws, axis=0)).sum(axis=0) / count**2
    return np.asarray(np.abs(draws - truth).mean(axis=0) - between)


def energy_score(draws: FloatArray, truth: FloatArray, weights: FloatArray) -> float:
    """Energy score of (M, P) draws of a whole field, for a (P,) truth: the CRPS of fields, in the units of the truth.

    The distance of two fields is the root of their weighted mean squared difference, so that the score of a single
    draw is its RMSE.

    Parameters
    ----------
    weights:
        (P,) areas; cells of weight zero do not count.

    Source: Gneiting & Raftery (2007), J. Am. Stat. Assoc. 102:359, equation 22 with beta = 1; of fields in Gneiting et
    al. (2008), Test 17:211.
    """
    counted = weights > 0
    scale = np.sqrt(weights[counted] / weights[counted].sum())
    errors = (draws[:, counted].astype(np.float64) - truth[counted]) * scale
    products = errors @ errors.T
    squares = np.diag(products)
    pairs = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2.0 * products, 0.0))
    np.fill_diagonal(pairs, 0.0)
    return float(np.sqrt(squares).mean() - 0.5 * pairs.mean())


def rank_histogram(draws: FloatArray, truth: FloatArray, weights: FloatArray) -> FloatArray:
    """(M + 1,) weights of the truths that exceed 0, 1, ... M of the (M, ...) draws; even if truth and draws are alike.

    A truth that equals draws has its weight spread evenly over the ranks that it could take.

    Source: Hamill (2001), Mon. Wea. Rev. 129:550.
    """
    count, counted = len(draws), weights > 0
    below, equal = np.zeros((2, *truth.shape), np.int64)
    for one in draws:
        below += one < truth
        equal += one == truth
    below, equal = below[counted], equal[counted]
    share = weights[counted] / (equal + 1.0)
    changes = np.bincount(below, share, count + 2) - np.bincount(below + equal + 1, share, count + 2)
    return np.asarray(np.cumsum(changes)[:-1])


def spread(draws: FloatArray) -> FloatArray:
    """(...) variance of (M, ...) draws as the squared error of their mean should be, on average.

    It is larger than the unbiased variance by (M + 1) / M, since the mean of few draws errs too.

    Source: Fortin et al. (2014), J. Hydrometeor. 15:1708, equation 14.
    """
    count = len(draws)
    return np.asarray(draws.var(axis=0, ddof=1, dtype=np.float64) * (count + 1.0) / count)


def draw_sums(draws: FloatArray, truth: FloatArray, scored: BoolArray, areas: FloatArray) -> dict[str, FloatArray]:
    """What the scores of realisations are made of, for months of fields.

    Parameters
    ----------
    draws, truth, scored:
        (M, T, H, W), (T, H, W) and the (T, H, W) cells that count.
    areas:
        (H, W).

    Returns
    -------
    By month (T,), summed over cells with their areas: ``weight``, ``crps``, ``variance`` (:func:`spread`), ``squares``
    of the errors of the mean of the draws; ``energy`` (T,), the energy score, NaN where nothing counts; ``ranks``
    (1, M + 1).
    """
    month, *cells = np.nonzero(scored)
    weights = areas[tuple(cells)]
    known, drawn = truth[scored].astype(np.float64), draws[:, scored]

    def by_month(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(month, weights * values, len(truth)), np.float64)

    borders = np.searchsorted(month, np.arange(len(truth) + 1))
    parts = [slice(first, last) for first, last in pairwise(borders)]
    energy = [energy_score(drawn[:, p], known[p], weights[p]) if p.stop > p.start else np.nan for p in parts]
    return {
        "weight": np.bincount(month, weights, len(truth)),
        "crps": by_month(crps_ensemble(drawn, known)),
        "variance": by_month(spread(drawn)),
        "squares": by_month((drawn.mean(axis=0, dtype=np.float64) - known) ** 2),
        "energy": np.array(energy),
        "ranks": rank_histogram(drawn, known, weights)[None],
    }
