"""A large reconstruction as a job array in a real Slurm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.user import User

pytestmark = pytest.mark.slow


def configuration(user: User, output: Path, **more: Any) -> Path:
    return user.config(
        output, task="reconstruct", network_name="", period="1950-1966", realisations=2, plots=False, report=False,
        compare_with="none", cachedir=str(user.folder / "cache"), **more,
    )  # fmt: skip


def data(output: Path) -> tuple[str, str]:
    manifest = json.loads((output / "manifest.json").read_text())
    (entry,) = (entry for entry in manifest["outputs"] if entry["role"] == "reconstruction")
    return entry["content_sha256"], manifest["fingerprint"]


def test_an_array_gives_what_one_process_gives_and_does_only_what_is_missing(
    user: User, demo: Path, tmp_path: Path
) -> None:
    user.catalogue = demo / "catalogue.json"
    user.site()
    whole = tmp_path / "whole"
    answer = user.run("run", configuration(user, whole, dispatch="local"))
    assert answer.returncode == 0, answer.stderr
    # 204 months x 2,592 cells x (5 values and two members): three parts, as many as chunks.
    user.site(values_per_part=600_000)
    output = tmp_path / "parts"
    config = configuration(user, output)
    dry = user.run("run", configuration(user, tmp_path / "dry", dryrun=True))
    assert dry.returncode == 0, dry.stderr
    for words in (
        "parts: 3 blocks of months, 14.8 MB",
        "prepare: sbatch",
        "reconstruct, 3 parts: sbatch --partition=shared",
        "collect: sbatch",
        "scripts, logs and records: about 21 small files",
        "file system",
    ):
        assert words in dry.stdout, words
    # As an earlier submission might have left it.
    for stage in (("prepare",), ("reconstruct", "--part", 1)):
        answer = user.run("stage", stage[0], config, *stage[1:])
        assert answer.returncode == 0, answer.stderr
    answer = user.run("run", config)
    assert answer.returncode == 0, answer.stderr
    assert "prepare: done already" in answer.stderr
    assert "Submitting 2 jobs" in answer.stderr
    states = user.states(output)
    assert states == {"reconstruct 0": "done", "reconstruct 2": "done", "collect 0": "done"}
    assert data(output) == data(whole)
