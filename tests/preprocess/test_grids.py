"""Grids as users have them: a meridian or a pole written twice, edges of cells given as centres."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.errors import InputDataError
from climrecon.grid import Grid
from climrecon.preprocess import PrepareRequest, prepare_member, read_observations
from preprocess import observation_files as files

LAT, LON = np.arange(-75.0, 90, 30.0), np.arange(0.0, 360, 30.0)
INDEX = files.month_numbers(1961, 24)
VALUES = files.gappy(3, (24, 6, 12))


def written(folder: Path, values: np.ndarray, lat: np.ndarray, lon: np.ndarray, **form) -> Path:
    form = {"index": INDEX, "fill": -1e30, "attributes": {"units": "K", "reference_period": "1961-1990"}} | form
    return files.write(folder / "obs.nc", values, lat=lat, lon=lon, **form)


def read(path: Path):
    return read_observations([path], PrepareRequest())


def with_bounds(path: Path, name: str, edges: np.ndarray) -> Path:
    with netCDF4.Dataset(path, "a") as file:
        if "bnds" not in file.dimensions:
            file.createDimension("bnds", 2)
        file[name].bounds = f"{name}_bnds"
        file.createVariable(f"{name}_bnds", "f8", (name, "bnds"))[:] = np.stack([edges[:-1], edges[1:]], axis=1)
    return path


@pytest.mark.parametrize("lon", [np.append(LON, 360.0), np.arange(-180.0, 181, 30.0), np.append(LON, 359.99997)])
def test_a_repeated_meridian_is_read_once(tmp_path, lon):
    plain = read(written(tmp_path, VALUES, LAT, lon[:-1]))
    cyclic = read(written(tmp_path, np.concatenate([VALUES, VALUES[..., :1]], axis=2), LAT, lon))
    np.testing.assert_array_equal(cyclic.values, plain.values)
    assert cyclic.grid.same_as(plain.grid)
    np.testing.assert_array_equal(cyclic.source.lon, lon[:-1])
    assert any("with equal values, and is read once" in note for note in cyclic.source.notes)
    assert not any("read once" in note for note in plain.source.notes)


def test_a_repeated_meridian_with_other_values_is_refused(tmp_path):
    values = np.concatenate([VALUES, VALUES[..., :1]], axis=2)
    values[5, 2, -1] = 3.21
    with pytest.raises(InputDataError, match="Longitude 360 is 0 again, with other values") as found:
        read(written(tmp_path, values, LAT, np.append(LON, 360.0)))
    assert "ncks -d lon,0,11 " in found.value.hint


def test_a_repeated_row_is_read_once(tmp_path):
    rows = np.arange(-90.0, 91, 30.0)
    values = files.gappy(3, (24, 7, 12))
    plain = read(written(tmp_path, values, rows, LON))
    twice = read(written(tmp_path, np.concatenate([values, values[:, -1:]], axis=1), np.append(rows, 90.0), LON))
    np.testing.assert_array_equal(twice.values, plain.values)
    assert any("latitude 90 again, with equal values" in note for note in twice.source.notes)


def test_messages_name_the_right_cell_beside_a_repeated_meridian(tmp_path):
    values = np.concatenate([VALUES, VALUES[..., :1]], axis=2)
    values[0, 1, 8] = 99.0
    with pytest.raises(InputDataError, match="at latitude -45, longitude 240"):
        read(written(tmp_path, values, LAT, np.append(LON, 360.0)))


def test_models_with_a_repeated_meridian(tmp_path):
    index = files.month_numbers(1961, 360)
    values = 285.0 + files.gappy(1, (360, 6, 12), 0.0)
    form = {"index": index, "attributes": {"units": "K", "standard_name": "air_temperature"}}
    grid, fields = Grid.regular(3, 6), []
    for lon, field in ((LON, values), (np.append(LON, 360.0), np.concatenate([values, values[..., :1]], axis=2))):
        fields.append(prepare_member([written(tmp_path, field, LAT, lon, **form)], grid, (1961, 1990), tmp_path)[0])
    np.testing.assert_array_equal(*fields)


@pytest.mark.parametrize(("lat", "shift"), [(np.arange(-90.0, 90, 30), "+15"), (np.arange(90.0, -90, -30), "-15")])
def test_edges_given_as_centres_are_refused(tmp_path, lat, shift):
    with pytest.raises(InputDataError, match="edges of cells, not their centres") as found:
        read(written(tmp_path, VALUES, lat, LON))
    assert f"'lat=lat{shift}'" in found.value.hint


def test_bounds_decide_where_coordinates_are_edges(tmp_path):
    path = written(tmp_path, VALUES, np.arange(-90.0, 90, 30), np.arange(-180.0, 180, 30))
    path = with_bounds(with_bounds(path, "lat", np.arange(-90.0, 91, 30)), "lon", np.arange(-180.0, 181, 30))
    assert read(path).grid.same_as(Grid.regular(6, 12))


def test_rows_centred_on_the_poles_are_no_edges(tmp_path):
    assert read(written(tmp_path, files.gappy(3, (24, 7, 12)), np.arange(-90.0, 91, 30.0), LON)).grid.is_global
