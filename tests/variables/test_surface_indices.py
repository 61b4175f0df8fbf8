"""Indices over land or sea: the land mean of precipitation, in every task."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from pydantic import ValidationError

from cli.test_cli import run
from climrecon import indices
from climrecon.fields import Months
from climrecon.geography import land_fraction, with_domain
from climrecon.grid import Grid
from climrecon.tasks.compare import together
from climrecon.tasks.compare.together import OnGrid, Together
from climrecon.variables import VARIABLES, Index
from preprocess import observation_files as files
from variables.test_other_variables import LAT, LON, result
from variables.test_transforms import INDEX, weather

(LAND,) = VARIABLES["pr"].indices
GRID = Grid.regular(18, 36)
IS_LAND = land_fraction(GRID) >= 0.5
QUICK = ("--report", "false", "--plots", "false", "--compare-with", "none")


def index(**stated: Any) -> Index:
    return Index(name="made", title="made", **stated)


def cells_of(grid: Grid) -> np.ndarray:
    """(H, W) weights of the land mean by a loop of its own."""
    found = np.zeros(grid.shape)
    for row, column in np.argwhere(land_fraction(grid) >= 0.5):
        found[row, column] = np.sin(np.radians(grid.lat_edges[row + 1])) - np.sin(np.radians(grid.lat_edges[row]))
    return np.asarray(found / found.sum())


def test_the_land_mean_is_over_cells_at_least_half_of_which_is_land() -> None:
    np.testing.assert_allclose(indices.weights(GRID, LAND), cells_of(GRID), atol=1e-15)
    sea = indices.areas(GRID, index(surface="sea"))[0]
    np.testing.assert_allclose(sea + indices.areas(GRID, LAND)[0], GRID.area, atol=1e-15)
    # Of a box, too: the Sahel's land, or the contrast of its land with that of India.
    sahel, india = (10.0, 20.0, -20.0, 40.0), (0.0, 30.0, 60.0, 100.0)
    both = indices.weights(GRID, index(box=sahel, less=india, surface="land"))
    assert not both[~IS_LAND].any()
    assert both[both > 0].sum() == pytest.approx(1.0)
    assert both[both < 0].sum() == pytest.approx(-1.0)
    rows, columns = np.nonzero(both > 0)
    assert GRID.lat[rows].min() > 10.0 > GRID.lat[rows].max() - 10.0
    assert abs(GRID.lon[columns] - 10.0).max() < 30.0


def test_it_is_left_out_where_it_would_be_the_mean_of_the_grid() -> None:
    europe = Grid(np.linspace(35.0, 75.0, 41), np.linspace(-15.0, 45.0, 61))
    every = np.ones((1, *europe.shape), bool)
    land = land_fraction(europe) >= 0.5
    coastal = land | (np.random.default_rng(0).random(land.shape) < 0.3) & (land_fraction(europe) > 0.05)
    assert indices.held(europe, [LAND]) == (LAND,)
    assert indices.held(with_domain(europe, "everywhere", every), [LAND]) == (LAND,)
    # A product of land holds cells of coasts with little land: its own mean is that of the land.
    product = with_domain(europe, "everywhere", coastal[None])
    assert product.exists is not None
    assert (product.exists & ~land).any()
    assert indices.held(product, [LAND]) == ()
    assert indices.held(with_domain(GRID, "everywhere", IS_LAND[None], "land"), [LAND]) == ()
    assert indices.held(with_domain(GRID, "sea", ~IS_LAND[None]), [LAND, index(surface="sea")]) == ()


def test_it_is_left_out_where_there_is_no_land() -> None:
    pacific = (-40.0, -30.0, -130.0, -100.0)
    assert indices.held(GRID, [index(box=pacific, surface="land"), index(box=pacific)]) == (index(box=pacific),)
    assert indices.held(Grid(np.linspace(-50.0, -30.0, 5), np.linspace(-130.0, -100.0, 7)), [LAND]) == ()


def test_on_the_real_product_of_land_it_is_left_out(shared_data: Path) -> None:
    with netCDF4.Dataset(shared_data / "precipitation" / "nclimdiv_pr_conus_1deg_189501-202212.nc") as file:
        observed = ~np.ma.getmaskarray(file["pr"][:120])
    grid = Grid(np.arange(24.0, 51.0), np.arange(-125.0, -65.0))
    assert indices.held(grid, [LAND]) == (LAND,)
    assert indices.held(with_domain(grid, "everywhere", observed), [LAND]) == ()


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({}, "'made' states no cells: give box = .south, north, west, east., surface = "),
        ({"surface": "land", "less": (0, 1, 2, 3)}, "'made' states less without box"),
        ({"surface": "ice"}, "'land' or 'sea'"),
    ],
)
def test_a_description_without_cells_is_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        index(**stated)


def rain() -> np.ndarray:
    """(T, H, W) mm/day, twice as much over land in the last year as in the others."""
    values = 3.0 * np.maximum(1.0 + 0.25 * weather(1), 0.0) ** 3
    land = np.roll(IS_LAND, -18, axis=1)
    values[-12:, land] *= 2.0
    return np.asarray(values)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A folder, observations with gaps, and the truth."""
    folder = tmp_path_factory.mktemp("land")
    values = rain()
    gaps = np.random.default_rng(1).random(values.shape[1:]) < 0.4
    about: dict[str, Any] = {"lat": LAT, "lon": LON, "name": "pr", "fill": -1e30, "attributes": {"units": "mm/day"}}
    observations = files.write(folder / "obs.nc", np.where(gaps, np.nan, values), INDEX, **about)
    return folder, observations, files.write(folder / "truth.nc", values, INDEX, **about)


