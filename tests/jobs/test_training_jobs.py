"""The real, small training in a real Slurm: over two nodes of four GPUs, and past its time limit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers.user import User, wait_until
from jobs.conftest import TRAINING, LongRuns

pytestmark = pytest.mark.slow

SMALL = (
    "train", "--training-data", "cmip5", "--recipe", "kadow2020", "--plots=false", "--json",
)  # fmt: skip


def test_two_nodes_of_two_gpus_train_one_network(user: User, demo: Path, tmp_path: Path) -> None:
    """Four processes over gloo; stopped in between, they save one state and go on in a next link."""
    user.catalogue = demo / "catalogue.json"
    user.environment["CLIMRECON_STEP_SECONDS"] = "0.5"
    user.site([str(tmp_path / "store")], gpu_nodes=2, gpus_per_node=2, gpu_cpus_per_task=4)
    output = tmp_path / "o"
    child = user.start(
        *SMALL, "--network-name", "four", "--iterations", 8, "--cachedir", tmp_path / "cache", "--output", output
    )  # fmt: skip

    def begun() -> bool:
        found = list(output.glob("jobs/*/progress/train-0.json"))
        return bool(found) and bool(json.loads(found[0].read_text()).get("done"))

    wait_until(begun, "the first steps", 600)
    job = next(part["job"] for part in user.jobs("show", output)["parts"] if part["stage"] == "train")
    # What Slurm sends before the time limit.
    user.cluster.call("scancel", "--signal=USR1", "--batch", str(job))
    said, _ = child.communicate(timeout=900)
    assert child.returncode == 0, said
    (log,) = output.glob("jobs/*/logs/train-0.log")
    for words in ("the processes ended with exit code 75", "its state is saved"):
        assert words in log.read_text()
    (train,) = (part for part in user.jobs("show", output)["parts"] if part["stage"] == "train")
    assert (train["state"], train["links"], train["exit_code"]) == ("done", 2, 0)
    card = json.loads((output / "card.json").read_text())
    assert "4 processes" in card["training"]["hardware"]
    # Rank 0 alone wrote; what it wrote is a network.
    answer = user.run(
        "reconstruct", "--network", "four", "--output", tmp_path / "r", "--period", "1877", "--plots=false",
        "--report=false", "--compare-with", "none",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr


def test_a_training_past_its_time_limit_ends_as_the_uninterrupted_one(long_runs: LongRuns) -> None:
    """Bit for bit; both with one thread."""
    user, output = long_runs.trainer, long_runs.trained
    wait_until(lambda: (output / "manifest.json").exists(), "the training in links", 700)
    (train,) = (part for part in user.jobs("show", output)["parts"] if part["stage"] == "train")
    assert train["links"] >= 2  # more on a busy machine
    (log,) = output.glob("jobs/*/logs/train-0.log")
    assert "its state is saved" in log.read_text()
    # The same members, another place: in one go, in this process, without pauses.
    cache = user.folder / "uninterrupted"
    shutil.copytree(user.folder / "cache" / "training" / "members", cache / "training" / "members")
    config = user.config(user.folder / "again", cachedir=str(cache), **TRAINING)
    answer = user.run("stage", "train", config, CLIMRECON_STEP_SECONDS="0")
    assert answer.returncode == 0, answer.stderr
    (card,) = (cache / "training" / "runs").glob("*/network/card.json")
    found, expected = (json.loads(path.read_text()) for path in (output / "card.json", card))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["training"]["fingerprint"] == expected["training"]["fingerprint"]


def test_what_several_processes_fail_with_is_not_hidden_by_their_launchers(user: User, tmp_path: Path) -> None:
    user.site(gpus_per_node=2)
    answer = user.run("run", user.config(tmp_path / "o", {"parts": 1, "fail": "train"}))
    assert answer.returncode == 4, answer.stderr
    for words in ("failed with exit code 4", "the file for train is broken", "Mend it."):
        assert words in answer.stderr
