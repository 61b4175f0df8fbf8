"""Scores of a submission: a row of the leaderboard, from the sums of all its cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.benchmark_set.card import SetCard
from climrecon.benchmark_set.files import CaseInput
from climrecon.benchmark_set.submission import About, Fields, periods_in
from climrecon.fields import Context, Months
from climrecon.grid import FIVE_DEGREES, NINO34
from climrecon.methods.simple import InverseDistance
from climrecon.scores.masked_truth import MaskedTruth, Sums, sums_of
from climrecon.scores.structure import zonal_power
from climrecon.scores.table import score_methods

#: Waves around a circle of latitude from which scales count as small: less than 28 degrees of longitude.
SMALL_WAVES = 13
#: Rows whose spectra count: nearer to the poles cells are narrower than what is resolved.
_ROWS = np.abs(FIVE_DEGREES.lat) < 60.0
#: Months of the mean of Nino 3.4 by which the strongest event is found.
EVENT_MONTHS = 3
#: RMSE over that of inverse distances below which a submission is suspicious, in cases with errors and without. Optimal
#: interpolation that knows the generator reaches 0.44 with errors and 0.03 without (benchmarks/benchmark_bound.py).
SUSPICIOUS = {True: 0.25, False: 0.01}
#: Values of each case that rows keep, to find fields that are equal.
PROBES = 200


@dataclass(frozen=True)
class Reference:
    """What all submissions of a case are compared with: its truth, and RMSE of zeros and of inverse distances, K."""

    known: MaskedTruth
    climatology: float
    inverse_distance: float
    event: tuple[int, float]

    @classmethod
    def of(cls, known: MaskedTruth, given: CaseInput) -> Reference:
        """The references of a case."""
        context = Context(FIVE_DEGREES, given.time)
        near = InverseDistance().reconstruct(given.values, given.mask, given.stated, given.time.month, context).mean
        weights = np.where(known.scored, FIVE_DEGREES.area, 0.0)
        truth = np.where(known.scored, known.truth, 0.0)

        def rmse(estimate: FloatArray | float) -> float:
            return float(np.sqrt((weights * (estimate - truth) ** 2).sum() / weights.sum()))

        return cls(known, rmse(0.0), rmse(near), _strongest(_nino(known.truth)))


def _nino(fields: FloatArray) -> FloatArray:
    """(T,) Nino 3.4 of (T, H, W) fields; NaN where a cell of it is unknown."""
    weights = FIVE_DEGREES.mean_weights(NINO34)
    inside = weights > 0
    return np.asarray(fields[:, inside].astype(np.float64) @ weights[inside])


def _running(series: FloatArray) -> FloatArray:
    return np.convolve(series, np.full(EVENT_MONTHS, 1.0 / EVENT_MONTHS), mode="valid")


def _strongest(series: FloatArray) -> tuple[int, float]:
    """Position of the first month of the strongest event, and its mean; (-1, NaN) where the index is unknown."""
    means = _running(series)
    if not np.isfinite(means).any():
        return -1, float("nan")
    first = int(np.nanargmax(np.abs(means)))
    return first, float(means[first])


def case_result(reference: Reference, fields: Fields, seed: int) -> tuple[Sums, dict[str, Any]]:
    """The sums of one case, and what does not follow from them: small scales, the event, values to compare.

    Parameters
    ----------
    seed:
        Of the cells that are kept.
    """
    known = reference.known
    output = fields.output()
    found: dict[str, Any] = {"small_scales": small_scales(fields.mean, known.truth)}
    if fields.members is not None:
        powers = [small_scales(member, known.truth) for member in fields.members]
        found["small_scales_of_members"] = float(np.mean(powers))
    first, truth = reference.event
    if first >= 0:
        found["event"] = {
            "month": Months(known.time.index[first + EVENT_MONTHS // 2 :][:1]).labels()[0],
            "truth": truth,
            "estimate": float(_running(_nino(fields.mean))[first]),
        }
    cells = np.flatnonzero(known.scored)
    chosen = np.random.default_rng(seed).choice(cells, min(PROBES, len(cells)), replace=False)
    found["probes"] = [round(float(value), 4) for value in fields.mean.ravel()[np.sort(chosen)]]
    return sums_of(known, output), found


def small_scales(estimate: FloatArray, truth: FloatArray) -> float:
    """Power of (T, H, W) fields at :data:`SMALL_WAVES` waves and more over that of the truth, on whole known circles."""
    known = np.isfinite(truth).all(axis=2) & _ROWS
    rows = np.where(known, FIVE_DEGREES.area[:, 0], 0.0)
    counted = known.any(axis=1)
    if not counted.any():
        return float("nan")
    ours, theirs = (
        zonal_power(fields[counted], rows[counted])[:, SMALL_WAVES - 1 :].sum() for fields in (estimate, truth)
    )
    return float(ours / theirs)


def row_of(
    about: About,
    card: SetCard,
    references: Mapping[str, Reference],
    results: Mapping[str, tuple[Sums, Mapping[str, Any]]],
) -> dict[str, Any]:
    """A row of the leaderboard: attributes, scores of all cases and of each, sums by year, values, doubts; not dated.

    RMSE, CRPS and intervals are over the cells that were missing, area-weighted; of all cases together, over all their
    cells. Scores of series are means over the cases.
    """
    names = list(results)
    overall = _scores(names, references, results)
    cases = {name: _scores([name], references, results) for name in names}
    doubts = [
        f"suspicious: RMSE of {name} is {ratio:.2f} of that of inverse distances, below what the observations allow"
        for name, noisy in ((case.name, case.noise > 0) for case in card.cases)
        if (ratio := cases[name]["rmse"] / references[name].inverse_distance) < SUSPICIOUS[noisy]
    ]
    learned = _learned(about, results) if card.truth.kind == "file" else 0
    if learned:
        doubts.append(f"learned from {learned} of the months that are scored")
    return {
        **about.as_dict(),
        "scored": "",
        "overall": overall,
        "cases": cases,
        "doubts": doubts,
        "years": {name: _by_year(sums) for name, (sums, _) in results.items()},
        "probes": {name: more["probes"] for name, (_, more) in results.items()},
    }


def _learned(about: About, results: Mapping[str, tuple[Sums, Mapping[str, Any]]]) -> int:
    """Scored months within those that a submission states to have learned from."""
    months = np.concatenate([sums["index"] for sums, _ in results.values()])
    periods = periods_in(about.training_months)
    return int(np.any([np.zeros(len(months), bool), *(one.holds(months) for one in periods)], axis=0).sum())


def _scores(
    names: Sequence[str], references: Mapping[str, Reference], results: Mapping[str, tuple[Sums, Mapping[str, Any]]]
) -> dict[str, Any]:
    parts = [results[name][0] for name in names]
    table = score_methods({"": parts}, None)[""]
    cells, annual = table["cells"], table["regions"]["global"]["annual"]
    weights = [float(part["weight"].sum()) for part in parts]
    zeros = sum(w * references[name].climatology ** 2 for w, name in zip(weights, names, strict=True)) / sum(weights)
    strongest = max(
        (results[name][1]["event"] for name in names if "event" in results[name][1]),
        key=lambda event: abs(event["truth"]),
        default=None,
    )
    found: dict[str, Any] = {
        "n_months": sum(len(part["index"]) for part in parts),
        "skill": round(1.0 - sum(float(part["squares"].sum()) for part in parts) / sum(weights) / zeros, 4) + 0.0,
        **{key: cells.get(key) for key in ("rmse", "bias", "crps", "covers_90")},
        **{
            f"annual_{key}": annual.get(key) for key in ("bias", "r", "r_detrended", "rmse", "trend_ratio", "covers_90")
        },
    }
    for key in ("small_scales", "small_scales_of_members"):
        values = [results[name][1][key] for name in names if key in results[name][1]]
        values = [value for value in values if isfinite(value)]
        found[key] = round(float(np.mean(values)), 4) if values else None
    found["event"] = None
    if strongest:
        case = next(name for name in names if results[name][1].get("event") is strongest)
        rounded = {key: round(strongest[key], 3) for key in ("truth", "estimate")}
        found["event"] = {"month": strongest["month"], "case": case, **rounded}
    return found


def _by_year(sums: Sums) -> dict[str, list[float] | None]:
    """Sums of the months of each year, from which paired differences follow."""
    year = Months(sums["index"]).year
    years = np.unique(year)
    found: dict[str, list[float] | None] = {"year": years.tolist(), "crps": None}
    for key in ("weight", "squares", "crps"):
        if key in sums:
            found[key] = [float(f"{sums[key][year == one].sum():.8g}") for one in years]
    return found
