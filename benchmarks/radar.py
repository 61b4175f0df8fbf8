r"""Rainfall radar with outages: our kind of network, trained here, against persistence and interpolation.

    python benchmarks/radar.py --data SHARED_DATA [--work FOLDER] [--only NAME] [--png FOLDER]
        [--recipe stride=1,pool=4000] [--json FILE]

Tiles of 32 x 32 cells of 4 km (benchmarks/radar_data.py) of three archives of one day each. An outage, a sector, a disc
or a whole radar, lasts some steps; before and after it the tile is complete. Our network is learned from earlier hours,
its best weights are chosen on others, both apart from the scored ones. It sees k steps before and after; kriging, IDW,
and optimal interpolation with the network's covariance see the step itself; persistence and the interpolation in time
see each cell alone. Scores are over the cells of the outages. Intervals of differences are 90 %, over the
outages in their order in time. FOLDER keeps checkpoints and networks, so that a second run
scores without training.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from radar_data import (
    ARCHIVES,
    CELL_KM,
    KINDS,
    RAIN,
    SIZE,
    Archive,
    Cases,
    RadarOutages,
    cases_of,
    plane,
    training_fields,
)
from scipy.ndimage import distance_transform_edt

from climrecon.data.noise import NoiseSource
from climrecon.fields import Context, Months
from climrecon.methods.contract import Method
from climrecon.methods.kriging import Kriging
from climrecon.methods.optimal_interpolation import OptimalInterpolation
from climrecon.methods.simple import InverseDistance
from climrecon.methods.transformed import Transformed
from climrecon.methods.unet.build import build_unet, unet_arguments
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.scores.paired import difference
from climrecon.scores.spatial import critical_success_index, fraction_skill_score, radial_power
from climrecon.training.recipes import parse, recipe
from climrecon.training.run import train

#: One-sigma error of an observed cell, of transformed values: at 1 mm/h about 0.1 mm/h.
ERROR = 0.1
THRESHOLDS, WINDOW = (1.0, 5.0), 5
#: Waves across a tile whose power is compared with the truth's: lengths of 8 to 16 km.
SHORT = slice(SIZE * 4 // 16 - 1, SIZE // 2)
#: Cells over which the weights of spectra rise from an outage's edge.
RISE = 4.0
SETTINGS: dict[str, Any] = {
    "rank": 160, "trailing": 240, "seasons": False, "tapers": (80.0, 40.0), "mirror": False, "misstated": 0.0,
    "climates": 0.0, "amplitudes": (0.0, 0.0), "keeps_mean": False, "iterations": 1500, "check_every": 125, "pool": 6000,
    "checks": 240, "validation_years": 1, "covariance_months": 3000,
}  # fmt: skip
APART = 8
SEED = 0


def trained(archive: Archive, rates: np.ndarray, neighbours: int, folder: Path) -> UNet:
    """The network of ``folder``; trained if there is none yet."""
    kept = folder / "network.pt"
    if not kept.exists():
        cells = SIZE * SIZE
        none = np.zeros((cells, 1))
        noise = NoiseSource(none, none, own=np.full((1, cells), ERROR), partial=np.zeros((1, cells)))
        learned = training_fields(rates, archive.learned, APART, all_images=True)
        validated = training_fields(rates, archive.validated, SIZE // 2, all_images=False)
        chosen = recipe("punet", **SETTINGS, folds=archive.folds, neighbour_months=neighbours)
        found = train(
            chosen, learned, validated, RadarOutages.on_tiles(), noise, folder=folder, seed=SEED, device="cpu",
            report=lambda progress: print(progress, flush=True) if progress.checked else None,
        )  # fmt: skip
        assert isinstance(found.network, UNet)
        about = {"arguments": unet_arguments(found.network), "card": found.card}
        (folder / "card.json").write_text(json.dumps(about))
        torch.save(found.network.state_dict(), kept)
    arguments = json.loads((folder / "card.json").read_text())["arguments"]
    return build_unet("radar", torch.load(kept, weights_only=True), arguments)


#: From cases to (N, duration, S, S) mm/h.
Fill = Callable[[Cases], np.ndarray]


def persistence(cases: Cases) -> np.ndarray:
    """Each cell as it was before the outage."""
    last = cases.truth[:, cases.during.start - 1][:, None]
    return np.repeat(last, cases.during.stop - cases.during.start, axis=1)


def in_time(cases: Cases) -> np.ndarray:
    """Each cell on the line from the step before the outage to the step after it."""
    first, last = cases.during.start - 1, cases.during.stop
    share = (np.arange(first + 1, last) - first) / (last - first)
    before, after = cases.truth[:, first][:, None], cases.truth[:, last][:, None]
    return np.asarray(before + share[:, None, None] * (after - before))


def by_method(cases: Cases, method: Method, around: bool, draw: bool = False) -> np.ndarray:
    """Means, or one realisation, by ``method``, which is given the steps ``around`` the outages too, or these alone."""
    steps = slice(None) if around else cases.during
    truth, mask = cases.truth[:, steps], cases.mask[:, steps]
    count, length = truth.shape[:2]
    # No step of one case is next to one of another.
    index = (np.arange(count)[:, None] * 100 + np.arange(length)).reshape(-1)
    values = np.where(mask, truth, np.nan).reshape(-1, SIZE, SIZE)
    context = Context(plane(), Months(index))
    estimate = method.reconstruct(values, mask.reshape(values.shape), None, np.ones(len(index), int), context)
    fields = estimate.sample(1, SEED)[0] if draw and estimate.sample else estimate.mean
    found = fields.reshape(truth.shape)
    return found[:, cases.during] if around else found


def methods_of(archive: Archive, rates: np.ndarray, work: Path) -> dict[str, Fill]:
    """Name -> what fills gaps, in the order of the table."""
    idw = InverseDistance()
    idw.softening_km = CELL_KM / 2
    kriging = Kriging()
    learned = training_fields(rates, archive.learned, SIZE, all_images=False)
    kriging.fit(learned.values, np.ones(learned.values.shape, bool), learned.grid)
    print(f"kriging {kriging.covariance}", flush=True)
    found: dict[str, Fill] = {
        "persistence": persistence,
        "in time": in_time,
        "idw": partial(by_method, method=idw, around=False),
        "kriging": partial(by_method, method=Transformed(kriging, RAIN), around=False),
    }
    for neighbours in archive.networks:
        network = trained(archive, rates, neighbours, work / f"{neighbours}")
        if "oi" not in found:
            oi = OptimalInterpolation(network, plane(), ERROR, 0.0)
            found["oi"] = partial(by_method, method=Transformed(oi, RAIN), around=False)
        method = Transformed(UNetReconstructor("network", network, ERROR, 0.0, np.zeros((1, 1))), RAIN)
        found[f"network, k = {neighbours}"] = partial(by_method, method=method, around=True)
    found["network, a realisation"] = partial(by_method, method=method, around=True, draw=True)
    return found


def flat(fields: np.ndarray) -> np.ndarray:
    return fields.reshape(-1, SIZE, SIZE)


def edge_weights(gaps: np.ndarray) -> np.ndarray:
    """(N, S, S) 0 outside the gaps, rising to 1 over :data:`RISE` cells inside."""
    inside = np.stack([distance_transform_edt(gap) for gap in gaps])
    return np.asarray(np.sin(0.5 * np.pi * np.minimum(inside / RISE, 1.0)) ** 2)


def scores_of(made: np.ndarray, cases: Cases) -> dict[str, Any]:
    """Scores over the outages' cells."""
    truth, gaps = cases.truth[:, cases.during], cases.gaps
    filled = np.where(gaps, made, truth)
    weights = edge_weights(flat(gaps))
    power, wanted = (radial_power(flat(fields), weights)[SHORT].sum() for fields in (filled, truth))
    error = (filled - truth)[gaps]

    def rmse(of: np.ndarray) -> float:
        return round(float(np.sqrt(((filled - truth)[of][gaps[of]] ** 2).mean())), 4)

    return {
        "rmse": round(float(np.sqrt((error**2).mean())), 4),
        "bias": round(float(error.mean()), 4),
        **{
            f"csi_{threshold:g}": round(critical_success_index(flat(filled), flat(truth), flat(gaps), threshold), 4)
            for threshold in THRESHOLDS
        },
        **{
            f"fss_{threshold:g}": round(
                fraction_skill_score(flat(filled), flat(truth), flat(gaps), threshold, WINDOW), 4
            )
            for threshold in THRESHOLDS
        },
        "short_waves": round(float(power / wanted), 4),
        "rmse_of": {kind: rmse(cases.kind == kind) for kind in KINDS},
        "rmse_of_step": [
            round(float(np.sqrt(((filled - truth)[:, n][gaps[:, n]] ** 2).mean())), 4) for n in range(gaps.shape[1])
        ],
    }


