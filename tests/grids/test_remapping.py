"""Curvilinear, rotated and unstructured files are remapped to the grid that is asked for; or refused with what helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from cli.test_cli import run
from climrecon.errors import ClimReconError, InputDataError
from climrecon.grid import Grid
from climrecon.methods.card import GridCard
from climrecon.preprocess import PrepareRequest, prepare_member, read_observations
from climrecon.preprocess.chunks import Chunk, read_chunk
from climrecon.preprocess.field import asked_grid
from climrecon.preprocess.remapping import target_grid
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from preprocess import observation_files as files

#: The rotated pole of EURO-CORDEX.
POLE = (39.25, -162.0)
YEARS = 30
INDEX = files.month_numbers(1961, 12 * YEARS)


def truth(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """(...) anomalies, smooth over a thousand kilometres."""
    return np.asarray(2.0 * np.sin(np.deg2rad(4 * lat)) * np.cos(np.deg2rad(3 * lon)))


def unrotated(rlat: np.ndarray, rlon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude by turning vectors: about the y axis by the pole's latitude, then about z."""
    y, x = np.deg2rad(rlat), np.deg2rad(rlon)
    vectors = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])
    tilt, turn = np.deg2rad(90.0 - POLE[0]), np.deg2rad(POLE[1] + 180.0)
    about_y = np.array([[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    x, y, z = np.tensordot(about_z @ about_y, vectors, 1)
    return np.rad2deg(np.arcsin(z)), np.rad2deg(np.arctan2(y, x))


def rotated(path: Path, *, corners: str = "bounds", hole: bool = True, fill: float = -999.0) -> Path:
    """Monthly anomalies on a rotated grid of two degrees as CORDEX files have it, a third of the values missing.

    ``corners``: stated as ``bounds`` of two-dimensional coordinates, by the ``pole`` alone, or ``none``.
    """
    rlat, rlon = np.arange(-18.0, 18.1, 2.0), np.arange(-20.0, 14.1, 2.0)
    both = np.meshgrid(rlat, rlon, indexing="ij")
    lat, lon = unrotated(*both)
    values = np.broadcast_to(truth(lat, lon), (len(INDEX), *lat.shape)).copy()
    values *= np.where(np.arange(len(INDEX)) % 2, 1.0, -1.0)[:, None, None]
    values[np.random.default_rng(0).random(values.shape) < 0.1] = fill
    if hole:
        values[:, 6:11, 6:11] = fill
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("rlat", len(rlat)), ("rlon", len(rlon)), ("vertices", 4)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1850-01-01", "standard"
        time[:] = files.days_since(INDEX, time.units, "standard")
        for name, axis in (("rlat", rlat), ("rlon", rlon)):
            variable = file.createVariable(name, "f8", (name,))
            variable.units, variable.standard_name = "degrees", f"grid_{'latitude' if name == 'rlat' else 'longitude'}"
            variable[:] = axis
        variable = file.createVariable("tas", "f4", ("time", "rlat", "rlon"), fill_value=fill)
        variable.units, variable.reference_period = "K", "1961-1990"
        if corners != "none":
            variable.grid_mapping = "rotated_pole"
            mapping = file.createVariable("rotated_pole", "i4", ())
            mapping.grid_mapping_name = "rotated_latitude_longitude"
            mapping.grid_north_pole_latitude, mapping.grid_north_pole_longitude = POLE
        variable[:] = values
        if corners == "pole":
            return path
        variable.coordinates = "lat lon"
        shifts = [(-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0)]
        edges = [unrotated(both[0] + up, both[1] + along) for up, along in shifts]
        for number, (name, standard, axis) in enumerate((("lat", "latitude", lat), ("lon", "longitude", lon))):
            variable = file.createVariable(name, "f8", ("rlat", "rlon"))
            variable.units, variable.standard_name = f"degrees_{'north' if name == 'lat' else 'east'}", standard
            variable[:] = axis
            if corners == "bounds":
                variable.bounds = f"{name}_vertices"
                bounds = file.createVariable(f"{name}_vertices", "f8", ("rlat", "rlon", "vertices"))
                bounds[:] = np.stack([edge[number] for edge in edges], axis=-1)
    return path


def read(path: Path, grid: str, **request: Any) -> Chunk:
    return read_chunk(path, PrepareRequest(grid=grid, **request))


def test_without_a_grid_the_refusal_names_the_parameter(tmp_path: Path) -> None:
    for corners, why in (
        ("bounds", "curvilinear grid: lat is two-dimensional"),
        ("pole", "no latitude and longitude axes"),
    ):
        with pytest.raises(InputDataError, match=why) as found:
            read(rotated(tmp_path / "r.nc", corners=corners), "")
        assert "grid=0.5" in str(found.value.hint)


@pytest.mark.parametrize("corners", ["bounds", "pole", "none"])
def test_a_rotated_grid_becomes_a_regular_one(tmp_path: Path, corners: str) -> None:
    chunk = read(rotated(tmp_path / "r.nc", corners=corners), "2")
    grid = chunk.axes.grid
    assert not grid.is_global
    assert np.allclose(grid.lat_edges % 2.0, 0.0)
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    expected = truth(lat, lon)
    known = np.isfinite(chunk.values)
    sign = np.where(np.arange(len(INDEX)) % 2, 1.0, -1.0)[:, None, None]
    error = (chunk.values * sign - expected)[known]
    assert 0.4 < known.mean() < 0.9
    # Means over parts of cells are compared with the values at their middle.
    assert np.sqrt((error**2).mean()) < 0.1 * expected.std()
    assert np.abs(error).max() < 0.5
    middle = unrotated(np.array(-2.0), np.array(-4.0))
    row, column = np.searchsorted(grid.lat_edges, middle[0]) - 1, np.searchsorted(grid.lon_edges, middle[1]) - 1
    assert not known[:, row, column].any()  # amid the hole
    how = "bilinearly" if corners == "none" else "conservatively to"
    assert any(how in note and grid.describe() in note for note in chunk.notes)


def test_a_cell_half_observed_counts(tmp_path: Path) -> None:
    """Two by two cells of a file in one of the grid: with two known ones it has their mean, with one it is missing."""
    lat, lon = np.arange(40.25, 50, 0.5), np.arange(0.25, 10, 0.5)
    values = np.random.default_rng(1).normal(size=(24, 20, 20))
    values[np.random.default_rng(2).random(values.shape) < 0.4] = np.nan
    form: dict[str, Any] = {"fill": -1e30, "attributes": {"units": "K", "reference_period": "1961-1990"}}
    chunk = read(files.write(tmp_path / "fine.nc", values, INDEX[:24], lat=lat, lon=lon, **form), "1")
    assert chunk.axes.grid.same_as(Grid(np.arange(40.0, 51.0), np.arange(0.0, 11.0)))
    area = np.diff(np.sin(np.deg2rad(np.arange(40.0, 50.1, 0.5))))[:, None] * np.isfinite(values)
    blocks = (area.reshape(24, 10, 2, 10, 2), (np.nan_to_num(values) * area).reshape(24, 10, 2, 10, 2))
    weight, total = (one.sum(axis=(2, 4)) for one in blocks)
    cell = 2 * np.diff(np.sin(np.deg2rad(np.arange(40.0, 51.0))))[:, None]
    share = weight / cell
    known = np.isfinite(chunk.values)
    np.testing.assert_array_equal(known[np.abs(share - 0.5) > 2e-3], (share > 0.5)[np.abs(share - 0.5) > 2e-3])
    np.testing.assert_allclose(chunk.values[known], (total / np.where(weight > 0, weight, 1.0))[known], atol=2e-5)


def test_an_unstructured_grid(tmp_path: Path) -> None:
    """Squares of two degrees in one dimension, as ICON has triangles; and refused without their corners."""
    lat, lon = (one.ravel() for one in np.meshgrid(np.arange(31.0, 60, 2.0), np.arange(1.0, 40, 2.0), indexing="ij"))
    for corners in (True, False):
        path = tmp_path / f"{corners}.nc"
        with netCDF4.Dataset(path, "w") as file:
            for name, size in (("time", None), ("cell", len(lat)), ("vertices", 4)):
                file.createDimension(name, size)
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 1850-01-01"
            time[:] = files.days_since(INDEX, time.units, "standard")
            tas = file.createVariable("tas", "f4", ("time", "cell"), fill_value=1e20)
            tas.units, tas.reference_period, tas.coordinates = "K", "1961-1990", "lat lon"
            tas[:] = np.where(np.random.default_rng(0).random((len(INDEX), len(lat))) < 0.2, 1e20, truth(lat, lon))
            for name, units, axis, sides in (
                ("lat", "degrees_north", lat, (-1, -1, 1, 1)),
                ("lon", "degrees_east", lon, (-1, 1, 1, -1)),
            ):
                variable = file.createVariable(name, "f8", ("cell",))
                variable.units, variable.standard_name = units, {"lat": "latitude", "lon": "longitude"}[name]
                variable[:] = axis
                if corners:
                    variable.bounds = f"{name}_vertices"
                    bounds = file.createVariable(f"{name}_vertices", "f8", ("cell", "vertices"))
                    bounds[:] = axis[:, None] + np.array(sides)
        if corners:
            chunk = read(path, "2")
            lats, lons = np.meshgrid(chunk.axes.grid.lat, chunk.axes.grid.lon, indexing="ij")
            known = np.isfinite(chunk.values)
            assert known.mean() > 0.6
            assert np.sqrt(((chunk.values - truth(lats, lons))[known] ** 2).mean()) < 0.1
        else:
            with pytest.raises(ClimReconError, match="corner|coordinates"):
                read(path, "2")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("5", Grid(np.arange(30.0, 76.0, 5.0), np.arange(-15.0, 46.0, 5.0))),
        ("r36x18", Grid.regular(18, 36)),
        ("0.25", Grid(np.linspace(30.25, 71.75, 167), np.linspace(-14.25, 44.75, 237))),
    ],
)
def test_grids_by_name(wanted: str, expected: Grid) -> None:
    lat, lon = np.array([30.3, 50.0, 71.7]), np.array([345.8, 10.0, 44.7])
    assert target_grid(wanted, lat, lon).same_as(expected)


def test_a_step_over_the_globe_closes_the_circle() -> None:
    lat, lon = np.linspace(-89.0, 89.5, 200), np.linspace(0.0, 359.0, 200)
    grid = target_grid("3", lat, lon)
    assert grid.is_global
    assert grid.shape == (60, 120)


def test_grids_that_cannot_be_are_refused(tmp_path: Path) -> None:
    place = np.array([0.0, 50.0])
    for wanted, why in (("0.001", "2500050000 cells"), ("0", "is no step"), ("r9999x9999", "cells"), ("r1x1", "fewer")):
        with pytest.raises(InputDataError, match=why) as found:
            target_grid(wanted, place, place)
        assert found.value.hint
    (tmp_path / "no.nc").write_text("no netCDF")
    with pytest.raises(ClimReconError):
        target_grid(str(tmp_path / "no.nc"), place, place)
    with pytest.raises(ClimReconError, match="grid names no file|does not exist|no file"):
        target_grid("r360x180; rm -rf /", place, place)
    for text in ("r360x180; ls", "-selname,x", "0.5 -of", "fast", "r360"):
        with pytest.raises(ClimReconError, match="grid: .* is no step in degrees"):
            validate({"obs_file": str(tmp_path / "no.nc"), "grid": text}, Site(SiteFile()))


def test_the_grid_of_a_file(tmp_path: Path) -> None:
    like = files.write(tmp_path / "like.nc", np.zeros((1, 9, 8)), INDEX[:1], lat=np.arange(36.0, 54, 2.0),
                       lon=np.arange(0.0, 16, 2.0))  # fmt: skip
    found = read(rotated(tmp_path / "r.nc"), str(like)).axes.grid
    assert found.same_as(Grid(np.arange(35.0, 54.0, 2.0), np.arange(-1.0, 16.0, 2.0)))


def test_a_rotated_file_is_reconstructed(tmp_path: Path) -> None:
    path = rotated(tmp_path / "cordex.nc", hole=False)
    given = ("--obs-file", path, "--grid", "2", "--compare-with", "none", "--period", "1989-", "--plots", "false",
             "--report", "false")  # fmt: skip
    answer = run("reconstruct", *given, "--output", tmp_path / "o")
    assert answer.returncode == 0, answer.stderr
    assert "punet6 works on 36 x 72 (5 x 5 degrees, global), the observations are on" in answer.stderr
    (result,) = (tmp_path / "o").glob("tas_mon_climrecon-kriging_*.nc")
    with netCDF4.Dataset(result) as file:
        lat, lon = np.meshgrid(file["lat"][:], file["lon"][:], indexing="ij")
        inside = ~np.ma.getmaskarray(file["tas"][0])
        error = (file["tas"][1] - truth(lat, lon))[inside]
        assert "emapped conservatively to" in file.comment
    assert inside.mean() > 0.4
    assert np.sqrt((error**2).mean()) < 0.15
    again = run("rerun", tmp_path / "o" / "provenance.json", "--output", tmp_path / "again")
    assert "The repeat agrees with the first run." in again.stdout


@pytest.mark.parametrize(
    ("name", "variable", "grid", "share"),
    [
        ("tas_rotated_grid_EUR11.nc", "tas", "0.5", (0.5, 0.7)),
        ("tas_EUR-22_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_GERICS-REMO2015_v1_mon_202101.nc", "tas", "0.5", (0.5, 0.7)),
        ("tas_Amon_ICON-ESM-LR_historical_r1i1p1f1_gn_185001.nc", "tas", "r72x36", (1.0, 1.0)),
        ("tos_Omon_CESM2-FV2_historical_r1i1p1f1_gn_200001.nc", "tos", "2", (0.6, 0.8)),
        ("tos_Omon_FGOALS-f3-L_ssp126_r1i1p1f1_gn_201501.nc", "tos", "2", (0.6, 0.8)),
    ],
)
def test_published_files(shared_data: Path, name: str, variable: str, grid: str, share: tuple[float, float]) -> None:
    path = shared_data / "format_samples" / name
    chunk = read(path, grid, variable=variable, values="absolute")
    assert share[0] <= np.isfinite(chunk.values).mean() <= share[1]
    assert 200.0 < np.nanmin(chunk.values) < np.nanmax(chunk.values) < 320.0
    # Means lie within the file's own values, and the mean over the globe is theirs.
    with netCDF4.Dataset(path) as file:
        own = np.ma.filled(file[variable][:].astype(float), np.nan)
        own += 273.15 if np.nanmedian(own) < 100 else 0.0
        if "ICON" in name:  # its triangles have areas that differ by a fifth at most
            assert (chunk.values[0] * chunk.axes.grid.area).sum() == pytest.approx(float(own.mean()), abs=0.5)
        assert np.nanmax(chunk.values) <= np.nanmax(own) + 0.1
        assert np.nanmin(chunk.values) >= np.nanmin(own) - 0.1


def test_a_hole_is_never_made_up_by_remapping(tmp_path: Path) -> None:
    found = read_observations([rotated(tmp_path / "r.nc", fill=-1e20)], PrepareRequest(grid="2"))
    assert found.grid.exists is not None
    assert (~found.mask.any(axis=0) & found.grid.exists).sum() > 10
    assert float(np.nanmax(np.abs(found.values))) < 2.1


def model_fields(path: Path, corners: str = "bounds", seed: int | None = None) -> np.ndarray:
    """As :func:`rotated`, but complete absolute fields of a model at ``path``; (T,) their amplitudes of :func:`truth`."""
    rotated(path, corners=corners, hole=False)
    size = np.where(np.arange(len(INDEX)) // 12 % 2, 1.0, -1.0)
    if seed is not None:
        size = np.random.default_rng(seed).normal(size=len(INDEX))
        size = (size.reshape(YEARS, 12) - size.reshape(YEARS, 12).mean(axis=0)).ravel()
    with netCDF4.Dataset(path, "a") as file:
        lat, lon = unrotated(*np.meshgrid(file["rlat"][:], file["rlon"][:], indexing="ij"))
        seasons = 280.0 + 10.0 * np.cos(2 * np.pi * (INDEX % 12) / 12)[:, None, None]
        file["tas"][:] = seasons + size[:, None, None] * truth(lat, lon)
        file["tas"].delncattr("reference_period")
    return size


@pytest.mark.parametrize("corners", ["bounds", "pole", "none"])
def test_fields_of_a_training_on_a_rotated_grid(tmp_path: Path, corners: str) -> None:
    """Anomalies of a model's absolute fields come back, and nothing beyond its domain."""
    path, scratch = tmp_path / "r.nc", tmp_path
    size = model_fields(path, corners)
    grid = asked_grid(path, PrepareRequest(grid="2"))
    with pytest.raises(InputDataError, match=r"curvilinear|no latitude and longitude axes"):
        prepare_member([path], grid, (1961, 1990), scratch)
    values, months = prepare_member([path], grid, (1961, 1990), scratch, asked="2")
    known = np.isfinite(values)
    assert len(months) == len(INDEX)
    assert (known.all(axis=0) == known.any(axis=0)).all()
    assert 0.5 < known.mean() < 0.9
    expected = size[:, None, None] * truth(*np.meshgrid(grid.lat, grid.lon, indexing="ij"))
    error = (values - expected)[known]
    assert np.sqrt((error**2).mean()) < 0.1 * expected.std()
    with netCDF4.Dataset(path, "a") as file:
        file["tas"][40, 9, 9] = -999.0
    # A gap amid the domain is no end of it: models have none.
    with pytest.raises(InputDataError, match=r"gaps: \d+ values in 1 months"):
        prepare_member([path], grid, (1961, 1990), scratch, asked="2")
    observed = rotated(tmp_path / "o.nc", corners=corners)
    anomalies, _ = prepare_member([observed], grid, (1961, 1990), scratch, asked="2")
    np.testing.assert_array_equal(anomalies, read(observed, "2").values)


def test_a_network_is_trained_on_rotated_fields_and_fills_a_hole(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        model_fields(tmp_path / f"tas_mon_Model{seed}_historical_r1i1p1_196101-199012.nc", seed=seed)
    observed = rotated(tmp_path / "seen.nc")
    site = tmp_path / "site.toml"
    site.write_text(f'network_store = ["{tmp_path}/n"]\n[training_data.mine]\nfiles = ["{tmp_path}/tas_mon_*.nc"]\n')
    given: dict[str, Any] = {"CLIMRECON_CONFIG": str(site)}
    small = "punet,rank=6,trailing=6,folds=1,pool=24,refit=false,checks=8,validation_years=1,width=4,depth=1,climates=0"
    common = ("--grid", "4", "--plots", "false", "--cachedir", tmp_path / "c")
    answer = run(
        "train", "--training-data", "mine", "--training-target", "tas", "--masks", observed, "--recipe", small, *common,
        "--iterations", 4, "--network-name", "europe", "--output", tmp_path / "t", **given,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    card = json.loads((tmp_path / "t" / "card.json").read_text())
    grid = GridCard.model_validate(card["grid"]).grid
    assert grid.exists is not None
    assert not grid.wraps
    assert 0.4 < grid.exists.mean() < 0.95
    answer = run(
        "reconstruct", "--obs-file", observed, "--network", "europe", "--compare-with", "none", "--period", "1989-",
        *common, "--output", tmp_path / "o", **given,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    (result,) = (tmp_path / "o").glob("tas_mon_climrecon-europe_*.nc")
    with netCDF4.Dataset(result) as file:
        lat, lon = np.meshgrid(file["lat"][:], file["lon"][:], indexing="ij")
        filled = ~np.ma.getmaskarray(file["tas"][1])
        error = (file["tas"][1] - truth(lat, lon))[filled]
    middle = unrotated(np.array(-2.0), np.array(-4.0))
    assert filled[np.searchsorted(grid.lat_edges, middle[0]) - 1, np.searchsorted(grid.lon_edges, middle[1]) - 1]
    assert np.sqrt((error**2).mean()) < 0.4


def test_columns_before_rows_are_refused(tmp_path: Path) -> None:
    """cdo takes the first dimension for rows: the field would lie elsewhere, and nothing would state it."""
    turned = tmp_path / "turned.nc"
    with netCDF4.Dataset(rotated(tmp_path / "r.nc", corners="pole")) as given, netCDF4.Dataset(turned, "w") as file:
        for name, dimension in given.dimensions.items():
            file.createDimension(name, dimension.size)
        for name, one in given.variables.items():
            dimensions = ("time", "rlon", "rlat") if name == "tas" else one.dimensions
            about = {key: one.getncattr(key) for key in one.ncattrs()}
            copy = file.createVariable(name, one.dtype, dimensions, fill_value=about.pop("_FillValue", None))
            copy.setncatts(about)
            copy[...] = one[:].transpose(0, 2, 1) if name == "tas" else one[...]
    with pytest.raises(InputDataError, match=r"tas has its columns \(rlon\) before its rows \(rlat\)") as found:
        read(turned, "2")
    assert "ncpdq -a time,rlat,rlon" in str(found.value.hint)
