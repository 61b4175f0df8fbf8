"""Explanations of real months: do contributions sum to the value, and do they agree with leaving observations out?

    python benchmarks/explanation.py --data SHARED_DATA [--count 50] [--json]

Months and values are drawn at random (seed 0) from four records: a place, Nino 3.4, and the global mean, in turns.
Completeness is |sum of contributions and of the value at the climatology - value| / |value|; the solver's part is the
difference of a reconstruction to that value, whose equations are solved exactly. Occlusion, of what is explained by
gradients: the change of the value, equations solved exactly, as a block's values become the climatology and its cells
stay observed (Zeiler & Fergus 2014, ECCV 818); of linear methods it is the block's contribution itself. The annual
means of HadCRUT4 stand for months (July): they are the only long record of its coverage of land and sea. "As shipped":
without calibration, so that the U-Net corrects the mean under its gaps.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from climrecon import indices
from climrecon.fields import Months, Observations
from climrecon.frequency import YEAR
from climrecon.methods.contract import Method
from climrecon.methods.influence import Window, blocks_left_out, cells_within
from climrecon.methods.kriging import Kriging
from climrecon.methods.optimal_interpolation import optimal_interpolation
from climrecon.methods.store import load_network
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.variables import VARIABLES

FILES = {
    "HadCRUT4, 1877-09 and 1893-08": "hadcrut4/tas_hadcrut_187709_189308.nc",
    "HadCRUT4, years 1850-2002": "hadcrut4/hadcrut4_annual_5x5_1850-2002.nc",
    "CRUTEM4, months 1850-2002": "crutem4/CRUTEM.4.3.0.0.anomalies.nc",
    "GISTEMP, months 1880-2002": "gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc",
}
NETWORK = "punet6"
#: Fewest observed cells of a month that is drawn.
FEWEST = 30
#: Blocks of a month that are occluded.
MOST_OCCLUDED = 20
#: Values below this are no measure of a relative difference, K.
SMALL = 0.05


def read(path: Path) -> Observations:
    """A record; years as Julys."""
    if "annual" in path.name:
        years = read_observations([path], PrepareRequest(variable="tas", frequency=YEAR))
        return replace(years, time=Months(years.time.year * 12 + 6))
    return read_observations([path], PrepareRequest(variable="tas"))


def methods_of(observations: Observations) -> dict[str, Method]:
    """The methods, calibrated to the observations, and the network as it ships."""
    found = {NETWORK: load_network(NETWORK).method, "oi": optimal_interpolation(), "kriging": Kriging()}
    for method in found.values():
        method.calibrate(observations)
    return {**found, f"{NETWORK}, as shipped": load_network(NETWORK).method}


def measured(window: Window, method: Method, target: np.ndarray) -> dict[str, object]:
    """Completeness and agreement of one explanation."""
    start = time.process_time()
    found = window.influence(method, target)
    assert found is not None
    assert found.without is not None
    seconds = time.process_time() - start
    seen = np.flatnonzero(window.seen)
    groups = [np.intersect1d(cells_within(window.grid, block), seen) for block in blocks_left_out(window.grid)]
    groups = [group for group in groups if len(group)]
    own = found.contributions[window.position].reshape(-1)
    sums, changes = np.array([own[group].sum() for group in groups]), found.without(groups)
    rank, same_sign = agreement(sums, changes)
    linear = found.how != "gradients"
    some = np.random.default_rng(0).permutation(len(groups))[:MOST_OCCLUDED]
    occluded = (1.0, 1.0)
    if not linear:
        occluded = agreement(sums[some], occlusion(window, method, target, [groups[one] for one in some]))
    total = float(found.contributions.sum()) + found.at_climatology
    sizes = np.abs(found.contributions).sum(axis=(1, 2))
    return {
        "how": found.how, "steps": found.steps, "seconds": seconds, "value": found.value, "observed": len(seen),
        "off": abs(total - found.value) / abs(found.value), "solver": window.value(method, target) - found.value,
        "rank": rank, "same_sign": same_sign, "occlusion_rank": occluded[0], "occlusion_sign": occluded[1],
        "own_share": float(sizes[window.position] / sizes.sum()),
    }  # fmt: skip


def occlusion(window: Window, method: Method, target: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """(G,) changes of the value with the values of each group at the climatology, its cells still observed."""

    def value(values: np.ndarray) -> float:
        found = replace(window, values=values).influence(method, target)
        assert found is not None
        return found.value

    without = []
    for group in groups:
        values = window.values.copy()
        values[window.position].reshape(-1)[group] = 0.0
        without.append(value(values))
    return np.asarray(value(window.values) - np.array(without))


def agreement(sums: np.ndarray, changes: np.ndarray) -> tuple[float, float]:
    """Rank correlation, and share by size of equal signs."""
    same = np.sign(sums) == np.sign(changes)
    return float(spearmanr(sums, changes).statistic), float(np.abs(sums)[same].sum() / np.abs(sums).sum())


def rows(path: Path, count: int) -> dict[str, list[dict[str, object]]]:
    """Method -> its explanations."""
    observations, rng = read(path), np.random.default_rng(0)
    grid = observations.grid
    usable = np.flatnonzero(observations.mask.sum((1, 2)) >= FEWEST)
    drawn = usable if len(usable) < count else rng.choice(usable, count, replace=False)
    repeats = -(-count // len(drawn))
    nino = indices.weights(grid, VARIABLES["tas"].indices[0])
    found: dict[str, list[dict[str, object]]] = {}
    methods = methods_of(observations)
    for number, at in enumerate(np.tile(drawn, repeats)[:count]):
        place = np.zeros(grid.shape)
        place.reshape(-1)[rng.integers(place.size)] = 1.0
        target = (place, nino, grid.area)[number % 3]
        for name, method in methods.items():
            found.setdefault(name, []).append(measured(Window.of(observations, int(at), method), method, target))
    return found


def summary(some: list[dict[str, object]]) -> dict[str, float]:
    """Numbers of one table row."""
    column = {key: np.array([one[key] for one in some]) for key in some[0] if key != "how"}
    large = np.abs(column["value"]) >= SMALL
    return {
        "n": len(some), "gradients": sum(one["how"] == "gradients" for one in some),
        "observed": float(np.median(column["observed"])), "off_median": float(np.median(column["off"])),
        "off_largest": float(column["off"].max()), "steps_most": int(column["steps"].max()),
        "solver_rms": float(np.sqrt(np.mean(column["solver"] ** 2))),
        "solver_largest": float(np.abs(column["solver"]).max()),
        "solver_share_median": float(np.median(np.abs(column["solver"] / column["value"])[large])),
        "rank_median": float(np.median(column["rank"])), "same_sign_median": float(np.median(column["same_sign"])),
        "occlusion_rank_median": float(np.median(column["occlusion_rank"])),
        "occlusion_sign_median": float(np.median(column["occlusion_sign"])),
        "own_share": float(column["own_share"].mean()), "seconds": float(column["seconds"].mean()),
    }  # fmt: skip


def main() -> None:
    """Print one line for each record and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = {}
    for record, file in FILES.items():
        table[record] = {
            name: summary(some) for name, some in rows(options.data / "observations" / file, options.count).items()
        }
        for name, row in table[record].items():
            shown = ", ".join(f"{key} {value:.3g}" for key, value in row.items())
            print(f"{record}: {name}: {shown}", file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
