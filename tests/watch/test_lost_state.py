"""A lost state, a broken folder and an interrupted check: what is published stays, and nothing else is published."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from climrecon.errors import InputDataError, Interrupted
from climrecon.tasks import run as tasks_run
from climrecon.watch import check
from watch.conftest import NEW, OLD, Watching


@pytest.fixture
def published(watching: Watching) -> Watching:
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    assert (watching().code, watching.latest) == (0, OLD)
    return watching


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_without_the_state_a_whole_folder_is_taken_as_it_is(published: Watching) -> None:
    before = files(published.output / "latest")
    (published.output / "watch.sqlite").unlink()
    assert (published().code, published.runs, published.latest) == (0, 1, OLD)
    assert files(published.output / "latest") == before, "its change report was written anew"
    assert published.stages() == {OLD: "published"}
    published.archive.mean("5.0.2.0", 25)
    assert (published().code, published.runs, published.latest) == (0, 2, NEW)


def test_without_the_state_and_without_a_report_the_checks_are_made(published: Watching) -> None:
    (published.output / "watch.sqlite").unlink()
    (published.output / "latest" / "release.json").unlink()
    assert (published().code, published.runs, published.latest) == (0, 1, OLD)
    assert (published.output / "latest" / "release.json").is_file()


@pytest.mark.parametrize("failing", [True, False])
def test_without_the_state_other_settings_get_a_folder_of_their_own(
    published: Watching, failing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(published.output / "latest")
    (published.output / "watch.sqlite").unlink()
    published.raw["network"] = "/nonexistent/net" if failing else "idw"
    assert published().code == (5 if failing else 0)
    assert files(published.output / "releases" / OLD) == before
    assert published.latest == (OLD if failing else f"{OLD}_2")


def test_a_damaged_folder_is_not_taken(published: Watching) -> None:
    (result,) = (published.output / "latest").glob("tas_mon_*.nc")
    content = bytearray(result.read_bytes())
    content[len(content) // 2] ^= 1
    result.write_bytes(content)
    (published.output / "watch.sqlite").unlink()
    assert (published().code, published.runs, published.latest) == (0, 2, f"{OLD}_2")


def test_what_latest_points_to_stays_until_its_successor_is_checked(
    published: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    (published.output / "latest" / "manifest.json").unlink()
    run, seen = tasks_run.run_task, []

    def seeing(*arguments: Any, **named: Any) -> Any:
        seen.append(list((published.output / "latest").glob("tas_mon_*.nc")))
        return run(*arguments, **named)

    monkeypatch.setattr(tasks_run, "run_task", seeing)
    assert published().code == 0
    assert len(seen[0]) == 1
    assert published.latest == f"{OLD}_2"
    assert [path.name for path in (published.output / "releases").iterdir()] == [f"{OLD}_2"]


def test_an_interrupted_check_is_made_by_the_next_look(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any, **named: Any) -> Any:
        raise Interrupted("Stopped by SIGTERM.")

    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr("climrecon.preprocess.read_observations", _only_in(check, stopped))
        watching()
    assert watching.stages() == {OLD: "made"}
    assert not (watching.output / "latest").is_symlink()
    assert (watching().code, watching.runs, watching.latest) == (0, 1, OLD)
    state = watching.state()
    (release,) = state.releases()
    state.close()
    assert {one["name"]: one["outcome"] for one in release.content["checks"]}["observed_unchanged"] == "passed"


def test_a_check_that_cannot_be_made_holds_the_release(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*arguments: Any, **named: Any) -> Any:
        raise InputDataError("The file cannot be read.", "Wait.")

    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    monkeypatch.setattr("climrecon.preprocess.read_observations", _only_in(check, unreadable))
    assert watching().code == 21
    assert not (watching.output / "latest").is_symlink()


def test_input_that_is_gone_is_said_in_the_check(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    watching.archive.mean("5.0.2.0", 24)
    watching.archive.build()
    made = check.check

    def gone(*arguments: Any) -> Any:
        shutil.rmtree(watching.archive.folder)
        return made(*arguments)

    monkeypatch.setattr(check, "check", gone)
    watching()
    state = watching.state()
    (release,) = state.releases()
    state.close()
    found = {one["name"]: one["found"] for one in release.content["checks"]}
    assert "not there any more" in found["observed_unchanged"]


def _only_in(module: Any, function: Any) -> Any:
    """``read_observations`` for calls of ``module``; elsewhere as it is."""
    import sys

    from climrecon.preprocess import read_observations

    def chosen(*arguments: Any, **named: Any) -> Any:
        here = sys._getframe(1).f_globals["__name__"] == module.__name__
        return (function if here else read_observations)(*arguments, **named)

    return chosen
