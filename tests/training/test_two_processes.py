from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from climrecon.errors import UsageError
from climrecon.training.banks import Choices
from climrecon.training.distributed import Workers
from helpers import forked, stopped_together, two_processes

TESTS = Path(__file__).parents[1]


def taken(name: str, folder: Path, processes: int, batch: int) -> dict[str, Any]:
    for answer in forked.torchrun(processes, two_processes.main, name, folder, batch):
        assert answer.returncode == 0, answer.stderr[-3000:]
    found = [dict(torch.load(folder / f"{rank}_gradients.pt", weights_only=True)) for rank in range(processes)]
    for other in found[1:]:  # every process ends with the weights that were best, which rank 0 alone knows
        for key, value in found[0]["network"].items():
            assert torch.equal(other["network"][key], value), key
    return found[0]


@pytest.mark.parametrize(("name", "together", "batch"), [("kadow2020", 2, 6), ("punet", 2, 6), ("kadow2020", 3, 7)])
def test_processes_over_gloo_give_the_gradients_of_one(name: str, together: int, batch: int, tmp_path: Path) -> None:
    """Also where some have a sample more than others."""
    results = []
    for processes in (1, together):
        folder = tmp_path / str(processes)
        folder.mkdir()
        results.append(taken(name, folder, processes, batch))
    alone, shared = results
    assert (alone["world"], shared["world"]) == (1, together)
    assert any(g.abs().max() > 1e-3 for g in alone["gradients"].values())
    for key, gradient in alone["gradients"].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(shared["gradients"][key], gradient, atol=1e-5 * scale + 1e-7, rtol=1e-4, msg=key)
    for key, value in alone["network"].items():
        torch.testing.assert_close(shared["network"][key].float(), value.float(), atol=2e-4, rtol=1e-3, msg=key)


def test_three_processes_stop_together_and_go_on_bit_for_bit(tmp_path: Path) -> None:
    """A file asks them to stop; the order in which three numbers are summed shows in their last bits."""
    hashes = {}
    for kind in ("whole", "stopped"):
        folder = tmp_path / kind
        (folder / "fit").mkdir(parents=True)
        if kind == "stopped":
            # It is there from the beginning: all stop after the first step.
            (folder / "stop").touch()
            environment = {**os.environ, "CLIMRECON_STOP_FILE": str(folder / "stop")}
            torchrun(folder, environment)
            said = [(folder / f"{rank}.stopped").read_text() for rank in range(3)]
            assert all("after step 1 of" in text for text in said)
            assert "its batch job" in said[0]
        for answer in forked.torchrun(3, stopped_together.main, folder, 6):
            assert answer.returncode == 0, answer.stderr[-3000:]
        hashes[kind] = {(folder / f"{rank}.sha256").read_text() for rank in range(3)}
    assert len(hashes["whole"]) == 1
    assert hashes["whole"] == hashes["stopped"]


def torchrun(folder: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3"]
    answer = subprocess.run(
        [*command, "-m", "helpers.stopped_together", str(folder), "6"],
        capture_output=True, text=True, check=False, cwd=TESTS, env=environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]


def test_a_batch_smaller_than_the_processes_is_refused() -> None:
    with pytest.raises(UsageError, match="A batch of 2 cannot be shared by 3 processes"):
        Choices(0, 2, (5, 5), Workers(1, 3, torch.device("cpu")))
    shares = [Choices(0, 7, (5,), Workers(rank, 3, torch.device("cpu"))) for rank in range(3)]
    assert sum(share.at(0).shape[1] for share in shares) == 7
    assert sum(share.weight for share in shares) == pytest.approx(3.0)
