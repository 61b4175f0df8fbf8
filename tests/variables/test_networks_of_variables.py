"""Networks for other variables than air temperature: domain, made-up coverage, training and evaluation by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from cli.test_cli import run
from climrecon.data.made_up_masks import MADE_UP, made_up_masks
from climrecon.errors import ProblemList
from climrecon.fields import Context, Months
from climrecon.geography import land_fraction
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.card import Card, GridCard, describe
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.priors.covariance import learn_patterns
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.store import as_reconstructor, load_network
from climrecon.methods.transformed import transformed
from climrecon.methods.unet.network import UNet
from climrecon.training.recipes import recipe
from climrecon.training.unet_network import geography
from climrecon.variables import VARIABLES
from preprocess import observation_files as files

SMALL = Grid.regular(8, 16)
#: Two rows at the south and a block are no part of the domain.
DOMAIN = np.ones(SMALL.shape, bool)
DOMAIN[:2] = False
DOMAIN[4:6, 3:9] = False
SEA = Grid(SMALL.lat_edges, SMALL.lon_edges, DOMAIN)


def single(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.array(array, np.float32))


@pytest.fixture(scope="module")
def learned() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Patterns, residual and scale of fields that are known in the domain alone, and the fields."""
    rng = np.random.default_rng(0)
    fields = np.tensordot(rng.normal(size=(360, 5)), rng.normal(size=(5, *SEA.shape)), 1)
    fields += 0.5 * rng.normal(size=fields.shape)
    fields[:, ~DOMAIN] = np.nan
    found = learn_patterns(fields, np.arange(360) % 12 + 1, SEA, 20, seasons=True)
    assert found.seasons is not None
    assert np.isfinite(found.seasons).all()
    return found.vectors, found.residual, found.scale, fields


def network(learned: tuple[np.ndarray, ...]) -> UNet:
    vectors, residual, scale, _ = learned
    torch.manual_seed(1)
    prior = FullPrior(single(vectors[:, :6]), single(vectors[:, 6:]), single(residual), single(scale))
    made = UNet(prior, *geography(SEA), width=4, stride=1, depth=2)
    torch.nn.init.normal_(made.head.weight, std=0.1)
    return made


def test_cells_outside_the_domain_are_in_no_pattern(learned: tuple[np.ndarray, ...]) -> None:
    vectors, residual, scale, fields = learned
    inside = DOMAIN.ravel()
    assert not vectors[~inside].any()
    np.testing.assert_array_equal(residual[~inside], 1.0)
    assert (scale > 0).all()
    # Inside they are the covariance of the fields about the domain's mean: their variance is one in units of the scale.
    variance = (vectors[inside] ** 2).sum(axis=1) + residual[inside]
    assert 0.8 < variance.mean() < 1.2
    mean = np.nansum(fields * SEA.area, axis=(1, 2))
    spread = np.nanstd(fields - mean[:, None, None], axis=0).ravel()[inside]
    np.testing.assert_allclose(np.sqrt((scale**2).mean(axis=0))[inside], spread, rtol=0.1)


def test_what_is_observed_outside_the_domain_changes_nothing(learned: tuple[np.ndarray, ...]) -> None:
    method = as_reconstructor(network(learned), SEA, 0, obs_sd=0.3)
    rng = np.random.default_rng(2)
    values, mask = rng.normal(size=(3, *SEA.shape)).astype(np.float32), rng.random((3, *SEA.shape)) < 0.5
    context, month = Context(SEA, Months(np.arange(24000, 24003))), np.array([1, 2, 3])
    found = [method.reconstruct(np.where(DOMAIN, values, shift), mask, None, month, context) for shift in (0.0, 9.0)]
    np.testing.assert_array_equal(found[0].mean, found[1].mean)
    outside = found[0].mean[:, ~DOMAIN]
    # There is one estimate outside: the month's mean, not that of a cell.
    assert np.ptp(outside - outside[:, :1], axis=1).max() < 1.5 * found[0].mean[:, DOMAIN].std()
    assert not np.array_equal(found[0].mean[mask & DOMAIN], np.zeros_like(found[0].mean[mask & DOMAIN]))
    draws = found[0].sample
    assert draws is not None
    assert np.isfinite(draws(2, 0)).all()


