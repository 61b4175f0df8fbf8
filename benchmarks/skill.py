"""The skill table: held-out real months seen through real early coverage, every method in one run.

    python benchmarks/skill.py --data SHARED_DATA [--networks punet5,…] [--json]

Truth: GISTEMP v4 (1,200 km), 5 degrees, completed months of the 20 years 1963-67, 1973-77, 1983-87 and
1993-97 (240 months); cells that GISTEMP itself lacks are not scored. Nothing of these years, nor of the two
months on either side, was trained on; choices were made without them, but for two that docs/method.md names.
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

from climrecon.data.masks import smoother
from climrecon.fields import Context, Estimate, Months, Observations, Source
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.contract import Capabilities, Method
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.observation_ensemble import reconstruct_members
from climrecon.methods.priors.covariance import great_circle
from climrecon.methods.priors.forced import response_of
from climrecon.methods.store import load_network
from climrecon.scores import scores
from climrecon.scores.paired import difference, drawn_years
from climrecon.scores.series import annual_means
from climrecon.scores.suite import score_estimate

BLOCKS = tuple((first, first + 4) for first in (1963, 1973, 1983, 1993))
MARGIN = 2
NOISE, CLEAN = 0.5, 0.1
#: Errors of the sparse case: cell by cell, regional (1,500 km, persisting), one slow field (5,000 km); K.
OWN, REGIONAL, SLOW = 0.4, 0.25, 0.06
COOLING = 1.3
#: Members of the ensemble that the case "sparse, stated" is given, and what tells their errors from those in the data.
MEMBERS, MEMBERS_SEED = 20, 1_000_000
CELLS = GRID.area.size
AREA = GRID.area


def near(chosen: np.ndarray, months: int = MARGIN) -> np.ndarray:
    """``chosen`` months and those up to ``months`` before or after."""
    wide = chosen.copy()
    for shift in range(1, months + 1):
        wide[shift:] |= chosen[:-shift]
        wide[:-shift] |= chosen[shift:]
    return wide


def held_out(year: np.ndarray) -> np.ndarray:
    return np.any([(year >= first) & (year <= last) for first, last in BLOCKS], axis=0)


def fields_of(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, H, W) completed months 1960-2002, cells that were missing, (N,) months since 0000-01."""
    with netCDF4.Dataset(data / "training/gistemp/gistemp_complete_5x5_196001-200212.nc") as file:
        fields = file["tas"][:].filled(np.nan).astype(np.float64)
        missing = file["was_missing"][:].filled(0) > 0
    return fields, missing, np.arange(len(fields)) + 1960 * 12


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


class LearnedOI(Method):
    """Optimal interpolation as in the anchors: training covariances, one Gaussian taper, means by least squares.

    ``shared``: (P, P) K2, the covariance of a month's errors that cells share, told exactly, as no data set tells it.
    """

    name = "learned OI"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=True)

    def __init__(
        self,
        fields: np.ndarray,
        month: np.ndarray,
        noise: float,
        localisation_km: float = 6000.0,
        shared: np.ndarray | None = None,
    ) -> None:
        flat = fields.reshape(len(fields), -1)
        flat = flat - (flat @ AREA.reshape(-1))[:, None]
        self.scale = np.sqrt((flat**2).mean(0))
        self.covariance = flat.T @ flat / len(flat) * np.exp(-0.5 * (great_circle(GRID) / localisation_km) ** 2)
        self.errors = noise * np.eye(CELLS)
        if shared is not None:
            self.errors += shared

    def reconstruct(self, values, mask, obs_sd, month, context) -> Estimate:  # type: ignore[no-untyped-def]
        shape = values.shape
        seen, flat = mask.reshape(len(mask), -1), values.reshape(len(values), -1)
        mean, sd = np.empty(flat.shape), np.empty(flat.shape)
        groups: dict[bytes, list[int]] = {}
        for row, one in enumerate(seen):
            groups.setdefault(one.tobytes(), []).append(row)
        for rows in groups.values():
            cells = np.flatnonzero(seen[rows[0]])
            matrix = self.covariance[np.ix_(cells, cells)] + self.errors[np.ix_(cells, cells)]
            inverse = np.linalg.inv(matrix)
            ones = inverse.sum(1)
            level = flat[rows][:, cells] @ ones / ones.sum()
            gain = self.covariance[:, cells] @ inverse
            mean[rows] = level[:, None] + (flat[rows][:, cells] - level[:, None]) @ gain.T
            gap = 1.0 - gain.sum(1)
            left = np.diag(self.covariance) - (gain * self.covariance[:, cells]).sum(1) + gap**2 / ones.sum()
            sd[rows] = np.sqrt(np.maximum(left, 1e-6))
        return Estimate(mean.reshape(shape).astype(np.float32), sd.reshape(shape).astype(np.float32))


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


