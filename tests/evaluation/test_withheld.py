"""``task=evaluate`` with ``withhold``: folds of observed cells, nothing of them in their own estimates, and their scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner

from climrecon.cli.app import app
from climrecon.errors import InputDataError, ProblemList
from climrecon.geography import regions_of
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.settings import load_site, validate
from climrecon.tasks.evaluate.withheld import CrossValidation
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from preprocess import observation_files as files


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["evaluate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


#: Of the baselines' observations; networks take 5 degrees.
COARSE = Grid.regular(18, 36)


def observations_file(
    folder: Path, change: float = 0.0, where: np.ndarray | None = None, grid: Grid = FIVE_DEGREES
) -> Path:
    """A year of smooth anomalies with gaps; ``change`` is added ``where``."""
    rng = np.random.default_rng(3)
    index = np.arange(1960 * 12, 1961 * 12)
    lat, lon = np.radians(np.meshgrid(grid.lat, grid.lon, indexing="ij"))
    waves = rng.normal(size=(len(index), 3))
    values = (
        waves[:, :1, None] * np.cos(lat)
        + waves[:, 1:2, None] * np.cos(lon) * np.cos(lat)
        + waves[:, 2:, None] * np.sin(lat)
    )
    values = values + 0.3 * rng.normal(size=values.shape)
    values[rng.random(values.shape) < 0.3] = np.nan
    if where is not None:
        values = np.where(where, values + change, values)
    folder.mkdir(parents=True, exist_ok=True)
    return files.write(
        folder / "seen.nc",
        values,
        index,
        lat=grid.lat,
        lon=grid.lon,
        kind="f8",
        attributes={"reference_period": "1961-1990"},
    )


def task(path: Path, folder: Path, kind: str = "blocks", **more: str) -> CrossValidation:
    site = load_site()
    given = {
        "task": "evaluate", "obs_file": str(path), "withhold": kind, "folds": "3", "network": "oi", "compare_with": "kriging,pca,idw",
        "cachedir": str(folder / "cache"), "outputdir": str(folder / "out"), "plots": "false", "report": "false", **more,
    }  # fmt: skip
    return CrossValidation(validate(given, site), site, run_info({"host": "test"}))


def estimates(one: CrossValidation, name: str, fold: int) -> dict[str, np.ndarray]:
    return one._estimated(one.methods[name], fold, Quiet())


def test_no_estimate_depends_on_what_its_fold_withholds(tmp_path: Path) -> None:
    plain = task(observations_file(tmp_path / "a"), tmp_path / "a", realisations="3")
    hidden = plain.folds.withheld(1)
    spoilt = task(observations_file(tmp_path / "b", 10.0, hidden), tmp_path / "b", realisations="3")
    np.testing.assert_array_equal(spoilt.folds.number, plain.folds.number)
    assert np.nanmax(np.abs(spoilt.observations.values - plain.observations.values)) == pytest.approx(10.0, abs=1e-3)
    for name in plain.names:
        first, second = (estimates(one, name, 1) for one in (plain, spoilt))
        for key in ("mean", "error_sd", *(["stddev"] if name != "idw" else [])):
            np.testing.assert_array_equal(first[key], second[key], err_msg=f"{name}: {key}")
        other = [estimates(one, name, 0)["mean"] for one in (plain, spoilt)]
        assert np.abs(other[0] - other[1]).max() > 1.0, "another fold sees these cells"


def test_a_fold_is_the_same_whatever_folds_came_before(tmp_path: Path) -> None:
    path = observations_file(tmp_path)
    used, fresh = (task(path, tmp_path) for _ in range(2))
    for name in used.names:
        estimates(used, name, 0)
        for key, values in estimates(fresh, name, 1).items():
            np.testing.assert_array_equal(estimates(used, name, 1)[key], values, err_msg=f"{name}: {key}")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("withheld")
    call = [
        "--obs-file", str(observations_file(folder, grid=COARSE)), "--withhold", "regions", "--network", "kriging", "--compare-with", "climatology,idw",
        "--realisations", "5", "--cachedir", str(folder / "cache"),
    ]  # fmt: skip
    output = run(*call, "--output", str(folder / "out"))
    assert "RMSE better than that of climatology" in output
    return folder, call


def test_scores_figures_and_report_are_of_withheld_cells(result: tuple[Path, list[str]]) -> None:
    folder = result[0] / "out"
    content = json.loads((folder / "scores.json").read_text())
    assert list(content["scores"]) == ["kriging", "climatology", "idw"]
    assert content["withheld"]["kind"] == "regions"
    assert "Africa" in content["withheld"]["folds"]
    assert content["interval"].endswith("slow fluctuations over blocks of 20 degrees")
    assert "its error is 0.3 K" in content["withheld"]["errors"]
    with netCDF4.Dataset(result[0] / "seen.nc") as file:
        values = file["tas"][:].filled(np.nan)
    grid = COARSE
    known = np.isfinite(values)
    weights = known * grid.area
    expected = np.sqrt((weights * np.nan_to_num(values) ** 2).sum() / weights.sum())
    cells = content["scores"]["climatology"]["cells"]
    assert cells["rmse"] == pytest.approx(expected, abs=1e-3)
    assert cells["rmse_less_noise"] == pytest.approx(np.sqrt(expected**2 - 0.3**2), abs=1e-3)
    region, names = regions_of(grid)
    africa = weights * (region == names.index("Africa"))
    assert content["regions"]["climatology"]["Africa"] == pytest.approx(
        np.sqrt((africa * np.nan_to_num(values) ** 2).sum() / africa.sum()), abs=1e-3
    )
    assert set(content["surfaces"]["kriging"]) == {"land", "sea"}
    assert content["realisations"]["kriging"]["n"] == 5
    assert len(content["realisations"]["kriging"]["rank_histogram"]) == 6
    assert "spectrum" not in content
    assert all(value > 0 for value in content["variogram"]["truth"])
    manifest = json.loads((folder / "manifest.json").read_text())
    named = {entry["path"] for entry in manifest["outputs"]}
    assert {"scores.json", "rmse_by_cell.nc", "report.html", "spread.png", "scales.png", "reliability.png"} <= named
    assert "global_mean.png" not in named
    with netCDF4.Dataset(folder / "rmse_by_cell.nc") as file:
        assert "withheld" in file["rmse"].long_name
        np.testing.assert_array_equal(file["n_months"][:], known.sum(axis=0))
    page = (folder / "report.html").read_text()
    assert "a continent or an ocean basin in all months" in page
    kriging = content["scores"]["kriging"]["decades"][0]
    assert f"<td>1960s</td><td>12</td><td>{kriging['rmse']:.3f} ({kriging['crps']:.3f})</td>" in page
    assert "cells that were missing" not in page.lower()


def test_the_same_call_goes_on_where_it_stopped(
    result: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, call = result
    applied: list[int] = []
    estimated = CrossValidation._estimated

    def counted(self: CrossValidation, method: Any, fold: int, reporter: Any) -> Any:
        applied.append(fold)
        return estimated(self, method, fold, reporter)

    monkeypatch.setattr(CrossValidation, "_estimated", counted)
    quiet = ["--plots", "false", "--report", "false"]
    run(*call, "--output", str(folder / "again"), *quiet)
    assert applied == []
    first, second = (json.loads((folder / name / "scores.json").read_text()) for name in ("out", "again"))
    assert first == second
    for whole in (folder / "cache" / "evaluation").glob("*/all.safetensors"):
        whole.unlink()

    def stopped(self: CrossValidation, method: Any, fold: int, reporter: Any) -> Any:
        if len(applied) == 2:
            raise KeyboardInterrupt
        return counted(self, method, fold, reporter)

    monkeypatch.setattr(CrossValidation, "_estimated", stopped)
    CliRunner().invoke(app, ["evaluate", *call, "--output", str(folder / "third"), *quiet])
    assert applied == [0, 1]
    monkeypatch.setattr(CrossValidation, "_estimated", counted)
    run(*call, "--output", str(folder / "third"), *quiet)
    folds = len(first["withheld"]["folds"])
    assert applied == [0, 1, *range(2, folds), *range(folds), *range(folds)]
    assert json.loads((folder / "third" / "scores.json").read_text()) == first
    assert not list((folder / "cache" / "evaluation").glob("*/fold-*"))


def test_a_rerun_from_its_provenance_agrees(result: tuple[Path, list[str]], tmp_path: Path) -> None:
    call = ["rerun", str(result[0] / "out" / "provenance.json"), "--output", str(tmp_path / "again")]
    answer = CliRunner().invoke(app, call, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert "same       rmse_by_cell.nc" in answer.output


def test_stages_are_command_lines_and_wait_for_each_other(tmp_path: Path) -> None:
    """As batch jobs run them, each in a process that knows the configuration alone."""
    parameters = task(
        observations_file(tmp_path, grid=COARSE), tmp_path, network="idw", compare_with="climatology"
    ).settings.plain()
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"parameters": parameters, "run": {"id": "7"}}))

    def stage(name: str, part: int = 0) -> Any:
        return CliRunner().invoke(app, ["stage", name, str(config), "--part", str(part)])

    assert stage("assess", 1).exit_code == 0
    early = stage("collect")
    assert "all its stages" in str(early.output) + str(early.exception)
    assert stage("assess", 0).exit_code == 0
    assert stage("collect").exit_code == 0
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert content["reference"] == "climatology"
    assert content["withheld"]["in_words"] == "blocks of 20 degrees of single months"


def test_a_network_that_learned_from_these_months_has_a_caveat(tmp_path: Path) -> None:
    one = task(observations_file(tmp_path), tmp_path, network="punet6", compare_with="none")
    assert "punet6 learned from gistemp" in one._learned_from()[0]
    assert task(observations_file(tmp_path), tmp_path, compare_with="none")._learned_from() == []


def test_a_dry_run_describes_the_folds(tmp_path: Path) -> None:
    path = observations_file(tmp_path, grid=COARSE)
    output = run(
        "--obs-file",
        str(path),
        "--withhold",
        "spans",
        "--network",
        "idw",
        "--dryrun",
        "--cachedir",
        str(tmp_path / "c"),
    )
    assert "withheld: a continent or an ocean basin for 24 months, 8 folds" in output
    assert "methods: idw, kriging; differences to kriging" in output
    assert not list((tmp_path / "c").glob("evaluation/*"))


def test_what_does_not_go_together_is_refused() -> None:
    site = load_site()

    def problems(**given: str) -> str:
        with pytest.raises(ProblemList) as caught:
            validate({"task": "evaluate", **given}, site)
        return str(caught.value)

    assert "truth_file: belongs to an evaluation on known fields" in problems(withhold="cells", truth_file="a.nc")
    assert "masks: belongs" in problems(withhold="cells", masks="ship-tracks")
    assert "noise: the observations have errors of their own" in problems(withhold="cells", noise="true")
    assert "folds: belongs to withhold" in problems(folds="5", truth_file="a.nc")
    assert "did you mean blocks" in problems(withhold="block")
    settings = validate({"task": "evaluate", "withhold": "Cells", "folds": 5, "obs_file": "a.nc"}, site)
    assert validate(settings.plain(), site).plain() == settings.plain(), "as a job reads it"
    plain = validate({"task": "evaluate", "truth_file": "a.nc"}, site)
    assert validate(plain.plain(), site).fingerprinted("evaluate") == plain.fingerprinted("evaluate")
    assert "withhold" not in plain.fingerprinted("evaluate")


def test_observations_of_one_continent_cannot_be_withheld_by_continent(tmp_path: Path) -> None:
    grid = COARSE
    region, names = regions_of(grid)
    index = np.arange(1960 * 12, 1961 * 12)
    values = np.where(region == names.index("Asia"), np.random.default_rng(4).normal(size=(12, *grid.shape)), np.nan)
    path = files.write(
        tmp_path / "asia.nc",
        values,
        index,
        lat=grid.lat,
        lon=grid.lon,
        kind="f8",
        attributes={"reference_period": "1961-1990"},
    )
    with pytest.raises(InputDataError, match="all in Asia"):
        _ = task(path, tmp_path, "regions", network="idw", compare_with="none").folds


def test_real_months_withheld(shared_data: Path, tmp_path: Path) -> None:
    """As in docs/results.md: single cells of 1877-09 and 1893-08, here with one seed."""
    path = shared_data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
    output = run(
        "--obs-file", str(path), "--withhold", "cells", "--network", "punet6", "--compare-with", "kriging", "--plots", "false",
        "--report", "false", "--cachedir", str(tmp_path / "cache"), "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert "at the cells that were withheld" in output
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    recorded = json.loads((Path(__file__).parents[2] / "docs/results/withheld.json").read_text())["methods"]
    for name, published in (("punet6", "punet6"), ("kriging", "kriging fitted")):
        ours, theirs = content["scores"][name]["cells"], recorded[published]["cells"]
        assert ours["rmse"] == pytest.approx(np.mean(theirs["rmse"]), abs=0.03)
        assert ours["log_score"] == pytest.approx(np.mean(theirs["log_score"]), abs=0.05)
        assert ours["covers_90"] == pytest.approx(np.mean(theirs["covers_90"]), abs=0.02)
        assert ours["rmse_less_noise"] < ours["rmse"]
