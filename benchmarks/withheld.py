"""The real HadCRUT4 months with observed cells withheld: every network beside kriging.

    python benchmarks/withheld.py --data SHARED_DATA [--json]

1877-09 and 1893-08 at 36 x 72. (a) The observed cells of the Nino 3.4 box withheld: the box mean.
(b) Ten folds of single cells, and of boxes of 20 degrees, withheld, seeds 0-9: RMSE and coverage of the 90 % interval
with the observation error added (our network's own estimate of it, 0.3 K for the others), and the log score (smaller
is better), and the differences from both krigings with 90 % intervals (over boxes of 20 degrees, since neighbouring
cells err alike). Kriging as in the literature (exponential, 2,000 km, nugget 0.1) and fitted.
``climrecon evaluate --withhold`` withholds the same folds of any data set; this joins seeds, for two months.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.fields import Context, Observations
from climrecon.grid import NINO34, weighted_mean
from climrecon.methods.contract import Method
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.store import load_network
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.scores import paired
from climrecon.scores.scores import log_score_normal
from climrecon.scores.withheld import BLOCKS, CELLS, by_block, folds_of

FOLDS, SEEDS = 10, range(10)
OBS_SD = 0.3
REFERENCES = ("kriging 2000 km", "kriging fitted")
#: What is withheld at once: its name in the tables, and in the package.
KINDS = {"cells": CELLS, "boxes": BLOCKS}


def sums_of(name: str, method: Method, observed: Observations, kind: str) -> dict[str, np.ndarray]:
    """(T, N) sums over boxes of squared errors, of cells in the interval, of log scores, and of weights."""
    context, month, grid = Context(observed.grid, observed.time), observed.time.month, observed.grid
    found = {part: np.zeros(observed.values.shape) for part in ("squares", "inside", "logs", "weights")}
    for seed in SEEDS:
        folds = folds_of(observed.mask, observed.time, grid, KINDS[kind], FOLDS, seed)
        for fold in range(len(folds)):
            kept, hidden = folds.kept(observed, fold), folds.withheld(fold)
            if name != "kriging 2000 km":
                method.calibrate(kept)  # what is estimated from the data comes from the cells that are kept, too
            fitted = method.reconstruct(kept.values, kept.mask, None, month, context)
            weight = grid.area * hidden
            error = np.where(hidden, fitted.mean - observed.values, 0.0)
            found["squares"] += weight * error**2
            found["weights"] += weight
            if fitted.stddev is not None:
                estimated = method.observation_sd(None, observed.values.shape)
                error_sd = np.full(error.shape, OBS_SD) if estimated is None else estimated
                spread = np.hypot(fitted.stddev, error_sd)
                found["inside"] += weight * (np.abs(error) <= 1.645 * spread)
                truth = np.where(hidden, observed.values, 0.0)
                found["logs"] += weight * log_score_normal(fitted.mean, spread, truth)
    return {part: by_block(field, grid) for part, field in found.items()}


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def described(sums: dict[str, np.ndarray]) -> dict[str, object]:
    """RMSE, coverage and log score of each month."""
    total = {part: field.sum(1) for part, field in sums.items()}
    scored = bool(total["inside"].any())
    return {
        "rmse": rounded(np.sqrt(total["squares"] / total["weights"])),
        "covers_90": rounded(total["inside"] / total["weights"]) if scored else None,
        "log_score": rounded(total["logs"] / total["weights"]) if scored else None,
    }


def differences(method: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, list[dict[str, object]]]:
    """Of RMSE and log score, for each month: difference and its 90 % interval."""
    weights = reference["weights"]
    found: dict[str, list[dict[str, object]]] = {}
    for key, root in (("squares", True), ("logs", False)):
        if not (method[key].any() and reference[key].any()):
            continue
        for month in range(len(weights)):
            one = paired.difference(method[key][month], reference[key][month], weights[month], [weights.shape[1]], root)
            low, high = one["interval"]
            found.setdefault("rmse" if key == "squares" else "log_score", []).append(
                {"difference": round(one["difference"], 4), "interval": [round(low, 3), round(high, 3)]}
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", default="punet6")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    file = options.data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
    observed = read_observations([file], PrepareRequest())
    context, month = Context(observed.grid, observed.time), observed.time.month
    methods: dict[str, Method] = {
        Path(options.network).name: load_network(options.network).method,
        "kriging 2000 km": Kriging(Covariance(2000.0, 1.1, 0.1)),
        "kriging fitted": Kriging(),
    }
    for name in ("20cr-1000000", "20crtasgn72"):
        methods[f"published {name}"] = load_network(str(options.data / f"published_models/{name}.pth")).method
    box = observed.grid.region_weights(NINO34)
    blind = observed.mask & ~(box > 0)
    result: dict[str, dict[str, Any]] = {}
    sums: dict[str, dict[str, dict[str, np.ndarray]]] = {kind: {} for kind in KINDS}
    for name, method in methods.items():
        if name != "kriging 2000 km":
            method.calibrate(replace(observed, values=np.where(blind, observed.values, np.nan), mask=blind))
        estimate = method.reconstruct(observed.values, blind, None, month, context)
        result[name] = {"nino34_1877_09_withheld": round(float(weighted_mean(estimate.mean, box)[0]), 2)}
        for kind in KINDS:
            sums[kind][name] = sums_of(name, method, observed, kind)
            result[name][kind] = described(sums[kind][name])
    for name, row in result.items():
        for kind in KINDS:
            row[kind]["less"] = {
                reference: differences(sums[kind][name], sums[kind][reference])
                for reference in REFERENCES
                if reference != name
            }
    if options.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        about = {
            "benchmark": "withheld",
            "months": observed.time.labels(),
            "folds": FOLDS,
            "seeds": list(SEEDS),
            "machine": machine,
        }
        print(json.dumps({**about, "reference": "kriging 2000 km", "methods": result}))
        return
    for name, row in result.items():
        print(f"{name:<24} " + "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
