"""Files written as each producer writes them give the values, months and base they were written with."""

import numpy as np
import observation_files as files
import pytest

from climrecon.errors import InputDataError
from climrecon.grid import FIVE_DEGREES
from climrecon.preprocess import PrepareRequest, file_order, read_observations

INDEX = files.month_numbers(1850, 24)


@pytest.fixture(scope="module")
def truth():
    return files.gappy(1, (24, 36, 72))


@pytest.mark.parametrize(
    ("writer", "label", "base", "blended", "dtype"),
    [
        (files.hadcrut5_mean, "HadCRUT.5.0.2.0", (1961, 1990), True, "float64"),
        (files.hadcrut4_median, "HadCRUT.4.6.0.0", (1961, 1990), True, "float32"),
        (files.crutem5, "CRUTEM.5.0.2.0", (1961, 1990), False, "float32"),
    ],
)
def test_met_office(tmp_path, truth, writer, label, base, blended, dtype):
    observations = read_observations([writer(tmp_path, truth, INDEX)], PrepareRequest())
    np.testing.assert_array_equal(observations.values, truth.astype(dtype))
    np.testing.assert_array_equal(observations.mask, np.isfinite(truth))
    np.testing.assert_array_equal(observations.time.index, INDEX)
    assert observations.grid.same_as(FIVE_DEGREES)
    assert observations.reference_period == base
    assert observations.values.dtype == dtype
    source = observations.source
    assert (source.label, source.blended, source.dtype) == (label, blended, dtype)
    assert observations.obs_sd is None


def test_hadcrut5_keeps_what_the_file_says_of_itself(tmp_path, truth):
    source = read_observations([files.hadcrut5_mean(tmp_path, truth, INDEX)], PrepareRequest()).source
    assert source.variable_in_file == "tas_mean"
    assert source.institution.startswith("Met Office")
    assert source.references == "C. P. Morice et al., 2021"
    assert len(source.sha256[0]) == 64
    assert source.calendar == "gregorian"


def test_gistemp_packed_on_its_own_base(tmp_path):
    values = files.gappy(2, (15, 90, 180))
    index = files.month_numbers(1880, 15)
    observations = read_observations([files.gistemp(tmp_path, values, index)], PrepareRequest())
    np.testing.assert_allclose(observations.values, values, atol=1e-6)
    np.testing.assert_array_equal(observations.time.index, index)
    assert observations.reference_period == (1951, 1980)
    assert observations.source.dataset == "GISTEMP"
    assert observations.source.blended
    assert any("1951-1980" in note for note in observations.source.notes)


def test_noaa_with_a_level_and_degrees_from_greenwich(tmp_path):
    values = files.gappy(3, (14, 36, 72))
    index = files.month_numbers(1880, 14)
    observations = read_observations([files.noaa_global_temp(tmp_path, values, index)], PrepareRequest())
    np.testing.assert_array_equal(observations.values, np.roll(values, 36, axis=2).astype(np.float32))
    assert observations.reference_period == (1971, 2000)
    assert observations.source.label == "NOAAGlobalTemp.5.1.0"
    np.testing.assert_array_equal(file_order(observations.values, observations.source), values.astype("f4"))


def test_berkeley_decimal_years_and_a_climatology_beside(tmp_path):
    values = files.gappy(4, (30, 18, 36))
    index = files.month_numbers(1850, 30)
    observations = read_observations([files.berkeley(tmp_path, values, index)], PrepareRequest())
    np.testing.assert_array_equal(observations.values, values.astype(np.float32))
    np.testing.assert_array_equal(observations.time.index, index)
    assert observations.reference_period == (1951, 1980)
    assert observations.source.variable_in_file == "temperature"


def test_cowtan_and_way_is_infilled_already(tmp_path, truth):
    path = files.cowtan_way(tmp_path, truth, INDEX)
    with pytest.raises(InputDataError, match="had4_krig"):
        read_observations([path], PrepareRequest())
    observations = read_observations([path], PrepareRequest(allow_complete=True))
    assert observations.source.label == "CowtanWay.2.0.0"