def bootstrap(first: np.ndarray, second: np.ndarray, seed: int = 0) -> list[float]:
    """90 % interval of the difference of RMSEs, years drawn with replacement: only five follow each other."""
    drawn = drawn_years([len(first)], seed, length=1)
    found = difference(first, second, np.ones(len(first)), drawn)["interval"]
    return [round(value, 4) for value in found]


def share_between(inside: np.ndarray, seed: int = 0) -> list[float]:
    """90 % interval of the share of years that are inside, years drawn with replacement: there are twenty only."""
    shares = inside[drawn_years([len(inside)], seed, length=1)].mean(1)
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
    parser.add_argument("--networks", default="punet5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", default="clean,noisy,sparse,cold")
    parser.add_argument("--published", action="store_true", help="also the published networks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    fields, missing, index = fields_of(options.data)
    year, month = index // 12, index % 12 + 1
    test, training = held_out(year), ~near(held_out(year))
    truth, lost, time_axis = fields[test], missing[test], Months(index[test])
    from climrecon.data.geography import land_fraction

    masks = scoring_masks(options.data)
    sparse = sparse_masks(options.data, land_fraction(GRID), masks)
    response = response_of(fields[training], index[training], GRID)
    assert response is not None
    pattern = response.mean(axis=0).reshape(GRID.shape)
    errors = CorrelatedErrors()

    def cases() -> Iterable[tuple[str, str, np.ndarray, np.ndarray, np.ndarray, float, int]]:
        """Case, mask name, truth, values, mask, stated error, seed."""
        for label, one in masks.items():
            mask = np.broadcast_to(one, truth.shape)
            if "clean" in options.cases:
                yield "clean", label, truth, truth, mask, CLEAN, 0
            for seed in range(options.seeds):
                rng = np.random.default_rng(seed)
                noise = NOISE * rng.normal(size=truth.shape)
                if "noisy" in options.cases:
                    yield "noisy", label, truth, truth + noise, mask, NOISE, seed
                if "cold" in options.cases:
                    cold = truth - COOLING * pattern
                    yield "cold", label, cold, cold + noise, mask, NOISE, seed
        if "sparse" in options.cases:
            for seed in range(options.seeds):
                rng = np.random.default_rng([seed, 9])
                mask = np.stack([sparse[(number // 20) % 12] for number in range(len(truth))])
                region = errors.region(rng, len(truth)).reshape(truth.shape)
                error = OWN * rng.normal(size=truth.shape) + region
                error += errors.slow_field(rng).reshape(truth.shape[1:])
                yield "sparse", "twelve", truth, truth + error, mask, float(np.hypot(OWN, REGIONAL)), seed
                # The same, with the errors said as HadCRUT5 says them: an ensemble, and the independent part.
                yield "sparse, stated", "twelve", truth, truth + error, mask, OWN, seed

    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    loaded = map(load_network, filter(None, options.networks.split(",")))
    networks = {network.name: network.method for network in loaded}
    published = {}
    if options.published:
        for name in ("20cr-1000000", "20crtasgn72"):
            published[f"published {name}"] = load_network(str(options.data / f"published_models/{name}.pth")).method
    for case, label, true, values, mask, stated, seed in cases():
        hidden = ~mask & ~lost
        observed = np.where(mask, values, np.nan).astype(np.float32)
        raw = np.nansum(observed * AREA, (1, 2)) / (AREA * mask).sum((1, 2))
        noise = 0.25 if case != "clean" else 0.02
        methods: dict[str, Callable[[], Method]] = {
            "kriging": lambda: Kriging(Covariance(2000.0, 1.1, 0.1)),
            "learned OI": lambda noise=noise: LearnedOI(fields[training], month[training], noise),
            **(
                {
                    "learned OI, errors known": lambda: LearnedOI(
                        fields[training], month[training], OWN**2, shared=errors.covariance()
                    )
                }
                if case == "sparse"
                else {}
            ),
            **{name: (lambda network=network: network) for name, network in {**published, **networks}.items()},
        }
        estimates: dict[str, Estimate] = {"raw_mean": Estimate(np.broadcast_to(raw[:, None, None], true.shape))}
        sd = np.full(true.shape, stated, np.float32)
        ensemble = errors.ensemble(seed, len(true)) if case == "sparse, stated" else []
        for name, make in methods.items():
            part = [slice(60 * block, 60 * block + 60) for block in range(len(BLOCKS))]
            if name in networks:  # months of one block are neighbours; those of the next are not
                blocks = [
                    with_ensemble(
                        make(), observed[p], mask[p], sd[p], Months(time_axis.index[p]), [m[p] for m in ensemble]
                    )
                    for p in part
                ]
                estimates[name] = joined(blocks)
            else:
                # Of the published networks, which state no uncertainty, nobody asks what each member changes.
                members = ensemble if name in ("kriging", "learned OI") else []
                estimates[name] = with_ensemble(make(), observed, mask, sd, time_axis, members)
                if name == "kriging":
                    estimates[name] = Estimate(estimates[name].mean, estimates[name].stddev)
        for name, estimate in estimates.items():
            rows.setdefault(case, {}).setdefault(name, []).append(score(estimate, true, hidden, time_axis, seed))
        print(
            f"{time.monotonic() - started:6.0f} s {case} {label} {seed}: "
            + ", ".join(f"{n} {r[-1]['rmse']:.3f}" for n, r in rows[case].items()),
            file=sys.stderr,
            flush=True,
        )
    table: dict[str, Any] = {}
    for case, methods_ in rows.items():
        means = {name: merged(found) for name, found in methods_.items()}
        reference = means["kriging"]
        table[case] = {}
        for name, row in means.items():
            entry = {key: round(float(value), 4) for key, value in row.items() if not key.startswith("_")}
            if "crps" in row:
                entry["crps_over_kriging"] = round(float(row["crps"] / reference["crps"]), 4)
            entry["rmse_minus_kriging_90"] = bootstrap(row["_squares"], reference["_squares"])
            if "_annual_inside" in row:
                entry["annual_mean_covers_90_between"] = share_between(row["_annual_inside"])
            table[case][name] = entry
    answer: dict[str, Any] = {}
    for name, network in networks.items():
        for label, one in {**masks, **{f"sparse {k}": m for k, m in enumerate(sparse[:3])}}.items():
            mask = np.broadcast_to(one, truth.shape)
            sd = np.full(truth.shape, CLEAN, np.float32)
            for what, shape in (("uniform", np.ones(GRID.shape)), ("pattern", pattern)):
                means = [
                    network.reconstruct(
                        np.where(mask[:60], truth[:60] + sign * shape, np.nan), mask[:60], sd[:60],
                        time_axis.month[:60], Context(GRID, Months(time_axis.index[:60])),
                    ).mean
                    for sign in (-1.0, 1.0)
                ]  # fmt: skip
                change = ((means[1] - means[0]) * AREA).sum((1, 2)).mean() / 2.0
                answer.setdefault(name, {})[f"{label} {what}"] = round(float(change), 3)
    result = {
        "benchmark": "skill",
        "n_months": int(test.sum()),
        "seeds": options.seeds,
        "cases": table,
        "response_to_1K": answer,
        "seconds": round(time.monotonic() - started),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
    }
    if options.json:
        print(json.dumps(result))
        return
    for case, methods_ in table.items():
        print(case)
        for name, entry in methods_.items():
            print(f"  {name:<24}" + "  ".join(f"{key} {value}" for key, value in entry.items()))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