def squares(made: np.ndarray, cases: Cases) -> np.ndarray:
    """(N,) sums of squared errors over an outage's cells."""
    return np.asarray((np.where(cases.gaps, made - cases.truth[:, cases.during], 0.0) ** 2).sum((1, 2, 3)))


def compared(made: dict[str, np.ndarray], cases: Cases, reference: str) -> dict[str, list[float]]:
    """Method -> interval of its RMSE less that of ``reference``."""
    weights = cases.gaps.sum((1, 2, 3)).astype(float)
    base = squares(made[reference], cases)
    return {
        name: [
            round(bound, 4) for bound in difference(squares(fields, cases), base, weights, [len(weights)])["interval"]
        ]
        for name, fields in made.items()
        if name != reference
    }


def measured(name: str, archive: Archive, data: Path, work: Path, pictures: Path | None) -> dict[str, Any]:
    """All scores on one archive."""
    rates = archive.rates(data)
    cases = cases_of(archive, rates, SEED)
    made = {method: fill(cases) for method, fill in methods_of(archive, rates, work).items()}
    if pictures is not None:
        draw(cases, made, pictures / f"{work.name}.png", name)
    truth = cases.truth[:, cases.during]
    cards = [json.loads((work / f"{k}" / "card.json").read_text())["card"] for k in archive.networks]
    return {
        "steps": {part: [steps.start, steps.stop - 1] for part, steps in (
            ("learned", archive.learned), ("validated", archive.validated), ("scored", archive.scored))},
        "minutes": 60 // archive.steps_per_hour, "duration": archive.duration, "neighbours": archive.neighbours,
        "outages": len(cases.truth), "steps_of_outages": int(truth.shape[0] * truth.shape[1]),
        "cells": int(cases.gaps.sum()), "missing_share": round(float(cases.gaps.mean()), 3),
        "rain_above": {f"{t:g}": round(float((truth[cases.gaps] >= t).mean()), 4) for t in THRESHOLDS},
        "training": {
            "fields": cards[-1]["months"], "seconds": [card["seconds"] for card in cards],
            "best_step": [card["best_step"] for card in cards],
        },
        "methods": {method: scores_of(fields, cases) for method, fields in made.items()},
        "less": {reference: compared(made, cases, reference) for reference in ("in time", "kriging")},
    }  # fmt: skip


