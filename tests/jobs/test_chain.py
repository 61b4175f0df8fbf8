"""Chains of jobs in a real Slurm, through the command line."""

from __future__ import annotations

import hashlib
import json
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.cluster import Cluster
from helpers.user import User, wait_until

pytestmark = pytest.mark.slow


def test_a_chain_runs_and_a_second_submission_does_only_what_is_missing(user: User, tmp_path: Path) -> None:
    output = tmp_path / 'it\'s a "folder"; $(touch hacked)'
    config = user.config(output)
    answer = user.run("run", config)
    assert answer.returncode == 0, answer.stderr
    assert "collected 3 parts" in answer.stdout
    for words in ("Submitting 3 jobs", "prepare: job", "3 parts", "all jobs done"):
        assert words in answer.stderr
    # Asked for on its own: the job saw the GPU that Slurm gave it, and no other.
    assert json.loads((output / "trained.json").read_text())["gpu"] == "0"
    assert set(user.states(output).values()) == {"done"}
    shown = user.jobs("list")[0]
    assert (shown["state"], shown["task"], shown["output"]) == ("done", "train", str(output))
    (folder,) = (output / "jobs").iterdir()
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.sh")} == {0o700}
    logs = sorted((folder / "logs").iterdir())
    assert [path.name for path in logs] == [
        "collect-0.log", "prepare-0.log", "prepare-1.log", "prepare-2.log", "train-0.log",
    ]  # fmt: skip
    assert all(path.stat().st_mode & stat.S_IRGRP for path in logs)
    assert not list(tmp_path.rglob("hacked"))

    (output / "prepared-1").unlink()
    times = {part: (output / f"prepared-{part}").read_text() for part in (0, 2)}
    again = user.run("run", config)
    assert again.returncode == 0, again.stderr
    assert times == {part: (output / f"prepared-{part}").read_text() for part in (0, 2)}
    # What hangs on a part that was made anew is looked at anew, in its job.
    assert "prepare: job" in again.stderr
    third = user.run("run", config)
    assert "prepare: done already" in third.stderr
    assert "train: done already" in third.stderr
    assert "Submitting 1 job " in third.stderr


def test_an_open_umask_is_not_needed_for_colleagues_to_read(user: User, tmp_path: Path) -> None:
    output = tmp_path / "o"
    command = user.command("run", user.config(output, {"parts": 1}))
    answer = subprocess.run(command, env=user.environment, umask=0o077, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    made = [output / "manifest.json", *output.glob("jobs/*/logs/*.log")]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o640}


def test_a_failed_job_says_why_and_the_next_submission_finishes(user: User, tmp_path: Path) -> None:
    output = tmp_path / "o"
    config = user.config(output, {"fail": "train"})
    answer = user.run("run", config)
    # The exit code is the job's own: input data unusable.
    assert answer.returncode == 4, answer.stderr
    for words in (
        "The stage train",
        "failed with exit code 4",
        "the file for train is broken",
        "Mend it.",
        "only what is missing",
    ):
        assert words in answer.stderr
    assert not (output / "manifest.json").exists()
    assert user.jobs("list")[0]["state"] == "failed"
    states = user.states(output)
    assert states["prepare 2"] == "done"
    assert states["train 0"] == "failed"
    assert states["collect 0"] == "cancelled"
    assert "the file for train is broken" in user.run("jobs", "show", output).stdout
    wait_until(lambda: not user.live(output), "an empty queue")
    config = user.config(output)
    again = user.run("run", config)
    assert again.returncode == 0, again.stderr
    assert "prepare: done already" in again.stderr


@pytest.mark.parametrize("how", ["caller", "scancel", "climrecon"])
def test_cancelling(how: str, user: User, tmp_path: Path) -> None:
    output = tmp_path / "o"
    child = user.start("run", user.config(output, {"steps": 2000, "seconds": 0.05, "parts": 1}))
    wait_until(lambda: any(output.glob("jobs/*/progress/train-0.json")), "the training to begin")
    job = next(part["job"] for part in user.jobs("show", output)["parts"] if part["stage"] == "train")
    if how == "caller":
        child.send_signal(signal.SIGTERM)
    elif how == "scancel":
        user.cluster.call("scancel", str(job))
    else:
        assert "Cancelled the jobs" in user.run("jobs", "cancel", output).stdout
    said, _ = child.communicate(timeout=60)
    assert child.returncode == (130 if how == "caller" else 8), said
    assert ("of this run were cancelled" if how == "caller" else "was cancelled") in said
    wait_until(lambda: not user.live(output), "an empty queue")
    assert user.states(output)["train 0"] == "cancelled"
    assert user.jobs("list")[0]["state"] == "cancelled"
    # Nothing is lost: the stage saved its state, and the next submission goes on from there.
    assert json.loads((output / "state.json").read_text())[0] >= 1
    assert not (output / "manifest.json").exists()


