"""The skill table: months that were not learned from, seen through real early coverage, every method in one run.

    python benchmarks/skill.py --data SHARED_DATA [--split a|b|c|d] [--networks punet6,…] [--json]

The splits, (c) by default, are those of benchmarks/splits.py, the cases those of benchmarks/observed_cases.py. Masks:
HadCRUT4's 1877-09 and 1893-08, which no training has seen; and in the sparse cases twelve sparser ones (CRUTEM4 land of
1865-1900, sea of the two months thinned and rolled).
Scores are area-weighted over all cells that were missing; intervals are 90 %, over years. Nothing chosen depended on the
months of (c), but for three choices that docs/method.md names. A network whose card does not show that the months were
held out has ``held_out_ok`` false.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learned_oi import LearnedOI
from observed_cases import CLEAN, NOISE, OWN, REGIONAL, SLOW, CorrelatedErrors, cases_of
from splits import Split, not_held_out, scoring_masks, sparse_masks, split_of

from climrecon.fields import Context, Estimate, Months, Observations, Source
from climrecon.geography import land_fraction
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.contract import Method
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.observation_ensemble import reconstruct_members
from climrecon.methods.optimal_interpolation import optimal_interpolation
from climrecon.methods.store import load_network
from climrecon.scores import scores
from climrecon.scores.paired import difference, half_width
from climrecon.scores.series import annual_means
from climrecon.scores.suite import score_estimate
from climrecon.tasks.train.fit import periods_of

AREA = GRID.area
#: Methods that the others are compared with, as keys of the JSON name them.
REFERENCES = {"kriging": "kriging", "oi": "learned OI"}
#: Before a network's name: the interpolation that its U-Net corrects.
ALONE = "oi:"


def score(estimate: Estimate, truth: np.ndarray, hidden: np.ndarray, time_axis: Months, seed: int) -> dict[str, Any]:
    """The scores of a card, and beside them coverage by latitude and season, and of annual means."""
    weights, known = AREA * hidden, np.isfinite(truth)
    squares = (weights * np.where(known, estimate.mean - truth, 0.0) ** 2).sum((1, 2)).reshape(-1, 12).sum(1)
    row: dict[str, Any] = {
        **score_estimate(estimate, truth, hidden, time_axis, GRID),
        "_squares": squares / weights.sum() * len(squares),
    }
    if estimate.stddev is not None:
        bands = [slice(row_, row_ + 6) for row_ in range(0, 36, 6)]
        parts = [
            scores.interval_coverage(*(a[:, band] for a in (estimate.mean, estimate.stddev, truth, weights)))
            for band in bands
            if weights[:, band].any()
        ]
        parts += [
            scores.interval_coverage(*(a[quarter::12] for a in (estimate.mean, estimate.stddev, truth, weights)))
            for quarter in range(12)
        ]
        row["covers_90_lowest"], row["covers_90_highest"] = min(parts), max(parts)
    if estimate.sample is not None:
        seen = AREA * known / (AREA * known).sum((1, 2))[:, None, None]
        ours, theirs = (
            annual_means((np.where(known, field, 0.0) * seen).sum((1, 2)), time_axis)[1]
            for field in (estimate.mean, truth)
        )
        draws = np.stack([(draw * seen).sum((1, 2)) for draw in estimate.sample(40, seed)])
        half = 1.645 * annual_means(draws, time_axis)[1].std(0, ddof=1)
        row["_annual_inside"] = (np.abs(ours - theirs) <= half).astype(float)
        row["annual_mean_covers_90"] = float(row["_annual_inside"].mean())
    return row


def between(first: np.ndarray, second: np.ndarray, records: list[int]) -> list[float]:
    """90 % interval of the difference of RMSEs over years."""
    found = difference(first, second, np.ones(len(first)), records)["interval"]
    return [round(value, 4) for value in found]


def share_between(inside: np.ndarray, records: list[int]) -> list[float]:
    """90 % interval of the share of years that are inside."""
    share = float(inside.mean())
    half = half_width((inside - share) / len(inside), records) or 0.0
    return [round(max(share - half, 0.0), 3), round(min(share + half, 1.0), 3)]


def with_ensemble(
    method: Method, values: np.ndarray, mask: np.ndarray, sd: np.ndarray, time_axis: Months, ensemble: list[np.ndarray]
) -> Estimate:
    """As the method gives it, or with each member reconstructed where there is an ensemble."""
    if not ensemble:
        return method.reconstruct(values, mask, sd, time_axis.month, Context(GRID, time_axis))
    seen = Observations("tas", values, mask, sd, time_axis, GRID, None, Source("", "", (), (), ""))
    return reconstruct_members(method, seen, (values + away for away in ensemble))


def joined(blocks: list[Estimate]) -> Estimate:
    """The estimates of successive blocks of months as one."""
    mean = np.concatenate([block.mean for block in blocks])
    if blocks[0].stddev is None:
        return Estimate(mean)

    def sample(count: int, seed: int) -> np.ndarray:
        return np.concatenate([block.sample(count, seed) for block in blocks], axis=1)

    return Estimate(mean, np.concatenate([block.stddev for block in blocks]), sample=sample)


def merged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over masks and seeds of the scores that all rows have."""
    return {key: np.mean([row[key] for row in rows], axis=0) for key in rows[0] if all(key in row for row in rows)}


