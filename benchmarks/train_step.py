"""A training step of ours beside one of the published layer, plainly written: time, memory.

    python benchmarks/train_step.py --data SHARED_DATA [--json] [--threads 2] [--pairs 40]

``kadow2020``: batch 18, hole L1, Adam. The reference is the network's definition: every layer convolves its mask at
full channel count and divides, three equal channels in and out, NCHW, torch's Adam. Both draw fields and masks for
every step from the same 516 months and the coverage of 500 real months, and start from the same weights. Steps are
taken in turn in one process; figures are medians over pairs. ``ratio_kadow2020`` is the recipe's as it trains here,
convolutions in the precision that it chooses (``precision``); ``ratio_kadow2020_single`` is all in single precision, as
the reference is. ``punet``: the shipped recipe with all its channels,
beside the reference, in samples a second; it computes 18 rows where the reference computes 72. Peak memory is that of
a child process that does the steps of one side alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.data.masks import MaskSource, harmonic_smoother
from climrecon.data.noise import NoiseSource
from climrecon.geography import land_fraction
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.priors.covariance import unit_vectors
from climrecon.training import published_task, unet_network, unet_task
from climrecon.training.banks import draw_masks
from climrecon.training.distributed import Workers
from climrecon.training.engine import Loop, Plan
from climrecon.training.fields import TrainingFields
from climrecon.training.forcing import no_forcing
from climrecon.training.precision import autocast_type
from climrecon.training.recipe_settings import PublishedRecipe, UNetRecipe
from climrecon.training.recipes import recipe
from climrecon.training.resume import Checkpoints
from climrecon.training.run import optimiser

BATCH = 18
MASKS = 500
CPU = Workers(0, 1, torch.device("cpu"))


class PlainLayer(nn.Module):
    """out = W (X M) / sum(M) + b, 0 where sum(M) = 0; the mask convolved with ones at full channel count."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, bn: bool, bias: bool) -> None:
        super().__init__()
        self.input_conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        self.mask_conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        nn.init.constant_(self.mask_conv.weight, 1.0)
        self.mask_conv.weight.requires_grad_(False)
        nn.init.kaiming_normal_(self.input_conv.weight, a=0, mode="fan_in")
        self.bn = nn.BatchNorm2d(outputs) if bn else None

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        out = self.input_conv(x * mask)
        bias = 0.0 if self.input_conv.bias is None else self.input_conv.bias.view(1, -1, 1, 1)
        with torch.no_grad():
            total = self.mask_conv(mask)
        empty = total == 0
        out = (out - bias) / total.masked_fill(empty, 1.0) + bias
        out = out.masked_fill(empty, 0.0)
        new = torch.ones_like(out).masked_fill(empty, 0.0)
        return (out if self.bn is None else self.bn(out)), new


