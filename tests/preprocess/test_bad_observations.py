"""Every kind of bad input ends in one message that says what was found, and of which file."""

import os

import netCDF4
import numpy as np
import observation_files as files
import pytest

from climrecon.errors import InputDataError
from climrecon.preprocess import PrepareRequest, read_observations
from helpers.closed import as_nobody

INDEX = files.month_numbers(1900, 24)
LAT, LON = np.arange(-75.0, 90, 30.0), np.arange(-165.0, 180, 30.0)
SHAPE = (24, 6, 12)
ANOMALY = {"units": "K", "long_name": "temperature anomaly"}


@pytest.fixture
def make(tmp_path):
    def write(values=None, index=INDEX, **options):
        given = {"lat": LAT, "lon": LON, "fill": 1e20, "attributes": ANOMALY} | options
        return files.write(tmp_path / "obs.nc", files.gappy(1, SHAPE) if values is None else values, index, **given)

    return write


def refused(path, match, **request):
    with pytest.raises(InputDataError, match=match) as caught:
        read_observations([path] if not isinstance(path, list) else path, PrepareRequest(**request))
    first = path[0] if isinstance(path, list) else path
    assert first.name in caught.value.message
    assert caught.value.hint
    return caught.value


def test_the_plain_file_is_read(make):
    assert read_observations([make()], PrepareRequest()).values.shape == SHAPE


@pytest.mark.parametrize("kind", ["auto", "anomaly", "absolute"])
@pytest.mark.parametrize(("variable", "units"), [("sic", "%")])
def test_variables_without_a_description_of_observations(make, variable, units, kind):
    path = make(name=variable, attributes={"units": units})
    error = refused(path, f"Observations of {variable} .* cannot be reconstructed", variable=variable, values=kind)
    assert "variable=pr or psl or tas or tasmax or tasmin or tos or tx90p" in error.hint


def test_text_named_nc(tmp_path):
    path = tmp_path / "notes.nc"
    path.write_text("these are not the data you are looking for\n" * 20)
    refused(path, "cannot be opened as netCDF")


def test_empty_file(tmp_path):
    (tmp_path / "empty.nc").touch()
    refused(tmp_path / "empty.nc", "cannot be opened as netCDF")


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "absent.nc", "There is no file")
    (tmp_path / "folder.nc").mkdir()
    refused(tmp_path / "folder.nc", "is a folder")


