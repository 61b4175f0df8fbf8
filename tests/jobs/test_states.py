"""What is said of jobs, from what Slurm says and what the jobs wrote; every row made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from climrecon.errors import DependencyError, UsageError
from climrecon.jobs import commands, record
from climrecon.jobs.commands import Row, SlurmSilent
from climrecon.jobs.follow import follow, summary
from climrecon.jobs.messages import JobError, refusal, tail
from climrecon.jobs.record import Chain, Submitted, find_chain, new_chain, read_chain, remember
from climrecon.jobs.states import endings, states_of


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    made = new_chain(tmp_path / "o", "train", "digest", False)
    jobs = (Submitted("prepare", 10, (0, 2), True, "01:00:00"), Submitted("train", 11, (0,), False, "12:00:00"))
    made = replace(made, jobs=jobs)
    made.save()
    return made


def say(chain: Chain, stage: str, part: int, state: str, **more: Any) -> None:
    content = {
        "job": {"prepare": 10, "train": 11}[stage],
        "part": part,
        "state": state,
        "exit_code": 0,
        "links": 1,
        "node": "n1",
        **more,
    }
    (chain.folder / "status" / f"{stage}-{part}.json").write_text(json.dumps(content))


def row(state: str, reason: str = "None", start: str = "N/A") -> Row:
    return Row(state, reason, start, "n1")


def states(chain: Chain, rows: dict[str, Row] | None) -> list[str]:
    return [state.state for state in states_of(chain, rows)]


def test_a_record_can_be_read_again(chain: Chain) -> None:
    assert read_chain(chain.folder) == chain
    assert find_chain(str(chain.folder.parents[1])) == chain
    (chain.folder / "chain.json").write_text('{"schema_version": 99}')
    with pytest.raises(UsageError, match="another version"):
        read_chain(chain.folder)


def test_the_list_leads_to_the_runs(chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(record, "_index", lambda: tmp_path / "state")
    assert remember(chain) is None
    assert find_chain(chain.id) == find_chain("11") == chain
    with pytest.raises(UsageError, match="climrecon jobs list"):
        find_chain("999")
    monkeypatch.setattr(record, "_index", lambda: Path("/proc/climrecon"))
    assert "is not in the list" in str(remember(chain))


def test_what_slurm_says_counts(chain: Chain) -> None:
    rows = {"10_0": row("COMPLETED"), "10_2": row("TIMEOUT"), "11": row("PENDING", "Dependency")}
    assert states(chain, rows) == ["done", "timed out", "queued"]
    # A job that was told to stop ends its script badly; it was cancelled, or continues, not failed.
    say(chain, "train", 0, "stopped", exit_code=75)
    assert states(chain, {**rows, "11": row("FAILED", "NonZeroExitCode")})[2] == "cancelled"
    say(chain, "train", 0, "unfinished", exit_code=75, links=20)
    assert states(chain, {**rows, "11": row("FAILED", "NonZeroExitCode")})[2] == "unfinished"
    for reason in ("PartitionTimeLimit", "DependencyNeverSatisfied", "launch failed requeued held"):
        assert states(chain, {**rows, "11": row("PENDING", reason)})[2] == "impossible"
    assert states(chain, {**rows, "11": row("PENDING", "JobHeldAdmin")})[2] == "held"


def test_what_slurm_has_forgotten_is_known_from_the_jobs_and_from_before(chain: Chain) -> None:
    say(chain, "prepare", 0, "done")
    say(chain, "prepare", 2, "failed", exit_code=4)
    assert states(chain, {}) == ["done", "failed", "lost"]
    # A status that an earlier submission left is not this job's.
    say(chain, "train", 0, "done", job=3)
    assert states(chain, {})[2] == "lost"
    seen = states_of(chain, {"10_0": row("COMPLETED"), "10_2": row("NODE_FAIL"), "11": row("CANCELLED")})
    kept = chain.with_ended(endings(chain, seen))
    assert states(kept, {}) == states(read_chain(chain.folder), {}) == ["done", "node failed", "cancelled"]


def test_while_slurm_is_silent_nothing_is_called_lost(chain: Chain) -> None:
    say(chain, "prepare", 0, "running")
    assert states(chain, None) == ["running", "queued", "queued"]


def test_one_line_says_how_it_fares(chain: Chain) -> None:
    waiting = {
        "10_0": row("RUNNING"),
        "10_2": row("PENDING", "Resources", "2026-01-02T03:04:05"),
        "11": row("PENDING", "Dependency"),
    }
    text = summary(chain, states_of(chain, waiting))
    assert text == "prepare (job 10): 1 running + 1 queued of 2, queued (Resources), starts about 2026-01-02 03:04"
    (chain.folder / "progress" / "train-0.json").write_text(
        json.dumps({"text": "Training x", "done": 30, "total": 100, "rate": 2.5})
    )
    say(chain, "train", 0, "running", links=3)
    text = summary(chain, states_of(chain, {"10_0": row("COMPLETED"), "10_2": row("COMPLETED"), "11": row("RUNNING")}))
    assert text == "train (job 11): running on n1 (link 3), Training x, 30 of 100, 2.5 it/s"


class Listener:
    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, text: str) -> None:
        self.said.append(text)

    def state(self, text: str) -> None:
        self.said.append(text)

    def warning(self, text: str) -> None:
        self.said.append(f"warning: {text}")


def test_a_slurm_that_falls_silent_is_waited_for(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"10_0": row("COMPLETED"), "10_2": row("COMPLETED"), "11": row("COMPLETED")}
    answers: list[Any] = [
        {**done, "11": row("RUNNING")},
        SlurmSilent("Slurm does not answer: x."),
        SlurmSilent("again"),
        done,
    ]

    def queue(numbers: object) -> dict[str, Row]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(commands, "queue", queue)
    monkeypatch.setattr("climrecon.jobs.follow.ASK", 0.0)
    listener = Listener()
    follow(chain, listener, sleep=lambda _: None)
    assert not answers
    assert [text for text in listener.said if "warning" in text] == [
        "warning: Slurm does not answer: x. The jobs go on without us; waiting for it."
    ]


def test_the_cause_is_named_not_what_followed_from_it(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"10_0": row("COMPLETED"), "10_2": row("OUT_OF_MEMORY"), "11": row("CANCELLED", "Dependency")}
    monkeypatch.setattr(commands, "queue", lambda numbers: rows)
    cancelled: list[object] = []
    monkeypatch.setattr(commands, "cancel", cancelled.append)
    chain.log("prepare", 2).write_text("".join(f"line {i}\n" for i in range(40)) + "a\rb\rtoo much\n")
    with pytest.raises(JobError, match="prepare part 2 .*more memory than it had asked for") as caught:
        follow(chain, Listener(), sleep=lambda _: None)
    assert cancelled == [[11, 10]]
    assert "too much" in str(caught.value)
    assert "line 38" in str(caught.value)
    assert "line 5\n" not in str(caught.value)
    assert "[slurm] memory" in str(caught.value)


@pytest.mark.parametrize(("code", "ends_with"), [(4, 4), (1, 8), (139, 8), (75, 8)])
def test_the_exit_code_is_the_jobs_where_it_is_a_documented_one(code: int, ends_with: int) -> None:
    assert JobError("x", None, code).exit_code == ends_with


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sbatch: error: invalid partition specified: x", "gpu_partition"),
        ("Invalid account or account/partition combination specified", "account"),
        ("Requested node configuration is not available", "Ask for less"),
        ("Invalid generic resource (gres) specification", "gres"),
        ("Something new", "climrecon settings"),
    ],
)
def test_each_refusal_names_what_to_change(text: str, hint: str) -> None:
    assert hint in refusal("train", text, [])[1]


def test_the_end_of_a_log_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "absent") == []


def test_a_missing_program_is_a_missing_dependency(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match="no program squeue"):
        commands.queue([1])


def test_a_silent_program_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "scancel"
    program.write_text("#!/bin/sh\nsleep 5\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(commands, "PATIENCE", 0.2)
    with pytest.raises(SlurmSilent, match="gave no answer"):
        commands._call(["scancel"], 0.2)
