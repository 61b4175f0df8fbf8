"""``task=evaluate`` through the command line, on the demo archive; and how masks are taken."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner

from climrecon.cli.app import app
from climrecon.data.noise import NoiseSource
from climrecon.errors import InputDataError, ProblemList
from climrecon.fields import Months, Observations, Source
from climrecon.grid import Grid
from climrecon.scores.gaps import masks_for
from climrecon.settings import load_site, validate
from climrecon.tasks.evaluate.plan import pseudo_observations_of
from climrecon.training.store import StoredMember

GRID = Grid.regular(6, 12)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["evaluate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def truth_file(demo: Path) -> Path:
    return next((demo / "reanalysis" / "20CR").glob("*.nc"))


@pytest.fixture(scope="module")
def result(demo: Path, truth_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """An evaluation of the shipped network and of all quick baselines; and how it was called."""
    folder = tmp_path_factory.mktemp("evaluation")
    call = [
        "--truth-file", str(truth_file), "--catalogue", str(demo / "catalogue.json"), "--period", "1961-1966",
        "--compare-with", "idw,oi,climatology", "--noise", "true", "--realisations", "10", "--cachedir", str(folder / "cache"),
    ]  # fmt: skip
    output = run(*call, "--output", str(folder / "out"))
    assert "RMSE better than that of idw" in output
    return folder, call


def test_an_evaluation_leaves_what_it_says(result: tuple[Path, list[str]]) -> None:
    folder = result[0] / "out"
    manifest = json.loads((folder / "manifest.json").read_text())
    roles = [entry["role"] for entry in manifest["outputs"]]
    assert sorted(set(roles)) == ["figure", "provenance", "report", "scores"]
    assert all((folder / entry["path"]).is_file() for entry in manifest["outputs"])
    assert not list(folder.glob(".climrecon*"))
    recorded = json.loads((folder / "provenance.json").read_text())
    assert recorded["agent"]["user"]["prov:label"] == getpass.getuser()
    content = json.loads((folder / "scores.json").read_text())
    assert list(content["scores"]) == ["raw_mean", "punet6", "idw", "oi", "climatology"]
    assert content["reference"] == "idw"
    assert "only cells that were missing" in content["counted"].lower()
    assert content["gaps"]["rules"] == [
        f"{content['truth'][0]['name']}: each month is seen through the gaps of its own date"
    ]
    scores = content["scores"]
    assert scores["punet6"]["cells"]["rmse"] < scores["idw"]["cells"]["rmse"] < scores["climatology"]["cells"]["rmse"]
    assert scores["climatology"]["regions"]["global"]["annual"]["trend_ratio"] == 0.0
    assert 0.0 <= scores["oi"]["regions"]["global"]["annual"]["covers_90"] <= 1.0
    assert scores["punet6"]["regions"]["Nino 3.4"]["monthly"]["r"] > 0.9
    assert "covers_90" not in scores["idw"]["cells"]
    report = (folder / "report.html").read_text()
    assert "Compared with idw" in report
    assert "raw_mean" in report
    with netCDF4.Dataset(folder / "rmse_by_cell.nc") as file:
        assert file["rmse"].shape == (5, 36, 72)
        names = ["".join(name) for name in netCDF4.chartostring(file["method_name"][:])]
        weights = file["n_months"][:] * np.cos(np.radians(file["lat"][:]))[:, None]
        whole = np.sqrt((weights * np.ma.filled(file["rmse"][names.index("oi")], 0.0) ** 2).sum() / weights.sum())
    assert whole == pytest.approx(scores["oi"]["cells"]["rmse"], rel=0.01)


def test_the_same_call_again_makes_nothing_anew_and_equal_scores(
    result: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, call = result
    import climrecon.tasks.evaluate.task as module

    def forbidden(*arguments: object) -> None:
        raise AssertionError("a method was applied again")

    monkeypatch.setattr(module, "_applied", forbidden)
    run(*call, "--output", str(folder / "again"), "--plots", "false", "--report", "false")
    first, second = (json.loads((folder / name / "scores.json").read_text()) for name in ("out", "again"))
    assert first == second
    left = next((folder / "cache" / "evaluation").glob("*/*.safetensors"))
    left.unlink()  # as after a run that was killed
    with pytest.raises(AssertionError, match="applied again"):
        run(*call, "--output", str(folder / "again"))


def test_a_rerun_from_its_provenance_agrees(result: tuple[Path, list[str]], tmp_path: Path) -> None:
    call = ["rerun", str(result[0] / "out" / "provenance.json"), "--output", str(tmp_path / "again")]
    answer = CliRunner().invoke(app, call, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert "same       rmse_by_cell.nc" in answer.output


def test_a_dry_run_says_what_would_be_done(demo: Path, truth_file: Path, tmp_path: Path) -> None:
    output = run(
        "--truth-file", str(truth_file), "--catalogue", str(demo / "catalogue.json"), "--dryrun",
        "--output", str(tmp_path / "out"), "--cachedir", str(tmp_path / "cache"),
    )  # fmt: skip
    assert "methods: punet6, kriging, and raw_mean; differences to kriging" in output
    assert not (tmp_path / "out").exists()


def test_held_out_members_are_the_truth_where_no_file_is_named(demo: Path, tmp_path: Path) -> None:
    output = run(
        "--training-data", "cmip5", "--training-target", "tas", "--catalogue", str(demo / "catalogue.json"),
        "--period", "1970-1972", "--network", "idw", "--compare-with", "none", "--output", str(tmp_path / "out"),
        "--cachedir", str(tmp_path / "cache"),
    )  # fmt: skip
    assert "too few years to compare its RMSE with that of raw_mean" in output
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert content["truth"][0]["name"].startswith("DEMO-")
    assert any("held out of cmip5" in text for text in content["caveats"])


def test_what_cannot_be_is_refused(demo: Path, tmp_path: Path) -> None:
    site = load_site()
    with pytest.raises(ProblemList, match="there is no set nothing"):
        validate({"task": "evaluate", "training_data": "nothing"}, site)
    validate({"task": "evaluate", "training_data": "nothing", "truth_file": "a.nc"}, site)
    with pytest.raises(InputDataError, match="There is no file"):
        run("--truth-file", str(tmp_path / "absent.nc"), "--catalogue", str(demo / "catalogue.json"))


# masks


def test_masks_go_by_date_where_the_dates_meet() -> None:
    time = Months(np.arange(1900 * 12, 1910 * 12))
    seen = Months(np.arange(1904 * 12, 1920 * 12))
    position, has, rule = masks_for(time, seen)
    assert "own date" in rule
    assert "48 months" in rule
    np.testing.assert_array_equal(seen.index[position[has]], time.index[48:])


def test_else_years_of_masks_are_repeated_with_their_calendar_months() -> None:
    time = Months(np.arange(1950 * 12 + 3, 1960 * 12))
    seen = Months(np.arange(1850 * 12 + 5, 1853 * 12 + 2))
    position, has, rule = masks_for(time, seen)
    assert has.all()
    assert "185101-185212" in rule
    np.testing.assert_array_equal(seen.month[position], time.month)
    assert len(np.unique(position)) == 24


def test_a_few_masks_stand_for_whole_years_in_turn() -> None:
    time = Months(np.arange(1950 * 12, 1954 * 12))
    position, has, rule = masks_for(time, Months(np.array([1877 * 12 + 8, 1893 * 12 + 7])))
    assert has.all()
    assert "1877-09, 1893-08" in rule
    np.testing.assert_array_equal(position, np.repeat([0, 1, 0, 1], 12))


def test_errors_are_added_where_observed_and_a_gap_of_the_truth_stays_unseen() -> None:
    rng = np.random.default_rng(0)
    index = np.arange(1900 * 12, 1913 * 12)
    values = rng.normal(size=(len(index), *GRID.shape)).astype(np.float32)
    values[:, 0, 0] = np.nan
    mask = rng.random(values.shape) < 0.5
    source = Source("gaps", "", (), (), "tas")
    gaps = Observations("tas", np.where(mask, 0.0, np.nan), mask, None, Months(index), GRID, (1961, 1990), source)
    member = StoredMember("key", values, index, {"name": "made up"})
    settings = validate({"task": "evaluate", "truth_file": "a.nc", "period": "1901-"}, load_site())
    smooth = np.ones((GRID.area.size, 1))
    noise = NoiseSource(smooth, smooth, area=GRID.area.reshape(-1))
    plain, _ = pseudo_observations_of(member, slice(None), gaps, None, GRID, settings, 0)
    noisy, _ = pseudo_observations_of(member, slice(None), gaps, noise, GRID, settings, 0)
    again, _ = pseudo_observations_of(member, slice(None), gaps, noise, GRID, settings, 0)
    assert len(plain.known.time) == 144
    seen = plain.known.mask
    assert not seen[:, 0, 0].any()
    assert not plain.known.scored[:, 0, 0].any()
    np.testing.assert_array_equal(plain.observations.values[seen], values[12:][seen])
    error = (noisy.observations.values - plain.observations.values)[seen]
    assert 0.05 < error.std() < 1.5
    assert np.isnan(noisy.observations.values[~seen]).all()
    np.testing.assert_array_equal(noisy.observations.values, again.observations.values)
    assert len(np.unique(noisy.observations.obs_sd[:, 1, 1])) == 2  # two decades