def test_a_card_holds_variable_domain_and_grid(learned: tuple[np.ndarray, ...]) -> None:
    training = {"recipe": {"variables": ["tos"]}}
    card = describe("mine", network(learned), SEA, training)
    assert (card.variable, card.units) == ("tos", "K")
    again = Card.model_validate_json(card.model_dump_json())
    np.testing.assert_array_equal(again.grid.grid.exists, DOMAIN)
    assert GridCard.of(SMALL).grid.exists is None
    with pytest.raises(ValidationError, match="no mark for each of 8 x 16 cells"):
        GridCard(lat_edges=SMALL.lat_edges.tolist(), lon_edges=SMALL.lon_edges.tolist(), exists=["01"] * 8)


def test_recipes_for_other_variables_know_no_forced_responses() -> None:
    chosen = recipe("punet", variables=["tos"])
    assert (chosen.climates, chosen.forced, chosen.variable) == (0.0, False, "tos")  # type: ignore[attr-defined]
    assert recipe("punet").climates == 0.25  # type: ignore[attr-defined]
    for name, settings, message in (
        ("punet", {"variables": "tos", "climates": 0.2}, "a network for tos has climates=0"),
        ("kadow2020", {"variables": "tos"}, "for tos use recipe=punet"),
        ("punet", {"variables": ["sst"]}, "first comes the network's variable, one of"),
        ("punet", {"variables": ["tos", "tos"]}, "then each auxiliary variable once"),
    ):
        with pytest.raises(ProblemList, match=message):
            recipe(name, **settings)


@pytest.mark.parametrize("name", MADE_UP)
def test_made_up_coverage_is_of_the_sea_and_follows_from_seed_and_month(name: str) -> None:
    months = np.array([1860 * 12, 1995 * 12, 1995 * 12 + 1])
    masks = made_up_masks(name, FIVE_DEGREES, 0, months)
    np.testing.assert_array_equal(made_up_masks(name, FIVE_DEGREES, 0, months[1:2]), masks[1:2])
    assert not np.array_equal(made_up_masks(name, FIVE_DEGREES, 1, months), masks)
    land = land_fraction(FIVE_DEGREES)
    assert not masks[:, land == 1.0].any()
    sea = FIVE_DEGREES.area * (land < 0.5)
    share = (masks * sea).sum((1, 2)) / sea.sum()
    expected = [0.13, 0.71, 0.71] if name == "hadsst-like" else [share[0], share[1], share[1]]
    np.testing.assert_allclose(share, expected, atol=0.02)
    assert name == "hadsst-like" or (share.min() > 0.05 and share.max() < 0.2)
    # Gaps persist within a year.
    sea_cells = land < 0.5
    assert (masks[1] & masks[2])[sea_cells].sum() / masks[1][sea_cells].sum() > masks[2][sea_cells].mean() + 0.1


#: The North Atlantic and its coasts.
LAT, LON = np.arange(22.5, 60.0, 5.0), np.arange(-82.5, -5.0, 5.0)
ATLANTIC = Grid(np.arange(20.0, 61.0, 5.0), np.arange(-85.0, -4.0, 5.0))
INDEX = files.month_numbers(1961, 360)


