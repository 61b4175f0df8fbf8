"""The table of parameters: paths in full, old names, tasks, fingerprints, types."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from climrecon import parameters as p
from climrecon.errors import ProblemList
from climrecon.settings import load_site, validate
from climrecon.watch.schedule.job import job_of
from climrecon.workflow.dispatch import job_config
from climrecon.workflow.run_info import run_info

PATHS = [parameter for parameter in p.PARAMETERS if parameter.kind in p.PATHS]
EACH_PATH = pytest.mark.parametrize("parameter", PATHS, ids=lambda one: one.name)


def word(parameter: p.Parameter, path: str) -> str:
    """``path`` as a value of ``parameter``."""
    return f"psl={path}" if parameter.kind == p.NAMED_FILES else path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file in it, a network's folder, and a folder of another kind."""
    (tmp_path / "here.nc").touch()
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "card.json").touch()
    (tmp_path / "punet6").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_the_kinds_of_paths_are_all_in_the_table() -> None:
    assert {one.kind for one in PATHS} == set(p.PATHS)
    assert {one.name for one in p.PARAMETERS if one.name.endswith(("_file", "_files", "dir"))} <= {
        one.name for one in PATHS
    }


@EACH_PATH
def test_every_path_is_written_in_full(parameter: p.Parameter, folder: Path) -> None:
    for given, expected in (
        ("here.nc", folder / "here.nc"),
        ("./absent/x", folder / "absent" / "x"),
        ("../up/x.nc", folder / "../up/x.nc"),
        ("~/x.nc", folder / "home" / "x.nc"),
        ("/a/b.nc", Path("/a/b.nc")),
    ):
        raw = {parameter.name: word(parameter, given)}
        assert p.with_absolute_paths(raw, folder) == {parameter.name: word(parameter, str(expected))}


@EACH_PATH
def test_a_schedule_and_batch_jobs_name_every_path_in_full(parameter: p.Parameter, folder: Path) -> None:
    name = "x.html" if parameter.name == "leaderboard" else "x.nc"
    raw: dict[str, Any] = {parameter.name: word(parameter, f"./sub/{name}"), "plots": False}
    full = word(parameter, str(folder / "sub" / name))
    job = job_of(raw, {}, "n", None, None, folder / "out")
    option = "output" if parameter.kind == p.OUTPUT else parameter.name.replace("_", "-")
    assert f"--{option}={full}" in job.command
    assert "--plots=false" in job.command
    task = {"task": parameter.tasks[0]} if p.RECONSTRUCT not in parameter.tasks else {}
    # One product is none to compare, and a key is that of a set.
    second = {"products": {"products_folder": "/products"}, "key": {"benchmark": "/set"}}.get(parameter.name, {})
    settings = validate({**second, **raw, **task}, load_site())
    content = job_config(settings, folder / "sub" / "x.nc", run_info())
    assert content["parameters"][parameter.name] == full


def test_names_and_addresses_stay_what_they_are(folder: Path) -> None:
    raw = {
        "network": "punet6", "compare_with": "punet6, net,here.nc,kriging,../x", "catalogue": "https://host/c.json",
        "recipe": "kadow2020,vgg=./vgg.pth", "masks": "HadCRUT5", "variable": "tas", "unknown": "./x", "cachedir": None,
        "model": "a/b",
    }  # fmt: skip
    assert p.with_absolute_paths(raw, folder) == {
        **raw, "compare_with": f"punet6,{folder / 'net'},{folder / 'here.nc'},kriging,{folder / '../x'}",
    }  # fmt: skip
    changed = p.with_absolute_paths({"network": "net", "recipe": "mine.toml"}, folder)
    assert changed == {"network": str(folder / "net"), "recipe": str(folder / "mine.toml")}
    assert p.with_absolute_paths({"auxiliary_files": "psl = a.nc , pr=/b.nc"}, folder) == {
        "auxiliary_files": f"psl={folder / 'a.nc'},pr=/b.nc"
    }


