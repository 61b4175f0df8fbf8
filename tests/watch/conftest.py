"""A watch over a made-up archive, with its runs counted."""

from __future__ import annotations

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
