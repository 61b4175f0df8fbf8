"""Several watchers, and what others did to the state, the link or the clock meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from climrecon import processes
from climrecon.errors import OutputError, UsageError
from climrecon.tasks import run as tasks_run
from climrecon.watch import codes
from climrecon.watch import run as watch_run
from climrecon.watch.releases import decide
from climrecon.watch.state import RUNNING
from watch.conftest import NEW, OLD, Watching, die, ended, finished_by_next_look, in_child, started


def test_watchers_at_once_run_a_release_once(updated: Watching) -> None:
    run = tasks_run.run_task

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.7)
        return run(*arguments, **named)

    def one() -> int:
        tasks_run.run_task = slow
        return updated().code

    children = [started(one) for _ in range(5)]
    ends = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert set(ends) <= {0, codes.WAITING}
    assert ends.count(codes.WAITING) >= 1
    assert ended(updated) == 1
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
    identity = processes.identity(child.pid)
    assert processes.runs(identity) is True
    child.kill()
    child.wait()
    assert processes.runs(identity) is False
    mine = processes.identity(os.getpid())
    assert processes.runs({**mine, "started": "1"}) is False  # the number was given to another process
    assert processes.runs({**mine, "boot": "before"}) is False
    assert processes.runs({**mine, "host": f"not-{socket.gethostname()}"}) is None


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
