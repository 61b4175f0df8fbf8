"""Training steps a second over the batch size, on a GPU or a CPU: where more samples a step bring no more a second.

    python benchmarks/saturation.py --data SHARED_DATA [--device cuda] [--batches 18,36,72,...] [--compile] [--json]

The recipe ``kadow2020`` with hole L1 alone, as in benchmarks/train_step.py, fields resident on the device. Each batch
size is trained for ``--steps`` steps after a tenth of that to warm up; the device is waited for before the clock is
read. What a million steps of batch 18 would take is an extrapolation from that, and called so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch
from train_step import BATCH, Ours, hole_alone

from climrecon.training.distributed import Workers
from climrecon.training.precision import precision_name


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured(ours: Ours, device: torch.device, steps: int) -> float:
    """Steps a second."""
    for _ in range(max(steps // 10, 2)):
        ours.loop.advance(ours.task.module)
    wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        ours.loop.advance(ours.task.module)
    wait(device)
    return steps / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batches", default="18,36,72,144,288,576,1152")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", choices=("auto", "single", "bfloat16"), default="auto")
    parser.add_argument("--compile", action="store_true", help="torch.compile, with CUDA graphs on a GPU")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is JSON always")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    workers = Workers(0, 1, device)
    rows: list[dict[str, Any]] = []
    for batch in map(int, options.batches.split(",")):
        changes = {"batch": batch, "precision": options.precision, "compile": options.compile}
        ours = Ours(hole_alone().model_copy(update=changes), options.data, workers)
        rate = measured(ours, device, options.steps)
        row = {"batch": batch, "steps_a_second": round(rate, 2), "samples_a_second": round(rate * batch, 1)}
        if device.type == "cuda":
            row["peak_GPU_MB"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
            torch.cuda.reset_peak_memory_stats(device)
        rows.append(row)
    of_18 = next((row["steps_a_second"] for row in rows if row["batch"] == BATCH), None)
    best = max(rows, key=lambda row: row["samples_a_second"])
    result = {
        "benchmark": "saturation",
        "rows": rows,
        "saturated_at": next(row["batch"] for row in rows if row["samples_a_second"] >= 0.9 * best["samples_a_second"]),
        "hours_for_a_million_steps_of_18_extrapolated": None if not of_18 else round(1e6 / of_18 / 3600, 2),
        "precision": precision_name(hole_alone().model_copy(update={"precision": options.precision}), device),
        "compile": options.compile,
        "n_steps": options.steps,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "machine": f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
