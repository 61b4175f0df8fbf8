"""The results of a run appear together: files, provenance, report, manifest, in this order."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from climrecon.cli.app import app
from climrecon.files import sha256_of
from climrecon.jobs.record import new_chain
from climrecon.parameters import TASKS
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from climrecon.tasks import run as tasks_run
from climrecon.workflow.manifest import LONGEST_CAPTION, read_manifest
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_folder import RunFolder, output_folder, own_folder
from climrecon.workflow.run_info import RunInfo, run_info


class Drawn:
    caption = "x" * 300

    def save(self, path: Path) -> None:
        path.write_bytes(b"png")


def write(folder: Path, run: RunInfo, rendered: list[dict[str, Any]], **given: Any) -> Outcome:
    site = Site(SiteFile())
    settings = validate({"task": "reconstruct", "obs_file": __file__, "outputdir": str(folder), **given}, site)

    def report(path: Path, **parts: Any) -> None:
        path.write_text("report")
        rendered.append({**parts, "outputs": [file.path for file in parts["outputs"]]})

    with RunFolder.create(run, settings, Quiet()) as results:
        (results.stage / "a.nc").write_text("data")
        results.add("a.nc", "reconstruction", "data", "0123")
        results.add_figure("b.png", Drawn())
        outcome = results.finish(
            "title", {"product": "p", "institute": "i"}, ["Done."], report,
            network="net", network_sha256=None, inputs=[("/a", "1"), ("/a", "1")], fingerprint="ef",
        )  # fmt: skip
        assert list(folder.iterdir()) == [results.stage], "published before it was whole"
    return outcome


def test_a_run_folder_lists_its_files_in_order_with_their_hashes(tmp_path: Path) -> None:
    rendered: list[dict[str, Any]] = []
    run = RunInfo("7", "someone", started=datetime(2026, 1, 2, tzinfo=UTC))
    outcome = write(tmp_path / "o", run, rendered)
    manifest = read_manifest(tmp_path / "o")
    assert outcome.manifest == manifest
    assert [file["path"] for file in manifest["outputs"]] == ["a.nc", "b.png", "provenance.json", "report.html"]
    for file in manifest["outputs"]:
        assert file["sha256"] == sha256_of(tmp_path / "o" / file["path"])
    assert manifest["outputs"][0]["content_sha256"] == "0123"
    assert (manifest["run_id"], manifest["fingerprint"]) == ("7", "ef")
    assert {"project": "climrecon", "product": "p", "institute": "i", "variable": "tas"}.items() <= (
        manifest["facets"].items()
    )
    assert outcome.summary[:2] == ["Done.", f"Results in {tmp_path / 'o'}:"]
    assert outcome.summary[-1].split() == ["manifest", "manifest.json"]
    (report,) = rendered
    assert report["outputs"] == ["a.nc", "b.png", "provenance.json"]
    # The report has the whole caption, the manifest one that fits the host.
    assert [caption for _, caption in report["figures"]] == [Drawn.caption]
    assert len(manifest["outputs"][1]["caption"]) <= LONGEST_CAPTION
    activity = report["activity"]
    assert (activity.run_id, activity.user, activity.started) == ("7", "someone", run.started)
    assert activity.inputs == [("/a", "1")]


def test_no_result_holds_a_secret(tmp_path: Path) -> None:
    rendered: list[dict[str, Any]] = []
    write(tmp_path / "o", run_info(), rendered, catalogue="https://a:S3cret@host/c.json?token=S3cret&model=HadCRUT5")
    assert rendered[0]["activity"].settings["catalogue"] == "https://***@host/c.json?token=***&model=HadCRUT5"
    for path in (tmp_path / "o").iterdir():
        assert "S3cret" not in path.read_text()


def test_a_report_is_written_if_it_is_asked_for(tmp_path: Path) -> None:
    rendered: list[dict[str, Any]] = []
    write(tmp_path / "o", run_info(), rendered, report="false")
    assert not rendered
    assert not (tmp_path / "o" / "report.html").exists()


def test_each_task_has_a_folder_of_its_own_by_default() -> None:
    settings = validate({"task": "reconstruct", "obs_file": __file__}, Site(SiteFile()))
    tasks = [settings.model_copy(update={"task": task}) for task in TASKS]
    assert len({output_folder(one) for one in tasks}) == len(TASKS)


def test_each_run_without_a_folder_gets_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = validate({"obs_file": __file__}, Site(SiteFile()))
    with own_folder(settings) as first, own_folder(settings) as second:
        assert [first.outputdir, second.outputdir] == [Path("climrecon-result"), Path("climrecon-result-2")]
        assert Path("climrecon-result-2").is_dir()
        (tmp_path / "climrecon-result" / "manifest.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["climrecon-result"], "one that stayed empty is gone"
    with own_folder(settings.model_copy(update={"dryrun": True})) as dry:
        assert dry.outputdir == Path("climrecon-result-2")
        assert not Path("climrecon-result-2").exists()
    with own_folder(settings.model_copy(update={"outputdir": tmp_path})) as given:
        assert given.outputdir == tmp_path


def test_jobs_that_are_not_done_keep_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = validate({"obs_file": __file__}, Site(SiteFile()))
    with own_folder(settings) as chosen:
        new_chain((tmp_path / str(chosen.outputdir)), "reconstruct", "0", True).save()
    with own_folder(settings) as again:
        assert again.outputdir == chosen.outputdir
    (tmp_path / "climrecon-result" / "manifest.json").write_text("{}")
    with own_folder(settings) as later:
        assert later.outputdir == Path("climrecon-result-2")


def test_run_information_has_a_user_and_an_id_of_its_own() -> None:
    first, second = run_info(), run_info({})
    assert first.user == getpass.getuser()
    assert first.id != second.id
    given = {"id": "7", "user": "someone", "host": "freva"}
    assert run_info(given).as_dict() == given


def test_a_user_without_a_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert run_info().user == ""


@pytest.mark.parametrize("task", ["reconstruct", "train", "evaluate"])
def test_every_task_knows_its_user_from_the_command_line(
    task: str, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[RunInfo] = []

    def noted(settings: Any, site: Any, reporter: Any, run: RunInfo) -> Outcome:
        assert settings.task == task
        called.append(run)
        return Outcome(None, {})

    monkeypatch.setattr(tasks_run, "run_task", noted)
    result = CliRunner().invoke(app, [task, "--catalogue", str(demo / "catalogue.json")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert [run.user for run in called] == [getpass.getuser()]
    assert called[0].id