class PlainUNet(nn.Module):
    """The published network by its definition."""

    def __init__(self) -> None:
        super().__init__()
        self.enc_1 = PlainLayer(3, 18, 7, 2, False, False)
        self.enc_2 = PlainLayer(18, 36, 5, 2, True, False)
        self.enc_3 = PlainLayer(36, 72, 5, 2, True, False)
        self.dec_3 = PlainLayer(72 + 36, 36, 3, 1, True, False)
        self.dec_2 = PlainLayer(36 + 18, 18, 3, 1, True, False)
        self.dec_1 = PlainLayer(18 + 3, 3, 3, 1, False, True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        skips = [(x, mask)]
        for name in ("enc_1", "enc_2", "enc_3"):
            x, mask = getattr(self, name)(x, mask)
            x = F.relu(x)
            skips.append((x, mask))
        skips.pop()
        for name in ("dec_3", "dec_2", "dec_1"):
            x, mask = F.interpolate(x, scale_factor=2.0), F.interpolate(mask, scale_factor=2.0)
            skip, skip_mask = skips.pop()
            x, mask = torch.cat([x, skip], 1), torch.cat([mask, skip_mask], 1)
            x, mask = getattr(self, name)(x, mask)
            if name != "dec_1":
                x = F.leaky_relu(x, 0.2)
        return x

    def published_state(self) -> dict[str, Tensor]:
        return {key.replace(".input_conv.", "."): value for key, value in self.state_dict().items()}


def material(data: Path) -> tuple[TrainingFields, MaskSource, NoiseSource]:
    with netCDF4.Dataset(data / "training/gistemp/gistemp_complete_5x5_196001-200212.nc") as file:
        values = file["tas"][:].filled(np.nan).astype(np.float32)
    index = np.arange(len(values)) + 1960 * 12
    fields = TrainingFields(values, index % 12 + 1, index, np.zeros(len(index), int), ("GISTEMP v4, complete",), GRID)
    with netCDF4.Dataset(data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc") as file:
        land = ~np.ma.getmaskarray(file["temperature_anomaly"][:])
    patches = harmonic_smoother(GRID, 1500.0)
    lat = np.degrees(np.arcsin(np.clip(unit_vectors(GRID)[:, 2], -1, 1)))
    sea = (land_fraction(GRID) < 0.5).reshape(-1)
    return (
        fields,
        MaskSource(land.reshape(len(land), -1), sea, patches, lat),
        NoiseSource(patches, harmonic_smoother(GRID, 5000.0)),
    )


class Reference:
    """Steps of the plain definition."""

    def __init__(self, fields: TrainingFields, masks: np.ndarray) -> None:
        self.network = PlainUNet().train()
        values = np.repeat(np.roll(fields.values, 36, axis=-1), 2, axis=1)
        self.fields = torch.as_tensor(values.astype(np.float32))[:, None].expand(-1, 3, -1, -1)
        tall = np.repeat(np.roll(masks.reshape(-1, *GRID.shape), 36, axis=-1), 2, axis=1)
        self.masks = torch.as_tensor(tall.astype(np.float32))[:, None].expand(-1, 3, -1, -1)
        self.adam = torch.optim.Adam([p for p in self.network.parameters() if p.requires_grad], lr=2e-4)
        self.rng = np.random.default_rng(0)

    def step(self) -> float:
        truth = self.fields[torch.as_tensor(self.rng.integers(len(self.fields), size=BATCH))]
        mask = self.masks[torch.as_tensor(self.rng.integers(len(self.masks), size=BATCH))]
        out = self.network(truth * mask, mask)
        loss = 6.0 * F.l1_loss((1 - mask) * out, (1 - mask) * truth)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return float(loss.detach())


def hole_alone() -> PublishedRecipe:
    made = recipe(
        "kadow2020",
        masks=MASKS,
        losses={"valid": 0.0, "hole": 6.0, "total_variation": 0.0, "perceptual": 0.0, "style": 0.0},
        validation_years=1,
    )
    assert isinstance(made, PublishedRecipe)
    return made


class Ours:
    """Steps of a recipe, through the loop."""

    def __init__(self, made: PublishedRecipe | UNetRecipe, data: Path, workers: Workers = CPU) -> None:
        fields, masks, noise = material(data)
        if isinstance(made, PublishedRecipe):
            network = published_task.new_network(made, None)
            task = published_task.PublishedTask(made, network, fields, fields, masks, None, 0, workers)
        else:
            unet, priors = unet_network.new_network(made, fields, None, no_forcing(fields.grid))
            task = unet_task.UNetTask.drawn(
                made, unet, priors, fields, fields, masks, noise, 0, workers, no_forcing(fields.grid)
            )
        plan = Plan(10**6, 10**6, made.averaging, clip=1.0 if isinstance(made, UNetRecipe) else None)
        folder = Path(tempfile.mkdtemp())
        self.task = task
        self.loop = Loop(task, optimiser(made, task.groups()), plan, workers, Checkpoints(folder, {}))

    def step(self) -> float:
        self.loop.advance(self.task.module)
        return float(self.loop.running)


def same_answer(reference: Reference, ours: Ours) -> float:
    """Largest difference of the two networks' outputs, K, with the same weights; they then go on from them."""
    published = ours.task.network
    found = published._collapsed(reference.network.published_state())
    own = published.state_dict()
    published.load_state_dict({key: found.get(key, own[key]) for key in own})
    truth, mask = reference.fields[:BATCH], reference.masks[:BATCH]
    reference.network.eval()
    published.eval()
    with torch.no_grad():
        want = reference.network(truth * mask, mask)
        got = published.run((truth * mask)[:, :1], published.plan.pyramid(mask[:, :1]))
    reference.network.train()
    published.train()
    return float((want - got).abs().max())


def pairs(first: Callable[[], float], second: Callable[[], float], count: int) -> tuple[float, float, float, float]:
    """Median seconds of either, the median of the pairs' ratios first / second, and that of their CPU times.

    On a machine that others use too the time of the clock is that of the scheduler; CPU time, with one thread, is not.
    """
    for _ in range(5):
        first()
        second()
    times, cpu = [], []
    for _ in range(count):
        started = (time.perf_counter(), time.process_time())
        first()
        middle = (time.perf_counter(), time.process_time())
        second()
        ended = (time.perf_counter(), time.process_time())
        times.append((middle[0] - started[0], ended[0] - middle[0]))
        cpu.append((middle[1] - started[1]) / (ended[1] - middle[1]))
    ratio = statistics.median(a / b for a, b in times)
    return (
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        ratio,
        statistics.median(cpu),
    )


def peak_of(step: Callable[[], float]) -> float:
    """Peak resident memory in MB during ten steps, reading of files left out."""
    step()
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(10):
        step()
    status = Path("/proc/self/status").read_text()
    return float(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def peak(side: str, options: argparse.Namespace) -> float:
    """Peak resident memory in MB of a child process that takes steps of one side alone."""
    command = [sys.executable, __file__, "--data", str(options.data), "--threads", str(options.threads)]
    answer = subprocess.run([*command, "--child", side], capture_output=True, text=True, check=True)
    return float(answer.stdout)


def punet_small(pool: int) -> UNetRecipe:
    made = recipe("punet", pool=pool, folds=1, checks=8, validation_years=1)
    assert isinstance(made, UNetRecipe)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity")
    parser.add_argument("--child", choices=("reference", "kadow2020"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    fields, masks, _ = material(options.data)
    if options.child == "kadow2020":
        ours = Ours(hole_alone(), options.data)
        print(peak_of(ours.step))
        return
    drawn = draw_masks(masks, MASKS, 0, GRID.area.size)
    reference = Reference(fields, drawn)
    if options.child == "reference":
        print(peak_of(reference.step))
        return
    ours = Ours(hole_alone(), options.data)
    difference = same_answer(reference, ours)
    theirs_s, ours_s, ratio, cpu_ratio = pairs(reference.step, ours.step, options.pairs)
    single = Ours(hole_alone().model_copy(update={"precision": "single"}), options.data)
    _, single_s, single_ratio, single_cpu_ratio = pairs(reference.step, single.step, options.pairs)
    punet = punet_small(400)
    ours_punet = Ours(punet, options.data)
    theirs_2, punet_s, _, _ = pairs(reference.step, ours_punet.step, options.pairs)
    punet_ratio = (punet.batch / punet_s) / (BATCH / theirs_2)
    result = {
        "benchmark": "train_step",
        "ratio_kadow2020": round(ratio, 3),
        "ratio_kadow2020_cpu_time": round(cpu_ratio, 3),
        "ratio_kadow2020_single": round(single_ratio, 3),
        "ratio_kadow2020_single_cpu_time": round(single_cpu_ratio, 3),
        "precision": "single" if autocast_type(hole_alone(), CPU.device) is None else "bfloat16",
        "ratio_punet": round(punet_ratio, 3),
        "seconds_a_step": {
            "reference": round(theirs_s, 4),
            "kadow2020": round(ours_s, 4),
            "kadow2020_single": round(single_s, 4),
        },
        "iterations_a_second": {"reference": round(1 / theirs_s, 2), "kadow2020": round(1 / ours_s, 2)},
        "samples_a_second": {
            "reference": round(BATCH / theirs_2, 1),
            "kadow2020": round(BATCH / ours_s, 1),
            "punet": round(punet.batch / punet_s, 1),
        },
        "rows_computed": {"reference": 72, "kadow2020": 72, "punet": 18},
        "channels": {"reference": 3, "kadow2020": 3, "punet": 15},
        "largest_difference_K": difference,
        "peak_memory_MB": {side: round(peak(side, options)) for side in ("reference", "kadow2020")},
        "n_pairs": options.pairs,
        "load_average": os.getloadavg()[0],
        "batch": {"reference": BATCH, "kadow2020": BATCH, "punet": punet.batch},
        "machine": f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
