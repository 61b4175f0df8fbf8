"""``native_grid=true``: results of remapped files on the cells of these files, with their coordinates."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import netCDF4
import numpy as np
import pytest
import xarray as xr

from cli.test_cli import run
from climrecon.errors import ClimReconError, InputDataError, OutputError
from climrecon.grid import Grid
from climrecon.output.product import NO_DOMAIN, OBSERVED, RECONSTRUCTED
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.preprocess.remapping import target_grid
from climrecon.preprocess.way_back import FileCells, WayBack, cells_of, check_same_cells, read_file_cells
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from climrecon.workflow.progress import Quiet
from climrecon.workflow.stage import run_stages
from grids.test_remapping import INDEX, model_fields, rotated, truth
from output.test_files import cf_problems
from parts.test_parts import stages
from preprocess import observation_files as files

QUICK = ("--compare-with", "none", "--plots", "false", "--native-grid", "true")
SIGN = np.where(np.arange(len(INDEX)) % 2, 1.0, -1.0)[:, None, None]


def native(folder: Path) -> Path:
    (path,) = folder.glob("*_native.nc")
    return path


def made(source: Path, grid: str, folder: Path, *more: Any, network: str = "kriging") -> Path:
    given = ("--obs-file", source, "--grid", grid, "--network", network, *QUICK, *more)
    answer = run("reconstruct", *given, "--output", folder)
    assert answer.returncode == 0, answer.stderr
    return native(folder)


@pytest.mark.parametrize("corners", ["bounds", "pole", "none"])
def test_a_rotated_file_has_its_cells_again(tmp_path: Path, corners: str) -> None:
    source = rotated(tmp_path / "cordex.nc", corners=corners)
    path = made(source, "2", tmp_path / "o", "--period", "1989-")
    assert cf_problems(path) == []
    with netCDF4.Dataset(path) as file, netCDF4.Dataset(source) as given:
        assert file["tas"].dimensions == ("time", "rlat", "rlon")
        own, found = given["tas"][-24:].filled(np.nan), file["tas"][:].filled(np.nan)
        status, spread = file["tas_status"][:].filled(), file["tas_stddev"][:].filled(np.nan)
        seen = np.isfinite(own)
        np.testing.assert_array_equal(found[seen], own[seen])
        np.testing.assert_array_equal(status == OBSERVED, seen)
        copied = ["rlat", "rlon", *(["rotated_pole"] if corners != "none" else [])]
        copied += ["lat", "lon"] if corners != "pole" else []
        copied += ["lat_vertices", "lon_vertices"] if corners == "bounds" else []
        for name in copied:
            np.testing.assert_array_equal(file[name][:], given[name][:])
            assert given[name].__dict__.items() <= file[name].__dict__.items()
        assert getattr(file["tas"], "grid_mapping", "none") == ("none" if corners == "none" else "rotated_pole")
        assert file["tas"].coordinates == "lat lon"
        assert file["tas"].ancillary_variables == "tas_stddev tas_status"
        expected = SIGN[-24:] * truth(file["lat"][:], file["lon"][:])
        reference = float(file["tas"].dtype.type(0.3))
    hole = np.zeros(seen.shape, bool)
    hole[:, 6:11, 6:11] = True
    filled = status != NO_DOMAIN
    assert np.isnan(found[~filled & ~seen]).all()
    assert np.isfinite(found[filled]).all()
    # The error of kriging on the regular grid, and of remapping to it and back.
    for cells, bound in ((hole, 0.2), (~seen & ~hole & filled, 0.2)):
        assert np.sqrt(((found - expected)[cells] ** 2).mean()) < bound * expected.std()
    (regular,) = set(path.parent.glob("*_climrecon-*.nc")) - {path}
    with netCDF4.Dataset(regular) as file:
        stated = file["tas_stddev"][:][file["tas_status"][:] != OBSERVED]
    # Amid the hole all of the grid's cells around are estimates; at its edge some are observed, with errors of 0.3 K.
    assert stated.min() <= spread[:, 8, 8].min() <= spread[:, 8, 8].max() <= stated.max()
    assert stated.min() <= spread[filled].min() <= spread[filled].max() <= 0.31
    assert spread[seen] == pytest.approx(reference, rel=0.02)
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    (entry,) = [one for one in manifest["outputs"] if one["role"] == "native grid"]
    assert entry["path"] == path.name
    assert entry["content_sha256"]
    assert f"<code>{path.name}</code>, next to this report" in (tmp_path / "o" / "report.html").read_text()
    recorded = json.loads((tmp_path / "o" / "provenance.json").read_text())
    (output,) = [one for one, about in recorded["entity"].items() if about.get("prov:location") == path.name]
    assert [one for one in recorded["wasDerivedFrom"].values() if one["prov:generatedEntity"] == output]


def test_parts_give_the_same_bits(tmp_path: Path) -> None:
    source = rotated(tmp_path / "cordex.nc")
    hashes = []
    for name, values_per_part in (("whole", 10**9), ("parts", 50_000)):
        folder = tmp_path / name
        folder.mkdir()
        given = {"obs_file": str(source), "grid": "2", "native_grid": "true", "network": "idw", "period": "1965-"}
        planned = stages(folder, values_per_part, **given)
        assert (len(planned) > 1) == (name == "parts")
        run_stages(planned, Quiet())
        entries = json.loads((folder / "o" / "manifest.json").read_text())["outputs"]
        hashes.append([one["content_sha256"] for one in entries if one["role"] == "native grid"])
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 1


def test_absolute_values_are_less_the_climatology_of_the_cell(tmp_path: Path) -> None:
    source = tmp_path / "model.nc"
    size = model_fields(source)
    with netCDF4.Dataset(source, "a") as file:
        file["tas"][:, 6:11, 6:11] = -999.0
        file["tas"].cell_methods = "time: mean"
    path = made(source, "2", tmp_path / "o", "--keep-observed", "true", "--values", "absolute", network="idw")
    assert cf_problems(path) == []
    with netCDF4.Dataset(path) as file:
        found, seen = file["tas"][:].filled(np.nan), file["tas_status"][:].filled() == OBSERVED
        expected = size[:, None, None] * truth(file["lat"][:], file["lon"][:])
        assert file["tas"].cell_methods == "time: mean"
        assert "tas_stddev" not in file.variables, "idw states none"
    assert seen.mean() > 0.9
    assert abs(found - expected)[seen].max() < 1e-4


def test_without_keep_observed_all_cells_hold_the_analysis(tmp_path: Path) -> None:
    source = rotated(tmp_path / "cordex.nc")
    path = made(source, "2", tmp_path / "o", "--period", "1990-", "--keep-observed", "false", network="climatology")
    with netCDF4.Dataset(path) as file:
        assert not file["tas"][:].any()
        assert (file["tas_status"][:] == OBSERVED).any()


def test_a_latitude_longitude_file_has_its_axes(tmp_path: Path) -> None:
    lat, lon = np.arange(70.0, 39.0, -1.5), np.arange(-10.0, 30.0, 1.5)
    values = (SIGN[:24] * truth(*np.meshgrid(lat, lon, indexing="ij"))).copy()
    values[np.random.default_rng(0).random(values.shape) < 0.2] = np.nan
    about = {"units": "K", "reference_period": "1961-1990"}
    source = files.write(tmp_path / "r.nc", values, INDEX[:24], lat=lat, lon=lon, fill=-1e30, attributes=about)
    path = made(source, "3", tmp_path / "o")
    assert cf_problems(path) == []
    with netCDF4.Dataset(path) as file, netCDF4.Dataset(source) as given:
        assert file["tas"].dimensions == ("time", "lat", "lon")
        assert "coordinates" not in file["tas"].ncattrs()
        own, found = given["tas"][:].filled(np.nan), file["tas"][:].filled(np.nan)
        np.testing.assert_array_equal(file["lat"][:], lat)
    np.testing.assert_array_equal(found[np.isfinite(own)], own[np.isfinite(own)])


def test_a_cell_has_the_mean_over_its_area(tmp_path: Path) -> None:
    """Of a field that is linear on the sphere, cells coarser and finer than the grid have the value at their middle."""
    cells = cells_of(rotated(tmp_path / "r.nc"), "tas", "2")

    def height(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        return np.asarray(np.sin(np.deg2rad(lat)) + np.cos(np.deg2rad(lat)) * np.cos(np.deg2rad(lon - 20.0)))

    for step in ("0.5", "1", "3"):
        grid = target_grid(step, cells.lat, cells.lon)
        back = WayBack(grid, cells)
        found = back(height(*np.meshgrid(grid.lat, grid.lon, indexing="ij"))[None])[0]
        inner = np.zeros((19, 18), bool)
        inner[2:-2, 2:-2] = True
        np.testing.assert_allclose(found[inner.ravel()], height(cells.lat, cells.lon)[inner.ravel()], atol=1e-3)
        assert back.reached.all()
    # One large cell over many of the grid has their mean, not the value at its centre.
    large = FileCells(Path(), "x", ("n",), (2,), np.array([0.0, 0.0]), np.array([0.0, 8.0]), np.array(
        [[[-4, -4], [-4, 4], [4, 4], [4, -4]], [[-4, 4], [-4, 12], [4, 12], [4, 4]]], float))  # fmt: skip
    fine = Grid(np.arange(-8.0, 9.0), np.arange(-8.0, 17.0))
    wave = np.cos(np.deg2rad(45.0 * np.broadcast_to(fine.lat[:, None], fine.shape)))[None]
    # The mean of cos over half a wave each way, -180 to 180 degrees, is nought; its value at the centre is one.
    assert abs(WayBack(fine, large)(wave)[0, 0]) < 0.05
    point = FileCells(Path(), "x", ("n",), (2,), large.lat, large.lon, None)
    assert WayBack(fine, point).coarser
    assert WayBack(fine, point)(wave)[0, 0] > 0.9


def test_across_the_date_line_poles_and_the_ends_of_the_domain() -> None:
    lat, lon = np.array([89.9, 0.0, 0.0, -89.9, np.nan]), np.array([10.0, 179.9, -179.9, 0.0, 0.0])
    cells = FileCells(Path(), "x", ("n",), (5,), lat, lon, None)
    globe = Grid.regular(18, 36)
    field = np.cos(np.deg2rad(np.broadcast_to(globe.lon, globe.shape)))[None]
    back = WayBack(globe, cells)
    assert back.reached.tolist() == [True, True, True, True, False]
    assert back(field)[0, 1] == pytest.approx(back(field)[0, 2], abs=1e-3)
    assert back(field)[0, 1] == pytest.approx(np.cos(np.deg2rad(175.0)), abs=1e-3)
    exists = np.ones(globe.shape, bool)
    exists[:9] = False  # the southern hemisphere lies outside: its values, here NaN, never enter
    half = WayBack(Grid(globe.lat_edges, globe.lon_edges, exists, "observed"), cells)
    values = np.where(exists, 1.0, np.nan)[None]
    np.testing.assert_array_equal(half(values)[0], [1.0, 1.0, 1.0, np.nan, np.nan])


def test_types_and_statements_of_other_tools_are_carried_over(tmp_path: Path) -> None:
    """xarray and rioxarray write integers of 64 bits and texts of any length; CF has a longer form of grid_mapping."""
    source = rotated(tmp_path / "cordex.nc")
    with netCDF4.Dataset(source, "a") as file:
        file.createVariable("experiment", str, ())[...] = "historical"
        file.createVariable("crs", "i8", ()).grid_mapping_name = "latitude_longitude"
        file.createVariable("height", "u1", ())[...] = 2
        file.createVariable("areacella", "i8", ("rlat", "rlon"), fill_value=-(2**62))[:] = 2**40
        file["tas"].coordinates = "lat lon height experiment"
        file["tas"].grid_mapping = "rotated_pole: rlat rlon crs: lat lon"
        file["tas"].cell_measures = "area: areacella volume: volcella"
    path = made(source, "2", tmp_path / "o", "--period", "1990-", network="climatology")
    with netCDF4.Dataset(path) as file:
        assert file["tas"].coordinates == "lat lon height experiment"
        assert file["tas"].grid_mapping == "rotated_pole: rlat rlon crs: lat lon"
        assert file["crs"].grid_mapping_name == "latitude_longitude"
        assert netCDF4.chartostring(file["experiment"][:]) == "historical"
        assert file["height"][...] == 2
        assert file["tas"].cell_measures == "area: areacella"
        assert (file["areacella"][:] == 2.0**40).all()


def test_a_full_disk_is_no_fault_of_the_observations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("climrecon.output.native._copy", full)
    given = {"obs_file": str(rotated(tmp_path / "c.nc")), "grid": "2", "native_grid": "true", "network": "climatology"}
    with pytest.raises(OutputError, match=r"_native\.nc could not be written: No space left"):
        run_stages(stages(tmp_path, 10**9, **given), Quiet())


def test_members_without_a_mean_have_no_cells_of_their_own(tmp_path: Path) -> None:
    source = rotated(tmp_path / "c.nc")
    with ZipFile(tmp_path / "members.zip", "w") as archive:
        for number in (1, 2):
            archive.write(source, f"made.up.anomalies.{number}.nc")
    given = {"obs_file": str(tmp_path / "members.zip"), "grid": "2", "native_grid": "true", "network": "climatology"}
    with pytest.raises(InputDataError, match="anomalies.1.nc is a member of an ensemble without a mean"):
        run_stages(stages(tmp_path, 10**9, **given), Quiet())


def test_it_belongs_to_grid(tmp_path: Path) -> None:
    with pytest.raises(ClimReconError, match="native_grid: belongs to grid"):
        validate({"obs_file": str(tmp_path / "x.nc"), "native_grid": "true"}, Site(SiteFile()))


def like(sample: Path, variable: str, path: Path) -> np.ndarray:
    """Write anomalies on the cells of a published file, with scattered gaps and a hole; (T, ...) values as written."""
    with netCDF4.Dataset(sample) as given, netCDF4.Dataset(path, "w") as file:
        known = given[variable]
        cells = [one for one in known.dimensions if one not in ("time", "height")]
        for name, dimension in given.dimensions.items():
            file.createDimension(name, None if name == "time" else dimension.size)
        for name, one in given.variables.items():
            if name not in (variable, "time", "time_bnds"):
                about = {key: one.getncattr(key) for key in one.ncattrs()}
                one.set_auto_maskandscale(False)
                copy = file.createVariable(name, one.dtype, one.dimensions, fill_value=about.pop("_FillValue", None))
                copy.setncatts(about)
                copy.set_auto_maskandscale(False)
                if one.dtype.kind != "S":
                    copy[...] = one[...]
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1850-01-01", "standard"
        time[:] = files.days_since(INDEX[:6], time.units, "standard")
        tas = file.createVariable("tas", "f4", ("time", *cells), fill_value=1e20)
        kept = ("coordinates", "grid_mapping", "cell_methods", "cell_measures")
        tas.setncatts({key: known.getncattr(key) for key in kept if key in known.ncattrs()})
        tas.units, tas.reference_period = "K", "1961-1990"
    size = cells_of(path, "tas", "r72x36")
    field = truth(np.nan_to_num(size.lat), np.nan_to_num(size.lon)).reshape(size.shape)
    values = (SIGN[:6].ravel()[(...,) + (None,) * len(size.shape)] * field).astype(np.float32)
    values[np.random.default_rng(0).random(values.shape) < 0.1] = 1e20
    with np.errstate(invalid="ignore"):
        hole = (abs(size.lat - 52.0) < 4.0) & (abs((size.lon + 180.0) % 360.0 - 180.0 - 10.0) < 6.0)
    values[:, (hole | ~np.isfinite(size.lat)).reshape(size.shape)] = 1e20
    with netCDF4.Dataset(path, "a") as file:
        file["tas"].set_auto_maskandscale(False)
        file["tas"][:] = values
    return np.asarray(values)


@pytest.mark.parametrize(
    ("name", "variable", "grid"),
    [
        ("tas_rotated_grid_EUR11.nc", "tas", "2"),
        ("tas_EUR-22_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_GERICS-REMO2015_v1_mon_202101.nc", "tas", "2"),
        ("tas_Amon_ICON-ESM-LR_historical_r1i1p1f1_gn_185001.nc", "tas", "r120x60"),
        ("tos_Omon_CESM2-FV2_historical_r1i1p1f1_gn_200001.nc", "tos", "r120x60"),
        ("tos_Omon_FGOALS-f3-L_ssp126_r1i1p1f1_gn_201501.nc", "tos", "r120x60"),
    ],
)
def test_cells_of_published_files(shared_data: Path, tmp_path: Path, name: str, variable: str, grid: str) -> None:
    source = tmp_path / "like.nc"
    values = like(shared_data / "format_samples" / name, variable, source)
    path = made(source, grid, tmp_path / "o")
    # The checker takes cells on both sides of Greenwich, as the file has them, for a fault.
    greenwich = [one for one in cf_problems(source) if "outside the bounding box" in one]
    assert set(cf_problems(path)) <= set(greenwich)
    with netCDF4.Dataset(path) as file, netCDF4.Dataset(source) as given:
        found, status = file["tas"][:].filled(np.nan), file["tas_status"][:].filled()
        cells = cells_of(source, "tas", grid)
        assert file["tas"].dimensions == given["tas"].dimensions
        for one in given.variables.values():
            if one.name in file.variables and one.name not in ("tas", "time") and one.dtype.kind != "S":
                np.testing.assert_array_equal(file[one.name][...], one[...])
    seen = values != 1e20
    np.testing.assert_array_equal(found[seen], values[seen])
    field = truth(np.nan_to_num(cells.lat), np.nan_to_num(cells.lon)).reshape(cells.shape)
    expected = SIGN[:6].ravel()[(...,) + (None,) * len(cells.shape)] * field
    gaps = (status != OBSERVED) & (status != NO_DOMAIN)
    assert gaps.mean() > 0.05
    assert (status == RECONSTRUCTED).any()
    error = np.sqrt(((found - expected)[gaps] ** 2).mean())
    print(f"{name}: RMSE of gaps {error:.3f} K, standard deviation {expected.std():.3f} K, {gaps.mean():.2f} of cells")
    assert error < 0.25 * expected.std()


def test_files_of_one_record_share_their_cells(tmp_path: Path) -> None:
    """A record in two files comes back as that in one; of files with different cells none is taken for all."""
    whole, first, second = (tmp_path / f"{name}.nc" for name in ("whole", "first", "second"))
    rotated(whole, corners="pole")
    for path, part in ((first, slice(0, 200)), (second, slice(200, None))):
        with xr.open_dataset(whole, decode_cf=False) as data:
            data.isel(time=part).to_netcdf(path)
    request = PrepareRequest(grid="2", period=(1975 * 12, 1979 * 12 + 11))
    observations = read_observations([first, second], request)
    found = read_file_cells([first, second], request, observations)
    np.testing.assert_array_equal(found.values, read_file_cells([whole], request, observations).values)
    assert len(found.values) == 60
    with netCDF4.Dataset(whole) as file:
        np.testing.assert_array_equal(found.values, file["tas"][14 * 12 : 19 * 12].filled(np.nan))
    with netCDF4.Dataset(second, "a") as file:
        file["rlon"][:] += 0.5
    check_same_cells([first, first], "tas", "2")
    with pytest.raises(ClimReconError, match=r"second.nc and first.nc have different cells"):
        check_same_cells([first, second], "tas", "2")