def over_worlds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over worlds; of what is listed by year, the years of all one after the other."""
    shared = [key for key in rows[0] if all(key in row for row in rows)]
    joins = {True: np.concatenate, False: np.mean}
    return {key: joins[key.startswith("_")]([row[key] for row in rows]) for key in shared}


def compared(means: dict[str, dict[str, Any]], records: list[int]) -> dict[str, Any]:
    """The table of one case: scores of each method, and how they compare with those of the references.

    Parameters
    ----------
    records:
        Years of each world.
    """
    table = {}
    for name, row in means.items():
        entry: dict[str, Any] = {key: round(float(v), 4) for key, v in row.items() if not key.startswith("_")}
        for label, reference in ((label, means[method]) for label, method in REFERENCES.items()):
            for key in ("rmse", "crps"):
                if key in row:
                    entry[f"{key}_over_{label}"] = round(float(row[key] / reference[key]), 4)
            entry[f"rmse_minus_{label}_90"] = between(row["_squares"], reference["_squares"], records)
        if "_annual_inside" in row:
            entry["annual_mean_covers_90_between"] = share_between(row["_annual_inside"], records)
        table[name] = entry
    return table


def scores_for_card(measured: dict[str, Any], scored: str, name: str) -> dict[str, Any]:
    """What this benchmark printed of the network ``scored``, as scores of the card of ``name``."""
    cases = {
        case: {name if method.endswith(scored) else Path(method).name: row for method, row in methods.items()}
        for case, methods in measured["cases"].items()
    }
    (response,) = (row for method, row in measured["response_to_1K"].items() if method.endswith(scored))
    return {
        "n_months": measured["n_months"],
        "seeds": list(range(measured["seeds"])),
        "cases": cases,
        "response": {name: response},
    }


def by_stretches(
    method: Method, values: np.ndarray, mask: np.ndarray, sd: np.ndarray, time_axis: Months, ensemble: list[np.ndarray]
) -> Estimate:
    """Successive months at once: months of one block are neighbours; those of the next are not."""
    cuts = [0, *(np.flatnonzero(np.diff(time_axis.index) != 1) + 1), len(values)]
    parts = [slice(first, last) for first, last in pairwise(cuts)]
    return joined(
        [
            with_ensemble(method, values[p], mask[p], sd[p], Months(time_axis.index[p]), [m[p] for m in ensemble])
            for p in parts
        ]
    )


def response_to_1k(network: Method, split: Split, masks: dict[str, np.ndarray]) -> dict[str, float]:
    """Change of the global mean, K, if all observed cells of 60 months change by 1 K, evenly or by the response."""
    world, found = split.worlds[0], {}
    truth, time_axis = world.truth[:60], Months(world.time.index[:60])
    sd, pattern = np.full(truth.shape, CLEAN, np.float32), split.response.mean(axis=0).reshape(GRID.shape)
    for label, one in masks.items():
        mask = one & np.isfinite(truth)
        for what, shape in (("uniform", np.ones(GRID.shape)), ("pattern", pattern)):
            means = [
                network.reconstruct(
                    np.where(mask, truth + sign * shape, np.nan), mask, sd, time_axis.month, Context(GRID, time_axis)
                ).mean
                for sign in (-1.0, 1.0)
            ]
            change = ((means[1] - means[0]) * AREA).sum((1, 2)).mean() / 2.0
            found[f"{label} {what}"] = round(float(change), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="c", choices=list("abcd"))
    parser.add_argument("--networks", default="punet6", help=f"names or folders; {ALONE}NAME: without its U-Net")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", help="of clean, noisy, sparse and cold; by default all of the split")
    parser.add_argument("--published", action="store_true", help="also the published networks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    split, masks = split_of(options.split, options.data), scoring_masks(options.data)
    wanted = options.cases.split(",") if options.cases else list(split.cases)
    if unknown := set(wanted) - set(split.cases):
        parser.error(f"split {split.name} has the cases {', '.join(split.cases)}, not {', '.join(sorted(unknown))}")
    sparse = sparse_masks(options.data, land_fraction(GRID), masks) if "sparse" in split.cases else []
    errors = CorrelatedErrors()
    networks: dict[str, Method] = {}
    doubts = {}
    for given in filter(None, options.networks.split(",")):
        loaded = load_network(given.removeprefix(ALONE))
        alone = given.startswith(ALONE)
        name = f"{loaded.name} without its U-Net" if alone else loaded.name
        networks[name] = optimal_interpolation(loaded) if alone else loaded.method
        doubts[name] = not_held_out(loaded.card.training, split)
    for name, doubt in doubts.items():
        if doubt:
            print(f"warning: {name} may have seen what split {split.name} scores: {doubt}", file=sys.stderr)
    published = {}
    if options.published:
        for name in ("20cr-1000000", "20crtasgn72"):
            published[f"published {name}"] = load_network(str(options.data / f"published_models/{name}.pth")).method

    @cache
    def learned_oi(noise: float, known: bool = False, world: int | None = None) -> Method:
        """With independent errors of the variance ``noise``; of a ``world`` with its directions."""
        directions = None if world is None else split.directions(split.worlds[world])
        return LearnedOI(split.fields, noise, errors.covariance() if known else None, directions)

    rows: dict[str, list[dict[str, list[dict[str, Any]]]]] = {}
    for number, world in enumerate(split.worlds):
        for case in cases_of(split, world, wanted, options.seeds, masks, sparse, errors):
            mask, noise = case.mask, 0.25 if case.name != "clean" else 0.02
            observed = np.where(mask, case.values, np.nan).astype(np.float32)
            raw = np.nansum(observed * AREA, (1, 2)) / (AREA * mask).sum((1, 2))
            methods = {
                "kriging": Kriging(Covariance(2000.0, 1.1, 0.1)),
                "learned OI": learned_oi(noise),
                "learned OI + model patterns": learned_oi(noise, world=number),
                **({"learned OI, errors known": learned_oi(OWN**2, known=True)} if case.name == "sparse" else {}),
                **published,
                **networks,
            }
            estimates = {"raw_mean": Estimate(np.broadcast_to(raw[:, None, None], mask.shape))}
            sd = np.full(mask.shape, case.stated, np.float32)
            ensemble = errors.ensemble(case.seed, len(mask)) if case.name == "sparse, stated" else []
            for name, method in methods.items():
                if name in networks:
                    estimates[name] = by_stretches(method, observed, mask, sd, world.time, ensemble)
                    continue
                # Of the published networks, which state no uncertainty, nobody asks what each member changes.
                members = [] if name in published else ensemble
                estimates[name] = with_ensemble(method, observed, mask, sd, world.time, members)
                if name == "kriging":
                    estimates[name] = Estimate(estimates[name].mean, estimates[name].stddev)
            found = rows.setdefault(case.name, [{} for _ in split.worlds])[number]
            for name, estimate in estimates.items():
                scored = score(estimate, case.truth, world.valid & ~mask, world.time, case.seed)
                found.setdefault(name, []).append(scored)
            print(
                f"{time.monotonic() - started:6.0f} s {world.name} {case.name} {case.label} {case.seed}: "
                + ", ".join(f"{n} {r[-1]['rmse']:.3f}" for n, r in found.items()),
                file=sys.stderr,
                flush=True,
            )
    years = [len(np.unique(world.time.year)) for world in split.worlds]
    tables: dict[str, Any] = {}
    worlds: dict[str, Any] = {world.name: {} for world in split.worlds}
    for case_name, each in rows.items():
        means = [{name: merged(found) for name, found in one.items()} for one in each]
        joint = {name: over_worlds([one[name] for one in means]) for name in means[0]}
        tables[case_name] = compared(joint, years)
        for world, one, count in zip(split.worlds, means, years, strict=True):
            worlds[world.name][case_name] = compared(one, [count])
    shown = {**masks, **{f"sparse {k}": m for k, m in enumerate(sparse[:3])}}
    scored_months = {world.name: periods_of(world.time.index) for world in split.worlds}
    result = {
        "benchmark": "skill",
        "split": split.name,
        "learned": periods_of(split.index),
        "scored": scored_months,
        "n_months": sum(len(world.time) for world in split.worlds),
        "least_known_share": {
            w.name: round(float((AREA * np.isfinite(w.truth)).sum((1, 2)).min()), 4) for w in split.worlds
        },
        "masks": [*masks, *(["twelve sparse"] if "sparse" in wanted else [])],
        "noise_K": {"clean": 0.0, "noisy": NOISE, "cold": NOISE, "sparse": [OWN, REGIONAL, SLOW]},
        "seeds": options.seeds,
        "held_out_ok": {name: not doubt for name, doubt in doubts.items()},
        "cases": tables,
        **({"worlds": worlds} if len(worlds) > 1 else {}),
        "response_to_1K": {name: response_to_1k(network, split, shown) for name, network in networks.items()},
        "seconds": round(time.monotonic() - started),
        "processor": f"{platform.machine()}, torch {torch.__version__}",
    }
    if options.json:
        print(json.dumps(result))
        return
    for case_name, entries in tables.items():
        print(case_name)
        for name, entry in entries.items():
            print(f"  {name:<28}" + "  ".join(f"{key} {value}" for key, value in entry.items()))
    print(json.dumps(result["response_to_1K"]))


if __name__ == "__main__":
    main()
