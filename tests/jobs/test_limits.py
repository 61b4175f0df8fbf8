"""Jobs that meet their time limit, nodes that work together, and a Slurm that does not answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers.user import User, wait_until
from jobs.conftest import LongRuns
from jobs.test_chain import uninterrupted

pytestmark = pytest.mark.slow


def test_a_slurm_that_does_not_answer(user: User, tmp_path: Path) -> None:
    silent = tmp_path / "silent.conf"
    text = user.cluster.configuration.read_text()
    silent.write_text(re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=1", text))
    output = tmp_path / "o"
    answer = user.run("run", user.config(output, {"parts": 1}), SLURM_CONF=str(silent))
    assert answer.returncode == 7, answer.stderr
    assert "controller does not answer" in answer.stderr
    assert not (output / "jobs").exists()
    # auto goes on without it, and says so.
    config = user.config(output, {"parts": 1}, dispatch="auto")
    answer = user.run("run", config, SLURM_CONF=str(silent))
    assert answer.returncode == 0, answer.stderr
    assert "the stages run here, without a GPU" in answer.stderr


def test_without_slurm_it_says_so(user: User, tmp_path: Path) -> None:
    answer = user.run("run", user.config(tmp_path / "o"), PATH=str(tmp_path))
    assert answer.returncode == 7
    assert "Slurm is not installed here" in answer.stderr


def test_a_login_node_does_not_train(user: User, tmp_path: Path) -> None:
    output = tmp_path / "o"
    answer = user.run("run", user.config(output, {"parts": 1}, dispatch="local"))
    assert answer.returncode == 2
    assert "login node" in answer.stderr
    assert "allow_local_training" in answer.stderr
    assert not list(output.glob("prepared-*"))
    user.site(allow_local_training=True)
    answer = user.run("run", user.config(output, {"parts": 1}, dispatch="local"))
    assert answer.returncode == 0, answer.stderr
    assert not (output / "jobs").exists()


def test_auto_submits_a_training_and_runs_it_in_place_where_a_job_holds_a_gpu(user: User, tmp_path: Path) -> None:
    output = tmp_path / "submitted"
    answer = user.run("run", user.config(output, {"parts": 1}, dispatch="auto"))
    assert answer.returncode == 0, answer.stderr
    assert "Submitting 3 jobs" in answer.stderr
    # The only GPU is held by the job that calls: jobs of its own would wait for it for ever.
    user.site(gpu_partition="single", partition="single")
    for dispatch in ("auto", "slurm"):
        output = tmp_path / dispatch
        config = user.config(output, {"parts": 1}, dispatch=dispatch)
        command = ["srun", "--partition=single", "--gres=gpu:1", "--time=2", *user.command("run", config)]
        user.cluster.environment, before = user.environment, user.cluster.environment
        try:
            user.cluster.call(*command)
        finally:
            user.cluster.environment = before
        assert (output / "manifest.json").exists()
        assert not (output / "jobs").exists()
    # A job without a GPU submits, and is not in the way.
    output = tmp_path / "caller"
    config = user.config(output, {"parts": 1}, dispatch="auto")
    command = ["srun", "--partition=single", "--ntasks=1", "--mem=1G", "--time=2", *user.command("run", config)]
    user.cluster.environment, before = user.environment, user.cluster.environment
    try:
        user.cluster.call(*command)
    finally:
        user.cluster.environment = before
    assert set(user.states(output).values()) == {"done"}


def test_a_dry_run_shows_the_jobs(user: User, demo: Path, tmp_path: Path) -> None:
    user.catalogue = demo / "catalogue.json"
    user.site(constraint="a|b", mail_user="me@example.org", mail_type=["END", "FAIL"])
    answer = user.run("reconstruct", "--dryrun", "--dispatch", "slurm", "--output", tmp_path / "o", "--period", "1877")
    assert answer.returncode == 0, answer.stderr
    for word in (
        "as batch jobs",
        "reconstruct: sbatch --partition=shared",
        "--account=ab0123",
        "--mail-type=END,FAIL",
        "file system",
    ):
        assert word in answer.stdout
    assert not (tmp_path / "o").exists()


def test_a_reconstruction_as_a_job_equals_one_in_place(user: User, demo: Path, tmp_path: Path) -> None:
    user.catalogue = demo / "catalogue.json"
    user.site()
    hashes = []
    for dispatch in ("slurm", "auto"):
        output = tmp_path / dispatch
        answer = user.run(
            "reconstruct", "--dispatch", dispatch, "--output", output, "--period", "1877", "--plots=false",
            "--report=false", "--compare-with", "none", "--json",
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        manifest = json.loads(answer.stdout)
        assert manifest == json.loads((output / "manifest.json").read_text())
        hashes.append([entry["content_sha256"] for entry in manifest["outputs"] if entry["path"].endswith(".nc")])
        # A reconstruction needs nothing that this machine lacks.
        assert (output / "jobs").exists() == (dispatch == "slurm")
    assert hashes[0] == hashes[1]


def test_a_job_that_meets_its_time_limit_continues_in_a_next_link(long_runs: LongRuns) -> None:
    user, output = long_runs.user, long_runs.continued
    wait_until(lambda: (output / "manifest.json").exists(), "the continued run", 500)
    (train,) = (part for part in user.jobs("show", output)["parts"] if part["stage"] == "train")
    assert train["links"] >= 2  # more on a busy machine
    # Interrupted, it ends with what it would have ended with otherwise.
    assert json.loads((output / "trained.json").read_text())["value"] == uninterrupted(132)
    wait_until(lambda: set(user.states(output).values()) == {"done"}, "all jobs to end")


def test_a_stage_that_cannot_continue_says_that_it_hit_its_limit(long_runs: LongRuns) -> None:
    said, _ = long_runs.limited.communicate(timeout=450)
    assert long_runs.limited.returncode == 8, said
    for words in ("stage prepare", "hit its time limit of 00:01:00", "DUE TO TIME LIMIT", "Give it more time"):
        assert words in said
    assert long_runs.user.states(long_runs.limited_output)["prepare 0"] == "timed out"
