"""Whatever ends a look, the next one finishes it: no release lost, none run twice, ``latest`` never broken."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from climrecon.errors import OutputError, UsageError
from climrecon.tasks import run as tasks_run
from climrecon.watch import advance, check, codes, lock, publish
from climrecon.watch import run as watch_run
from climrecon.watch.releases import decide
from climrecon.watch.state import RUNNING, State
from climrecon.workflow import run_folder
from watch.conftest import Watching

OLD, NEW = "HadCRUT.5.0.2.0_199001-199112", "HadCRUT.5.0.2.0_199001-199201"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def updated(watching: Watching, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Watching:
    """A watch with one release published and a second one there; whole runs leave a line in a file."""
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    assert watching().code == 0
    watching.archive.mean("5.0.2.0", 25)
    run: Callable[..., Any] = tasks_run.run_task
    ended = tmp_path / "ended"
    ended.touch()

    def counted(*arguments: Any, **named: Any) -> Any:
        outcome = run(*arguments, **named)
        with ended.open("a") as file:
            file.write("run\n")
        return outcome

    monkeypatch.setattr(tasks_run, "run_task", counted)
    return watching


def ended(watching: Watching) -> int:
    """Runs that came to their end, in whatever process."""
    return len((watching.output.parent / "ended").read_text().splitlines())


def in_child(work: Callable[[], int]) -> int:
    """Exit code of ``work`` in a process of its own, negative if a signal ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finished_by_next_look(watching: Watching) -> None:
    assert watching.latest in (OLD, NEW)  # never broken, also before anyone mends it
    answer = watching()
    assert answer.code == 0, answer.message
    assert watching.latest == NEW
    assert set(watching.stages().values()) == {"published"}
    assert (watching.output / "latest" / "changes.html").is_file()
    assert ended(watching) == 1
    hidden = [path.name for path in watching.output.rglob(".*")]
    assert not hidden
    assert watching().code == 0
    assert ended(watching) == 1


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
    "before a notification": (advance, "deliver", False),
    "after a notification": (advance, "deliver", True),
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


def test_watchers_at_once_run_a_release_once(updated: Watching) -> None:
    run = tasks_run.run_task

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.7)
        return run(*arguments, **named)

    def one() -> int:
        tasks_run.run_task = slow
        return updated().code

    children = []
    for _ in range(5):
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = one()
            finally:
                os._exit(code)
        children.append(child)
    ends = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert set(ends) <= {0, codes.WAITING}
    assert ends.count(codes.WAITING) >= 1
    assert ended(updated) == 1
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


def test_the_lock_of_a_killed_watcher_is_free_at_once(updated: Watching) -> None:
    """A watcher in the middle of a run keeps others out, by its process and host; killed, it holds nothing."""
    started, go_on = updated.output.parent / "started", updated.output.parent / "go_on"

    def slow(*arguments: Any, **named: Any) -> Any:
        started.touch()
        while not go_on.exists():
            time.sleep(0.02)

    child = os.fork()
    if child == 0:
        tasks_run.run_task = slow
        try:
            updated()
        finally:
            os._exit(1)
    try:
        while not started.exists():
            time.sleep(0.02)
        answer = updated()
        assert answer.code == codes.WAITING
        assert f"process {child} on {socket.gethostname()}" in answer.message
        with pytest.raises(UsageError, match="is at work"):
            decide(updated.output, accept=None, confirm=True, retry=False)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    finished_by_next_look(updated)


def test_a_process_is_known_by_host_boot_and_start() -> None:
    child = subprocess.Popen(["sleep", "60"])
    identity = lock.identity(child.pid)
    assert lock.runs(identity) is True
    child.kill()
    child.wait()
    assert lock.runs(identity) is False
    mine = lock.identity(os.getpid())
    assert lock.runs({**mine, "started": "1"}) is False  # the number was given to another process
    assert lock.runs({**mine, "boot": "before"}) is False
    assert lock.runs({**mine, "host": f"not-{socket.gethostname()}"}) is None


