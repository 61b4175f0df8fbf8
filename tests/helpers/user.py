"""A user of the cluster: a site file, a state folder, calls of the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

from helpers.cluster import Cluster
from helpers.measured import unmeasured

HERE = Path(__file__).resolve().parent
SLURM = {
    "partition": "shared", "gpu_partition": "gpu", "cpus_per_task": 1, "gpu_cpus_per_task": 1, "memory": "2G",
    "gpu_memory": "2G", "walltime": "00:05:00", "gpu_walltime": "00:05:00", "account": "ab0123",
}  # fmt: skip


class User:
    """``run`` calls ``python -m climrecon``; ``site`` writes the site file anew."""

    def __init__(self, cluster: Cluster, folder: Path, catalogue: Path | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.cluster, self.folder, self.catalogue = cluster, folder, catalogue
        self.site_file = folder / "climrecon.toml"
        self.environment = {
            **unmeasured(os.environ),
            **cluster.environment,
            "CLIMRECON_CONFIG": str(self.site_file),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(HERE / "trivial"),
            "CLIMRECON_TRIVIAL": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.site()

    def site(self, network_store: list[str] | None = None, **slurm: Any) -> None:
        content: dict[str, Any] = {"slurm": {**SLURM, **slurm}, "network_store": network_store or []}
        if self.catalogue:
            content["defaults"] = {"catalogue": str(self.catalogue)}
        self.site_file.write_text(tomli_w.dumps(content))

    def command(self, *arguments: Any) -> list[str]:
        return [sys.executable, "-m", "climrecon", *map(str, arguments)]

    def run(self, *arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env={**self.environment, **environment}, cwd=self.folder,
            capture_output=True, text=True, timeout=700, check=False,
        )  # fmt: skip

    def start(self, *arguments: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), env=self.environment, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            # As from a terminal, even where the tests run under nohup.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )  # fmt: skip

    def config(self, output: Path, behaviour: dict[str, Any] | None = None, **parameters: Any) -> Path:
        """A configuration of the trivial training that writes to ``output``."""
        output.mkdir(parents=True, exist_ok=True)
        (output / "behaviour.json").write_text(json.dumps(behaviour or {}))
        path = self.folder / f"{output.name}.json"
        values = {"task": "train", "network_name": "trivial", "dispatch": "slurm", "outputdir": str(output)}
        path.write_text(json.dumps({"parameters": {**values, **parameters}, "run": {"id": "7"}}))
        return path

    def jobs(self, *arguments: Any) -> Any:
        answer = self.run("jobs", *arguments, "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def live(self, output: Path) -> list[str]:
        """Names of the jobs that are queued or running for ``output``."""
        runs = [path.name for path in output.glob("jobs/*")]
        return [name for name in self.cluster.queue() if any(run in name for run in runs)]

    def states(self, output: Path) -> dict[str, str]:
        """State of every part: ``{"train 0": "done", ...}``."""
        return {f"{p['stage']} {p['part']}": p["state"] for p in self.jobs("show", output)["parts"]}


def wait_until(true: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := true():
            return value
        time.sleep(0.3)
    raise AssertionError(f"waited {seconds} s in vain for: {what}")
