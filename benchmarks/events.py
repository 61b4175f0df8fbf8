"""What a reconstruction must show beside its scores: drift, geography, blind events, seams and poles.

    python benchmarks/events.py --data SHARED_DATA [--networks FOLDER/punet6-heldout] [--json]

Truth: the 240 held-out real months of benchmarks/skill.py (give a network that has not seen them). Clean, 0.1 K
stated, but for the two HadCRUT4 months.

a) drift: the same months under masks of every tenth year from 1880 to 2000; slope of the mean error of the global
   mean over the masks' year. Masks: CRUTEM4's land of that month, with a sea that is made up and grows from 25 to
   90 %; and GISTEMP's own gaps.
b) geography: months and masks shifted by 90 and 180 degrees and turned upside down, under the masks of 1877-09 and
   1893-08; RMSE of the missing cells against that of the months as they are. Kriging knows none and must not change.
c) blind events: the observed cells of Nino 3.4, of 10S-10N 180-80W, or of the tropical Pacific (20S-20N, 120E-80W)
   withheld, in 1877-09 and 1893-08 (truth: the withheld cells, as observed) and in the six warmest and six coldest
   held-out months, at least half a year apart, under both masks (truth: the box mean); beside them all months, and how
   many of months chosen in this way were inside if the stated spread were exactly right.
d) seams and poles: steps of the analysis from one column to the next, each longitude against the median of all;
   extremes and errors of the rows at the poles.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
from observed_cases import CLEAN
from splits import fields_of, held_out, scoring_masks

from climrecon.data.masks import harmonic_smoother
from climrecon.fields import Context, Estimate, Months
from climrecon.geography import land_fraction
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.grid import NINO34, Region
from climrecon.methods.contract import Method
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.optimal_interpolation import optimal_interpolation
from climrecon.methods.store import load_network
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.scores.scores import rmse

AREA = GRID.area
BOXES = {
    "Nino 3.4": NINO34,
    "10S-10N 180-80W": Region("", -10.0, 10.0, -180.0, -80.0),
    "tropical Pacific": Region("", -20.0, 20.0, 120.0, -80.0),
}
MASK_YEARS = range(1880, 2001, 10)
APART, EACH, NINETY = 6, 6, 1.645
#: Truths drawn from a method's own statement.
DRAWS = 400
#: Error added to the interval at cells withheld from HadCRUT4, K, where the method does not estimate it.
OBS_SD = 0.3
#: A polar anomaly beyond this is rare in the truth, K.
FAR = 5.0


def means(field: np.ndarray, weights: np.ndarray = AREA) -> np.ndarray:
    return (field * weights).sum((-2, -1)) / weights.sum()


def apply(method: Any, values: np.ndarray, mask: np.ndarray, time_axis: Months) -> Estimate:
    """In stretches of successive months, so that none takes its neighbour from another block."""
    cuts = [0, *(np.flatnonzero(np.diff(time_axis.index) != 1) + 1), len(values)]
    mean, sd = np.empty(values.shape, np.float32), np.full(values.shape, np.nan, np.float32)
    parts = []
    stated = np.full(values.shape, CLEAN, np.float32)
    for first, last in pairwise(cuts):
        rows = slice(first, last)
        axis = Months(time_axis.index[rows])
        found = method.reconstruct(
            np.where(mask[rows], values[rows], np.nan), mask[rows], stated[rows], axis.month, Context(GRID, axis)
        )
        mean[rows] = found.mean
        if found.stddev is not None:
            sd[rows] = found.stddev
        parts.append(found)
    known = all(part.area_mean_sd is not None for part in parts)
    return Estimate(
        mean, sd, None, None,
        (lambda weights: np.concatenate([p.area_mean_sd(weights) for p in parts])) if known else None,
    )  # fmt: skip


def drift(methods: dict[str, Any], data: Path, truth: np.ndarray, axis: Months) -> dict[str, Any]:
    with netCDF4.Dataset(data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc") as file:
        stations = ~np.ma.getmaskarray(file["temperature_anomaly"][:])  # from 1850-01
    name = "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc"
    with netCDF4.Dataset(data / name) as file:
        variable = next(v for v in file.variables.values() if v.ndim == 3)
        own = np.isfinite(np.ma.filled(variable[:].astype(float), np.nan))
    land = land_fraction(GRID)
    smooth = harmonic_smoother(GRID, 1500.0)
    routes = smooth @ np.random.default_rng(0).normal(size=smooth.shape[1])
    # Ships go along lanes, and less towards the poles.
    lanes = routes.reshape(GRID.shape) - np.maximum(np.abs(GRID.lat) - 50.0, 0.0)[:, None] / 10.0
    sea = land < 0.5
    order = np.argsort(np.argsort(np.where(sea, -lanes, np.inf).ravel())).reshape(GRID.shape) / sea.sum()
    errors: dict[str, dict[str, list[float]]] = {}
    shares: dict[str, list[float]] = {}
    for year in MASK_YEARS:
        share = 0.25 + 0.65 * (year - 1880) / 120.0
        at = (year - 1850) * 12 + axis.month - 1
        kinds = {
            "CRUTEM land, made-up sea": (stations[at] & (land >= 0.3)) | (sea & (order < share)),
            "GISTEMP's gaps": own[at - 30 * 12],
        }
        for kind, mask in kinds.items():
            shares.setdefault(kind, []).append(round(float((mask * AREA).sum((1, 2)).mean()), 2))
            for name, method in methods.items():
                error = means(apply(method, truth, mask, axis).mean - truth).mean()
                errors.setdefault(kind, {}).setdefault(name, []).append(float(error))
            weights = AREA * mask
            raw = (np.where(mask, truth, 0.0) * weights).sum((1, 2)) / weights.sum((1, 2))
            errors[kind].setdefault("raw_mean", []).append(float((raw - means(truth)).mean()))
    decades = np.array(MASK_YEARS) / 10.0
    return {
        kind: {
            "observed_share": shares[kind],
            **{
                name: {
                    "K_per_decade": round(float(np.polyfit(decades, row, 1)[0]), 5),
                    "mean_error_1880": round(row[0], 4),
                    "mean_error_2000": round(row[-1], 4),
                }
                for name, row in rows.items()
            },
        }
        for kind, rows in errors.items()
    }


def geography(
    methods: dict[str, Any], truth: np.ndarray, lost: np.ndarray, masks: dict[str, np.ndarray], axis: Months
) -> dict[str, Any]:
    turns = {
        "as it is": lambda a: a,
        "shifted by 90 degrees": lambda a: np.roll(a, 18, axis=-1),
        "shifted by 180 degrees": lambda a: np.roll(a, 36, axis=-1),
        "upside down": lambda a: a[..., ::-1, :],
    }
    found: dict[str, Any] = {}
    for name, method in methods.items():
        for what, turn in turns.items():
            both = []
            for one in masks.values():
                mask = np.broadcast_to(turn(one), truth.shape)
                estimate = apply(method, turn(truth), mask, axis)
                both.append(rmse(estimate.mean, turn(truth), AREA * (~mask & ~turn(lost))))
            found.setdefault(name, {})[what] = round(float(np.mean(both)), 3)
    return found


def chosen_months(truth: np.ndarray) -> tuple[list[int], list[int]]:
    """Positions of the warmest and the coldest months of Nino 3.4 against the globe, half a year apart."""
    return extremes(means(truth, GRID.region_weights(NINO34)) - means(truth))


def extremes(index: np.ndarray) -> tuple[list[int], list[int]]:
    """Positions of the largest and the smallest of (T,) values, half a year apart."""
    found: list[list[int]] = []
    for order in (np.argsort(-index), np.argsort(index)):
        taken: list[int] = []
        for at in order:
            if len(taken) < EACH and all(abs(int(at) - other) >= APART for other in taken):
                taken.append(int(at))
        found.append(taken)
    return found[0], found[1]


def inside_if_exact(about: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """(N,) how many of the months that :func:`extremes` chooses are inside, in N draws of what is stated.

    Months that are chosen for a far-out truth are, of all months, those that the method was most off in. How many of them
    an interval holds that is neither too wide nor too narrow is told by truths drawn from the method's own statement.

    Parameters
    ----------
    about, sd:
        (T,) stated means of the box against the globe, and their standard deviations, K.
    """
    rng = np.random.default_rng(0)  # the same for each mask: errors under two masks are much the same
    inside = []
    for _ in range(DRAWS):
        off = rng.normal(size=len(about))
        rows = np.concatenate(extremes(about + sd * off)).astype(int)
        inside.append((np.abs(off[rows]) <= NINETY).sum())
    return np.array(inside)


def events(methods: dict[str, Any], truth: np.ndarray, masks: dict[str, np.ndarray], axis: Months) -> dict[str, Any]:
    warm, cold = chosen_months(truth)
    rows = sorted([*warm, *cold])
    result: dict[str, Any] = {"El Nino": [axis.labels()[i] for i in sorted(warm)]}
    result["La Nina"] = [axis.labels()[i] for i in sorted(cold)]
    for label, region in BOXES.items():
        inside_box = GRID.region_weights(region) > 0
        # Judged is Nino 3.4, wherever the cells withheld end.
        weights = GRID.region_weights(region if label != "tropical Pacific" else NINO34)
        weights = weights / weights.sum()
        about = means(truth, weights) - means(truth)
        entry: dict[str, Any] = {"climatology_sd": round(float(about.std()), 3)}
        errors: dict[str, np.ndarray] = {}
        for name, method in methods.items():
            parts, exact = [], []
            for one in masks.values():
                mask = np.broadcast_to(one & ~inside_box, truth.shape)
                made = apply(method, truth, mask, axis)
                assert made.area_mean_sd is not None
                box_mean, box_sd = means(made.mean, weights), made.area_mean_sd(weights)
                parts.append((box_mean - means(truth, weights), box_sd))
                exact.append(inside_if_exact(box_mean - means(made.mean), box_sd))
            every, every_sd = (np.concatenate(both) for both in zip(*parts, strict=True))
            error, sd = (np.concatenate([part[which][rows] for part in parts]) for which in (0, 1))
            errors[name] = np.abs(error)
            entry[name] = {
                "inside_90": f"{int((np.abs(error) <= NINETY * sd).sum())} of {len(error)}",
                "inside_90_if_exact": {
                    "mean": round(float(np.sum(exact, axis=0).mean()), 1),
                    "between": np.quantile(np.sum(exact, axis=0), (0.05, 0.95)).tolist(),
                },
                "rmse": round(float(np.sqrt((error**2).mean())), 3),
                "sd": round(float(sd.mean()), 3),
                "sd_over_climatology": round(float(sd.mean() / about.std()), 2),
                # Of all months, which were not chosen for being far out.
                "all_months": {
                    "n": len(every),
                    "covers_90": round(float((np.abs(every) <= NINETY * every_sd).mean()), 3),
                    "rmse": round(float(np.sqrt((every**2).mean())), 3),
                    "sd": round(float(np.sqrt((every_sd**2).mean())), 3),
                },
            }
        for name, error in errors.items():
            entry[name]["nearer_than_kriging"] = f"{int((error < errors['kriging']).sum())} of {len(error)}"
        result[label] = entry
    return result


def early_months(methods: dict[str, Any], data: Path) -> dict[str, Any]:
    """The two HadCRUT4 months, cells withheld as observed; what is estimated comes from the cells kept."""
    file = data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
    observed = read_observations([file], PrepareRequest())
    context, month = Context(observed.grid, observed.time), observed.time.month
    found: dict[str, Any] = {}
    for label, region in BOXES.items():
        weights = observed.grid.region_weights(region)
        hidden = observed.mask & (weights > 0)
        kept = observed.mask & ~hidden
        truth = np.where(hidden, observed.values, 0.0)
        share = weights * hidden
        told = (truth * share).sum((1, 2)) / np.maximum(share.sum((1, 2)), 1e-12)
        for name, method in methods.items():
            seen = replace(observed, values=np.where(kept, observed.values, np.nan), mask=kept)
            if name != "kriging":
                method.calibrate(seen)
            made = method.reconstruct(seen.values, kept, None, month, context)
            estimated = method.observation_sd(None, kept.shape)
            error_sd = np.full(kept.shape, OBS_SD) if estimated is None else estimated
            spread = np.sqrt(made.stddev**2 + error_sd**2)
            inside = (np.abs(made.mean - truth) <= NINETY * spread) & hidden
            ours = (made.mean * share).sum((1, 2)) / np.maximum(share.sum((1, 2)), 1e-12)
            for row, when in enumerate(observed.time.labels()):
                found.setdefault(when, {}).setdefault(label, {"observed_mean": round(float(told[row]), 2)})[name] = {
                    "mean": round(float(ours[row]), 2),
                    "cells_inside_90": f"{int(inside[row].sum())} of {int(hidden[row].sum())}",
                }
    for method in methods.values():
        if isinstance(method, UNetReconstructor):
            method.data_set_errors, method.prior = None, method.network.prior
    return found


def seams(methods: dict[str, Any], truth: np.ndarray, masks: dict[str, np.ndarray], axis: Months) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rows = [0, 1, -2, -1]
    for name, method in {**methods, "truth": None}.items():
        steps, largest, error, far = [], 0.0, [], []
        for one in masks.values():
            mask = np.broadcast_to(one, truth.shape)
            mean = truth if method is None else apply(method, truth, mask, axis).mean
            # Of what the columns differ by on average; where land and masks end stays in it.
            steps.append(np.abs(np.roll(mean, -1, axis=2) - mean).mean((0, 1)))
            largest = max(largest, float(np.abs(mean[:, rows]).max()))
            far.append(float((np.abs(mean[:, rows]) > FAR).mean()))
            error.append(rmse(mean[:, rows], truth[:, rows], np.broadcast_to(AREA[rows], truth[:, rows].shape)))
        step = np.mean(steps, axis=0)
        seam = {0: 35, 180: 71}
        found[name] = {
            "largest_step_over_median": round(float(step.max() / np.median(step)), 2),
            "at_longitude": float(GRID.lon_edges[int(step.argmax()) + 1]),
            **{
                f"step_at_{east}E_over_median": round(float(step[at] / np.median(step)), 2) for east, at in seam.items()
            },
            "poles_largest": round(largest, 2),
            "poles_share_beyond_5_K": round(float(np.mean(far)), 5),
            "poles_rmse": round(float(np.mean(error)), 3),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", default="punet6", help="names or folders, separated by commas")
    parser.add_argument("--parts", default="abcd")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    fields, missing, index = fields_of(options.data)
    test = held_out(index // 12)
    truth, lost, axis = fields[test].astype(np.float32), missing[test], Months(index[test])
    masks = scoring_masks(options.data)
    networks = {network.name: network for network in map(load_network, options.networks.split(","))}
    methods: dict[str, Method] = {name: network.method for name, network in networks.items()}
    methods["kriging"] = Kriging(Covariance(2000.0, 1.1, 0.1))
    methods["oi"] = optimal_interpolation(next(iter(networks.values())))
    result: dict[str, Any] = {"benchmark": "events", "reference": "kriging", "n_months": int(test.sum())}
    if "a" in options.parts:
        result["a_drift"] = drift(methods, options.data, truth, axis)
    if "b" in options.parts:
        result["b_geography"] = geography(methods, truth, lost, masks, axis)
    if "c" in options.parts:
        result["c_events"] = events(methods, truth, masks, axis)
        result["c_early_months"] = early_months(methods, options.data)
    if "d" in options.parts:
        result["d_seams_and_poles"] = seams(methods, truth, masks, axis)
    result["seconds"] = round(time.monotonic() - started)
    result["machine"] = f"{platform.machine()}, torch {torch.__version__}"
    print(json.dumps(result, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
