"""The skill table: held-out real months seen through real early coverage, every method in one run.

    python benchmarks/skill.py --data SHARED_DATA [--split c] [--networks punet5,…] [--json]

Months that are learned from and scored: see benchmarks/splits.py; by default the split c, 240 months. Networks must have
been trained without the scored months and two months on either side; where a network's card says that it learned from
them, the result says so too. Choices were made without the months of c, but for two that docs/method.md names.
Masks: HadCRUT4's 1877-09 and 1893-08, which no training has seen; and twelve sparser ones (CRUTEM4 land of
1865-1900, sea of the two months thinned and rolled). Scores are area-weighted over all cells that were
missing; intervals are bootstraps over years.

The case "sparse" states one error of each cell. "sparse, stated" has the same observations and says their errors as
HadCRUT5 does: 20 members whose deviations are drawn from the same regional and slow errors (none of them those that are
in the data), and the independent error as uncorrelated; each member is reconstructed
(:mod:`climrecon.methods.observation_ensemble`).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
from learned_oi import LearnedOI
from splits import Split, learned_from_scored_months, split_of

from climrecon.data.masks import smoother
from climrecon.fields import Context, Estimate, Months, Observations, Source
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.contract import Method
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.observation_ensemble import reconstruct_members
from climrecon.methods.store import load_network
from climrecon.scores import scores
from climrecon.scores.paired import difference, drawn_years
from climrecon.scores.series import annual_means
from climrecon.scores.suite import score_estimate

NOISE, CLEAN = 0.5, 0.1
#: Errors of the sparse case: cell by cell, regional (1,500 km, persisting), one slow field (5,000 km); K.
OWN, REGIONAL, SLOW = 0.4, 0.25, 0.06
COOLING = 1.3
#: Members of the ensemble that the case "sparse, stated" is given, and what tells their errors from those in the data.
MEMBERS, MEMBERS_SEED = 20, 1_000_000
CELLS = GRID.area.size
AREA = GRID.area


def scoring_masks(data: Path) -> dict[str, np.ndarray]:
    """The two real HadCRUT4 masks at 36 x 72 (the file writes each row twice)."""
    with netCDF4.Dataset(data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc") as file:
        values = np.ma.filled(file["tas"][:].astype(float), np.nan)[:, ::2]
    values = np.roll(np.where(np.abs(values) < 1e3, values, np.nan), 36, axis=2)
    return {"1877-09": np.isfinite(values[0]), "1893-08": np.isfinite(values[1])}


def sparse_masks(data: Path, land: np.ndarray, masks: dict[str, np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Twelve masks of about 20 % coverage: CRUTEM4 land of 1865-1900, sea of the two months thinned and rolled."""
    rng = np.random.default_rng(seed)
    with netCDF4.Dataset(data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc") as file:
        stations = ~np.ma.getmaskarray(file["temperature_anomaly"][15 * 12 : 51 * 12])
    found = []
    for number in range(12):
        sea = masks["1877-09" if number % 2 else "1893-08"] & (land < 0.5)
        sea = np.roll(sea, rng.integers(-6, 7), axis=1) & (land < 0.5)
        sea &= rng.random(sea.shape) < 0.65
        found.append(sea | (stations[rng.integers(len(stations))] & (land >= 0.3)))
    return found


def score(estimate: Estimate, truth: np.ndarray, hidden: np.ndarray, time_axis: Months, seed: int) -> dict[str, Any]:
    """The scores of a card, and beside them coverage by latitude and season, and of annual means."""
    weights = AREA * hidden
    squares = (weights * (estimate.mean - truth) ** 2).sum((1, 2)).reshape(-1, 12).sum(1)
    row: dict[str, Any] = {
        **score_estimate(estimate, truth, hidden, time_axis, GRID),
        "_squares": squares / weights.sum() * len(squares),
    }
    if estimate.stddev is not None:
        bands = [slice(row_, row_ + 6) for row_ in range(0, 36, 6)]
        parts = [
            scores.interval_coverage(*(a[:, band] for a in (estimate.mean, estimate.stddev, truth, weights)))
            for band in bands
        ]
        parts += [
            scores.interval_coverage(*(a[quarter::12] for a in (estimate.mean, estimate.stddev, truth, weights)))
            for quarter in range(12)
        ]
        row["covers_90_lowest"], row["covers_90_highest"] = min(parts), max(parts)
    if estimate.sample is not None:
        ours, theirs = (annual_means((field * AREA).sum((1, 2)), time_axis)[1] for field in (estimate.mean, truth))
        draws = np.stack([(draw * AREA).sum((1, 2)) for draw in estimate.sample(40, seed)])
        half = 1.645 * annual_means(draws, time_axis)[1].std(0, ddof=1)
        row["_annual_inside"] = (np.abs(ours - theirs) <= half).astype(float)
        row["annual_mean_covers_90"] = float(row["_annual_inside"].mean())
    return row


def bootstrap(first: np.ndarray, second: np.ndarray, length: int) -> list[float]:
    """90 % interval of the difference of RMSEs, blocks of ``length`` years drawn with replacement."""
    drawn = drawn_years([len(first)], 0, length=length)
    found = difference(first, second, np.ones(len(first)), drawn)["interval"]
    return [round(value, 4) for value in found]


def share_between(inside: np.ndarray, length: int) -> list[float]:
    """90 % interval of the share of years that are inside, blocks of ``length`` years drawn with replacement."""
    shares = inside[drawn_years([len(inside)], 0, length=length)].mean(1)
    return [round(float(value), 3) for value in np.quantile(shares, [0.05, 0.95])]


class CorrelatedErrors:
    """The regional and the slow error of the sparse case: what an ensemble of observations samples."""

    def __init__(self) -> None:
        self.regional, self.slow = smoother(GRID, 1500.0), smoother(GRID, 5000.0)

    def covariance(self) -> np.ndarray:
        """(P, P) K2 of a month."""
        parts = ((REGIONAL, self.regional), (SLOW, self.slow))
        return np.asarray(sum(size**2 * part @ part.T for size, part in parts))

    def region(self, rng: np.random.Generator, months: int) -> np.ndarray:
        """(T, P) K: about 1,500 km wide, 0.7 of it persisting from month to month."""
        found = np.empty((months, CELLS))
        found[0] = self.regional @ rng.normal(size=CELLS)
        for step in range(1, months):
            found[step] = 0.7 * found[step - 1] + np.sqrt(0.51) * (self.regional @ rng.normal(size=CELLS))
        return REGIONAL * found

    def slow_field(self, rng: np.random.Generator) -> np.ndarray:
        """(P,) K: one field for all months."""
        return np.asarray(SLOW * (self.slow @ rng.normal(size=CELLS)))

    def ensemble(self, seed: int, months: int) -> list[np.ndarray]:
        """Deviations of members, (T, H, W) K each, independent of the errors that are in the data."""
        members = []
        for member in range(MEMBERS):
            rng = np.random.default_rng([MEMBERS_SEED, seed, member])
            own = self.region(rng, months) + self.slow_field(rng)
            members.append(own.reshape(months, *GRID.shape).astype(np.float32))
        return members


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
    return {key: np.mean([row[key] for row in rows], axis=0) for key in rows[0]}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=("a", "b", "c", "d"), default="c")
    parser.add_argument("--networks", default="punet5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", help="by default clean,noisy; in the split c sparse,cold too")
    parser.add_argument("--published", action="store_true", help="also the published networks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    wanted = (options.cases or ("clean,noisy,sparse,cold" if options.split == "c" else "clean,noisy")).split(",")
    started = time.monotonic()
    split = split_of(options.data, options.split)
    truth, time_axis = np.where(np.isfinite(split.values), split.values, 0.0), split.time
    known = np.isfinite(split.values)
    from climrecon.data.geography import land_fraction

    masks = scoring_masks(options.data)
    sparse = sparse_masks(options.data, land_fraction(GRID), masks)
    pattern = split.response().reshape(GRID.shape)
    errors = CorrelatedErrors()

    def cases() -> Iterable[tuple[str, str, np.ndarray, np.ndarray, np.ndarray, float, int]]:
        """Case, mask name, truth, values, mask, stated error, seed."""
        for label, one in masks.items():
            mask = one & known
            if "clean" in wanted:
                yield "clean", label, truth, truth, mask, CLEAN, 0
            for seed in range(options.seeds):
                rng = np.random.default_rng(seed)
                noise = NOISE * rng.normal(size=truth.shape)
                if "noisy" in wanted:
                    yield "noisy", label, truth, truth + noise, mask, NOISE, seed
                if "cold" in wanted:
                    cold = truth - COOLING * pattern
                    yield "cold", label, cold, cold + noise, mask, NOISE, seed
        if "sparse" in wanted:
            for seed in range(options.seeds):
                rng = np.random.default_rng([seed, 9])
                mask = known & np.stack([sparse[(number // 20) % 12] for number in range(len(truth))])
                region = errors.region(rng, len(truth)).reshape(truth.shape)
                error = OWN * rng.normal(size=truth.shape) + region
                error += errors.slow_field(rng).reshape(truth.shape[1:])
                yield "sparse", "twelve", truth, truth + error, mask, float(np.hypot(OWN, REGIONAL)), seed
                # The same, with the errors said as HadCRUT5 says them: an ensemble, and the independent part.
                yield "sparse, stated", "twelve", truth, truth + error, mask, OWN, seed

    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    networks = {one.name: one for one in map(load_network, filter(None, options.networks.split(",")))}
    published = {}
    if options.published:
        for name in ("20cr-1000000", "20crtasgn72"):
            published[f"published {name}"] = load_network(str(options.data / f"published_models/{name}.pth")).method
    for case, label, true, values, mask, stated, seed in cases():
        hidden = ~mask & ~split.lost
        observed = np.where(mask, values, np.nan).astype(np.float32)
        raw = np.nansum(observed * AREA, (1, 2)) / (AREA * mask).sum((1, 2))
        noise = 0.25 if case != "clean" else 0.02
        methods: dict[str, Callable[[], Method]] = {
            "kriging": lambda: Kriging(Covariance(2000.0, 1.1, 0.1)),
            "learned OI": lambda noise=noise: LearnedOI(split.fields, noise),
            "learned OI, model patterns": lambda noise=noise: LearnedOI(
                split.fields, noise, directions=split.directions()
            ),
            **{name: (lambda method=method: method) for name, method in published.items()},
            **{name: (lambda network=network: network.method) for name, network in networks.items()},
        }
        if case == "sparse":
            methods["learned OI, errors known"] = lambda: LearnedOI(split.fields, OWN**2, shared=errors.covariance())
        estimates: dict[str, Estimate] = {"raw_mean": Estimate(np.broadcast_to(raw[:, None, None], true.shape))}
        sd = np.full(true.shape, stated, np.float32)
        ensemble = errors.ensemble(seed, len(true)) if case == "sparse, stated" else []
        for name, make in methods.items():
            if name in networks:
                estimates[name] = joined([
                    with_ensemble(
                        make(), observed[p], mask[p], sd[p], Months(time_axis.index[p]), [m[p] for m in ensemble]
                    )
                    for p in split.blocks
                ])  # fmt: skip
            else:
                # Of the published networks, which state no uncertainty, nobody asks what each member changes.
                members = ensemble if name == "kriging" or name.startswith("learned OI") else []
                estimates[name] = with_ensemble(make(), observed, mask, sd, time_axis, members)
                if name == "kriging":
                    estimates[name] = Estimate(estimates[name].mean, estimates[name].stddev)
        whole = np.where(known, true, np.nan)
        for name, estimate in estimates.items():
            rows.setdefault(case, {}).setdefault(name, []).append(score(estimate, whole, hidden, time_axis, seed))
        print(
            f"{time.monotonic() - started:6.0f} s {case} {label} {seed}: "
            + ", ".join(f"{n} {r[-1]['rmse']:.3f}" for n, r in rows[case].items()),
            file=sys.stderr,
            flush=True,
        )
    # Years follow each other but in c, where five do.
    length = 1 if options.split == "c" else 3
    result = {
        "benchmark": "skill",
        "split": options.split,
        "n_months": len(time_axis),
        "seeds": options.seeds,
        "cases": {case: compared(methods_, length) for case, methods_ in rows.items()},
        "response_to_1K": response_to_warming(networks, split, {**masks, **dict(list(named(sparse))[:3])}, pattern),
        "learned_from_scored_months": {n: learned_from_scored_months(one, time_axis) for n, one in networks.items()},
        "seconds": round(time.monotonic() - started),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
    }
    if any(result["learned_from_scored_months"].values()):
        print("A network learned from months that are scored; see learned_from_scored_months.", file=sys.stderr)
    if options.json:
        print(json.dumps(result))
        return
    for case, table in result["cases"].items():
        print(case)
        for name, entry in table.items():
            print(f"  {name:<24}" + "  ".join(f"{key} {value}" for key, value in entry.items()))
    print(json.dumps(result["response_to_1K"]))


def named(masks: list[np.ndarray]) -> Iterable[tuple[str, np.ndarray]]:
    return ((f"sparse {number}", mask) for number, mask in enumerate(masks))


def compared(methods: dict[str, list[dict[str, Any]]], length: int) -> dict[str, Any]:
    """The scores of each method, and how they compare with those of kriging and of the learned OI in the same run."""
    means = {name: merged(found) for name, found in methods.items()}
    kriging, oi = means["kriging"], means["learned OI"]
    table: dict[str, Any] = {}
    for name, row in means.items():
        entry = {key: round(float(value), 4) for key, value in row.items() if not key.startswith("_")}
        entry["rmse_over_oi"] = round(float(row["rmse"] / oi["rmse"]), 4)
        if "crps" in row:
            entry["crps_over_kriging"] = round(float(row["crps"] / kriging["crps"]), 4)
        entry["rmse_minus_kriging_90"] = bootstrap(row["_squares"], kriging["_squares"], length)
        entry["rmse_minus_oi_90"] = bootstrap(row["_squares"], oi["_squares"], length)
        if "_annual_inside" in row:
            entry["annual_mean_covers_90_between"] = share_between(row["_annual_inside"], length)
        table[name] = entry
    return table


def response_to_warming(
    networks: dict[str, Any], split: Split, masks: dict[str, np.ndarray], pattern: np.ndarray
) -> dict[str, dict[str, float]]:
    """Answer of the global mean, K, to 1 K on the observed cells, uniform and along the forced response."""
    answer: dict[str, dict[str, float]] = {name: {} for name in networks}
    part = slice(0, min(60, split.blocks[0].stop))
    months = Months(split.time.index[part])
    for name, network in networks.items():
        for label, one in masks.items():
            mask = one & np.isfinite(split.values[part])
            sd = np.full(mask.shape, CLEAN, np.float32)
            for what, shape in (("uniform", np.ones(GRID.shape)), ("pattern", pattern)):
                means = [
                    network.method.reconstruct(
                        np.where(mask, split.values[part] + sign * shape, np.nan), mask, sd, months.month,
                        Context(GRID, months),
                    ).mean
                    for sign in (-1.0, 1.0)
                ]  # fmt: skip
                change = ((means[1] - means[0]) * AREA).sum((1, 2)).mean() / 2.0
                answer[name][f"{label} {what}"] = round(float(change), 3)
    return answer


if __name__ == "__main__":
    main()