@pytest.mark.parametrize("share", [0.95, 0.5, 0.03])
@pytest.mark.parametrize("fmt", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
def test_truncated(make, fmt, share):
    path = make(fmt=fmt)
    with path.open("rb+") as file:
        file.truncate(int(path.stat().st_size * share))
    refused(path, r"cut short|cannot be opened|cannot be read|header")


@pytest.mark.parametrize("fmt", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_whole_classic_files_are_not_called_short(make, fmt, kind):
    path = make(fmt=fmt, kind=kind, time_bounds=True)
    observations = read_observations([path], PrepareRequest())
    np.testing.assert_allclose(observations.values, files.gappy(1, SHAPE), atol=1e-6)


def test_corrupt_hdf5(make):
    path = make(files.gappy(1, (24, 36, 72)), lat=files.LAT5, lon=files.LON5)
    blob = bytearray(path.read_bytes())
    blob[100:4000] = os.urandom(3900)
    path.write_bytes(bytes(blob))
    refused(path, r"cannot be opened|cannot be read")


def test_unreadable(make):
    path = make()
    path.chmod(0)
    with as_nobody():
        refused(path, "permission denied")


@pytest.mark.parametrize("units", ["mm/day", "Pa", "m s-1", "percent"])
def test_wrong_units(make, units):
    refused(make(attributes=ANOMALY | {"units": units}), rf"units '{units}' are not those of a temperature")


def test_absolute_without_units(make):
    refused(make(files.gappy(1, SHAPE) + 288.0, attributes={}), "states no units", values="absolute")


def test_anomalies_without_units_are_noted(make):
    observations = read_observations([make(attributes={"long_name": "anomaly"})], PrepareRequest())
    assert any("states no units" in note for note in observations.source.notes)


def test_wrong_variable(make):
    refused(make(name="psl"), r"No variable is tas; the file holds psl \(psl\)")


def test_another_variable_that_can_be_reconstructed_is_offered(make):
    error = refused(make(name="sst"), r"No variable is tas; the file holds sst \(tos\)")
    assert "variable=tos" in error.hint
    assert "network=kriging" in error.hint


def test_two_variables_that_could_be_meant(make):
    path = make(name="tas_mean")
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("tas_median", "f4", ("time", "lat", "lon"))[:] = 0.0
        file["tas_median"].long_name = "anomaly"
    refused(path, "Several variables could be tas: tas_mean, tas_median")


def test_no_time_axis(tmp_path):
    path = tmp_path / "obs.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("lat", LAT), ("lon", LON)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        file.createVariable("tas", "f4", ("lat", "lon")).units = "K"
        file["tas"][:] = 0.1
    refused(path, "has no time axis")


def test_time_dimension_without_coordinate(make):
    path = make()
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("time", "moment")
        file["moment"].units = "1"
    refused(path, "has no time axis")


@pytest.mark.parametrize("units", ["furlongs since 1850-01-01", "days since then", "fortnights"])
def test_units_of_time_that_mean_nothing(make, units):
    refused(make(times=np.arange(24.5)[:24] + 0.25, time_units=units), "cannot be read")


def test_times_missing(make):
    times = np.arange(24) * 30.4
    times[3] = np.nan
    refused(make(times=times), "holds missing values")


def test_daily_annual_and_seasonal_data(make):
    refused(make(times=np.arange(24.0)), r"finer than monthly \(24 fields in 1 months\)")
    refused(make(times=np.arange(24.0) * 365.25 + 180), "not monthly: its fields are 12 months apart")
    refused(make(times=np.arange(24.0) * 91.3125 + 45), "not monthly: its fields are 3 months apart")


def test_means_over_a_season_are_told_by_their_bounds(make):
    path = make(index=INDEX, time_bounds=True)
    with netCDF4.Dataset(path, "a") as file:
        file["time_bnds"][:, 0] -= 31.0
        file["time_bnds"][:, 1] += 31.0
    refused(path, "not monthly: 24 of its 24 fields are means over another time, e.g. 9")


def test_duplicate_months(make):
    index = INDEX.copy()
    index[7] = index[6]
    refused(make(index=index), "1 months stand there more than once: 1900-07")


def test_absent_and_empty_months_are_kept_and_noted(make):
    values = files.gappy(1, SHAPE)
    values[5] = np.nan
    index = np.append(INDEX[:20], INDEX[20:] + 3)
    observations = read_observations([make(values, index)], PrepareRequest())
    assert len(observations.time) == 24
    assert not observations.mask[5].any()
    notes = " / ".join(observations.source.notes)
    assert "3 months are absent: 1901-09, 1901-10, 1901-11" in notes
    assert "1 months hold no observation and are estimated without any: 1900-06" in notes


@pytest.mark.parametrize("fill", [np.nan, 1e20, -1e30, -9999.0])
def test_missing_everywhere(make, fill):
    refused(make(np.full(SHAPE, np.nan), fill=fill), "Every value is missing")


def test_missing_everywhere_in_the_period(make):
    values = files.gappy(1, SHAPE)
    values[:12] = np.nan
    with pytest.raises(InputDataError, match="Every value in 190001-190012 is missing"):
        read_observations([make(values)], PrepareRequest(period=(1900 * 12, 1900 * 12 + 11)))


def test_infinite_values(make):
    values = files.gappy(1, SHAPE)
    values[2, 1, 3], values[4, 0, 0] = np.inf, -np.inf
    error = refused(make(values), "2 values are infinite")
    assert "the first in 1900-03 at latitude -45, longitude -75" in error.message


def test_absurd_anomaly(make):
    values = files.gappy(1, SHAPE)
    values[3, 5, 11] = 75.0
    error = refused(make(values), r"1 value is outside -60 to 60 K for an anomaly, the first \(75 K\) in 1900-04")
    assert "latitude 75, longitude 165" in error.message


def test_absurd_temperature(make):
    values = np.full(SHAPE, 285.0)
    values[0, 0, 0] = 400.0
    refused(make(values, attributes={"units": "K"}), r"outside 150 to 350 K for a temperature", values="absolute")


def test_in_doubt_the_option_is_named(make):
    values = files.gappy(1, SHAPE) + 10.0  # a warm spell, or a mild year in degrees Celsius?
    error = refused(make(values, attributes={"units": "degC"}), "not clear whether tas")
    assert "values=anomaly or values=absolute" in error.hint
    assert read_observations([make(values, attributes={"units": "degC"})], PrepareRequest(values="anomaly"))


def test_several_problems_at_once(make):
    path = make(lat=LAT**3 / 75.0**2, times=np.arange(24.0), attributes=ANOMALY | {"units": "Pa"})
    error = refused(path, "finer than monthly")
    assert "neither evenly spaced nor Gaussian" in error.message
    assert "units 'Pa'" in error.message


def test_irregular_rows(make):
    refused(make(lat=np.array([-80.0, -50, -10, 5, 40, 75])), "neither evenly spaced nor Gaussian")


def test_irregular_columns(make):
    lon = LON.copy()
    lon[4] += 7.0
    refused(make(lon=lon), "longitudes are not evenly spaced")


def test_cyclic_column(make):
    refused(make(lon=np.linspace(0.0, 360.0, 12)), "Longitude 360 is 0 again, with other values")


def test_curvilinear_grid(tmp_path):
    path = tmp_path / "ocean.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 2), ("y", 6), ("x", 12)):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",)).units = "days since 1900-01-01"
        file["time"][:] = [15, 45]
        for name in ("nav_lat", "nav_lon"):
            file.createVariable(name, "f8", ("y", "x"))[:] = 1.0
        file.createVariable("tas", "f4", ("time", "y", "x")).units = "K"
        file["tas"][:] = 0.1
    refused(path, "curvilinear grid: nav_lat is two-dimensional")


