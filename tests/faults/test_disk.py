"""Disks that are full, read-only, slow, closing or unreliable from a random call on, below a run and a watch.

The command ends well or with code 6 and its next step; what was there before stays whole until its successor is; the same
command on a sound disk then ends as if undisturbed, and leaves nothing of the run before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.faults import SECONDS, Counts
from helpers.faulty_disk import try_out


@pytest.mark.skipif(
    not shutil.which("cc"), reason="no compiler for the library that stands between a program and its disk"
)
@pytest.mark.parametrize("task", ["reconstruct", "watch"])
def test_faulty_disks(task: str, tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIMRECON_CONFIG", "")
    disks, problem = try_out(task, tmp_path, SECONDS)
    assert not problem, problem
    counts.of.update(disks)
    assert sum(disks.values()) > 0