def test_a_lost_connection_does_not_cancel_the_jobs(user: User, tmp_path: Path) -> None:
    output = tmp_path / "o"
    child = user.start("run", user.config(output, {"steps": 40, "seconds": 0.1, "parts": 1}))
    wait_until(lambda: any(output.glob("jobs/*/progress/train-0.json")), "the training to begin")
    child.send_signal(signal.SIGHUP)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGHUP
    # It went on without the caller, and whoever connects again gets its outcome.
    followed = user.run("jobs", "follow", output)
    assert followed.returncode == 0, followed.stderr
    assert "collected 1 parts" in followed.stdout
    assert set(user.states(output).values()) == {"done"}


def test_a_detached_run_goes_on_and_can_be_followed(user: User, tmp_path: Path) -> None:
    output = tmp_path / "o"
    config = user.config(output, {"steps": 40, "seconds": 0.1, "parts": 1}, detach=True)
    answer = user.run("run", config)
    assert answer.returncode == 0, answer.stderr
    assert "Submitted as run" in answer.stdout
    assert not (output / "manifest.json").exists()
    # The same call again must not start it twice; another one must not write into the same folder.
    assert "its jobs are followed" in user.run("run", config).stderr
    other = user.run("run", user.config(output, {"steps": 40, "seconds": 0.1, "parts": 1}, seed=3))
    assert other.returncode == 2
    assert "climrecon jobs cancel" in other.stderr
    followed = user.run("jobs", "follow", output)
    assert followed.returncode == 0, followed.stderr
    assert "collected 1 parts" in followed.stdout
    assert "running on n" in followed.stderr


def test_a_requeued_job_ends_well(user: User, tmp_path: Path) -> None:
    output = tmp_path / "o"
    child = user.start("run", user.config(output, {"steps": 40, "seconds": 0.1, "parts": 1}))
    wait_until(lambda: any(output.glob("jobs/*/progress/train-0.json")), "the training to begin")
    job = next(part["job"] for part in user.jobs("show", output)["parts"] if part["stage"] == "train")
    user.cluster.call("scontrol", "requeue", str(job))
    said, _ = child.communicate(timeout=400)
    assert child.returncode == 0, said
    assert "(link 2)" in said
    assert json.loads((output / "trained.json").read_text())["value"] == uninterrupted(40)


def uninterrupted(steps: int) -> str:
    value = "seed"
    for _ in range(steps):
        value = hashlib.sha256(value.encode()).hexdigest()
    return value


def test_a_drained_node_makes_jobs_wait_and_say_so(user: User, cluster: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "o"
    user.site(gpu_partition="single")
    cluster.call("scontrol", "update", "NodeName=n3", "State=DRAIN", "Reason=test")
    try:
        child = user.start("run", user.config(output, {"parts": 1}))

        def waits() -> Any:
            if not any(output.glob("jobs/*/chain.json")):
                return False
            parts = user.jobs("show", output)["parts"]
            return len(parts) == 3 and parts[1]["state"] == "queued" and "DRAINED" in parts[1]["reason"]

        wait_until(waits, "the drained node to be named")
    finally:
        cluster.call("scontrol", "update", "NodeName=n3", "State=RESUME")
    said, _ = child.communicate(timeout=300)
    assert child.returncode == 0, said
    assert "DRAINED" in said


@pytest.mark.parametrize(
    ("slurm", "words"),
    [
        ({"gpus_per_node": 8}, ("Slurm refused the job of the stage train", "gpu:4", "fewer nodes, GPUs")),
        ({"gpu_nodes": 3}, ("wants 3 nodes, and the partition has 2", "gpu: 2 nodes of 16 cores", "Ask for less")),
        ({"gpu_partition": "nonsense"}, ("invalid partition", "shared*", "[slurm] partition")),
        ({"gpu_walltime": "10:00:00"}, ("longer than the partition's 1:00:00", "Ask for less time")),
        # Its constraint is looked at when its turn comes, not when it is submitted.
        ({"gpu_memory": "999G"}, ("Slurm refused the job of the stage train", "64000 MB", "less memory")),
        ({"gpu_constraint": "a100_80"}, ("Slurm refused", "gpu_constraint")),
        ({"account": "", "account_required": True}, ("need an account", "[slurm] table")),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_and_explained(
    slurm: dict[str, Any], words: tuple[str, ...], user: User, tmp_path: Path
) -> None:
    user.site(**slurm)
    output = tmp_path / "o"
    answer = user.run("run", user.config(output, {"parts": 1}))
    assert answer.returncode in (2, 8), answer.stderr
    for word in words:
        assert word in answer.stderr
    wait_until(lambda: not user.live(output), "an empty queue")