@pytest.mark.parametrize(
    "name", ["HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean.nc", "HadCRUT.5.1.0.0.analysis.anomalies.3.nc"]
)
def test_the_analysis_of_hadcrut5_is_refused_by_name(tmp_path, truth, name):
    path = files.write(tmp_path / name, truth, INDEX, fill=-1e30)
    with pytest.raises(InputDataError, match=r"filled already.*\n.*non-infilled"):
        read_observations([path], PrepareRequest())


def test_a_field_almost_without_gaps_is_refused(tmp_path):
    values = files.gappy(5, (12, 36, 72), missing=0.0)
    values[0, :6, :6] = np.nan
    path = files.write(tmp_path / "new.nc", values, INDEX[:12], attributes={"units": "K"}, fill=1e20)
    with pytest.raises(InputDataError, match=r"(99|100)\.\d % of its area"):
        read_observations([path], PrepareRequest())


def _absolute(index, shape, calendar_shift=0.0):
    """Seasonal temperatures in K plus anomalies whose mean over any thirty years is zero."""
    rows, columns = shape
    season = 10.0 * np.cos(2 * np.pi * (index % 12) / 12)[:, None, None]
    latitude = 288.0 - 40.0 * np.sin(np.linspace(-1.4, 1.4, rows))[None, :, None] ** 2
    years = index // 12
    wave = np.where(years % 2 == 0, 0.5, -0.5)[:, None, None] * np.ones((1, rows, columns))
    return (latitude + season + wave + calendar_shift).astype(np.float32), wave


def test_psl_20cr_north_to_south_on_a_gaussian_grid(tmp_path):
    index = files.month_numbers(1961, 360)
    values, wave = _absolute(index, (16, 32))
    values[5, 3, 7] = np.nan
    path = files.psl_20cr(tmp_path, values, index)
    observations = read_observations([path], PrepareRequest(allow_complete=True))
    expected = np.roll(wave[:, ::-1], 16, axis=2)
    mask = np.ones(values.shape, bool)
    mask[5, 16 - 1 - 3, 7 + 16] = False
    np.testing.assert_array_equal(observations.mask, mask)
    # One of the thirty Junes is missing at the cell with the gap, so that its mean is half a K over 29 off.
    np.testing.assert_allclose(observations.values[mask], expected[mask], atol=0.5 / 29 + 1e-4)
    assert np.abs((observations.values - expected)[mask]).mean() < 1e-4
    assert observations.reference_period == (1961, 1990)
    assert observations.grid.is_global
    assert observations.source.dataset == "20CR"
    np.testing.assert_array_equal(observations.time.index, index)
    back = file_order(observations.mask, observations.source)
    assert not back[5, 3, 7]
    assert back.sum() == mask.sum()


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day", "proleptic_gregorian", "365_day"])
def test_cmip5_in_two_chunks(tmp_path, calendar):
    index = files.month_numbers(1955, 480)
    values, wave = _absolute(index, (12, 24))
    paths = [
        files.cmip5(tmp_path, values[:240], index[:240], calendar),
        files.cmip5(tmp_path, values[240:], index[240:], calendar),
    ]
    request = PrepareRequest(allow_complete=True, facets={"model": "MPI-ESM-LR"})
    observations = read_observations(paths[::-1], request)
    np.testing.assert_array_equal(observations.time.index, index)
    np.testing.assert_allclose(observations.values, np.roll(wave, 12, axis=2), atol=1e-4)
    assert observations.source.calendar == calendar
    assert observations.source.dataset == "MPI-ESM-LR"
    # The bounds end at 89.98 degrees; the rows reach the poles nevertheless.
    assert observations.grid.is_global


def test_overlapping_chunks(tmp_path):
    index = files.month_numbers(1961, 372)
    values, _ = _absolute(index, (12, 24))
    first = files.cmip5(tmp_path, values[:190], index[:190], "noleap")
    second = files.cmip5(tmp_path, values[180:], index[180:], "noleap")
    observations = read_observations([first, second], PrepareRequest(allow_complete=True))
    assert len(observations.time) == 372
    assert any(note.startswith("10 months stand in two files") for note in observations.source.notes)
    other = files.cmip5(tmp_path, values[180:] + 1.0, index[180:], "noleap")
    with pytest.raises(InputDataError, match=r"10 months stand in two files with different values: 1976-01"):
        read_observations([first, other], PrepareRequest(allow_complete=True))


