"""A watch over a made-up archive, with its runs counted, and looks that are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from climrecon.settings.site import Site, SiteFile
from climrecon.settings.watch import Watch
from climrecon.tasks import run as tasks_run
from climrecon.watch.context import Look, Options
from climrecon.watch.state import FILE_NAME, State
from climrecon.watch.watcher import look
from climrecon.workflow.progress import Quiet
from helpers.made_archive import MadeArchive

OLD, NEW = "HadCRUT.5.0.2.0_199001-199112", "HadCRUT.5.0.2.0_199001-199201"
QUICK = {"network": "climatology", "compare_with": "none", "plots": False, "report": False}


class Watching:
    """Looks in this process; every run that is started is counted where runs are started."""

    def __init__(self, folder: Path) -> None:
        self.archive = MadeArchive(folder)
        self.output = folder / "out"
        self.runs = 0
        self.settings: dict[str, Any] = {"settle_seconds": 0.0}
        self.raw: dict[str, Any] = dict(QUICK)

    def __call__(self, rebuild: bool = False, **settings: Any) -> Look:
        raw = {"catalogue": str(self.archive.catalogue), **self.raw, "outputdir": str(self.output)}
        watch = Watch.model_validate({**self.settings, **settings})
        options = Options(watch, rebuild=self.archive.root if rebuild else None)
        return look(raw, Site(SiteFile()), options, Quiet())

    def state(self) -> State:
        return State(self.output / FILE_NAME)

    def stages(self) -> dict[str, str]:
        state = self.state()
        try:
            return {release.name: release.stage for release in state.releases()}
        finally:
            state.close()

    @property
    def latest(self) -> str:
        """Name of the current release; its folder must be whole."""
        folder = (self.output / "latest").resolve()
        assert (folder / "manifest.json").is_file()
        assert list(folder.glob("tas_mon_*.nc"))
        return folder.name


@pytest.fixture
def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watching:
    made = Watching(tmp_path)
    run: Callable[..., Any] = tasks_run.run_task

    def counted(*arguments: Any, **named: Any) -> Any:
        made.runs += 1
        return run(*arguments, **named)

    monkeypatch.setattr(tasks_run, "run_task", counted)
    return made


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


def started(work: Callable[[], int]) -> int:
    """Number of a process of its own that ends with ``work``'s exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return child


def in_child(work: Callable[[], int]) -> int:
    """Exit code of ``work`` in a process of its own, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(started(work), 0)[1])


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
