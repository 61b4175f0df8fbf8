"""Evaluations on the grid of a region: scores of its cells and of its mean, by the region's words."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from cli.test_cli import run
from climrecon.grid import Grid
from grids.test_regional import ATTRIBUTES, EUROPE, INDEX, LAT, LON, european, smooth
from preprocess import observation_files as files

METHODS = ("kriging", "idw", "pca", "climatology")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("evaluated")
    anomalies = smooth(LAT, LON)
    climatology = anomalies.reshape(-1, 12, *anomalies.shape[1:]).mean(axis=0)
    values = anomalies - np.tile(climatology, (30, 1, 1))
    truth = files.write(folder / "truth.nc", values, INDEX, lat=LAT, lon=LON, kind="f8", attributes=ATTRIBUTES)
    gappy = european(folder)
    answer = run("evaluate", "--truth-file", truth, "--obs-file", gappy, "--period", "1981-1990", "--network", METHODS[0],
                 "--compare-with", ",".join(METHODS[1:]), "--cachedir", folder / "cache", "--output", folder / "o")  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return folder, json.loads((folder / "o" / "scores.json").read_text()), answer.stdout


def test_scores_are_of_the_region(evaluated: tuple[Path, dict[str, Any], str]) -> None:
    folder, content, _ = evaluated
    scores = content["scores"]
    assert all(list(one["regions"]) == ["region"] for one in scores.values())
    with netCDF4.Dataset(folder / "truth.nc") as file, netCDF4.Dataset(folder / "europe.nc") as gaps:
        truth, missing = file["tas"][-120:].filled(np.nan), np.ma.getmaskarray(gaps["tas"][-120:])
    weights = EUROPE.area * missing
    # The climatology misses all there is.
    expected = np.sqrt((weights * truth**2).sum() / weights.sum())
    assert scores["climatology"]["cells"]["rmse"] == pytest.approx(float(expected), abs=2e-4)
    means = (truth * EUROPE.area).sum(axis=(1, 2)).reshape(-1, 12).mean(axis=1)
    annual = scores["climatology"]["regions"]["region"]["annual"]
    assert annual["rmse"] == pytest.approx(float(np.sqrt((means**2).mean())), abs=2e-4)
    rmse = {name: scores[name]["cells"]["rmse"] for name in METHODS}
    assert rmse["kriging"] < 0.3 * rmse["idw"] < 0.3 * rmse["climatology"]
    assert rmse["pca"] < rmse["climatology"]
    assert set(scores["kriging"]["paired"]) >= {"rmse", "region_annual_rmse"}
    observed = float((EUROPE.area * ~missing).sum(axis=(1, 2)).mean())
    assert content["truth"][0]["observed_share"] == pytest.approx(observed, abs=1e-3)


def test_errors_by_cell_are_on_the_region(evaluated: tuple[Path, dict[str, Any], str]) -> None:
    path = evaluated[0] / "o" / "rmse_by_cell.nc"
    with netCDF4.Dataset(path) as file:
        np.testing.assert_allclose(file["lat"][:], LAT)
        np.testing.assert_allclose(file["lon"][:], LON, atol=1e-9)
        assert file["rmse"].shape == (5, 18, 30)


def test_nothing_is_called_global(evaluated: tuple[Path, dict[str, Any], str]) -> None:
    folder, content, shown = evaluated
    page = (folder / "o" / "report.html").read_text()
    page = html.unescape(re.sub(r"<style.*?</style>|<img[^>]*>|<[^>]+>", " ", page[: page.index("All settings")]))
    captions = [one["caption"] for one in json.loads((folder / "o" / "manifest.json").read_text())["outputs"]]
    for text in (page, shown, *captions, str(content["scores"])):
        assert not re.search(r"[Gg]lobal|globe|\bNH\b|Nino", text), text[:400]
    assert "RMSE of the annual regional mean" in page
    assert "% of the region observed" in page
    assert "annual regional mean" in shown
    assert (folder / "o" / "regional_mean.png").exists()


def test_networks_on_another_grid_are_refused(tmp_path: Path, evaluated: tuple[Path, dict[str, Any], str]) -> None:
    answer = run("evaluate", "--truth-file", evaluated[0] / "truth.nc", "--obs-file", evaluated[0] / "europe.nc",
                 "--network", "punet6", "--compare-with", "kriging", "--output", tmp_path / "o")  # fmt: skip
    assert answer.returncode == 5, answer.stderr
    assert "punet6 works on 36 x 72 (5 x 5 degrees, global); this evaluation is made on 18 x 30" in answer.stderr


def test_real_precipitation_is_evaluated_on_its_grid(tmp_path: Path, shared_data: Path) -> None:
    """nClimDiv of 1961-1990 with a hole of six by eight degrees and half of the other cells missing."""
    source = shared_data / "precipitation" / "nclimdiv_pr_conus_1deg_189501-202212.nc"
    with netCDF4.Dataset(source) as file:
        lat, lon = file["lat"][:], file["lon"][:]
        values = np.ma.filled(file["pr"][66 * 12 : 96 * 12], np.nan)
    land = np.isfinite(values).all(axis=0)
    kept = np.random.default_rng(0).random(land.shape) < 0.5
    kept[8:14, 25:33] = False
    form: dict[str, Any] = {"name": "pr", "lat": lat, "lon": lon, "fill": -1e30, "attributes": {"units": "mm month-1"}}
    truth = files.write(tmp_path / "truth.nc", values, INDEX, **form)
    gappy = files.write(tmp_path / "gappy.nc", np.where(kept, values, np.nan), INDEX, **form)
    answer = run("evaluate", "--variable", "pr", "--truth-file", truth, "--obs-file", gappy, "--period", "1980-1982",
                 "--network", "kriging", "--compare-with", "idw,climatology", "--cachedir", tmp_path / "cache",
                 "--output", tmp_path / "o")  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    content = json.loads((tmp_path / "o" / "scores.json").read_text())
    climatology = values.reshape(30, 12, *land.shape).mean(axis=0)
    ratio = 100.0 * values[19 * 12 : 22 * 12] / np.where(land, np.tile(climatology, (3, 1, 1)), np.nan)
    area = Grid(np.arange(24.0, 51.0), np.arange(-125.0, -65.0)).area
    weights = np.where(np.isfinite(ratio) & ~kept, area, 0.0)
    expected = np.sqrt((weights * np.nan_to_num(ratio - 100.0) ** 2).sum() / weights.sum())
    rmse = {name: one["cells"]["rmse"] for name, one in content["scores"].items()}
    assert rmse["climatology"] == pytest.approx(float(expected), rel=0.02)  # dry cells and months have no ratio
    assert rmse["kriging"] < rmse["idw"] < rmse["climatology"]