def test_absolute_values_need_twenty_years(tmp_path):
    index = files.month_numbers(1975, 216)
    values, _ = _absolute(index, (12, 24))
    path = files.cmip5(tmp_path, values, index, "standard")
    with pytest.raises(InputDataError, match=r"tas_Amon.*needs 20 years of its 30.*there are 16"):
        read_observations([path], PrepareRequest(allow_complete=True))
    read_observations([path], PrepareRequest(allow_complete=True, reference_period=(1975, 1992)))


def test_uncorrelated_errors(tmp_path, truth):
    errors = np.where(np.isfinite(truth), 0.3, np.nan)
    observations = read_observations(
        [files.hadcrut5_mean(tmp_path, truth, INDEX)],
        PrepareRequest(),
        uncorrelated=files.hadcrut5_uncorrelated(tmp_path, errors, INDEX),
    )
    seen = np.isfinite(truth)
    np.testing.assert_allclose(observations.obs_sd[seen], 0.3, atol=1e-6)
    assert np.isnan(observations.obs_sd[~seen]).all()
    assert len(observations.source.files) == len(observations.source.sha256) == 2
    assert "uncorrelated cell errors from" in observations.source.notes[-1]


def test_errors_of_a_subset_of_months(tmp_path, truth):
    errors = np.where(np.isfinite(truth), 0.25, np.nan)
    observations = read_observations(
        [files.hadcrut5_mean(tmp_path, truth, INDEX)],
        PrepareRequest(period=(1850 * 12 + 5, 1851 * 12 + 11)),
        uncorrelated=files.hadcrut5_uncorrelated(tmp_path, errors[:12], INDEX[:12]),
    )
    assert observations.time.span() == "185006-185112"
    np.testing.assert_allclose(observations.obs_sd[:7][observations.mask[:7]], 0.25)
    assert np.isnan(observations.obs_sd[7:]).all()


def test_errors_of_another_grid_are_refused(tmp_path, truth):
    wrong = files.write(
        tmp_path / "HadCRUT.5.0.2.0.uncorrelated.nc",
        np.full((24, 18, 36), 0.1),
        INDEX,
        name="tas_unc",
        lat=np.arange(-85.0, 90, 10),
        lon=np.arange(-175.0, 180, 10),
    )
    with pytest.raises(InputDataError, match="grid of 18 x 36"):
        read_observations([files.hadcrut5_mean(tmp_path, truth, INDEX)], PrepareRequest(), uncorrelated=wrong)


def test_rows_written_twice_are_read_once(tmp_path, truth):
    twice = np.repeat(truth, 2, axis=1)
    path = files.write(
        tmp_path / "tas_HADCRUT4-median.nc",
        twice[:, ::-1],
        INDEX,
        lat=np.arange(-88.75, 90, 2.5)[::-1],
        fill=1e20,
        attributes={"units": "K", "standard_name": "air_temperature"},
    )
    observations = read_observations([path], PrepareRequest())
    np.testing.assert_array_equal(observations.values, truth.astype(np.float32))
    assert observations.grid.same_as(FIVE_DEGREES)
    back = file_order(observations.values, observations.source)
    np.testing.assert_array_equal(back, twice[:, ::-1].astype(np.float32))
    assert any("36 rows is written twice" in note for note in observations.source.notes)


def test_one_differing_value_is_no_twin(tmp_path, truth):
    twice = np.repeat(truth, 2, axis=1)
    row, column = np.argwhere(np.isfinite(twice[4]))[0]
    twice[4, row, column] += 0.01
    path = files.write(tmp_path / "tas_HADCRUT4-median.nc", twice, INDEX, lat=np.arange(-88.75, 90, 2.5), fill=1e20)
    assert read_observations([path], PrepareRequest()).grid.shape == (72, 72)


def test_a_field_that_does_not_change_with_latitude_is_no_twin(tmp_path):
    values = np.where(np.arange(72) % 3 == 0, np.nan, 0.5) * np.ones((24, 36, 1))
    path = files.write(tmp_path / "flat.nc", values, INDEX, attributes={"units": "K", "long_name": "anomaly"})
    assert read_observations([path], PrepareRequest()).grid.same_as(FIVE_DEGREES)