@pytest.fixture(scope="module")
def sst(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Absolute sea-surface temperatures in degC, land missing, as ERSST holds them; and observations of them with gaps."""
    folder = tmp_path_factory.mktemp("sst")
    rng = np.random.default_rng(3)
    lat, lon = np.deg2rad(LAT)[:, None], np.deg2rad(LON)[None]
    shapes = np.stack([np.cos(k * lon + 2 * lat + p) for k, p in ((2, 0.0), (2, 1.6), (4, 0.3), (4, 1.0))])
    anomalies = np.tensordot(rng.normal(size=(360, 4)), shapes, 1)
    season = 3.0 * np.sin(lat) * np.cos(2 * np.pi * (INDEX % 12) / 12)[:, None, None]
    values = 14.0 + 12.0 * np.cos(lat) ** 2 - 6.0 * np.sin(lat) ** 2 + season + anomalies
    values[:, land_fraction(ATLANTIC) > 0.7] = np.nan
    stated = {"units": "degC", "long_name": "sea surface temperature", "standard_name": "sea_surface_temperature"}
    complete = files.write(
        folder / "sst.nc", values, INDEX, lat=LAT, lon=LON, name="sst", fill=-999.0, attributes=stated
    )
    gappy = values.copy()
    gappy[:, rng.random(gappy.shape[1:]) < 0.6] = np.nan
    seen = files.write(folder / "seen.nc", gappy, INDEX, lat=LAT, lon=LON, name="sst", fill=-999.0, attributes=stated)
    return complete, seen


@pytest.fixture(scope="module")
def trained(sst: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "site.toml").write_text(
        f'network_store = ["{folder}/networks"]\n[training_data.mine]\nfiles = ["{sst[0]}"]\nperiod = "1961-1984"\n'
    )
    small = (
        "punet,rank=4,trailing=4,folds=1,seasons=false,pool=16,refit=false,checks=8,validation_years=1,width=4,depth=1"
    )
    answer = run(
        "train", "--variable", "tos", "--training-data", "mine", "--masks", sst[1], "--recipe", small, "--iterations", 4,
        "--network-name", "warm", "--plots", "false", "--cachedir", folder / "cache", "--output", folder / "o",
        CLIMRECON_CONFIG=str(folder / "site.toml"),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return folder


def test_a_network_for_the_sea_is_trained_by_the_command_line(trained: Path) -> None:
    card = json.loads((trained / "o" / "card.json").read_text())
    assert (card["variable"], card["units"], card["training"]["recipe"]["variables"]) == ("tos", "K", ["tos"])
    exists = GridCard.model_validate(card["grid"]).grid.exists
    assert exists is not None
    np.testing.assert_array_equal(exists, land_fraction(ATLANTIC) <= 0.7)
    assert any(text.startswith("Its domain is the sea") for text in card["caveats"])
    assert any("no forced responses" in text for text in card["caveats"])
    months = [period for member in card["training"]["members"]["train"] for period in member["periods"]]
    assert max(months)[:4] <= "1984"
    scores = card["scores"]["cases"]
    assert all(0 < row["warm"]["rmse"] < 2 for row in scores.values())


def test_methods_for_the_sea_are_evaluated_in_one_table(trained: Path, sst: tuple[Path, Path]) -> None:
    answer = run(
        "evaluate", "--variable", "tos", "--truth-file", sst[0], "--masks", "ship-tracks", "--period", "1989-1990", "--network",
        "warm", "--compare-with", "kriging,pca,oi", "--cachedir", trained / "cache", "--output", trained / "e", "--plots",
        "false", CLIMRECON_CONFIG=str(trained / "site.toml"),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    content = json.loads((trained / "e" / "scores.json").read_text())
    assert list(content["scores"]) == ["raw_mean", "warm", "kriging", "pca", "oi"]
    assert content["gaps"]["files"] == ["ship-tracks"]
    cells = {name: row["cells"] for name, row in content["scores"].items()}
    # Four patterns are all that varies, and both learned them.
    assert max(cells["warm"]["rmse"], cells["oi"]["rmse"]) < 0.7 * cells["raw_mean"]["rmse"]
    assert all(cells[name]["crps"] > 0 for name in ("warm", "kriging", "pca", "oi"))
    with netCDF4.Dataset(trained / "e" / "rmse_by_cell.nc") as file:
        scored = file["n_months"][:] > 0
    assert not scored[land_fraction(ATLANTIC) > 0.7].any(), "land is no part of the domain"
    assert scored.sum() > 60


def test_the_network_of_the_sea_is_the_default_and_is_refused_for_another_variable(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    land = land_fraction(FIVE_DEGREES)
    values = np.where((land < 0.9) & (rng.random((6, *land.shape)) < 0.3), rng.normal(size=(6, 1, 1)), np.nan)
    stated = {"units": "K", "reference_period": "1961-1990"}
    path = files.write(tmp_path / "seen.nc", values, INDEX[:6], name="tos", fill=-1e30, attributes=stated)
    given = ("--obs-file", path, "--plots", "false", "--compare-with", "none")
    answer = run("reconstruct", "--variable", "tos", *given, "--output", tmp_path / "o")
    assert answer.returncode == 0, answer.stderr
    (result,) = (tmp_path / "o").glob("tos_mon_climrecon-punet-tos_*.nc")
    with netCDF4.Dataset(result) as file:
        found, analysis = (np.ma.filled(file[name][:], np.nan) for name in ("tos", "tos_analysis"))
    ever = np.isfinite(values).any(axis=0)
    np.testing.assert_array_equal(np.isfinite(found), np.broadcast_to((land < 0.5) | ever, found.shape))
    # A month that is uniform stays so, wherever it was not observed.
    np.testing.assert_allclose(np.nanmean(analysis, axis=(1, 2)), np.nanmax(values, axis=(1, 2)), atol=0.15)
    answer = run("reconstruct", "--variable", "psl", *given, "--network", "punet-tos", "--output", tmp_path / "no")
    assert answer.returncode == 5
    assert "The network punet-tos was made for tos; the observations hold psl" in answer.stderr


def test_the_shipped_network_for_the_sea_is_ahead_of_kriging_in_years_it_did_not_learn(
    shared_data: Path, tmp_path: Path
) -> None:
    card = load_network("punet-tos").card
    periods = [period for one in card.training["members"].values() for member in one for period in member["periods"]]
    assert max(period[-6:] for period in periods) == "199012"
    assert card.training["covariances"] == "all 372 months"  # of 1960-1990
    truth = shared_data / "observations" / "ersst_v3b" / "ersst_v3b_2x2_196001-200212.nc"
    answer = run(
        "evaluate", "--variable", "tos", "--truth-file", truth, "--masks", "ship-tracks", "--period", "199711-199712", "--network",
        "punet-tos", "--compare-with", "kriging,oi", "--plots", "false", "--cachedir", tmp_path / "c", "--output", tmp_path / "o",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    scores = json.loads((tmp_path / "o" / "scores.json").read_text())["scores"]
    cells = {name: row["cells"] for name, row in scores.items()}
    for score in ("rmse", "crps"):
        assert cells["punet-tos"][score] < 0.9 * cells["kriging"][score]
        assert cells["oi"][score] < cells["kriging"][score]


#: A region of land whose rows and columns cannot be halved twice.
PLAINS = Grid(np.arange(35.0, 46.0), np.arange(-105.0, -91.0))


@pytest.fixture(scope="module")
def rain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, np.ndarray]:
    """Monthly sums in mm on a region, dry in the west, with a corner that is never known; gauges; and the sums."""
    folder = tmp_path_factory.mktemp("rain")
    rng = np.random.default_rng(5)
    lat, lon = np.deg2rad(PLAINS.lat)[:, None], np.deg2rad(PLAINS.lon)[None]
    shapes = np.stack([np.cos(k * lon + 9 * j * lat + p) for k, j, p in ((9, 0, 0.0), (9, 1, 1.6), (18, 1, 0.3))])
    weather = np.tensordot(rng.normal(size=(480, 3)), shapes, 1)
    normal = 20.0 + 5.0 * (PLAINS.lon + 105.0) + 10.0 * np.cos(2 * np.pi * np.arange(480) / 12)[:, None, None]
    values = normal * np.maximum(1.0 + 0.25 * weather, 0.0) ** 2.5
    values[:, :2, :3] = np.nan
    stated = {"units": "mm month-1", "long_name": "monthly precipitation"}
    given = {"lat": PLAINS.lat, "lon": PLAINS.lon, "name": "pr", "fill": -1.0, "attributes": stated}
    index = files.month_numbers(1951, 480)
    complete = files.write(folder / "rain.nc", values, index, **given)  # type: ignore[arg-type]
    gauges = values.copy()
    gauges[:, rng.random(gauges.shape[1:]) < 0.7] = np.nan
    return complete, files.write(folder / "gauges.nc", gauges, index, **given), values  # type: ignore[arg-type]


def test_a_network_for_rain_on_a_region_never_gives_less_than_none(
    rain: tuple[Path, Path, np.ndarray], tmp_path: Path
) -> None:
    complete, gauges, values = rain
    (tmp_path / "site.toml").write_text(
        f'network_store = ["{tmp_path}/n"]\n[training_data.mine]\nfiles = ["{complete}"]\nperiod = "1951-1984"\n'
    )
    site: dict[str, Any] = {"CLIMRECON_CONFIG": str(tmp_path / "site.toml")}
    small = "punet,rank=6,trailing=6,folds=1,pool=48,refit=false,checks=8,validation_years=1,width=4,depth=2,tapers=3000 1500"
    answer = run(
        "train", "--variable", "pr", "--training-data", "mine", "--masks", gauges, "--recipe", small, "--iterations", 6,
        "--network-name", "wet", "--plots", "false", "--cachedir", tmp_path / "c", "--output", tmp_path / "t", **site,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    card = json.loads((tmp_path / "t" / "card.json").read_text())
    assert (card["variable"], card["units"], card["architecture"]["padding"]) == ("pr", "%", "edge")
    assert card["architecture"]["normal"]
    assert card["training"]["validation_units"] == "transformed"
    exists = GridCard.model_validate(card["grid"]).grid.exists
    assert exists is not None
    np.testing.assert_array_equal(exists, np.isfinite(values[0]))

    answer = run(
        "evaluate", "--variable", "pr", "--truth-file", complete, "--masks", gauges, "--period", "1987-1990", "--network", "wet",
        "--compare-with", "kriging,oi,idw", "--plots", "false", "--cachedir", tmp_path / "c", "--output", tmp_path / "e", **site,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    scores = json.loads((tmp_path / "e" / "scores.json").read_text())["scores"]
    cells = {name: row["cells"] for name, row in scores.items()}
    assert abs(cells["wet"]["total_ratio"] - 1.0) < 0.03
    assert cells["wet"]["rank_r"] > cells["idw"]["rank_r"]
    assert cells["wet"]["rmse"] < cells["idw"]["rmse"]
    assert set(scores["wet"]["regions"]) == {"region"}  # neither hemisphere nor Nino 3.4 lies in it

    method = load_network(str(tmp_path / "n" / "wet")).method
    ratio = np.full((12, *PLAINS.shape), 2.0, np.float32)
    mask = np.zeros(ratio.shape, bool)
    mask[:, 5, 5] = True  # next to nothing where there is a gauge
    estimate = method.reconstruct(ratio, mask, None, np.arange(1, 13), Context(PLAINS, Months(np.arange(24000, 24012))))
    draws = estimate.sample
    assert draws is not None
    assert min(float(estimate.mean.min()), float(draws(20, 0).min())) >= 0.0


def test_a_learned_transform_takes_errors_at_the_climatology() -> None:
    """Too low values of precipitation would count for less, if their errors were those at the value observed."""
    seen: list[np.ndarray] = []

    class Spy(Kriging):
        def reconstruct(self, values, mask, obs_sd, month, context):  # type: ignore[no-untyped-def]
            seen.append(obs_sd)
            return super().reconstruct(values, mask, obs_sd, month, context)

    variable, shape = VARIABLES["pr"], (1, *SMALL.shape)
    values = np.linspace(5.0, 300.0, SMALL.area.size, dtype=np.float32).reshape(shape)
    for normal in (None, np.zeros((12, *SMALL.shape), np.float32)):
        method = transformed(Spy(Covariance(1500.0, 1.0, 0.1)), variable, normal)
        method.reconstruct(
            values,
            np.ones(shape, bool),
            np.full(shape, 20.0, np.float32),
            np.array([1]),
            Context(SMALL, Months(np.array([0]))),
        )
    assert np.ptp(seen[0]) > 0.1
    np.testing.assert_allclose(seen[1], variable.in_methods(20.0), rtol=1e-5)