def draw(cases: Cases, made: dict[str, np.ndarray], file: Path, title: str) -> None:
    """The middle step of an outage of each kind: truth, what is observed, and each method."""
    import matplotlib.pyplot as plt

    middle = cases.gaps.shape[1] // 2
    columns = {
        "truth": cases.truth[:, cases.during],
        "observed": np.where(cases.gaps, np.nan, cases.truth[:, cases.during]),
    }
    columns |= {name: np.where(cases.gaps, fields, cases.truth[:, cases.during]) for name, fields in made.items()}
    figure, axes = plt.subplots(len(KINDS), len(columns), figsize=(2.0 * len(columns), 2.2 * len(KINDS)), squeeze=False)
    for row, kind in zip(axes, KINDS, strict=True):
        rain = np.where(cases.kind == kind, (cases.truth[:, cases.during] * cases.gaps).sum((1, 2, 3)), -1.0)
        case = int(np.argsort(rain)[int(0.9 * len(rain))]) if rain.max() > 0 else 0
        case = case if cases.kind[case] == kind else int(rain.argmax())
        for axis, (name, fields) in zip(row, columns.items(), strict=True):
            axis.imshow(fields[case, middle] ** 0.5, origin="lower", vmin=0, vmax=5, cmap="turbo")
            axis.set(xticks=[], yticks=[], title=name if kind == KINDS[0] else "")
            axis.title.set_fontsize(8)
        row[0].set_ylabel(kind)
    figure.suptitle(f"{title}: root of the rate, 0 to 25 mm/h")
    figure.savefig(file, dpi=110, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only", choices=list(ARCHIVES), action="append")
    parser.add_argument("--png", type=Path)
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--recipe", default="", help="settings in place of the benchmark's: stride=1,pool=4000")
    options = parser.parse_args()
    SETTINGS.update(parse(f"punet,{options.recipe}")[1] if options.recipe else {})
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        sets = {
            name: measured(name, ARCHIVES[name], options.data, work / name.split(",")[0].lower(), options.png)
            for name in options.only or ARCHIVES
        }
    for name, row in sets.items():
        print(name, {key: value for key, value in row.items() if key != "methods"})
        for method, scores in row["methods"].items():
            print(f"  {method:<24} " + "  ".join(f"{key} {value}" for key, value in scores.items()))
    if options.json:
        about = {
            "benchmark": "radar", "cell_km": CELL_KM, "size": SIZE, "seed": SEED, "recipe": SETTINGS, "window": WINDOW,
            "short_waves_km": [2 * CELL_KM, 16.0], "machine": f"{platform.machine()}, Python {platform.python_version()}",
        }  # fmt: skip
        options.json.write_text(json.dumps({**about, "sets": sets}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
