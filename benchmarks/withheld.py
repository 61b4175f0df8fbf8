"""The real HadCRUT4 months with observed cells withheld: every network beside kriging.

    python benchmarks/withheld.py --data SHARED_DATA [--json]

1877-09 and 1893-08 at 36 x 72. (a) The observed cells of the Nino 3.4 box withheld: the box mean.
(b) Ten folds of single cells withheld, seeds 0-9: RMSE and coverage of the 90 % interval with the
observation error added (our network's own estimate of it, 0.3 K for the others), and the log score (smaller is
better). Kriging as in the literature (exponential, 2,000 km, nugget 0.1) and fitted.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np

from climrecon.baselines.kriging import Covariance, Kriging
from climrecon.evaluate.scores import log_score_normal
from climrecon.fields import Context, Reconstructor
from climrecon.grid import NINO34, weighted_mean
from climrecon.networks import load_network
from climrecon.preprocess import PrepareRequest, read_observations

FOLDS, SEEDS = 10, range(10)
OBS_SD = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    file = options.data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
    observed = read_observations([file], PrepareRequest())
    context, month = Context(observed.grid, observed.time), observed.time.month
    methods: dict[str, Reconstructor] = {
        "punet5": load_network("punet5"),
        "kriging 2000 km": Kriging(Covariance(2000.0, 1.1, 0.1)),
        "kriging fitted": Kriging(),
    }
    for name in ("20cr-1000000", "20crtasgn72"):
        methods[f"published {name}"] = load_network(str(options.data / f"published_models/{name}.pth"))
    box = observed.grid.region_weights(NINO34)
    blind = observed.mask & ~(box > 0)
    rng_masks = []
    for seed in SEEDS:
        fold = np.random.default_rng(seed).integers(FOLDS, size=observed.mask.shape)
        rng_masks += [(observed.mask & (fold != k), observed.mask & (fold == k)) for k in range(FOLDS)]
    result: dict[str, dict[str, object]] = {}
    for name, method in methods.items():
        if getattr(method, "fit_to", None) is not None and name != "kriging 2000 km":
            method.fit_to(replace(observed, values=np.where(blind, observed.values, np.nan), mask=blind))  # type: ignore[attr-defined]
        estimate = method.reconstruct(observed.values, blind, None, month, context)
        squares, inside, weights, logs = np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(2)
        for kept, hidden in rng_masks:
            seen = replace(observed, values=np.where(kept, observed.values, np.nan), mask=kept)
            adapt = getattr(method, "fit_to", None)
            if adapt is not None and name != "kriging 2000 km":
                adapt(seen)  # what is estimated from the data comes from the cells that are kept, too
            fitted = method.reconstruct(seen.values, kept, None, month, context)
            weight = observed.grid.area * hidden
            error = np.where(hidden, fitted.mean - observed.values, 0.0)
            squares += (weight * error**2).sum((1, 2))
            weights += weight.sum((1, 2))
            if fitted.stddev is not None:
                own = getattr(method, "error_sd", None)
                error_sd = OBS_SD if own is None else own(None, observed.values.shape)
                spread = np.sqrt(fitted.stddev**2 + error_sd**2)
                inside += (weight * (np.abs(error) <= 1.645 * spread)).sum((1, 2))
                logs += (
                    weight * log_score_normal(fitted.mean, spread, np.where(hidden, observed.values, 0.0))
                ).sum((1, 2))
        result[name] = {
            "nino34_1877_09_withheld": round(float(weighted_mean(estimate.mean, box)[0]), 2),
            "rmse_1877_09": round(float(np.sqrt(squares / weights)[0]), 3),
            "rmse_1893_08": round(float(np.sqrt(squares / weights)[1]), 3),
            "covers_90": [round(float(v), 3) for v in inside / weights] if inside.any() else None,
            "log_score": [round(float(v), 3) for v in logs / weights] if inside.any() else None,
        }
    if options.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        about = {
            "benchmark": "withheld",
            "months": 2,
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