def test_unstructured_grid(tmp_path):
    path = tmp_path / "icon.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", 2)
        file.createDimension("cell", 20)
        file.createVariable("time", "f8", ("time",)).units = "days since 1900-01-01"
        file["time"][:] = [15, 45]
        for name in ("lat", "lon"):
            file.createVariable(name, "f8", ("cell",))[:] = np.arange(20)
        file.createVariable("tas", "f4", ("time", "cell")).units = "K"
        file["tas"][:] = 0.1
    refused(path, "unstructured grid")


def test_further_dimensions(make):
    path = make()
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("level", 3)
        file.renameVariable("tas", "other")
        file.createVariable("tas", "f4", ("level", "time", "lat", "lon")).units = "K"
        file["tas"][:] = 0.5
    refused(path, r"further dimension: level \(3\)")


def test_chunks_on_different_grids_or_bases(make, tmp_path):
    first = make(attributes={"units": "K", "reference_period": "1961-1990"}).rename(tmp_path / "a.nc")
    other = make(
        files.gappy(1, (24, 4, 8)),
        INDEX + 24,
        lat=np.arange(-67.5, 90, 45),
        lon=np.arange(-157.5, 180, 45),
        attributes={"units": "K", "reference_period": np.array([1951, 1980])},
    ).rename(tmp_path / "b.nc")
    with pytest.raises(InputDataError, match=r"b.nc and a.nc cannot be joined: grids of 4 x 8.*base periods"):
        read_observations([first, other], PrepareRequest())


def test_period_outside_the_data(make):
    with pytest.raises(InputDataError, match="No month of 190001-190112 lies in the period"):
        read_observations([make()], PrepareRequest(period=(1950 * 12, None)))


def test_no_file():
    with pytest.raises(InputDataError, match="No file"):
        read_observations([], PrepareRequest())
