"""Files of others are never replaced, links never followed, and two runs never mix in one folder."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from climrecon.errors import OutputError
from climrecon.files import create, sha256_of, write_text
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from climrecon.workflow import publishing
from climrecon.workflow.run_folder import check_output, staged
from climrecon.working_folders import OTHERS_STAY, working_folder
from helpers.left_behind import left_by_a_dead_process, left_by_another_host


def fill(stage: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (stage / name).parent.mkdir(exist_ok=True)
        (stage / name).write_text(text)
    outputs = [{"path": name, "sha256": sha256_of(stage / name)} for name in files]
    write_text(stage / "manifest.json", json.dumps({"schema": 1, "outputs": outputs}))


def publish(folder: Path, files: dict[str, str]) -> None:
    with staged(folder) as stage:
        fill(stage, files)


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


RESULT = {"report.html": "r", "databrowser/tas.nc": "d", "catalogue.json": "c"}


@pytest.mark.parametrize("foreign", ["report.html", "catalogue.json", "manifest.json", "databrowser/data.txt"])
def test_a_file_that_no_manifest_of_ours_lists_is_never_replaced(tmp_path: Path, foreign: str) -> None:
    target = tmp_path / foreign
    target.parent.mkdir(exist_ok=True)
    target.write_text('{"outputs": ["mine"]}')
    with pytest.raises(OutputError, match="is there already") as caught:
        publish(tmp_path, RESULT)
    assert str(target) in caught.value.message
    assert caught.value.hint
    assert tree(tmp_path) == {foreign: '{"outputs": ["mine"]}'}


def test_links_in_the_way_of_results_are_refused(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "precious").write_text("mine")
    for name, to in (("report.html", private / "precious"), ("databrowser", private)):
        folder = tmp_path / f"with-{name}"
        folder.mkdir()
        (folder / name).symlink_to(to)
        with pytest.raises(OutputError, match="is there already"):
            publish(folder, RESULT)
    assert tree(private) == {"precious": "mine"}


def test_hidden_folders_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / ".climrecon-backup").mkdir()
    (tmp_path / ".climrecon-backup" / "data").write_text("mine")
    publish(tmp_path, RESULT)
    assert tree(tmp_path)[".climrecon-backup/data"] == "mine"


def test_results_of_earlier_runs_stay_ours(tmp_path: Path) -> None:
    publish(tmp_path, {"a.nc": "first", "report.html": "1"})
    publish(tmp_path, {"b.nc": "second", "report.html": "2"})
    assert json.loads((tmp_path / "manifest.json").read_text())["earlier"] == ["a.nc"]
    publish(tmp_path, {"a.nc": "third", "report.html": "3"})
    assert {name: text for name, text in tree(tmp_path).items() if name != "manifest.json"} == {
        "a.nc": "third", "b.nc": "second", "report.html": "3"
    }  # fmt: skip


@pytest.mark.parametrize("moved", range(5))
def test_a_run_killed_while_it_publishes_can_be_repeated(tmp_path: Path, moved: int) -> None:
    """Killed at each rename: there is no manifest, and the same run goes into the same folder again."""
    publish(tmp_path, RESULT)
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom output.test_publishing import RESULT, fill\n"
        "from climrecon.workflow.run_folder import staged\n"
        "replace, count = Path.replace, [int(sys.argv[2])]\n"
        "def counted(self, target):\n"
        "    if '.climrecon' not in str(target):\n"
        "        if count[0] == 0:\n            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        count[0] -= 1\n"
        "    return replace(self, target)\n"
        "with staged(Path(sys.argv[1])) as stage:\n"
        "    fill(stage, {**RESULT, 'new.nc': 'n'})\n    Path.replace = counted\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["tests", "."])}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(moved)], check=False, env=environment)
    assert done.returncode == -9
    assert not (tmp_path / "manifest.json").exists()
    publish(tmp_path, {**RESULT, "new.nc": "n"})
    assert set(tree(tmp_path)) == {*RESULT, "new.nc", "manifest.json"}


def test_two_runs_that_publish_together_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def slow(self: Path, target: Path) -> Path:
        time.sleep(0.02)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", slow)
    names = [f"{number}.nc" for number in range(5)]
    runs = [
        threading.Thread(target=publish, args=(tmp_path, dict.fromkeys(names, text))) for text in ("first", "second")
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    for entry in json.loads((tmp_path / "manifest.json").read_text())["outputs"]:
        assert sha256_of(tmp_path / entry["path"]) == entry["sha256"]
    assert set(tree(tmp_path)) == {*names, "manifest.json"}


def test_a_run_that_does_not_stop_publishing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(publishing, "LONGEST_WAIT", 0.1)
    with FileLock(tmp_path / publishing.LOCK), pytest.raises(OutputError, match="Another run"):
        publish(tmp_path, RESULT)


def test_relative_output_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    publish(Path("o"), RESULT)
    assert set(tree(tmp_path / "o")) == {*RESULT, "manifest.json"}
    with working_folder(Path("o")) as folder:
        assert folder.is_absolute()


def test_an_output_folder_that_no_file_can_name(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        publish(tmp_path / os.fsdecode(b"o\xff"), RESULT)


def test_working_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o2777)
    with working_folder(tmp_path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) & 0o777 == 0o700
    with staged(tmp_path) as stage:
        assert stat.S_IMODE(stage.stat().st_mode) & 0o777 == 0o700
        (stage / "a.nc").write_text("a")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.nc").stat().st_mode) == 0o666 & ~mask


def test_folders_of_other_hosts_stay_for_a_day(tmp_path: Path) -> None:
    dead, elsewhere = left_by_a_dead_process(tmp_path), left_by_another_host(tmp_path)
    with working_folder(tmp_path) as mine, working_folder(tmp_path):
        assert mine.is_dir()
    assert not dead.exists()
    assert elsewhere.exists()
    past = time.time() - OTHERS_STAY - 60
    os.utime(elsewhere, (past, past))
    with working_folder(tmp_path):
        assert elsewhere.exists(), "a file in it is young"
    os.utime(elsewhere / "half", (past, past))
    with working_folder(tmp_path):
        assert not elsewhere.exists()


def test_files_are_written_where_no_link_can_be_planted(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    link = tmp_path / "report.html"
    link.symlink_to(tmp_path / "precious")
    write_text(link, "report")
    assert tree(tmp_path) == {"precious": "mine", "report.html": "report"}
    assert not link.is_symlink()
    (tmp_path / "log").symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError):
        create(tmp_path / "log")


@pytest.mark.parametrize(
    ("task", "name", "refused"),
    [
        ("reconstruct", "catalogue.json", True),
        ("reconstruct", "tas_mon_climrecon-punet6_X_185001-194912.nc", True),
        ("reconstruct", "data.nc", False),
        ("reconstruct", "maps_1997-12.png", False),
        ("train", "catalogue.json", False),
        ("train", "card.json", True),
        ("evaluate", "scores.json", True),
        ("compare", "comparison.nc", True),
        ("explain", "explanation_punet6.nc", True),
        ("explain", "explanation_punet6.png", False),
        ("benchmark", "leaderboard.json", True),
    ],
)
def test_files_of_others_are_found_before_a_run_begins(tmp_path: Path, task: str, name: str, refused: bool) -> None:
    (tmp_path / name).write_text("mine")
    settings = validate({"obs_file": __file__, "outputdir": str(tmp_path), "plots": False}, Site(SiteFile()))
    settings = settings.model_copy(update={"task": task})
    if refused:
        with pytest.raises(OutputError, match=name):
            check_output(settings)
    else:
        check_output(settings)
