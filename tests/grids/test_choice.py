"""Which method a grid gets, and why: networks have a grid, baselines take any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from cli.test_cli import run
from climrecon.errors import NetworkError
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.store import load_network
from climrecon.output.product import NetworkInfo
from climrecon.settings import RunSettings, Site, validate
from climrecon.settings.site import SiteFile
from climrecon.tasks.methods import LoadedMethod, load_method, method_grid, notes_on_choice, with_fitting_network
from grids.test_regional import ATTRIBUTES, EUROPE, INDEX, european
from preprocess import observation_files as files

SITE = Site(SiteFile())


def settings(**given: str) -> RunSettings:
    return validate({"obs_file": "x.nc", **given}, SITE)


def method(name: str) -> LoadedMethod:
    return load_method(name, settings(network=name), SITE)


def test_the_networks_grid_decides_where_none_is_named() -> None:
    asked = settings()
    assert asked.network == "punet6"
    assert with_fitting_network(asked, FIVE_DEGREES) is asked
    assert with_fitting_network(asked, Grid.regular(90, 180)) is asked
    assert with_fitting_network(asked, None) is asked
    assert with_fitting_network(asked, EUROPE).network == "kriging"
    named = settings(network="punet6")
    assert with_fitting_network(named, EUROPE) is named


def test_the_note_is_the_same_for_a_repeat_that_names_the_choice() -> None:
    chosen, named = with_fitting_network(settings(), EUROPE), settings(network="kriging")
    (note,) = notes_on_choice(chosen, EUROPE)
    assert notes_on_choice(named, EUROPE) == (note,)
    assert note == (
        "punet6 works on 36 x 72 (5 x 5 degrees, global), the observations are on 18 x 30 (2 x 2 degrees, 35N-71N, "
        "15W-45E); network=kriging is taken, which needs none"
    )
    assert notes_on_choice(named, FIVE_DEGREES) == ()
    assert notes_on_choice(settings(network="idw"), EUROPE) == ()
    (of_variable,) = notes_on_choice(settings(variable="psl"), EUROPE)
    assert "made for sea-level pressure" in of_variable


def test_grids_that_methods_work_on() -> None:
    assert method_grid(EUROPE, method("kriging")) is None
    assert method_grid(Grid.regular(90, 180), method("kriging")) is FIVE_DEGREES
    fine = Grid(np.linspace(25.0, 71.5, 373), np.linspace(-25.0, 45.5, 565))  # E-OBS
    coarse = method_grid(fine, method("kriging"))
    assert coarse is not None
    assert 10_000 < coarse.area.size <= 20_000
    assert coarse.lat_edges[[0, -1]].tolist() == fine.lat_edges[[0, -1]].tolist()
    assert set(coarse.lon_edges) <= set(fine.lon_edges)
    with pytest.raises(NetworkError, match=r"punet6 works on 36 x 72 .*; the observations are on 18 x 30") as found:
        method_grid(EUROPE, method("punet6"))
    assert "network=kriging" in str(found.value.hint)


def test_a_network_of_a_region_takes_its_own_grid_alone() -> None:
    loaded = load_network("punet6")
    card = loaded.card.model_copy(update={"grid": type(loaded.card.grid).of(EUROPE)})
    regional = LoadedMethod(loaded.method, NetworkInfo("europe", "", None), replace(loaded, card=card))
    found = method_grid(EUROPE, regional)
    assert found is not None
    assert found.same_as(EUROPE)
    for other in (FIVE_DEGREES, Grid(EUROPE.lat_edges, EUROPE.lon_edges + 2.0)):
        with pytest.raises(NetworkError, match="europe works on 18 x 30"):
            method_grid(other, regional)


def test_a_network_is_refused_before_anything_long_begins(tmp_path: Path) -> None:
    path = european(tmp_path)
    for given in (("--network", "punet6"), ("--network", "kriging", "--compare-with", "punet6"), ("--network", "oi")):
        answer = run("reconstruct", "--obs-file", path, *given, "--output", tmp_path / "o")
        assert answer.returncode == 5, answer.stderr
        assert "works on 36 x 72 (5 x 5 degrees, global); the observations are on 18 x 30" in answer.stderr
        assert "network=kriging" in answer.stderr
        assert "Reconstructing" not in answer.stderr
        assert not list((tmp_path / "o").glob("*.nc"))


def test_a_grid_too_fine_is_coarsened_with_a_note(tmp_path: Path) -> None:
    lat, lon = np.arange(40.05, 58, 0.1), np.arange(0.05, 18, 0.1)  # 180 x 180 cells
    values = np.broadcast_to(np.sin(np.deg2rad(20 * lat))[:, None], (12, 180, 180)).copy()
    values[:, 60:100, 60:100] = np.nan
    path = files.write(tmp_path / "fine.nc", values, INDEX[:12], lat=lat, lon=lon, fill=-1e30, attributes=ATTRIBUTES)
    answer = run("reconstruct", "--obs-file", path, "--network", "idw", "--compare-with", "none", "--plots", "false",
                 "--report", "false", "--output", tmp_path / "o")  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "remapped conservatively from 180 x 180 (0.1 x 0.1 degrees" in answer.stderr
    assert "to 90 x 90 (0.2 x 0.2 degrees" in answer.stderr
    with netCDF4.Dataset(next((tmp_path / "o").glob("tas_mon*.nc"))) as file:
        found = np.ma.filled(file["tas"][:], np.nan)
    assert np.isfinite(found).all()
    kept = np.isfinite(values)
    np.testing.assert_allclose(found[kept], values[kept], atol=1e-6)