@pytest.mark.parametrize(("old", "new"), p.OLD_NAMES.items())
def test_old_names_are_taken_with_a_note(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = load_site()
    value, task = {
        "compare_with": ("idw", "reconstruct"), "auxiliary": ("psl", "train"), "auxiliary_files": ("psl=x.nc", "reconstruct"),
    }[new]  # fmt: skip
    with pytest.warns(p.OldName, match=f"{old} is now called {new}"):
        settings = validate({old: value, "task": task}, site)
    assert getattr(settings, new) == value
    assert new in settings.given
    with pytest.raises(ProblemList, match=f"{old}: is the old name of {new}, which is given too"):
        validate({old: value, new: value, "task": task}, site)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validate({new: value, "task": task}, site)
    if p.BY_NAME[new].site:
        file = tmp_path / "climrecon.toml"
        file.write_text(f'[defaults]\n{old} = "{value}"\n')
        monkeypatch.setattr("climrecon.settings.site.candidates", lambda: [file])
        with pytest.warns(p.OldName):
            assert load_site().default(new) == value


def test_old_options_are_taken_and_not_shown(tmp_path: Path) -> None:
    def climrecon(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "climrecon", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path,
            env={**os.environ, "CLIMRECON_CONFIG": ""},
        )  # fmt: skip

    answer = climrecon("reconstruct", "--obs-file", "absent.nc", "--against", "idw", "--output", "out")
    assert answer.returncode == 4
    assert answer.stderr.startswith("Note: against is now called compare_with; ")
    assert "FutureWarning" not in answer.stderr
    assert "--against" not in climrecon("reconstruct", "--help").stdout
    answer = climrecon("train", "--channels", "pls")
    assert answer.returncode == 2
    assert "auxiliary: 'pls' is no auxiliary variable" in answer.stderr


def test_what_enters_a_fingerprint_is_what_entered_it_before() -> None:
    """Another list here gives every run another fingerprint: then raise the versions of the stages."""
    assert {task: sorted(p.fingerprinted(task)) for task in p.TASKS} == {
        "reconstruct": sorted((
            "variable", "values", "period", "reference_period", "realisations", "obs_members", "keep_observed", "seed",
        )),
        "train": sorted(
            ("variable", "values", "period", "max_hours", "seed", "reference_period", "training_target")
        ),
        "evaluate": sorted((
            "variable", "values", "period", "reference_period", "realisations", "seed", "noise", "training_target",
        )),
        "compare": sorted(("variable", "values", "period", "reference_period", "seed", "trend_periods")),
        "explain": sorted(("variable", "values", "period", "reference_period", "seed", "month")),
        "benchmark": sorted(("period", "realisations", "seed")),
    }  # fmt: skip
    given = {"obs_file": "a.nc", "region": "nino34"}
    assert validate({**given, "task": "explain", "month": "1877-09"}, load_site()).fingerprinted("explain")["region"]
    # What is explained changes no field of a reconstruction.
    entered = validate({**given, "explain_months": "1877-09"}, load_site()).fingerprinted("reconstruct")
    assert not {"region", "explain_months"} & set(entered)


def test_parameters_of_other_tasks_come_last_in_the_form_and_first_in_their_own_help() -> None:
    rank = [p.RECONSTRUCT not in one.tasks for one in p.PARAMETERS if one.tasks]
    assert rank == sorted(rank)
    assert True in rank
    assert p.of_task("train")[0].name == "training_data"
    assert "truth_file" not in {one.name for one in p.of_task("train")}
    assert p.help_with_task(p.BY_NAME["truth_file"]).endswith("For task=evaluate or benchmark alone.")


@pytest.mark.slow
def test_a_misspelt_setting_fails_mypy(tmp_path: Path) -> None:
    file = tmp_path / "two_lines.py"
    file.write_text(
        "from climrecon.settings import RunSettings\n"
        "def right(settings: RunSettings) -> int: return settings.obs_members\n"
        "def wrong(settings: RunSettings) -> int: return settings.obs_memebrs\n"
    )
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(root / "pyproject.toml"), str(file)],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    assert answer.returncode == 1, answer.stderr
    errors = [line for line in answer.stdout.splitlines() if "error:" in line]
    assert all(":3: error" in line for line in errors)
    assert any('"RunSettings" has no attribute "obs_memebrs"' in line for line in errors)
