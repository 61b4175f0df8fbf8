"""Train the shipped network, score it beside kriging on months it never saw, and write it with its card.

    python benchmarks/train_shipped.py --data SHARED_DATA --out climrecon/weights

Everything is seeded. On one CPU core it takes about ten minutes and 8 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import torch

from climrecon.baselines.kriging import Kriging
from climrecon.covariance import learn_low_rank, unit_vectors
from climrecon.data.geography import land_fraction
from climrecon.data.masks import MaskSource, smoother
from climrecon.data.noise import NoiseSource
from climrecon.evaluate.suite import score_table
from climrecon.fields import Months
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.model.lowrank import LowRankPrior
from climrecon.model.unet import PartialUNet
from climrecon.networks import describe_punet, load_network, save_network
from climrecon.training.loop import Schedule, fit
from climrecon.training.samples import Fields, draw_pool

TEST_YEARS = (1963, 1968, 1973, 1978, 1983, 1988, 1993, 1998)
VALIDATION_YEARS = (1966, 1976, 1986, 1996)
MARGIN = 2
FOLDS = 4
SCORING_MONTHS = ((1877, 9), (1893, 8))


def near(chosen: np.ndarray, months: int = MARGIN) -> np.ndarray:
    """``chosen`` months and those up to ``months`` before or after."""
    wide = chosen.copy()
    for shift in range(1, months + 1):
        wide[shift:] |= chosen[:-shift]
        wide[:-shift] |= chosen[shift:]
    return wide


def prior_of(fields: np.ndarray, month: np.ndarray, rank: int) -> LowRankPrior:
    learned = learn_low_rank(fields.reshape(-1, *GRID.shape), month, GRID, rank)
    parts = (learned.vectors, learned.residual, learned.scale)
    return LowRankPrior(*(torch.as_tensor(part.copy(), dtype=torch.float32) for part in parts))


def scoring_masks(data: Path) -> dict[str, np.ndarray]:
    """The two real HadCRUT4 masks at 36 x 72 (the file writes each row twice)."""
    with netCDF4.Dataset(data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc") as file:
        values = np.ma.filled(file["tas"][:].astype(float), np.nan)[:, ::2]
    values = np.roll(np.where(np.abs(values) < 1e3, values, np.nan), 36, axis=2)
    return {"1877-09": np.isfinite(values[0]), "1893-08": np.isfinite(values[1])}


def land_masks(data: Path) -> np.ndarray:
    """Land coverage of CRUTEM4 by month, without the months around those used for scoring."""
    with netCDF4.Dataset(data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc") as file:
        masks = ~np.ma.getmaskarray(file["temperature_anomaly"][:])
    index = np.arange(len(masks)) + 1850 * 12
    keep = np.ones(len(masks), dtype=bool)
    for year, month in SCORING_MONTHS:
        keep &= np.abs(index - (year * 12 + month - 1)) > MARGIN
    return masks[keep].reshape(keep.sum(), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="punet5")
    parser.add_argument("--rank", type=int, default=160)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--pool", type=int, default=20000)
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--json", action="store_true", help="accepted for uniformity: the output is JSON always"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:7.0f} s  {text}", file=sys.stderr, flush=True)

    with netCDF4.Dataset(options.data / "training/gistemp/gistemp_complete_5x5_196001-200212.nc") as file:
        fields = file["tas"][:].filled(np.nan).reshape(-1, 36 * 72).astype(np.float64)
        scored = file["was_missing"][:].filled(0).reshape(len(fields), -1) == 0
    index = np.arange(len(fields)) + 1960 * 12
    year, month = index // 12, index % 12 + 1
    test = np.isin(year, TEST_YEARS)
    validation = np.isin(year, VALIDATION_YEARS) & ~near(test)
    training = ~near(test) & ~near(np.isin(year, VALIDATION_YEARS))
    say(f"{training.sum()} months to train, {validation.sum()} to validate, {test.sum()} to test")

    rank = options.rank
    prior = prior_of(fields[training], month[training], rank)
    # Folds are runs of years, so that a month's neighbours are in its own fold.
    block = np.searchsorted(np.quantile(index[training], np.arange(1, FOLDS) / FOLDS), index, side="right")
    priors = [
        prior_of(fields[keep], month[keep], rank)
        for fold in range(FOLDS)
        for keep in [training & ~near(block == fold)]
    ]
    say("covariances learned")
    land = land_fraction(GRID)
    sea = (land < 0.5).reshape(-1)
    patches, slow = smoother(GRID, 1500.0), smoother(GRID, 5000.0)
    lat = np.degrees(np.arcsin(np.clip(unit_vectors(GRID)[:, 2], -1, 1)))
    masks = MaskSource(land_masks(options.data), sea, patches, lat)
    noise = NoiseSource(patches, slow)
    network = PartialUNet(
        prior,
        torch.as_tensor(land, dtype=torch.float32),
        torch.as_tensor(np.sin(np.radians(GRID.lat)), dtype=torch.float32),
        torch.as_tensor(GRID.area, dtype=torch.float32),
        options.width,
    )
    chosen = Fields(fields[training], scored[training], month[training], block[training])
    pool = draw_pool(network, priors, chosen, masks, noise, options.pool, options.seed + 1)
    held = Fields(
        fields[validation], scored[validation], month[validation], np.zeros(validation.sum(), dtype=int)
    )
    checks = draw_pool(network, [prior], held, masks, noise, 480, options.seed + 2)
    say(f"{len(pool)} samples drawn, {sum(p.numel() for p in network.parameters())} weights to fit")
    schedule = Schedule(steps=options.steps, rate=options.rate)
    history = fit(
        network,
        pool,
        checks,
        schedule,
        options.seed,
        lambda step, steps, trained, score: say(
            f"step {step}/{steps}: training {trained:.4f}, validation {score:.4f}"
        ),
    )
    card = describe_punet(
        options.name,
        network,
        grid=GRID,
        training={
            "data": "GISTEMP v4, 1200 km, 5 degrees, completed months 1960-2002; was_missing cells not scored",
            "months": Months(index[training]).labels(),
            "held_out_test": Months(index[test]).labels(),
            "held_out_validation": Months(index[validation]).labels(),
            "margin_months": MARGIN,
            "masks": f"{len(masks.land_masks)} months of CRUTEM4.3 land coverage (not those within {MARGIN} months "
            "of 1877-09 and 1893-08), generated sea coverage, thinned; "
            "HadCRUT4's masks of 1877-09 and 1893-08 never used",
            "noise": "independent 0.05-0.7 K, regional (1,500 km) up to 0.6 of it, slow (5,000 km) up to 0.08 K",
            "cross_fit_folds": FOLDS,
            "seed": options.seed,
            "settings": {**vars(schedule), "pool": options.pool, "rank": rank, "width": options.width},
            "best_step": history.best_step,
            "history": history.rows,
            "seconds": round(time.monotonic() - started),
            "threads": options.threads,
        },
    )
    folder = save_network(network, card, options.out / options.name)
    say(f"written to {folder}; scoring")
    shipped = load_network(str(folder))
    table = score_table(
        {options.name: lambda: shipped, "kriging": Kriging},
        fields[test].reshape(-1, *GRID.shape),
        scored[test].reshape(-1, *GRID.shape),
        Months(index[test]),
        GRID,
        scoring_masks(options.data),
        seeds=(0, 1, 2),
        report=say,
    )
    card = card.model_copy(update={"scores": table})
    save_network(network, card, options.out / options.name)
    ratios = {
        case: round(row["kriging"]["rmse"] / row[options.name]["rmse"], 3)
        for case, row in table["cases"].items()
    }
    machine = f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}"
    print(
        json.dumps(
            {
                "benchmark": "train_shipped",
                "ratio_rmse_kriging_over_ours": ratios,
                "machine": machine,
                **table,
            }
        )
    )


if __name__ == "__main__":
    main()
