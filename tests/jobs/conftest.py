"""One real Slurm for all tests of batch jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.cluster import Cluster
from helpers.user import User


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("slurm")
    made = Cluster(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@dataclass(frozen=True)
class LongRuns:
    """Three runs that meet their time limit of one minute while other tests run; ``limited`` waits for its jobs.

    ``trained`` is the real training of :data:`TRAINING`.
    """

    user: User
    continued: Path
    limited: subprocess.Popen[str]
    limited_output: Path
    trainer: User
    trained: Path


#: 60 steps of at least 1.1 s in a job of a minute; at the most six seconds before its end it is told to stop.
TRAINING: dict[str, Any] = {
    "network_name": "limited", "training_data": "cmip5", "recipe": "kadow2020", "iterations": 60, "plots": False,
}  # fmt: skip


def _trained(cluster: Cluster, folder: Path, demo: Path) -> tuple[User, Path]:
    user = User(cluster, folder, demo / "catalogue.json")
    user.site(
        [str(folder / "store")], partition="slow", gpu_partition="slow", gpu_walltime="00:01:00", signal_seconds=6
    )
    user.environment["CLIMRECON_STEP_SECONDS"] = "1"
    output = folder / "trained"
    config = user.config(output, detach=True, cachedir=str(folder / "cache"), **TRAINING)
    answer = user.run("run", config)
    assert answer.returncode == 0, answer.stderr
    return user, output


@pytest.fixture(scope="session")
def long_runs(cluster: Cluster, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> LongRuns:
    trainer, trained = _trained(cluster, tmp_path_factory.mktemp("trained"), demo)
    user = User(cluster, tmp_path_factory.mktemp("long"))
    minute = {"walltime": "00:01:00", "gpu_walltime": "00:01:00", "signal_seconds": 1}
    user.site(partition="slow", gpu_partition="slow", **minute)
    continued, limited = user.folder / "continued", user.folder / "limited"
    # 66 s of work in jobs of 60 s.
    config = user.config(continued, {"parts": 1, "steps": 132, "seconds": 0.5}, detach=True)
    assert user.run("run", config).returncode == 0
    config = user.config(limited, {"parts": 1, "prepare_seconds": 300})
    return LongRuns(user, continued, user.start("run", config), limited, trainer, trained)


@pytest.fixture
def user(cluster: Cluster, long_runs: LongRuns, tmp_path: Path) -> User:
    return User(cluster, tmp_path)
