"""Calibrate the spread of the shipped network on all months that are not tested, and say how well it holds.

    python benchmarks/calibrate.py --data SHARED_DATA --networks FOLDER/punet5-heldout,FOLDER/punet5 [--write] [--json]

Two numbers: what all standard deviations are multiplied by (`spread_factor`), and by how much what the patterns tell is
more unsure than they say (`shared_factor`). They are those with which 90 % intervals hold 90 % of the unobserved cells,
and 90 % of the means over nine boxes whose cells are all withheld, on average over errors of 0, 0.25 and 0.5 K (stated as
such, but at least 0.1 K).

Truth: GISTEMP's months of 1930-2002 without the test years of benchmarks/skill.py and two months beside them, each seen
with covariances that were learned without the years around it, in twelve folds; the two numbers come from the months
since 1960, when the truth has hardly a gap, the earlier ones are told beside them. The U-Net has been trained on most of
these months, the validation years apart. Masks: those that are trained with, drawn anew. Neither the test months nor
HadCRUT4's masks have a part in it. The networks must have the same U-Net; the first is the one that is measured, all are
written.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from events import BOXES as EVENT_BOXES
from events import NINETY
from splits import held_out, near
from train_shipped import VALIDATION_YEARS, WELL_OBSERVED, cross_fit, mask_source, months_of

from climrecon.data.masks import smoother
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.grid import NINO34, Region
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.store import load_network, save_network
from climrecon.methods.unet.network import UNet
from climrecon.scores.scores import interval_coverage

SHARE = 0.9
#: As long as the blocks of test years, so that covariances lack no more than those of the tested network do.
FOLDS = 12
ERRORS, LEAST_STATED = (0.0, 0.25, 0.5), 0.1
COVERAGE = (0.12, 0.40)
#: Share of a box or of the globe that the truth must cover.
BOX_KNOWN, GLOBE_KNOWN = 0.9, 0.97
#: Nino 3.4 against the globe from which a month is one of a strong event, K.
STRONG = 1.2
#: Where coverage is measured; over such a range it is as good as linear.
SPREADS, SHARED = (0.86, 0.91, 0.96), (1.0, 1.1, 1.2)
BOXES = {
    **EVENT_BOXES,
    "10S-10N 50-100E": Region("", -10.0, 10.0, 50.0, 100.0),
    "30-50N 140E-130W": Region("", 30.0, 50.0, 140.0, -130.0),
    "30-50N 70-10W": Region("", 30.0, 50.0, -70.0, -10.0),
    "40-60N 0-40E": Region("", 40.0, 60.0, 0.0, 40.0),
    "10S-10N 50W-10E": Region("", -10.0, 10.0, -50.0, 10.0),
    "40-15S 160-80W": Region("", -40.0, -15.0, -160.0, -80.0),
}
AREA = GRID.area.reshape(-1)
Numbers = tuple[float, float]


@dataclass
class Fold:
    """Months of one fold: (N, P) truth with gaps, (N,) months since 0000-01."""

    known: np.ndarray
    index: np.ndarray
    prior: FullPrior


class Tally:
    """What was found of months, by numbers tried, error and what was judged."""

    def __init__(self) -> None:
        self.found: dict[tuple[Numbers, float, str], list[np.ndarray]] = {}

    def add(self, numbers: Numbers, error: float, what: str, rows: np.ndarray) -> None:
        self.found.setdefault((numbers, error, what), []).append(rows)

    def rows(self, numbers: Numbers, error: float, what: str) -> np.ndarray:
        """(N, 3): of cells the share inside, else the error over its spread; Nino 3.4, K; months since 0000-01."""
        return np.concatenate(self.found[numbers, error, what])


def strength(months: Fold) -> np.ndarray:
    """(N,) Nino 3.4 against what is known of the globe, K; NaN where too little of it is known."""
    there = np.isfinite(months.known)
    filled, box = np.where(there, months.known, 0.0), GRID.region_weights(NINO34).reshape(-1)
    enough = there @ box > BOX_KNOWN * box.sum()
    index = filled @ box / np.maximum(there @ box, 1e-9) - filled @ AREA / (there @ AREA)
    return np.where(enough, index, np.nan)


@torch.inference_mode()
def judge(
    network: UNet,
    months: Fold,
    mask: np.ndarray,
    error: float,
    tried: list[Numbers],
    persistence: float,
    seed: list[int],
) -> Tally:
    """Cells that are not observed, and boxes none of whose cells is."""
    tally = Tally()
    there = np.isfinite(months.known)
    truth = np.where(there, months.known, 0.0)
    noise = error * np.random.default_rng(seed).normal(size=truth.shape)
    nino = strength(months)
    month = torch.as_tensor(months.index % 12 + 1)

    def single(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32))

    for what, region in {"cells": None, **BOXES}.items():
        weights = AREA if region is None else GRID.region_weights(region).reshape(-1)
        seen = there & mask & ((weights == 0.0) | (region is None))
        # Of the tropical Pacific Nino 3.4 is judged, as in events.py.
        judged = GRID.region_weights(NINO34).reshape(-1) if what == "tropical Pacific" else weights
        share = there @ judged / judged.sum()
        whole = share >= (GLOBE_KNOWN if region is None else BOX_KNOWN)
        stated = np.full(truth.shape, max(error, LEAST_STATED))
        made = network(
            single(truth + noise),
            torch.as_tensor(seen),
            single(stated),
            month,
            torch.as_tensor(months.index),
            months.prior,
        )
        factor = made.factor / network.spread_factor
        means = np.where(there, judged, 0.0) / np.maximum(there @ judged, 1e-9)[:, None]
        off = made.mean.numpy() - truth
        box_error = (means * off).sum(1)
        for numbers in tried:
            parts = made.posterior.parts_of(factor * numbers[0], numbers[1])
            sd = made.posterior.weighted_mean_sd(single(means), parts).numpy()
            mean_ratio = np.stack([box_error / sd, nino, months.index], axis=1)[whole]
            if region is not None:
                tally.add(numbers, error, what, mean_ratio)
                continue
            tally.add(numbers, error, "global mean", mean_ratio)
            tally.add(numbers, error, "annual mean", annual(box_error, sd, months.index, whole, persistence))
            spread = parts.variance.sqrt().numpy()
            inside = [
                interval_coverage(off[i], spread[i], np.zeros_like(off[i]), AREA * (there[i] & ~seen[i]), SHARE)
                for i in range(len(off))
            ]
            tally.add(numbers, error, what, np.stack([inside, nino, months.index], axis=1))
    return tally


def annual(error: np.ndarray, sd: np.ndarray, index: np.ndarray, whole: np.ndarray, persistence: float) -> np.ndarray:
    """(N, 3) as :meth:`Tally.rows`, of the whole years: error of the annual global mean over its spread in realisations.

    Errors of the months have the correlation that realisations are given (:func:`persistent_deviations`).
    """
    together = persistence ** np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    found = []
    for year in np.unique(index // 12):
        rows = (index // 12 == year) & whole
        if rows.sum() == 12:
            found.append((error[rows].sum() / np.sqrt(sd[rows] @ together @ sd[rows]), np.nan, 12 * year))
    return np.array(found).reshape(-1, 3)


def measure(
    network: UNet, folds: list[Fold], masks: list[np.ndarray], tried: list[Numbers], persistence: float, say: Any
) -> Tally:
    every = Tally()
    for number, months in enumerate(folds):
        for (place, mask), error in product(enumerate(masks), ERRORS):
            one = judge(network, months, mask, error, tried, persistence, [number, place])
            for key, rows in one.found.items():
                every.found.setdefault(key, []).extend(rows)
        say(f"fold {number + 1} of {len(folds)}")
    return every


def covers(tally: Tally, numbers: Numbers, error: float, what: str, chosen: Any = None) -> float:
    rows = tally.rows(numbers, error, what)
    if chosen is not None:
        rows = rows[chosen(rows)]
    return float(rows[:, 0].mean() if what == "cells" else (np.abs(rows[:, 0]) <= NINETY).mean())


def since(rows: np.ndarray) -> np.ndarray:
    return rows[:, 2] >= WELL_OBSERVED * 12


def validation(rows: np.ndarray) -> np.ndarray:
    return np.isin(rows[:, 2] // 12, VALIDATION_YEARS)


def strong(rows: np.ndarray) -> np.ndarray:
    return np.abs(rows[:, 1]) > STRONG


def boxes_cover(tally: Tally, numbers: Numbers, error: float, chosen: Any = None) -> float:
    return float(np.mean([covers(tally, numbers, error, box, chosen) for box in BOXES]))


def solved(tally: Tally) -> Numbers:
    """The two numbers with which both shares are as wanted: a plane through each, by least squares."""
    tried = list(product(SPREADS, SHARED))
    design = np.array([[1.0, *numbers] for numbers in tried])
    cells, boxes = (
        np.array([np.mean([share(numbers, error) for error in ERRORS]) for numbers in tried])
        for share in (
            lambda numbers, error: covers(tally, numbers, error, "cells", since),
            lambda numbers, error: boxes_cover(tally, numbers, error, since),
        )
    )
    planes = np.linalg.lstsq(design, np.stack([cells, boxes], axis=1), rcond=None)[0]
    spread, shared = np.linalg.solve(planes[1:].T, SHARE - planes[0])
    return round(float(spread), 3), round(float(shared), 3)


def table(tally: Tally, numbers: Numbers) -> dict[str, Any]:
    found: dict[str, Any] = {"spread_factor": numbers[0], "shared_factor": numbers[1]}
    for error in ERRORS:
        row: dict[str, Any] = {
            "boxes": round(boxes_cover(tally, numbers, error), 3),
            "boxes_since_1960": round(boxes_cover(tally, numbers, error, since), 3),
        }
        for what in ("cells", "global mean", "annual mean", *BOXES):
            rows = tally.rows(numbers, error, what)
            row[what] = {"n": len(rows), "covers_90": round(covers(tally, numbers, error, what), 3)}
            row[what]["since_1960"] = round(covers(tally, numbers, error, what, since), 3)
            row[what]["validation_years"] = round(covers(tally, numbers, error, what, validation), 3)
            if what in BOXES:
                row[what]["strong_events"] = round(covers(tally, numbers, error, what, strong), 3)
                row[what]["mean_square"] = round(float((rows[:, 0] ** 2).mean()), 2)
        found[f"{error} K"] = row
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", required=True, help="folders, separated by commas")
    parser.add_argument("--masks", type=int, default=6)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the two numbers into the networks and their cards")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:7.0f} s  {text}", file=sys.stderr, flush=True)

    known, filled, index = months_of(options.data)
    allowed = ~near(held_out(index // 12))
    loaded = [load_network(name) for name in options.networks.split(",")]
    method: Any = loaded[0].method
    network, persistence = method.network, method.persistence
    rank, trailing = network.prior.vectors.shape[1], network.prior.trailing.shape[1]
    block, priors = cross_fit(filled, index, allowed, rank, trailing, FOLDS, 1)
    flat = known.reshape(len(known), -1)
    folds = [
        Fold(flat[rows], index[rows], prior)
        for fold, prior in enumerate(priors)
        for rows in [allowed & (block == fold)]
    ]
    source, rng = mask_source(options.data, smoother(GRID, 1500.0)), np.random.default_rng(options.seed)
    masks: list[np.ndarray] = []
    while len(masks) < options.masks:
        mask = source.draw(rng)
        if COVERAGE[0] < (mask * AREA).sum() < COVERAGE[1]:
            masks.append(mask)
    say(f"{allowed.sum()} months in {len(folds)} folds, {len(masks)} masks, errors of {ERRORS} K")
    tally = measure(network, folds, masks, list(product(SPREADS, SHARED)), persistence, say)
    numbers, before = (solved(tally), (round(float(network.spread_factor), 3), round(float(network.shared_factor), 3)))
    say(f"spread_factor {numbers[0]}, shared_factor {numbers[1]} (were {before[0]}, {before[1]})")
    tally = measure(network, folds, masks, [before, numbers], persistence, say)
    if options.write:
        for one, path in zip(loaded, options.networks.split(","), strict=True):
            method = one.method
            its = method.network
            its.spread_factor.fill_(numbers[0])
            its.shared_factor.fill_(numbers[1])
            about = {**one.card.training, "spread_factor": numbers[0], "shared_factor": numbers[1]}
            save_network(its, one.card.model_copy(update={"training": about}), Path(path))
    result = {
        "benchmark": "calibrate",
        "n_months": int(allowed.sum()),
        "masks": len(masks),
        "seed": options.seed,
        "before": table(tally, before),
        "after": table(tally, numbers),
        "seconds": round(time.monotonic() - started),
        "machine": f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}",
    }
    print(json.dumps(result, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
