from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.test_cli import run
from climrecon.errors import UsageError
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet
from climrecon.workflow.stage import Stage, one_stage, run_stages


def stages(done: set[tuple[str, int]], ran: list[tuple[str, int]]) -> tuple[Stage, ...]:
    def make(name: str, parts: int, last: bool) -> Stage:
        def go(part: int, reporter: object) -> Outcome | None:
            ran.append((name, part))
            return Outcome(None, {"status": "done"}) if last else None

        return Stage(name, go, parts, lambda part: (name, part) in done)

    return make("prepare", 3, False), make("train", 1, True)


def test_stages_run_in_order_and_what_is_done_is_skipped() -> None:
    ran: list[tuple[str, int]] = []
    outcome = run_stages(stages({("prepare", 1)}, ran), Quiet())
    assert ran == [("prepare", 0), ("prepare", 2), ("train", 0)]
    assert outcome.manifest == {"status": "done"}


def test_a_stage_or_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="prepare, train"):
        one_stage(stages(set(), []), "prepar", 0)
    with pytest.raises(UsageError, match="parts 0 to 2; 3 is none"):
        one_stage(stages(set(), []), "prepare", 3)


def test_a_stage_is_a_command_line(demo: Path, tmp_path: Path) -> None:
    parameters = {
        "catalogue": str(demo / "catalogue.json"), "period": "1877", "plots": "false", "report": "false",
        "outputdir": str(tmp_path / "o"),
    }  # fmt: skip
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"parameters": parameters, "run": {"id": "7"}}))
    answer = run("stage", "reconstruct", config)
    assert answer.returncode == 0, answer.stderr
    assert json.loads((tmp_path / "o" / "manifest.json").read_text())["run_id"] == "7"
    assert run("stage", "train", config).returncode == 2
