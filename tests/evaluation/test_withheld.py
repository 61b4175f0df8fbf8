"""``task=evaluate`` with ``withhold``: folds of observed cells, nothing of them in their own estimates, and their scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner

from climrecon.cli.app import app
from climrecon.errors import InputDataError, ProblemList
from climrecon.fields import Months, Observations, Source
from climrecon.geography import is_land
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.scores.masked_truth import MaskedTruth
from climrecon.scores.table import score_methods
from climrecon.scores.withheld import Predictions, folds_of, regions_of, withheld_sums
from climrecon.settings import load_site, validate
from climrecon.tasks.evaluate.withheld import CrossValidation
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from preprocess import observation_files as files

TIME = Months(np.arange(1880 * 12, 1886 * 12))
KINDS = ("cells", "blocks", "regions", "spans")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["evaluate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def mask_of(share: float = 0.4) -> np.ndarray:
    return np.random.default_rng(0).random((len(TIME), *FIVE_DEGREES.shape)) < share


# folds


@pytest.mark.parametrize("kind", KINDS)
def test_every_observed_cell_is_withheld_once(kind: str) -> None:
    mask = mask_of()
    folds = folds_of(mask, TIME, FIVE_DEGREES, kind, 5, 0)
    times = np.sum([folds.withheld(fold) for fold in range(len(folds))], axis=0)
    np.testing.assert_array_equal(times, mask)
    assert len(folds) == (len(regions_of(FIVE_DEGREES)[1]) if kind == "regions" else 5)
    again, other = (folds_of(mask, TIME, FIVE_DEGREES, kind, 5, seed).number for seed in (0, 1))
    np.testing.assert_array_equal(again, folds.number)
    assert (other == folds.number).all() == (kind == "regions")
    seen = Observations(
        "tas", np.where(mask, 1.0, np.nan), mask, None, TIME, FIVE_DEGREES, None, Source("", "", (), (), "")
    )
    kept = folds.kept(seen, 2)
    np.testing.assert_array_equal(np.isfinite(kept.values), mask & (folds.number != 2))
    np.testing.assert_array_equal(kept.mask, np.isfinite(kept.values))


def test_blocks_and_spans_are_withheld_together() -> None:
    mask = np.ones((len(TIME), *FIVE_DEGREES.shape), bool)
    blocks = folds_of(mask, TIME, FIVE_DEGREES, "blocks", 10, 0).number
    boxes = blocks.reshape(len(TIME), 9, 4, 18, 4)
    assert (boxes == boxes[:, :, :1, :, :1]).all(), "20 degrees are four cells"
    assert len(np.unique(blocks[:, 0, 0])) > 3, "each month has blocks of its own"
    spans = folds_of(mask, TIME, FIVE_DEGREES, "spans", 10, 0).number
    region, names = regions_of(FIVE_DEGREES)
    for number in range(len(names)):
        inside = spans[:, region == number].reshape(3, 24, -1)
        assert (inside == inside[:, :1, :1]).all()


def test_continents_and_basins_are_where_they_are() -> None:
    region, names = regions_of(FIVE_DEGREES)
    places = {
        "Europe": (50, 10), "Africa": (10, 15), "Asia": (60, 100), "North America": (45, -100), "South America": (-10, -60),
        "Australia and Oceania": (-25, 135), "Antarctica": (-85, 0), "Arctic Ocean": (85, 0), "North Atlantic": (40, -40),
        "South Atlantic": (-20, -20), "Indian Ocean": (-20, 80), "North Pacific": (30, -160), "South Pacific": (-20, -120),
        "Southern Ocean": (-50, 0),
    }  # fmt: skip
    for name, (lat, lon) in places.items():
        row, column = np.abs(FIVE_DEGREES.lat - lat).argmin(), np.abs(FIVE_DEGREES.lon - lon).argmin()
        assert names[region[row, column]] == name
    assert set(names) == set(places)
    assert (region >= 0).all()
    np.testing.assert_array_equal(region < 7, is_land(FIVE_DEGREES))


# scores


def observed(error: float) -> tuple[MaskedTruth, np.ndarray]:
    """Observations of a made-up truth, and the truth."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(len(TIME), *FIVE_DEGREES.shape))
    mask = mask_of()
    values = np.where(mask, truth + error * rng.normal(size=truth.shape), np.nan)
    return MaskedTruth("made up", values, np.zeros_like(mask), TIME, FIVE_DEGREES), truth


def scored(known: MaskedTruth, noise: float, **made: np.ndarray | float) -> dict[str, Any]:
    shape = known.truth.shape
    error_sd = np.full(shape, noise)
    sums = {
        name: [withheld_sums(known, Predictions(mean + np.zeros(shape), np.full(shape, sd), error_sd), error_sd, {})]
        for name, (mean, sd) in made.items()
    }
    return score_methods(sums, next(iter(made)))


def test_perfect_climatological_and_shuffled_estimates_get_what_they_must() -> None:
    known, truth = observed(0.5)
    shuffled = truth[np.random.default_rng(2).permutation(len(truth))]
    found = scored(known, 0.5, climatology=(0.0, 1.0), perfect=(truth, 1e-3), shuffled=(shuffled, 1.0), flat=(0.0, 1.0))
    perfect, climatology = found["perfect"]["cells"], found["climatology"]["cells"]
    assert perfect["rmse"] == pytest.approx(0.5, abs=0.01), "the observations err"
    assert perfect["rmse_less_noise"] < 0.06
    assert perfect["covers_90"] == pytest.approx(0.9, abs=0.01), "with the error of the observations"
    assert perfect["log_score"] == pytest.approx(np.log(0.5 * np.sqrt(2 * np.pi)) + 0.5, abs=0.02)
    assert climatology["rmse"] == pytest.approx(np.sqrt(1.25), abs=0.01)
    assert climatology["rmse_less_noise"] == pytest.approx(1.0, abs=0.01)
    assert climatology["covers_90"] == pytest.approx(0.9, abs=0.01)
    assert found["shuffled"]["cells"]["rmse"] == pytest.approx(np.sqrt(2.25), abs=0.02)
    for score in ("rmse", "crps", "log_score"):
        assert found["flat"]["paired"][score]["difference"] == 0.0, "climatology has no skill against climatology"
        assert found["flat"]["paired"][score]["first_is"] == "does not differ significantly"
        assert found["perfect"]["paired"][score]["first_is"] == "better"
        assert found["shuffled"]["paired"][score]["first_is"] == "worse"


def test_few_years_are_compared_over_blocks_of_cells() -> None:
    known, truth = observed(0.5)
    few = replace(known, truth=known.truth[:2], mask=known.mask[:2], time=TIME[:2])
    found = scored(few, 0.5, climatology=(0.0, 1.0), perfect=(truth[:2], 1e-3))
    assert found["perfect"]["paired"]["rmse"]["first_is"] == "better"
    assert "block_years" not in found["perfect"]["paired"]
    assert "block_years" in scored(known, 0.5, climatology=(0.0, 1.0), perfect=(truth, 1e-3))["perfect"]["paired"]


# the task


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
    assert content["interval"] == "90 % bootstrap over blocks of 20 degrees, paired"
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
