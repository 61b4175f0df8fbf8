"""Sea-surface temperature does not exist on land: neither estimated nor counted there, with a status of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from climrecon.geography import domain, land_fraction
from climrecon.grid import FIVE_DEGREES, GLOBE, Grid, coverage, weighted_mean
from climrecon.output.product import NO_DOMAIN, OBSERVED
from climrecon.output.series import make_series
from climrecon.plots import draw_global_mean, draw_maps
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.variables import VARIABLES
from climrecon.watch.changes import read_result
from climrecon.workflow.progress import Quiet
from climrecon.workflow.stage import run_stages
from helpers.made_up import make_product
from output.test_files import cf_problems
from parts.test_parts import content, stages
from preprocess import observation_files as files

LAT, LON = np.arange(-85.0, 90, 10.0), np.arange(-175.0, 180, 10.0)
GRID = Grid.regular(18, 36)
MONTHS = 108
INDEX = files.month_numbers(1961, MONTHS)
MEMBERS = 6
#: In Asia; observed in one month, as a lake might be.
INLAND = (13, 26)


def at_sea(folder: Path, **form) -> Path:
    """Anomalies where most of a cell is sea, a third of them missing, and at one place inland."""
    values = files.gappy(5, (MONTHS, 18, 36), missing=0.3)
    values[:, land_fraction(GRID) >= 0.5] = np.nan
    values[7, *INLAND] = 1.25
    attributes = {"units": "K", "standard_name": "sea_surface_temperature_anomaly", "reference_period": "1961-1990"}
    form = {"name": "tos", "fill": -1e30, "attributes": attributes} | form
    return files.write(folder / "sea.nc", values, INDEX, lat=LAT, lon=LON, **form)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sea")
    with xr.open_dataset(at_sea(folder), decode_times=False) as data:
        members = [data.assign(tos=data["tos"] + bias) for bias in np.linspace(-0.2, 0.2, MEMBERS)]
        xr.concat(members, "realization", data_vars=["tos"]).to_netcdf(folder / "members.nc")
    run(folder, folder / "members.nc", 10**9)
    return folder


def run(folder: Path, path: Path, values_per_part: int, **parameters) -> int:
    """Reconstruct; returns the number of parts."""
    given = {"obs_file": str(path), "variable": "tos", "network": "kriging", "realisations": MEMBERS, "report": "true"}
    found = stages(folder, values_per_part, **given | parameters)
    run_stages(found, Quiet())
    return max(stage.parts for stage in found)


def result(folder: Path) -> netCDF4.Dataset:
    (path,) = (folder / "o").glob("*kriging*.nc")
    return netCDF4.Dataset(path)


def test_cells_without_the_variable_have_a_status_and_no_values(whole: Path) -> None:
    land = land_fraction(GRID) >= 0.5
    land[INLAND] = False  # observed once: it exists there
    with result(whole) as file:
        status = file["tos_status"]
        assert dict(zip(status.flag_meanings.split(), status.flag_values, strict=True))["outside_domain"] == NO_DOMAIN
        assert ((status[:] == NO_DOMAIN) == land).all()
        assert status[7, *INLAND] == OBSERVED
        for name in ("tos", "tos_analysis", "tos_stddev", "tos_stddev_observational", "tos_realisation"):
            assert (np.ma.getmaskarray(file[name][:]) == land).all(), name
        assert all(file[name].cell_methods.endswith("where sea") for name in ("tos", "tos_analysis", "tos_realisation"))
    assert not cf_problems(next((whole / "o").glob("*kriging*.nc")))


def test_parts_agree_with_the_whole(whole: Path, tmp_path: Path) -> None:
    assert run(tmp_path, whole / "members.nc", 500_000) == 2
    assert content(tmp_path) == content(whole)


def test_shares_and_words_are_of_the_sea(whole: Path) -> None:
    observations = read_observations([whole / "sea.nc"], PrepareRequest(variable="tos"))
    exists = observations.grid.exists
    area = np.where(exists, GRID.area, 0.0)
    share = 100 * float((observations.mask * area).sum((1, 2)).mean() / area.sum())
    page = (whole / "o" / "report.html").read_text()
    shown = re.sub(r"\s+", " ", page)
    assert f"{share:.0f} % of the sea's area was observed" in shown
    assert f"{100 * GRID.area[~exists].sum():.0f} % of the globe's area is outside the sea" in shown
    assert "Trends of the annual mean over the sea" in shown or "Trends" not in shown
    assert any("are neither estimated nor counted in means" in note for note in observations.source.notes)


def test_means_coverage_and_skill_are_over_the_domain() -> None:
    exists = domain(FIVE_DEGREES, "sea", np.zeros((1, 36, 72), bool))
    grid = replace(FIVE_DEGREES, exists=exists)
    assert grid.area.sum() == pytest.approx(1.0)
    assert not grid.area[~exists].any()
    field = np.where(exists, 1.0, 100.0)[None]
    assert weighted_mean(field, grid.area) == pytest.approx([1.0])
    assert weighted_mean(field, grid.region_weights(GLOBE)) == pytest.approx([1.0])
    assert coverage(exists[None], grid.area) == pytest.approx([1.0])
    assert np.isnan(grid.known(field)[0][~exists]).all()
    assert grid.outside_share == pytest.approx(1.0 - FIVE_DEGREES.area[exists].sum())
    land = domain(FIVE_DEGREES, "land", np.zeros((1, 36, 72), bool))
    assert (land == ~exists).all()


def test_air_temperature_exists_everywhere(tmp_path: Path) -> None:
    assert VARIABLES["tas"].exists == "everywhere"
    assert domain(GRID, "everywhere", np.zeros((1, 18, 36), bool)) is None
    attributes = {"units": "K", "reference_period": "1961-1990"}
    path = at_sea(tmp_path, name="tas", attributes=attributes)
    run(tmp_path, path, 10**9, variable="tas", realisations=0, report="false")
    with result(tmp_path) as file:
        assert "outside_domain" not in file["tas_status"].flag_meanings
        assert file["tas"].cell_methods == "time: mean area: mean"
        assert not np.ma.is_masked(file["tas"][:])


def test_complete_over_the_sea_is_complete(tmp_path: Path) -> None:
    from climrecon.errors import InputDataError

    values = files.gappy(5, (MONTHS, 18, 36), missing=0.0)
    values[:, land_fraction(GRID) >= 0.5] = np.nan
    form = {"name": "tos", "fill": -1e30, "attributes": {"units": "K", "reference_period": "1961-1990"}}
    path = files.write(tmp_path / "sea.nc", values, INDEX, lat=LAT, lon=LON, **form)
    with pytest.raises(InputDataError, match=r"100.0 % of its area is covered"):
        read_observations([path], PrepareRequest(variable="tos"))


def test_figures_show_and_name_the_domain() -> None:
    product = make_product(12)
    exists = domain(FIVE_DEGREES, "sea", np.zeros((1, 36, 72), bool))
    grid = replace(product.observations.grid, exists=exists)
    product = replace(
        product,
        observations=replace(product.observations, variable="tos", grid=grid),
        infilled=grid.known(product.infilled),
        analysis=grid.known(product.analysis),
    )
    series = make_series(product)
    assert np.isfinite(series.ours).all()
    caption = draw_maps(product, series, 5, {}).caption
    assert "% of the sea observed (NH " in caption
    assert "White: outside the sea." in caption
    assert draw_global_mean(product, series).caption.startswith("Mean over the sea")


def test_a_watched_release_is_compared_over_the_domain(whole: Path) -> None:
    found = read_result(whole / "o", "tos")
    with result(whole) as file:
        values = np.ma.filled(file["tos"][:], np.nan)
    exists = np.isfinite(values[0])
    assert np.isfinite(found.field).all()
    assert found.area.sum() == pytest.approx(1.0)
    expected = weighted_mean(values, np.where(exists, GRID.area, 0.0))
    np.testing.assert_allclose(found.global_mean, expected, atol=1e-6)
