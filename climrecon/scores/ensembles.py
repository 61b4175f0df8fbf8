"""Scores of realisations, equally likely complete fields. ``M`` of them, (M, ...); the truth has the shape (...)."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import FloatArray


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
    count = len(draws)
    counted = weights > 0
    below, equal = (
        np.sum([compare(one[counted], truth[counted]) for one in draws], axis=0) for compare in (np.less, np.equal)
    )
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