def call(task: str, folder: Path, *more: Any) -> Path:
    out = folder / f"{task}{len(list(folder.iterdir()))}"
    answer = run(task, "--variable", "pr", "--reference-period", "1961-1980", "--output", out, *more)
    assert answer.returncode == 0, answer.stderr
    return out


def test_a_reconstruction_draws_it_with_its_spread(made: tuple[Path, Path, Path]) -> None:
    folder, observations, _ = made
    out = call("reconstruct", folder, "--obs-file", observations, "--network", "kriging", "--compare-with", "none")
    entries = {entry["path"]: entry for entry in json.loads((out / "manifest.json").read_text())["outputs"]}
    assert entries["land_mean.png"]["caption"].startswith("Land mean with its 90 % range, ")
    text = html.unescape((out / "report.html").read_text())
    assert (
        "Cells at least half of which is land are weighted with their area; grey where under 25 % of the land" in text
    )
    (maps,) = [name for name in entries if name.startswith("maps_")]
    with result(out) as file:
        # The file's longitudes are from 0, those of the weights from -180.
        land = (np.roll(file["pr"][:].filled(), 18, axis=2) * cells_of(GRID)).sum(axis=(1, 2))
    month = int(np.argmax(land))
    assert maps == f"maps_1980-{month % 12 + 1:02d}.png", "maps show the wettest month of the land"
    assert f"Land mean {land[month]:.0f} % (90 % within " in text
    assert re.search(r"\d % of the land observed", text)


def test_an_explanation_is_of_the_land(made: tuple[Path, Path, Path]) -> None:
    folder, observations, _ = made
    given = ("--obs-file", observations, "--network", "kriging", "--month", "1980-06", *QUICK)
    first, second = (call("explain", folder, *given, *more) for more in ((), ("--region", "land_mean")))
    content, same = (json.loads((out / "explanation.json").read_text()) for out in (first, second))
    assert content["value"] == same["value"] == "land mean"
    found = content["methods"]["kriging"]
    assert found["estimate"] == same["methods"]["kriging"]["estimate"]
    assert found["stated_stddev"] > 0
    with netCDF4.Dataset(first / "explanation_kriging.nc") as file:
        np.testing.assert_allclose(file["target_weight"][:], cells_of(GRID), atol=1e-9)


def test_an_evaluation_scores_it(made: tuple[Path, Path, Path]) -> None:
    folder, observations, truth = made
    given = ("--truth-file", truth, "--obs-file", observations, "--period", "1975-1980", "--network", "kriging")
    out = call("evaluate", folder, *given, "--cachedir", folder / "cache", "--realisations", 10, *QUICK)
    scores = json.loads((out / "scores.json").read_text())["scores"]["kriging"]["regions"]
    land, whole = scores["land mean"]["monthly"], scores["global"]["monthly"]
    assert 0.9 < land["r"] <= 1.0
    assert land["rmse"] != whole["rmse"]
    assert 0.5 < land["covers_90"] <= 1.0


def test_a_comparison_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    described = VARIABLES["tas"].model_copy(update={"indices": (LAND,)})
    monkeypatch.setattr(together, "VARIABLES", {"tas": described})
    time = Months(files.month_numbers(1961, 12 * 20))
    values = np.where(IS_LAND, 3.0, -1.0) + np.zeros((len(time), 1, 1))
    gappy = np.where(np.random.default_rng(0).random(values.shape) < 0.5, values, np.nan)
    products = [OnGrid(name, field, time, {}) for name, field in (("whole", values), ("gappy", gappy))]
    both = Together(products, GRID, "tas", "auto")
    assert [one.title for one in both.indices] == ["land mean"]
    for own in (both.own_series(values), both.common_series(values, 0), both.own_series(gappy)):
        np.testing.assert_allclose(own[1], 3.0)
        assert (own[0] < 2.0).all()
    observed = (np.isfinite(gappy) * cells_of(GRID)).sum((1, 2))
    np.testing.assert_allclose(both.coverage(np.isfinite(gappy))[1], observed, atol=1e-6)