def test_a_state_of_the_version_before_goes_on(updated: Watching) -> None:
    """Tables and columns as version 0.1 made them: nothing is run or announced again."""
    state = updated.state()
    with state.change() as db:
        for table in ("lock", "looks", "settling", "world"):
            db.execute(f"CREATE TABLE {table} (key TEXT PRIMARY KEY)")
        for table in ("releases", "stops"):
            db.execute(f"ALTER TABLE {table} RENAME COLUMN notified TO told")
        db.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    state.close()
    state = updated.state()
    assert [(release.name, release.notified) for release in state.releases()] == [(OLD, "published")]
    assert state.get("schema") == "2"
    state.put("schema", "3")
    state.close()
    with pytest.raises(OutputError, match="newer climrecon"):
        updated()


def test_a_run_that_outlives_its_watcher_is_not_started_twice(updated: Watching) -> None:
    """A watcher killed while the host runs: the host's process goes on, and the next look waits for it."""
    host = subprocess.Popen(["sleep", "60"])
    try:

        def killed() -> int:
            def started(context: Any, release: Any, folder: Path) -> None:
                watch_run._note_child(context, release, host.pid)
                die()

            watch_run._through_freva = started
            return _through_freva(updated)

        assert in_child(killed) == -signal.SIGKILL
        assert [r.stage for r in updated.state().releases()][-1] == RUNNING
        for _ in range(2):
            answer = updated()
            assert answer.code == codes.WAITING
            assert str(host.pid) in answer.message
        assert ended(updated) == 0
        # On another host nobody can tell; a person can.
        state = updated.state()
        release = state.releases()[-1]
        state.update(release, child={**release.content["child"], "host": "elsewhere"})
        state.close()
        assert "--retry" in updated().message
    finally:
        host.kill()
        host.wait()
    decide(updated.output, accept=None, confirm=False, retry=True)
    finished_by_next_look(updated)


def _through_freva(watching: Watching) -> int:
    from climrecon.settings.site import Site, SiteFile
    from climrecon.settings.watch import Watch
    from climrecon.watch.context import Options
    from climrecon.watch.watcher import look
    from climrecon.workflow.progress import Quiet

    raw = {"catalogue": str(watching.archive.catalogue), **watching.raw, "outputdir": str(watching.output)}
    options = Options(Watch(settle_seconds=0.0), through="freva", freva="/bin/true")
    return look(raw, Site(SiteFile()), options, Quiet()).code


def test_a_clock_that_goes_back_or_ahead_changes_nothing(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    watching.settings["settle_seconds"] = 900.0
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 10 * 86400.0)  # the files are from the future now
    assert (watching().code, watching().code, watching.runs) == (codes.WAITING, 0, 1)
    watching.archive.mean("5.0.2.0", 25)
    assert (watching().code, watching().code, watching.runs) == (codes.WAITING, 0, 2)
    monkeypatch.setattr(time, "time", lambda: real() + 3650 * 86400.0)
    assert (watching().code, watching.runs, watching.latest) == (0, 2, NEW)
    for path in watching.archive.folder.glob("*.nc"):
        os.utime(path, (0, 0))
    assert (watching().code, watching.runs) == (0, 2)


def test_a_broken_link_and_a_lost_folder_are_mended(watching: Watching) -> None:
    import shutil

    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    watching()
    (watching.output / "latest").unlink()
    assert (watching().code, watching.runs, watching.latest) == (0, 1, OLD)
    shutil.rmtree(watching.output / "releases" / OLD)
    assert (watching().code, watching.runs, watching.latest) == (0, 2, OLD)


def test_a_damaged_state_says_what_to_do(watching: Watching) -> None:
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    watching.output.mkdir()
    (watching.output / "watch.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(OutputError, match="moved away"):
        watching()
