"""Grids of a region: nothing wraps, means are the region's, and cells beyond the product are no gaps."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from cli.test_cli import run
from climrecon import indices
from climrecon.errors import InputDataError
from climrecon.geography import land_fraction, with_domain
from climrecon.grid import FIVE_DEGREES, GLOBE, NAMED_REGIONS, NINO34, Grid, Region, weighted_mean
from climrecon.output.product import NO_DOMAIN
from climrecon.plots.maps import drawn_cells, projection_of
from climrecon.preprocess import FileGrid, PrepareRequest, read_observations
from climrecon.preprocess.regrid import remap_with_gaps
from climrecon.variables import VARIABLES
from output.test_files import cf_problems
from preprocess import observation_files as files

#: Europe at two degrees, across Greenwich.
LAT, LON = np.arange(36.0, 72, 2.0), np.arange(-14.0, 45, 2.0)
EUROPE = Grid(np.arange(35.0, 72, 2.0), np.arange(-15.0, 46, 2.0))
YEARS = 30
INDEX = files.month_numbers(1961, 12 * YEARS)
ATTRIBUTES = {"units": "K", "reference_period": "1961-1990"}
#: Rows and columns in the middle that no month holds.
HOLE = (slice(7, 11), slice(12, 17))
PRECIPITATION = "precipitation/nclimdiv_pr_conus_1deg_189501-202212.nc"


def smooth(lat: np.ndarray, lon: np.ndarray, months: int = len(INDEX)) -> np.ndarray:
    """(T, H, W) waves of some thousand kilometres that move on from month to month."""
    y, x, t = np.deg2rad(lat)[:, None], np.deg2rad(lon)[None, :], np.arange(months)[:, None, None]
    return np.asarray(np.sin(5 * x + 0.7 * t) * np.cos(4 * y - 0.3 * t) + 0.5 * np.cos(3 * y + 1.1 * t))


def european(folder: Path, lat: np.ndarray = LAT, lon: np.ndarray = LON, hole: Any = HOLE, **form: Any) -> Path:
    """Anomalies with a third of the cells missing, and a hole in the middle."""
    values = smooth(LAT, LON)
    values[np.random.default_rng(4).random(values.shape) < 0.3] = np.nan
    values[:, *hole] = np.nan
    given: dict[str, Any] = {"lat": lat, "lon": lon, "fill": -1e30, "attributes": ATTRIBUTES, "kind": "f8"} | form
    return files.write(folder / "europe.nc", values, INDEX, **given)


def reconstructed(folder: Path, *arguments: Any) -> tuple[Path, str]:
    answer = run("reconstruct", *arguments, "--output", folder / "o")
    assert answer.returncode == 0, answer.stderr
    return next((folder / "o").glob("*_climrecon-*.nc")), answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("europe")
    path = european(folder)
    return reconstructed(
        folder, "--obs-file", path, "--network", "kriging", "--compare-with", "idw", "--period", "1985-"
    )


# grids


def test_a_region_has_its_own_areas_and_mean() -> None:
    sines = np.diff(np.sin(np.deg2rad(EUROPE.lat_edges)))
    expected = np.repeat(sines[:, None], 30, axis=1) / (30 * sines.sum())
    np.testing.assert_allclose(EUROPE.area, expected, rtol=1e-12)
    assert EUROPE.whole == Region("region", 35.0, 71.0, -15.0, 45.0)
    np.testing.assert_allclose(EUROPE.region_weights(EUROPE.whole), EUROPE.area, rtol=1e-12)
    assert EUROPE.regions == (EUROPE.whole,)
    assert not EUROPE.wraps
    assert not EUROPE.is_global
    assert EUROPE.describe() == "18 x 30 (2 x 2 degrees, 35N-71N, 15W-45E)"


@pytest.mark.parametrize(
    ("grid", "held"),
    [
        (FIVE_DEGREES, NAMED_REGIONS),
        (Grid(np.linspace(0.0, 90.0, 19), np.linspace(-180.0, 180.0, 37)), NAMED_REGIONS[:1]),
        (Grid(np.linspace(-30.0, 30.0, 31), np.linspace(120.0, 290.0, 86)), (NINO34,)),
        (Grid(np.linspace(-30.0, 30.0, 31), np.linspace(200.0, 290.0, 46)), ()),
    ],
)
def test_a_grid_holds_regions_that_it_covers(grid: Grid, held: tuple[Region, ...]) -> None:
    assert grid.regions == (grid.whole, *held)
    assert (grid.whole == GLOBE) == grid.is_global
    nino = VARIABLES["tas"].indices
    assert indices.held(grid, nino) == (nino if NINO34 in held else ())
    nao = VARIABLES["psl"].indices
    assert indices.held(grid, nao) == (nao if grid.lat_edges[-1] > 70.0 else ())


def test_no_index_of_a_box_outside_the_domain() -> None:
    exists = FIVE_DEGREES.region_weights(NINO34) == 0.0
    assert NINO34 not in replace(FIVE_DEGREES, exists=exists).regions


# domain


def test_a_hole_is_a_gap_and_what_lies_beyond_is_outside() -> None:
    ever = np.zeros(EUROPE.shape, bool)
    ever[4:14, 6:24] = True
    ever[HOLE] = False
    grid = with_domain(EUROPE, "everywhere", ever[None])
    expected = np.zeros(EUROPE.shape, bool)
    expected[4:14, 6:24] = True
    assert grid.where == "observed"
    np.testing.assert_array_equal(grid.exists, expected)
    for wanted, exists in (("everywhere", None), ("land", (land_fraction(EUROPE) >= 0.5) | ever)):
        asked = with_domain(EUROPE, "everywhere", ever[None], wanted)
        assert asked.where == wanted
        np.testing.assert_array_equal(asked.exists, exists)
    assert with_domain(FIVE_DEGREES, "everywhere", np.zeros((1, 36, 72), bool)).exists is None


def test_sparse_observations_leave_out_nothing_between_them() -> None:
    rng = np.random.default_rng(1)
    ever = rng.random(EUROPE.shape) < 0.3
    ever[:, 20:] = False
    grid = with_domain(EUROPE, "everywhere", ever[None])
    assert grid.exists is not None
    assert grid.exists[2:-2, 2:17].all()
    assert not grid.exists[:, 24:].any()


def test_beside_a_product_of_land_water_is_outside() -> None:
    land = land_fraction(EUROPE) >= 0.5
    grid = with_domain(EUROPE, "everywhere", land[None])
    assert grid.exists is not None
    assert not (grid.exists & ~land).any()
    assert (grid.exists & land).sum() == land.sum()


# reading


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("first", [-14.0, 346.0, 150.0])
def test_a_region_is_read_from_west_to_east(tmp_path: Path, first: float, turned: bool) -> None:
    """Also across Greenwich or the date line, whatever longitudes the file counts from."""
    east = first + 2.0 * np.arange(30)
    plain = read_observations([european(tmp_path, lon=east)], PrepareRequest())
    lon = (east + 180.0) % 360.0 - 180.0 if turned else east % 360.0
    path = european(tmp_path, lon=np.roll(lon, 7) if turned else lon)
    if turned:
        with netCDF4.Dataset(path, "a") as file, netCDF4.Dataset(european_at(tmp_path, east)) as source:
            file["tas"][:] = np.roll(source["tas"][:], 7, axis=2)
    found = read_observations([path], PrepareRequest())
    np.testing.assert_array_equal(found.values, plain.values)
    assert found.grid.same_as(plain.grid)
    assert found.grid.lon_edges[-1] - found.grid.lon_edges[0] == pytest.approx(60.0)
    back = FileGrid(found.grid, found.grid, found.source, tmp_path).file_order(found.values)
    with netCDF4.Dataset(path) as file:
        np.testing.assert_array_equal(np.isnan(back), np.ma.getmaskarray(file["tas"][:]))


def european_at(folder: Path, lon: np.ndarray) -> Path:
    (folder / "other").mkdir(exist_ok=True)
    return european(folder / "other", lon=lon)


def test_gaussian_rows_of_a_region(tmp_path: Path) -> None:
    rows = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(48)[0]))[34:44]
    values = files.gappy(1, (len(INDEX), 10, 12))
    lon = np.arange(0.0, 45.0, 3.75)
    path = files.write(tmp_path / "t31.nc", values, INDEX, lat=rows, lon=lon, fill=-1e30, attributes=ATTRIBUTES)
    grid = read_observations([path], PrepareRequest()).grid
    np.testing.assert_allclose(grid.lat_edges[1:-1], 0.5 * (rows[1:] + rows[:-1]))
    assert not grid.is_global


def test_a_complete_region_has_nothing_to_fill(tmp_path: Path) -> None:
    path = files.write(tmp_path / "full.nc", smooth(LAT, LON), INDEX, lat=LAT, lon=LON, attributes=ATTRIBUTES)
    with pytest.raises(InputDataError, match="100.0 % of its area is covered"):
        read_observations([path], PrepareRequest())


def test_gaps_at_both_sides_are_no_common_region(tmp_path: Path) -> None:
    """On the globe the first and the last column are neighbours; in a region they are not."""
    values = np.zeros((24, 18, 30))
    values[:, 9, 0] = values[:, 9, -1] = np.nan
    found = read_observations(
        [files.write(tmp_path / "e.nc", values, INDEX[:24], lat=LAT, lon=LON, fill=-1e30, attributes=ATTRIBUTES)],
        PrepareRequest(allow_infilled=True),
    )
    assert found.grid.exists is None  # within two cells of observed ones: gaps


def test_a_region_does_not_cover_cells_that_it_meets_in_part(tmp_path: Path) -> None:
    ones = np.ones((1, 18, 30))
    mean, share = remap_with_gaps(ones, ones > 0, EUROPE, FIVE_DEGREES, tmp_path)
    covered = np.zeros((36, 72))
    rows = np.clip(np.diff(np.sin(np.deg2rad(np.clip(FIVE_DEGREES.lat_edges, 35.0, 71.0)))), 0.0, None)
    covered[:, 33:45] = (rows / np.diff(np.sin(np.deg2rad(FIVE_DEGREES.lat_edges))))[:, None]
    np.testing.assert_allclose(share[0], covered, atol=2e-3)
    assert (mean[0][covered > 0.01] == 1.0).all()
    assert 0.1 < share[0, 32, 40] < 0.3  # 70N-75N, of which the region has a degree


# results


def test_a_hole_in_the_middle_is_filled(whole: tuple[Path, str]) -> None:
    truth = smooth(LAT, LON)[-72:]
    with netCDF4.Dataset(whole[0]) as file:
        values = file["tas"][:]
        assert not np.ma.getmaskarray(values).any()
        error = (values - truth)[:, *HOLE]
    assert np.sqrt((error**2).mean()) < 0.25 * truth[:, *HOLE].std()
    assert not cf_problems(whole[0])


def test_means_and_words_are_of_the_region(whole: tuple[Path, str]) -> None:
    folder = whole[0].parent
    page = html.unescape(re.sub(r"<style.*?</style>|<img[^>]*>|<[^>]+>", " ", (folder / "report.html").read_text()))
    page = re.sub(r"\s+", " ", page)
    assert "were reconstructed, over the region 35N-71N, 15W-45E." in page
    assert "A month's regional mean is known to within" in page
    assert "of the region's area was observed" in page
    with netCDF4.Dataset(whole[0]) as file:
        texts = [str(one.getncattr(key)) for one in (file, *file.variables.values()) for key in one.ncattrs()]
    captions = [one["caption"] for one in json.loads((folder / "manifest.json").read_text())["outputs"]]
    for text in (page, whole[1], *texts, *captions):
        assert not re.search(r"[Gg]lobal mean|globe|\bNH\b|\bSH\b|Nino|NH \+ SH", text), text[:300]
    assert (folder / "regional_mean.png").exists()
    assert not (folder / "global_mean.png").exists()


def test_the_mean_in_the_report_is_that_of_the_cells(whole: tuple[Path, str]) -> None:
    with netCDF4.Dataset(whole[0]) as file:
        means = weighted_mean(np.ma.filled(file["tas"][:], np.nan), EUROPE.area)
    page = (whole[0].parent / "report.html").read_text()
    annual = means.reshape(-1, 12).mean(axis=1)
    best = 1985 + int(np.argmax(annual))
    ranked = re.search(r"Warmest years</h2>.*?<tbody>\s*<tr><td>(\d{4})</td><td>([+-][\d.]+)</td>", page, re.DOTALL)
    assert ranked is not None
    assert int(ranked[1]) == best
    assert float(ranked[2]) == pytest.approx(float(annual.max()), abs=0.006)


def test_maps_show_the_region(whole: tuple[Path, str]) -> None:
    field = np.arange(EUROPE.area.size, dtype=float).reshape(EUROPE.shape)
    edges, cells = drawn_cells(EUROPE, field)
    np.testing.assert_array_equal(edges, EUROPE.lon_edges)
    np.testing.assert_array_equal(cells, field)
    kinds = {
        "LambertConformal": EUROPE,
        "Robinson": FIVE_DEGREES,
        "PlateCarree": Grid(np.linspace(-45.0, 40.0, 18), np.linspace(50.0, 240.0, 39)),
        "LambertAzimuthalEqualArea": Grid(np.linspace(60.0, 90.0, 7), np.linspace(-180.0, 180.0, 73)),
    }
    assert {name: type(projection_of(grid)).__name__ for name, grid in kinds.items()} == {name: name for name in kinds}


@pytest.mark.parametrize("method", ["idw", "pca", "climatology"])
def test_other_methods_fill_a_region(tmp_path: Path, method: str) -> None:
    path, _ = reconstructed(tmp_path, "--obs-file", european(tmp_path), "--network", method, "--compare-with", "none",
                            "--period", "1988-", "--plots", "false", "--report", "false")  # fmt: skip
    truth = smooth(LAT, LON)[-36:]
    with netCDF4.Dataset(path) as file:
        error = file["tas"][:] - truth
    limits = {"idw": 0.9, "pca": 1.0, "climatology": 1.1}  # pca gives cells that are never observed the month's mean
    assert np.sqrt((error[:, *HOLE] ** 2).mean()) < limits[method] * truth[:, *HOLE].std()


def test_the_domain_is_as_asked_for(tmp_path: Path) -> None:
    path = european(tmp_path, hole=(slice(None), slice(20, None)))
    given = ("--obs-file", path, "--network", "idw", "--compare-with", "none", "--period", "1990-", "--plots", "false",
             "--report", "false")  # fmt: skip
    outside = {}
    for domain in ("auto", "everywhere", "land"):
        (tmp_path / domain).mkdir()
        found, log = reconstructed(tmp_path / domain, *given, "--domain", domain)
        with netCDF4.Dataset(found) as file:
            outside[domain] = (file["tas_status"][0] == NO_DOMAIN).filled(False)
            assert (np.ma.getmaskarray(file["tas"][0]) == outside[domain]).all()
            assert ("where land" in file["tas"].cell_methods) == (domain == "land")
        assert ("are neither estimated nor counted in means" in log) == bool(outside[domain].any())
    assert not outside["everywhere"].any()
    assert outside["auto"][:, 20:].all()
    assert not outside["auto"][:, :20].any()
    assert (outside["land"][:, 20:] == (land_fraction(EUROPE) < 0.5)[:, 20:]).all()


def test_real_precipitation_of_a_region(tmp_path: Path, shared_data: Path) -> None:
    """nClimDiv with 60 % of its cells left and a hole of six by eight degrees: the coast ends the domain."""
    with netCDF4.Dataset(shared_data / PRECIPITATION) as file:
        months = slice(66 * 12, 96 * 12)  # 1961-1990
        lat, lon, truth = file["lat"][:], file["lon"][:], np.ma.filled(file["pr"][months], np.nan)
    land = np.isfinite(truth).all(axis=0)
    kept = np.random.default_rng(0).random(land.shape) < 0.6
    kept[8:14, 25:33] = False
    attributes = {"units": "mm month-1"}
    path = files.write(tmp_path / "conus.nc", np.where(kept, truth, np.nan), INDEX, name="pr", lat=lat, lon=lon,
                       fill=-1e30, attributes=attributes)  # fmt: skip
    given = ("--variable", "pr", "--obs-file", path, "--compare-with", "none", "--plots", "false", "--period", "1990-")
    found, log = reconstructed(tmp_path / "auto", *given)
    assert "with punet-pr" in log
    found, log = reconstructed(tmp_path / "kriging", *given, "--network", "kriging")
    with netCDF4.Dataset(found) as file:
        values, status = file["pr"][:], file["pr_status"][0]
    inside = status != NO_DOMAIN
    assert (inside[land]).mean() > 0.95
    assert (inside & ~land).sum() < 0.03 * land.sum()
    assert inside[8:14, 25:33].all()
    climatology = truth.reshape(30, 12, *land.shape).mean(axis=0)
    ratio = 100.0 * truth[-12:] / np.where(land, climatology, 1.0)
    error = (values - ratio)[:, 8:14, 25:33]
    assert np.sqrt((error**2).mean()) < 0.75 * (ratio[:, 8:14, 25:33] - 100.0).std()
    assert float(values.min()) >= 0.0
