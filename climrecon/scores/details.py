"""Further scores of methods: over land and sea, spread against error, realisations, and the variance of each scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.grid import Grid
from climrecon.scores.masked_truth import RAW, Sums
from climrecon.scores.structure import distances
from climrecon.scores.table import cell_scores, joined, plain

#: Significant digits of the numbers, and the most bins of a rank histogram.
DIGITS, MOST_BINS = 4, 20
#: Sums that a surface has of its own.
_OF_SURFACES = ("weight", "squares", "errors", "crps", "inside")


def detailed_scores(sums: Mapping[str, Sequence[Sums]], truth: Sequence[Sums], grid: Grid) -> dict[str, Any]:
    """The scores of each method, and what the truth's own would be.

    Parameters
    ----------
    sums:
        Method -> its sums of each record, see :func:`climrecon.scores.masked_truth.sums_of`.
    truth:
        Of each record :func:`climrecon.scores.structure.structure_sums` of the truth.

    Returns
    -------
    ``surfaces``: method -> ``land`` and ``sea`` -> scores of cells. ``spread_skill``: method -> ``spread`` and ``rmse``
    by tenths of the stated standard deviations. ``realisations``: method -> scores of its realisations. ``variogram``
    and, on grids that close the circle, ``spectrum``: ``km`` or ``waves``, and the values of the ``truth``, and by method
    of the ``estimates`` and single ``realisations``. Numbers that are not defined are None.
    """
    ours = {name: parts for name, parts in sums.items() if name != RAW}
    found: dict[str, Any] = {
        "surfaces": {name: _surfaces(parts) for name, parts in sums.items()},
        "spread_skill": {name: rows for name, parts in sums.items() if (rows := _spread_skill(parts))},
        "realisations": {name: rows for name, parts in sums.items() if (rows := _realisations(parts))},
        "variogram": {"km": distances(grid), **_by_field(ours, truth, "pairs", _semivariance)},
    }
    if grid.wraps and (fields := _by_field(ours, truth, "power", _mean_power)):
        found["spectrum"] = {"waves": np.arange(1, grid.shape[1] // 2 + 1), **fields}
    # Powers at small scales are small numbers.
    return {key: plain(value, lambda one: float(f"{one:.{DIGITS}g}")) for key, value in found.items()}


def _by_field(
    sums: Mapping[str, Sequence[Sums]], truth: Sequence[Sums], needs: str, of: Callable[[Sequence[Sums]], FloatArray]
) -> dict[str, Any]:
    """``of`` the truth, and of ``estimates`` and single ``realisations`` of methods, where the sums have ``needs``."""
    found: dict[str, Any] = {"truth": of(truth)} if _all(truth, needs) else {}
    for label, head in (("estimates", "estimate/"), ("realisations", "draws/")):
        fields = {name: [_beginning(part, head) for part in parts] for name, parts in sums.items()}
        found |= {label: rows} if (rows := {name: of(one) for name, one in fields.items() if _all(one, needs)}) else {}
    return found


def _all(parts: Sequence[Sums], key: str) -> bool:
    return bool(parts) and all(key in part for part in parts)


def _beginning(part: Sums, head: str) -> Sums:
    """The sums whose names begin with ``head``, without it."""
    return {key.removeprefix(head): value for key, value in part.items() if key.startswith(head)}


def _surfaces(parts: Sequence[Sums]) -> dict[str, Any]:
    land = [_beginning(part, "land/") for part in parts]
    sea = [
        {key: part[key] - one[key] for key in _OF_SURFACES if key in one} for part, one in zip(parts, land, strict=True)
    ]
    surfaces = {"land": land, "sea": sea}
    whole = joined(parts, "weight").sum()
    return {name: cell_scores(of) for name, of in surfaces.items() if joined(of, "weight").sum() > 1e-9 * whole}


def _spread_skill(parts: Sequence[Sums]) -> dict[str, Any]:
    if not _all(parts, "spread_skill"):
        return {}
    weight, variances, squares = np.sum([part["spread_skill"] for part in parts], axis=0)
    there = weight > 0
    return {"spread": np.sqrt(variances[there] / weight[there]), "rmse": np.sqrt(squares[there] / weight[there])}


def _realisations(parts: Sequence[Sums]) -> dict[str, Any]:
    if not _all(parts, "draws/ranks"):
        return {}
    draws = [_beginning(part, "draws/") for part in parts]
    weight = joined(draws, "weight").sum()
    rmse, spread = (float(np.sqrt(joined(draws, key).sum() / weight)) for key in ("squares", "variance"))
    ranks = joined(draws, "ranks").sum(axis=0)
    groups = np.array_split(ranks / ranks.sum() * len(ranks), min(len(ranks), MOST_BINS))
    return {
        "n": len(ranks) - 1,
        "crps": float(joined(draws, "crps").sum() / weight),
        "energy_score": float(np.nanmean(joined(draws, "energy"))),
        "rmse_of_mean": rmse,
        "spread": spread,
        "spread_over_rmse": spread / rmse if rmse > 0 else float("nan"),
        "rank_histogram": [float(group.mean()) for group in groups],
    }


def _semivariance(parts: Sequence[Sums]) -> FloatArray:
    total, weight = (np.sum([part[key].sum(axis=0) for part in parts], axis=0) for key in ("differences", "pairs"))
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), np.nan)


def _mean_power(parts: Sequence[Sums]) -> FloatArray:
    power = joined(parts, "power")
    known = np.isfinite(power).all(axis=1)
    return power[known].mean(axis=0) if known.any() else np.full(power.shape[1], np.nan)
