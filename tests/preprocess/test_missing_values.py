"""Which numbers of a file are missing: fill values, valid ranges in either units, flags of producers, broken attributes."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.errors import InputDataError
from climrecon.fields import Observations
from climrecon.grid import FIVE_DEGREES
from climrecon.preprocess import PrepareRequest, prepare_member, read_observations
from climrecon.preprocess.missing import read_part
from preprocess import observation_files as files

LAT, LON = np.arange(-75.0, 90, 30.0), np.arange(-165.0, 180, 30.0)
INDEX = files.month_numbers(1960, 24)
SHAPE = (24, 6, 12)
ANOMALY = {"units": "K", "reference_period": "1961-1990"}


def written(folder: Path, values: np.ndarray, index: np.ndarray = INDEX, **form) -> Path:
    form = {"attributes": ANOMALY, "fill": -32768 if form.get("kind") == "i2" else -1e30} | form
    return files.write(folder / "obs.nc", values, index, lat=LAT, lon=LON, **form)


def packed(folder: Path, values: np.ndarray, **attributes) -> Path:
    return written(folder, values, kind="i2", scale=0.01, attributes=ANOMALY | attributes)


def read(path: Path, **request) -> Observations:
    return read_observations([path], PrepareRequest(**request))


def notes(observations: Observations) -> str:
    return " / ".join(observations.source.notes)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_fill_values_nobody_declared(kind):
    raw = np.array([1.5, np.nan, -1e30, 1e20, 9.96921e36, -9999.0, -999.0, np.inf, -3.0], kind)
    with netCDF4.Dataset("memory.nc", "w", diskless=True) as file:
        file.createDimension("x", len(raw))
        variable = file.createVariable("tas", kind, ("x",))
        variable[:] = raw
        np.testing.assert_array_equal(read_part(variable), np.array([1.5] + [np.nan] * 6 + [np.inf, -3.0], kind))


@pytest.mark.parametrize(
    ("valid", "taken"),
    [
        ({"valid_range": np.array([-20, 20], "f4")}, "range of values"),
        ({"valid_range": np.array([-20, 20], "i2")}, "range of values"),
        ({"valid_min": np.float64(-20), "valid_max": np.float64(20)}, "range of values"),
        ({"valid_range": np.array([-2000, 2000], "i2")}, "0.0 % masked by valid_range"),
        ({"valid_range": np.array([-2000, 2000], "f8")}, "0.0 % masked by valid_range"),
        ({"valid_range": "-20, 20"}, "range of values"),
        ({"valid_range": "about twenty"}, "is not used"),
        ({"valid_range": np.array([-20.0], "f4")}, ""),
    ],
)
def test_a_valid_range_is_read_in_the_units_that_keep_plausible_values(tmp_path, valid, taken):
    values = files.gappy(1, SHAPE)
    observations = read(packed(tmp_path, values, **valid))
    np.testing.assert_array_equal(observations.mask, np.isfinite(values))
    np.testing.assert_allclose(observations.values[observations.mask], values[np.isfinite(values)], atol=1e-5)
    assert taken in notes(observations)


@pytest.mark.parametrize("kind", ["f8", "i2"])
def test_packed_numbers_outside_a_packed_range_are_masked_whatever_its_type(tmp_path, kind):
    values = files.gappy(1, SHAPE)
    values[:, 2, 3] = -99.0  # outside, and implausible
    observations = read(packed(tmp_path, values, valid_range=np.array([-2000, 2000], kind)))
    assert not observations.mask[:, 2, 3].any()
    assert f"{100 / 72:.1f} % masked by valid_range" in notes(observations)


def test_a_packed_range_masks_plausible_values_too(tmp_path):
    values = files.gappy(1, SHAPE)
    values[:, 2, 3] = 25.0
    observations = read(packed(tmp_path, values, valid_range=np.array([-2000, 2000], "i2")))
    assert not observations.mask[:, 2, 3].any()
    assert "(-2000 to 2000) is taken as a range of packed numbers" in notes(observations)


def test_shares_are_exact(tmp_path):
    values = files.gappy(1, SHAPE)
    values[0] = 25.0
    values[1, 0, :6] = -9999.0
    attributes = ANOMALY | {"valid_range": np.array([-1e4, 20], "f4")}
    observations = read(written(tmp_path, values, attributes=attributes))
    used = 100 * (np.isfinite(values).sum() - 72 - 6) / values.size
    assert (
        f"{used:.1f} % of cells used; {100 / 24:.1f} % masked by valid_range; {100 * 6 / 1728:.1f} % masked as -9999"
    ) in notes(observations)


def test_files_that_declare_what_is_missing_have_no_note(tmp_path):
    assert "% of cells" not in notes(read(written(tmp_path, files.gappy(1, SHAPE))))


def test_a_range_that_masks_everything_is_refused(tmp_path):
    path = written(tmp_path, files.gappy(1, SHAPE), attributes=ANOMALY | {"valid_range": np.array([200, 330], "f4")})
    with pytest.raises(InputDataError, match="valid_range of tas, 200 to 330, masks every one") as found:
        read(path)
    assert "ncatted -a valid_range,tas,d" in found.value.hint


def test_scale_as_text_is_read(tmp_path):
    values = files.gappy(1, SHAPE)
    path = packed(tmp_path, values)
    with netCDF4.Dataset(path, "a") as file:
        file["tas"].scale_factor = "0.01"
    observations = read(path)
    np.testing.assert_allclose(observations.values, values, atol=1e-5)
    assert "scale_factor of tas is text ('0.01') and is read as a number" in notes(observations)


def test_scale_that_is_no_number_is_refused(tmp_path):
    path = packed(tmp_path, files.gappy(1, SHAPE))
    with netCDF4.Dataset(path, "a") as file:
        file["tas"].scale_factor = "one hundredth"
    with pytest.raises(InputDataError, match="scale_factor of tas is 'one hundredth'; a number is expected"):
        read(path)


@pytest.mark.parametrize("missing", [np.float64(-999.9), "-999.9", np.array([-1e30, -999.9])])
def test_missing_values_of_another_type(tmp_path, missing):
    values = files.gappy(1, SHAPE)
    filled = np.where(np.isnan(values), np.float32(-999.9), values)
    observations = read(written(tmp_path, filled, fill=None, attributes=ANOMALY | {"missing_value": missing}))
    np.testing.assert_array_equal(observations.mask, np.isfinite(values))


def test_a_missing_value_in_the_units_of_the_values(tmp_path):
    values = files.gappy(1, SHAPE)
    filled = np.where(np.isnan(values), -99.0, values)
    path = packed(tmp_path, filled, missing_value=np.float32(-99.005))
    assert read(path, values="anomaly").mask.all() or "one number" in notes(read(path))  # -99.005 is another number
    path = written(tmp_path, np.where(np.isnan(values), 40000.0 * 0.01, values), kind="i4", scale=0.01, fill=None,
                   attributes=ANOMALY | {"missing_value": np.float32(400.0)})  # fmt: skip
    np.testing.assert_array_equal(read(path).mask, np.isfinite(values))


def test_unsigned_numbers(tmp_path):
    values = files.gappy(1, SHAPE) + 300.0
    path = written(tmp_path, values, kind="i2", scale=0.01, offset=300.0, attributes=ANOMALY)
    with netCDF4.Dataset(path, "a") as file:
        variable = file["tas"]
        variable.set_auto_maskandscale(False)
        stored = np.round(np.nan_to_num(values, nan=0.0) * 100).astype("u2")
        stored[np.isnan(values)] = 65535
        variable[:] = stored.view("i2")
        variable.setncatts({"_Unsigned": "true", "add_offset": np.float32(-300.0), "missing_value": np.int16(-1)})
    observations = read(path)
    np.testing.assert_array_equal(observations.mask, np.isfinite(values))
    np.testing.assert_allclose(observations.values[observations.mask], values[np.isfinite(values)] - 300.0, atol=1e-4)


@pytest.mark.parametrize("units", ["degC", "K"])
def test_ice_of_sea_surface_temperature(tmp_path, units):
    """HadISST: -1000 stands for sea ice, whatever the units, be it in a single cell."""
    index = files.month_numbers(1961, 360)
    values = 10.0 + files.gappy(1, (360, 6, 12), 0.0) + (273.15 if units == "K" else 0.0)
    ice = np.zeros(values.shape, bool)
    ice[5, 5, 3] = True
    values[:, 2:4, :5] = np.nan
    path = written(tmp_path, np.where(ice, -1000.0, values), index, name="sst", attributes={"units": units})
    observations = read(path, variable="tos", values="absolute")
    np.testing.assert_array_equal(observations.mask, np.isfinite(values) & ~ice)
    assert "masked as -1000 (sea ice)" in notes(observations)


def test_one_implausible_number_in_many_cells_is_a_flag(tmp_path):
    values = files.gappy(1, SHAPE, 0.0)
    values[:, 1, :4] = -888.0
    observations = read(written(tmp_path, values))
    assert not observations.mask[:, 1, :4].any()
    assert observations.mask.sum() == values.size - 96
    assert "masked as -888 (no temperature, and one number in many cells)" in notes(observations)


def test_different_implausible_numbers_are_errors(tmp_path):
    values = files.gappy(1, SHAPE, 0.0)
    values[:, 1, :4] = -888.0 - np.arange(96).reshape(24, 4)
    with pytest.raises(InputDataError, match="96 values are outside -60 to 60 K for an anomaly") as found:
        read(written(tmp_path, values))
    assert "_FillValue" in found.value.hint


def test_zeros_among_absolute_temperatures_are_flags(tmp_path):
    index = files.month_numbers(1961, 360)
    values = 285.0 + files.gappy(1, (360, 6, 12), 0.0)
    values[:, 0] = 0.0
    path = written(tmp_path, values, index, attributes={"units": "K"})
    observations = read(path, values="absolute", allow_complete=True)
    assert not observations.mask[:, 0].any()
    assert observations.mask[:, 1:].all()


def test_models_with_flags(tmp_path):
    """The same through cdo: cells of a flag are missing."""
    from climrecon.grid import Grid

    index = files.month_numbers(1961, 360)
    values = 285.0 + files.gappy(1, (360, 6, 12), 0.0)
    values[:, 0, :3] = -1000.0
    path = written(
        tmp_path, values, index, name="tos", attributes={"units": "K", "standard_name": "sea_surface_temperature"}
    )
    fields, _ = prepare_member([path], Grid.regular(6, 12), (1961, 1990), tmp_path, "tos", gaps=True)
    assert np.isnan(fields[:, 0, :3]).all()
    assert np.isfinite(fields[:, 1:]).all()


def test_a_valid_range_of_unpacked_values_masks_nothing_of_a_model(tmp_path):
    """cdo compares it with the packed numbers, whatever units it is in."""
    index = files.month_numbers(1961, 60)
    values = np.round(285.0 + np.random.default_rng(2).normal(0, 5, (60, 36, 72)), 2)
    prepared = []
    for number, limits in enumerate(({}, {"valid_range": np.array([150, 350], np.int16)})):
        path = files.write(
            tmp_path / f"{number}.nc", values, index, kind="i2", scale=0.01, offset=275.0, fill=-32767,
            attributes={"units": "K", "standard_name": "air_temperature", **limits},
        )  # fmt: skip
        prepared.append(prepare_member([path], FIVE_DEGREES, (1961, 1965), tmp_path)[0])
    np.testing.assert_allclose(prepared[1], prepared[0], atol=1e-4)
