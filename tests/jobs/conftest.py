"""One real Slurm for all tests of batch jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from jobs.cluster import Cluster
from jobs.user import User


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
    """Two runs that meet their time limit of one minute while other tests run; ``limited`` waits for its jobs."""

    user: User
    continued: Path
    limited: subprocess.Popen[str]
    limited_output: Path


@pytest.fixture(scope="session")
def long_runs(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> LongRuns:
    user = User(cluster, tmp_path_factory.mktemp("long"))
    minute = {"walltime": "00:01:00", "gpu_walltime": "00:01:00", "signal_seconds": 1}
    user.site(partition="slow", gpu_partition="slow", **minute)
    continued, limited = user.folder / "continued", user.folder / "limited"
    # 66 s of work in jobs of 60 s.
    config = user.config(continued, {"parts": 1, "steps": 132, "seconds": 0.5}, detach=True)
    assert user.run("run", config).returncode == 0
    config = user.config(limited, {"parts": 1, "prepare_seconds": 300})
    return LongRuns(user, continued, user.start("run", config), limited)


@pytest.fixture
def user(cluster: Cluster, long_runs: LongRuns, tmp_path: Path) -> User:
    return User(cluster, tmp_path)
