"""How long a training takes until it passes the published networks, then kriging, on months it never saw.

    python benchmarks/time_to_skill.py --data SHARED_DATA [--recipes punet,kadow2020] [--minutes 60] [--whole] [--json]

Truth: GISTEMP v4 months of the years that ``benchmarks/skill.py`` holds out, seen through HadCRUT4's masks of 1877-09
and 1893-08, without errors; area-weighted RMSE over cells that were missing, cells that GISTEMP lacks not scored.
Trained on the other years, two months apart, under CRUTEM4's land coverage and made-up sea coverage; neither the months
nor the masks that score are trained on or choose anything. A yardstick is passed where both masks' RMSE is below its
own. The clock is that of the training alone, with all its preparation (covariances, samples, sums of windows); scoring
stops it. ``cpu_minutes`` are those that the process got: where others use the machine too the clock says how busy it
was, and with one thread they say what the training needs. The published network scored is the better of those given.

Our own network starts from optimal interpolation with covariances learned from the training months, so that it is
scored first when these are there, before a sample has been drawn (``step`` 0 of ``rows``, ``minutes_of_covariances``);
what is fitted on top is in the later rows. A recipe ends when it has passed all yardsticks, or with ``--whole`` after its
last step; in any case after ``--minutes`` by the clock on the wall, preparation included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
from splits import fields_of, held_out, near, scoring_masks

from climrecon.data.masks import MaskSource, harmonic_smoother
from climrecon.data.noise import NoiseSource
from climrecon.fields import Context, Months
from climrecon.geography import land_fraction
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.contract import Method
from climrecon.methods.kadow2020.network import PublishedUNet
from climrecon.methods.kadow2020.reconstructor import PublishedReconstructor
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.priors.covariance import unit_vectors
from climrecon.methods.store import load_network
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.scores import scores
from climrecon.training import published_task, unet_network, unet_task
from climrecon.training.distributed import Workers
from climrecon.training.engine import Loop, Plan
from climrecon.training.fields import TrainingFields
from climrecon.training.forcing import no_forcing
from climrecon.training.recipe_settings import PublishedRecipe, UNetRecipe
from climrecon.training.recipes import recipe
from climrecon.training.resume import Checkpoints
from climrecon.training.run import optimiser

VALIDATION_YEARS = (1971, 1981, 1991)
PUBLISHED = ("20cr-1000000", "20crtasgn72")


class Judge:
    """Scores any method on the held-out months."""

    def __init__(self, data: Path) -> None:
        fields, missing, index = fields_of(data)
        test = held_out(index // 12)
        self.truth = fields[test].astype(np.float32)
        self.valid, self.time = ~missing[test], Months(index[test])
        self.masks = scoring_masks(data)

    def __call__(self, method: Method) -> dict[str, float]:
        """RMSE in K by mask."""
        found = {}
        for label, one in self.masks.items():
            mask = np.broadcast_to(one, self.truth.shape)
            sd = np.full(self.truth.shape, 0.1, np.float32)
            means = [
                method.reconstruct(
                    np.where(mask[part], self.truth[part], np.nan).astype(np.float32),
                    mask[part],
                    sd[part],
                    self.time.month[part],
                    Context(GRID, Months(self.time.index[part])),
                ).mean
                for part in (slice(i, i + 60) for i in range(0, len(self.truth), 60))
            ]
            weights = GRID.area * (self.valid & ~mask)
            found[label] = round(float(scores.rmse(np.concatenate(means), self.truth, weights)), 4)
        return found


def material(data: Path) -> tuple[TrainingFields, TrainingFields, MaskSource, NoiseSource]:
    fields, missing, index = fields_of(data)
    year = index // 12
    test, validation = held_out(year), np.isin(year, VALIDATION_YEARS)

    def chosen(keep: np.ndarray) -> TrainingFields:
        return TrainingFields(
            fields[keep].astype(np.float32),
            index[keep] % 12 + 1,
            index[keep],
            np.zeros(keep.sum(), int),
            ("GISTEMP v4",),
            GRID,
            ~missing[keep],
        )

    with netCDF4.Dataset(data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc") as file:
        land = ~np.ma.getmaskarray(file["temperature_anomaly"][:])
    stations = np.arange(len(land)) + 1850 * 12
    scoring = np.array([1877 * 12 + 8, 1893 * 12 + 7])
    land = land[np.abs(stations[:, None] - scoring).min(1) > 2]
    patches = harmonic_smoother(GRID, 1500.0)
    lat = np.degrees(np.arcsin(np.clip(unit_vectors(GRID)[:, 2], -1, 1)))
    sea = (land_fraction(GRID) < 0.5).reshape(-1)
    masks = MaskSource(land.reshape(len(land), -1), sea, patches, lat)
    noise = NoiseSource(patches, harmonic_smoother(GRID, 5000.0))
    return chosen(~near(test) & ~near(validation)), chosen(validation & ~near(test)), masks, noise


class TimeUpError(Exception):
    """The limit is reached."""


class Clock:
    """Seconds of training, scoring left out; and the limit by the clock on the wall."""

    def __init__(self, name: str, minutes: float, say: Callable[[str], None]) -> None:
        self.name, self.limit, self.say = name, 60.0 * minutes, say
        self.begun = self.mark = time.perf_counter()
        self.cpu_mark = time.process_time()
        self.used, self.cpu, self.told = 0.0, 0.0, 0.0

    def stop(self) -> None:
        self.used += time.perf_counter() - self.mark
        self.cpu += time.process_time() - self.cpu_mark

    def go_on(self) -> None:
        self.mark, self.cpu_mark = time.perf_counter(), time.process_time()

    @property
    def over(self) -> bool:
        return time.perf_counter() - self.begun > self.limit

    def drawing(self, what: str, done: int, total: int) -> None:
        """What is prepared, every ten seconds; the limit counts here too."""
        now = time.perf_counter()
        if now - self.told > 10.0 or done == total:
            self.told = now
            self.say(f"{self.name}: {what}: {done} of {total}, {(now - self.begun) / 60:.1f} min by the wall")
        if self.over:
            raise TimeUpError


def race(
    name: str,
    data: Path,
    judge: Judge,
    goals: dict[str, dict[str, float]],
    minutes: float,
    whole: bool,
    say: Callable[[str], None],
    workers: Workers,
) -> dict[str, Any]:
    """Train until all goals are passed (or to the end), or ``minutes`` are over."""
    fields, validation, masks, noise = material(data)
    torch.manual_seed(0)
    clock = Clock(name, minutes, say)
    rows: list[dict[str, Any]] = []
    passed: dict[str, dict[str, float]] = {}
    covariances = prepared = None
    speed, ended = 0.0, "all yardsticks passed"

    def score(step: int, network: torch.nn.Module) -> bool:
        clock.stop()
        found = judge(_method(network, workers.device))
        spent = {"minutes": round(clock.used / 60, 2), "cpu_minutes": round(clock.cpu / 60, 2)}
        rows.append({"step": step, **spent, **found})
        load = os.getloadavg()[0]
        spent_so_far = f"{spent['minutes']} min of training, {spent['cpu_minutes']} min of CPU"
        say(f"{name}: step {step}, {spent_so_far}, load {load:.1f}: {found}")
        for goal, wanted in goals.items():
            if goal not in passed and all(found[label] < wanted[label] for label in wanted):
                passed[goal] = spent
        clock.go_on()
        return len(passed) == len(goals) and not whole

    try:
        made = recipe(name)
        task: Any
        if isinstance(made, PublishedRecipe):
            network = published_task.new_network(made, None)
            done = False
            task = published_task.PublishedTask(made, network, fields, validation, masks, None, 0, workers)
            every = 250
        else:
            assert isinstance(made, UNetRecipe)
            forcing = no_forcing(fields.grid)
            unet, priors = unet_network.new_network(made, fields, None, forcing, clock.drawing)
            done = score(0, unet)
            covariances = rows[-1]["minutes"]
            every = 100
            if not done:
                task = unet_task.UNetTask.drawn(
                    made, unet, priors, fields, validation, masks, noise, 0, workers, forcing, clock.drawing
                )
        if not done:
            plan = Plan(made.iterations, 10**9, made.averaging, clip=1.0 if isinstance(made, UNetRecipe) else None)
            groups = task.groups()
            loop = Loop(task, optimiser(made, groups), plan, workers, Checkpoints(Path(tempfile.mkdtemp()), {}))
            clock.stop()
            clock.go_on()
            prepared = clock.used
            while not done:
                if loop.step >= made.iterations:
                    ended = "all iterations"
                    break
                if clock.over:
                    raise TimeUpError
                for _ in range(every):
                    loop.advance(task.module)
                    if loop.step >= made.iterations:
                        break
                done = _averaged(loop, lambda step=loop.step: score(step, task.network))
                speed = loop.step / max(clock.used - prepared, 1e-9)
    except TimeUpError:
        ended = f"the limit of {minutes:g} minutes"
    return {
        "minutes_to": {goal: passed.get(goal) for goal in goals},
        "ended": ended,
        "minutes_of_covariances": covariances,
        "minutes_of_preparation": None if prepared is None else round(prepared / 60, 2),
        "steps": rows[-1]["step"] if rows else 0,
        "iterations_a_second": round(speed, 2),
        "rows": rows,
    }


def _averaged(loop: Loop, do: Callable[[], bool]) -> bool:
    """``do`` with the running average of the weights, which is what a recipe hands back."""
    if not loop.average:
        return do()
    kept = [p.detach().clone() for p in loop.parameters]
    with torch.no_grad():
        for p, mean in zip(loop.parameters, loop.average, strict=True):
            p.copy_(mean)
    try:
        return do()
    finally:
        with torch.no_grad():
            for p, own in zip(loop.parameters, kept, strict=True):
                p.copy_(own)


def _method(network: torch.nn.Module, device: torch.device) -> Method:
    if isinstance(network, PublishedUNet):
        return PublishedReconstructor("", network, str(device))
    assert isinstance(network, UNet)
    return UNetReconstructor("", network, 0.3, 0.0, np.zeros((1, 1)), str(device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipes", default="punet,kadow2020")
    parser.add_argument("--minutes", type=float, default=60.0, help="limit for a recipe, by the wall")
    parser.add_argument("--whole", action="store_true", help="go on to the recipe's last step")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true", help="accepted for uniformity")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    workers = Workers(0, 1, torch.device(options.device))
    judge = Judge(options.data)
    published = {
        name: judge(load_network(str(options.data / f"published_models/{name}.pth")).method) for name in PUBLISHED
    }
    best = {label: min(row[label] for row in published.values()) for label in judge.masks}
    kriging = judge(Kriging(Covariance(2000.0, 1.0, 0.1)))
    goals = {"published": best, "kriging": kriging}
    say(f"published {published}, kriging {kriging}")
    races = {
        name: race(name, options.data, judge, goals, options.minutes, options.whole, say, workers)
        for name in options.recipes.split(",")
    }
    print(
        json.dumps(
            {
                "benchmark": "time_to_skill",
                "minutes_to_skill": {name: row["minutes_to"] for name, row in races.items()},
                "published": published,
                "kriging": kriging,
                "races": races,
                "n_months": len(judge.truth),
                "load_average": os.getloadavg()[0],
                "machine": f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}",
            }
        )
    )


if __name__ == "__main__":
    main()
