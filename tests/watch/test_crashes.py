"""Whatever ends a look, the next one finishes it: no release lost, none run twice, ``latest`` never broken."""

from __future__ import annotations

import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from climrecon.errors import OutputError
from climrecon.tasks import run as tasks_run
from climrecon.watch import check, lock, notify, publish
from climrecon.watch import run as watch_run
from climrecon.watch.releases import decide
from climrecon.watch.state import State
from climrecon.workflow import run_folder
from watch.conftest import NEW, OLD, Watching, die, finished_by_next_look, in_child


def test_killed_before_every_single_commit(updated: Watching) -> None:
    """A look writes to the state some dozen times; it is killed before each of them is committed."""
    import shutil

    start = updated.output.parent / "start"
    shutil.copytree(updated.output, start, symlinks=True)
    change = State.change
    died = 0
    for number in range(1, 60):
        shutil.rmtree(updated.output)
        shutil.copytree(start, updated.output, symlinks=True)
        (updated.output.parent / "ended").write_text("")
        calls = 0

        @contextmanager
        def deadly(self: State, fatal: int = number) -> Iterator[sqlite3.Connection]:
            nonlocal calls
            with change(self) as db:
                yield db
                calls += 1
                if calls == fatal:
                    die()

        def killed(deadly: Any = deadly) -> int:
            State.change = deadly  # type: ignore[method-assign]
            return updated().code

        code = in_child(killed)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        died += 1
        finished_by_next_look(updated)
    assert 12 <= died < 59


PLACES: dict[str, tuple[Any, str, bool]] = {
    "before the run": (tasks_run, "run_task", False),
    "in the run, before its manifest": (run_folder, "write_manifest", False),
    "in the run, with its manifest still hidden": (run_folder, "write_manifest", True),
    "after the run": (watch_run, "after_run", False),
    "in the checks": (check, "run_checks", False),
    "after the netCDF of the report": (check, "write_changes", True),
    "after the page of the report": (check, "write_change_report", True),
    "before the link": (publish, "switch", False),
    "with the link switched": (publish, "switch", True),
    "before a notification": (notify, "deliver", False),
    "after a notification": (notify, "deliver", True),
}


@pytest.mark.parametrize("place", PLACES)
def test_killed_in_each_stage(place: str, updated: Watching) -> None:
    module, name, after = PLACES[place]

    def killed() -> int:
        real = getattr(module, name)

        def deadly(*arguments: Any, **named: Any) -> Any:
            if after:
                real(*arguments, **named)
            die()

        setattr(module, name, deadly)
        return updated().code

    assert in_child(killed) == -signal.SIGKILL
    finished_by_next_look(updated)


def test_killed_between_the_new_link_and_its_renaming(updated: Watching) -> None:
    def killed() -> int:
        replace = Path.replace

        def deadly(self: Path, target: Any) -> Any:
            if Path(target).name == "latest":
                die()
            return replace(self, target)

        Path.replace = deadly  # type: ignore[method-assign]
        return updated().code

    assert in_child(killed) == -signal.SIGKILL
    assert [path.name for path in updated.output.glob(".latest.*")]
    finished_by_next_look(updated)


def test_killed_while_an_old_release_is_removed(updated: Watching) -> None:
    updated.settings["keep"] = 1

    def killed() -> int:
        import shutil

        shutil.rmtree = lambda *a, **k: die()  # type: ignore[assignment]
        return updated().code

    # The run itself removes its own hidden folder with the same function, so the look dies there or later.
    assert in_child(killed) == -signal.SIGKILL
    answer = updated()
    assert (answer.code, updated.latest) == (0, NEW)
    assert [path.name for path in (updated.output / "releases").iterdir()] == [NEW]
    assert updated.stages() == {OLD: "removed", NEW: "published"}


def test_sigterm_ends_a_look_cleanly(updated: Watching) -> None:
    from climrecon.errors import Interrupted

    def stopped() -> int:
        def interrupt(*arguments: Any, **named: Any) -> Any:
            raise Interrupted("Stopped by SIGTERM.")

        run_folder.write_manifest = interrupt  # type: ignore[attr-defined]
        try:
            return updated().code
        except Interrupted as error:
            return error.exit_code

    assert in_child(stopped) == 130
    with lock.only_watcher(updated.state()) as other:
        assert other is None
    finished_by_next_look(updated)


def test_a_full_disk_loses_nothing(updated: Watching) -> None:
    size = (updated.output / "watch.sqlite").stat().st_size

    def full(limit: int) -> Callable[[], int]:
        def look() -> int:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                return updated().code
            except OutputError as error:
                return error.exit_code

        return look

    # Nothing fits; the state fits, but no result; the result fits, but not the report.
    for limit in (size // 4, size + 20_000, size + 60_000):
        assert in_child(full(limit)) == OutputError.exit_code, limit
        assert updated.latest == OLD
    assert updated().code == 0
    assert updated.latest == NEW


def test_a_failed_run_is_tried_a_few_times_and_again_when_someone_asks(
    updated: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    from climrecon.errors import NetworkError

    run = tasks_run.run_task
    tries = []

    def broken(*arguments: Any, **named: Any) -> Any:
        tries.append(1)
        raise NetworkError("The network is broken.")

    monkeypatch.setattr(tasks_run, "run_task", broken)
    answers = [updated() for _ in range(5)]
    assert [answer.code for answer in answers] == [5] * 5
    assert len(tries) == 3
    assert "The network is broken" in answers[-1].message
    assert updated.latest == OLD
    monkeypatch.setattr(tasks_run, "run_task", run)
    assert updated().code == 5
    decide(updated.output, accept=None, confirm=False, retry=True)
    finished_by_next_look(updated)
