"""Known months seen through real gaps: the table that stands in a network's card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.fields import Context, Estimate, Steps
from climrecon.grid import Grid
from climrecon.methods.contract import Method
from climrecon.scores import scores
from climrecon.scores.series import annual_means, series_scores
from climrecon.variables import VARIABLES, Variable

#: Independent noise of the noisy cases, K; and the error stated for the clean ones, since no data set
#: states zero.
NOISE, CLEAN = 0.5, 0.1


def score_estimate(
    estimate: Estimate, truth: FloatArray, scored: BoolArray, time: Steps, grid: Grid
) -> dict[str, float]:
    """Scores of one estimate over the ``scored`` (T, H, W) cells; means over the whole globe, as far as it is known.

    Those of the annual means' course are left out where fewer than three years, or a constant, leave them undefined.
    """
    weights = grid.area * scored
    known = np.isfinite(truth)
    share = (grid.area * known).sum((1, 2)) if not known.all() else 1.0
    truth_mean = (np.nan_to_num(truth) * grid.area).sum((1, 2)) / share
    mean = (np.where(known, estimate.mean, 0.0) * grid.area).sum((1, 2)) / share
    years, (annual, annual_truth) = annual_means(np.stack([mean, truth_mean]), time, fewest=1)
    course = series_scores(annual, annual_truth, years.astype(float))
    step = time.frequency.adjective
    result = {
        "rmse": scores.rmse(estimate.mean, truth, weights),
        f"{step}_mean_rmse": float(np.sqrt(np.mean((mean - truth_mean) ** 2))),
        "annual_mean_bias": course["bias"],
        "annual_mean_rmse": course["rmse"],
        "annual_mean_r_detrended": course["r_detrended"],
        "annual_mean_trend_ratio": course["trend_ratio"],
    }
    for key in ("annual_mean_r_detrended", "annual_mean_trend_ratio"):
        if not np.isfinite(result[key]):
            del result[key]
    if estimate.stddev is not None:
        crps = scores.crps_normal(estimate.mean, estimate.stddev, truth)
        result["crps"] = scores.weighted_mean(crps, weights)
        result["covers_90"] = scores.interval_coverage(estimate.mean, estimate.stddev, truth, weights)
    if estimate.area_mean_sd is not None:
        sd = estimate.area_mean_sd(grid.area)
        result[f"{step}_mean_covers_90"] = scores.interval_coverage(mean, sd, truth_mean, np.ones(len(mean)))
    return {key: round(float(value), 4) for key, value in result.items()}


def score_table(
    methods: Mapping[str, Callable[[], Method]],
    truth: FloatArray,
    valid: BoolArray,
    time: Steps,
    grid: Grid,
    masks: Mapping[str, BoolArray],
    seeds: tuple[int, ...],
    variable: Variable = VARIABLES["tas"],
) -> dict[str, Any]:
    """Every method under every mask, clean and with independent noise.

    Parameters
    ----------
    methods:
        Name -> callable that makes a new one: a method fitted to its observations must not carry
        the fit from one case to the next.
    truth:
        (T, H, W) months, K; NaN where not known, which no method sees and no mean counts.
    valid:
        (T, H, W) cells whose truth may be scored.
    masks:
        Name -> (H, W) mask applied to all months. Cells that were missing are scored.
    variable:
        Of the truth: by its description errors are larger or smaller, and no value leaves its bounds.

    Returns
    -------
    ``{case: {method: {score: value}}}`` with noisy cases averaged over ``seeds``; ``raw_mean``, the mean
    of the observed cells, stands in every case; and ``response``, see :func:`response`.
    """
    table: dict[str, Any] = {f"n_{time.plural}": len(truth), "seeds": list(seeds), "cases": {}, "response": {}}
    context = Context(grid, time)
    known = np.isfinite(truth)
    noisy, clean = (variable.error_like(size) for size in (NOISE, CLEAN))
    for label, one in masks.items():
        mask = one & known
        hidden = valid & ~mask
        for case, sd, draws in ((f"{label} clean", 0.0, (0,)), (f"{label} noisy", noisy, seeds)):
            rows: dict[str, list[dict[str, float]]] = {}
            for seed in draws:
                white = np.random.default_rng(seed).normal(size=truth.shape)
                observed = variable.to_methods.with_error(truth, np.array(sd), white)
                values = np.where(mask, observed, np.nan).astype(np.float32)
                stated = np.full(truth.shape, max(sd, clean), np.float32)
                raw = np.nansum(values * grid.area, (1, 2)) / (grid.area * mask).sum((1, 2))
                estimates = {"raw_mean": Estimate(np.broadcast_to(raw[:, None, None], truth.shape))}
                for name, make in methods.items():
                    estimates[name] = make().reconstruct(values, mask, stated, time.month, context)
                for name, estimate in estimates.items():
                    rows.setdefault(name, []).append(score_estimate(estimate, truth, hidden, time, grid))
            table["cases"][case] = {
                name: {
                    key: round(float(np.mean([row[key] for row in found])), 4)
                    for key in found[0]
                    if all(key in row for row in found)
                }
                for name, found in rows.items()
            }
        for name, make in methods.items():
            table["response"].setdefault(name, {})[label] = response(make(), truth, mask, time, grid, clean)
    return table


def response(
    method: Method, truth: FloatArray, mask: BoolArray, time: Steps, grid: Grid, stated: float = CLEAN
) -> float:
    """Change of the mean when every observed cell is one unit (1 K warmer) larger; 1 is right."""
    sd = np.full(truth.shape, stated, np.float32)
    context = Context(grid, time)
    means = [
        (method.reconstruct(np.where(mask, truth + shift, np.nan), mask, sd, time.month, context).mean * grid.area)
        for shift in (0.0, 1.0)
    ]
    return round(float((means[1] - means[0]).sum((1, 2)).mean()), 4)
