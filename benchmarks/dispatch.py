"""What dispatch adds to the wall time of a trivial chain: three parts, then one stage on a GPU, then a collection.

    python benchmarks/dispatch.py [--json] [--runs 5]

Starts a Slurm of its own, as the tests do (Debian's slurm-wlm and munge), with the tests' trivial task. In
the same run, one after the other: all stages in one process (dispatch=local); the same command lines in
scripts written by hand, chained with afterok, until the result is there (nobody waits in ten-second steps, as
``sbatch --wait`` does); dispatch=slurm until its caller has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from helpers.cluster import Cluster
from helpers.user import User


def timed(command: list[str], user: User) -> float:
    before = time.monotonic()
    answer = subprocess.run(command, env=user.environment, cwd=user.folder, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(answer.stderr)
    return time.monotonic() - before


def by_hand(config: Path, result: Path, user: User) -> float:
    """The same three jobs, written as a user would write them."""
    before = time.monotonic()
    command = shlex.join(user.command("stage"))
    after: list[str] = []
    for name, options in (
        ("prepare", ["--array=0-2"]),
        ("train", ["--partition=gpu", "--gres=gpu:1"]),
        ("collect", []),
    ):
        run = f"{command} {name} {shlex.quote(str(config))}"
        run += ' --part "$SLURM_ARRAY_TASK_ID"' if name == "prepare" else ""
        out = subprocess.run(
            ["sbatch", "--parsable", "--ntasks=1", "--mem=1G", "--output=hand.log", *options, *after, f"--wrap={run}"],
            env=user.environment, cwd=user.folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        after = [f"--dependency=afterok:{out.stdout.strip()}"]
    while not result.exists():
        if time.monotonic() - before > 120:
            raise SystemExit((user.folder / "hand.log").read_text())
        time.sleep(0.02)
    return time.monotonic() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"local": [], "by_hand": [], "slurm": []}
    with tempfile.TemporaryDirectory(prefix="climrecon-dispatch-") as name:
        cluster = Cluster(Path(name))
        try:
            cluster.start()
            user = User(cluster, Path(name) / "user")
            user.site(allow_local_training=True)
            for run in range(options.runs):
                for kind, values in seconds.items():
                    output = user.folder / f"{kind}-{run}"
                    dispatch = "slurm" if kind == "slurm" else "local"
                    config = user.config(output, {}, dispatch=dispatch)
                    made = output / "manifest.json"
                    if kind == "by_hand":
                        values.append(by_hand(config, made, user))
                    else:
                        values.append(timed(user.command("run", config), user))
                    if not made.exists():
                        raise SystemExit(f"{kind}: no result in {output}")
        finally:
            cluster.stop()
    middle = {kind: statistics.median(values) for kind, values in seconds.items()}
    result = {
        "benchmark": "dispatch of a trivial chain (3 parts, 1, 1)",
        "seconds_slurm": middle["slurm"],
        "reference_seconds_by_hand": middle["by_hand"],
        "reference_seconds_local": middle["local"],
        "added_to_local_s": middle["slurm"] - middle["local"],
        "added_to_by_hand_s": middle["slurm"] - middle["by_hand"],
        "ratio_to_by_hand": middle["slurm"] / middle["by_hand"],
        "range_s": {kind: [min(values), max(values)] for kind, values in seconds.items()},
        "n": options.runs,
        "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, Python {platform.python_version()}",
    }
    if options.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:28} {value:.2f}" if isinstance(value, float) else f"{key:28} {value}")


if __name__ == "__main__":
    main()
