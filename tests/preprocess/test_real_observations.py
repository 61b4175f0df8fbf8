"""The producers' own files."""

import netCDF4
import numpy as np
import pytest

from climrecon.errors import InputDataError
from climrecon.grid import FIVE_DEGREES
from climrecon.preprocess import PrepareRequest, file_order, prepare_member, read_observations, to_network_grid

pytestmark = pytest.mark.shared


def raw(path, name):
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return file[name][:]


def test_hadcrut4(shared_data, tmp_path):
    path = shared_data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
    observations = read_observations([path], PrepareRequest())
    assert observations.time.labels() == ["1877-09", "1893-08"]
    assert observations.grid.same_as(FIVE_DEGREES)
    assert observations.source.label == "HadCRUT.4.6.0.0"
    assert observations.source.blended
    assert observations.reference_period == (1961, 1990)
    assert to_network_grid(observations, FIVE_DEGREES, tmp_path) is observations
    stored = raw(path, "tas")
    back = file_order(np.where(observations.mask, observations.values, np.float32(1e20)), observations.source)
    assert back.tobytes() == stored.astype(np.float32).tobytes()


def test_crutem4(shared_data):
    path = shared_data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc"
    observations = read_observations([path], PrepareRequest())
    stored = raw(path, "temperature_anomaly")
    assert observations.time.span() == "185001-200212"
    assert len(observations.time) == 1836
    assert observations.mask.sum() == (stored != np.float32(-1e30)).sum()
    np.testing.assert_array_equal(
        file_order(observations.values, observations.source)[stored > -1e29], stored[stored > -1e29]
    )
    assert (observations.source.label, observations.source.blended) == ("CRUTEM.4.3.0.0", False)
    assert "Jones" in observations.source.references


def test_gistemp(shared_data):
    path = shared_data / "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc"
    observations = read_observations([path], PrepareRequest(period=(1951 * 12, 1980 * 12 + 11)))
    assert observations.reference_period == (1961, 1990)
    assert observations.time.span() == "195101-198012"
    stored = raw(path, "tas")[71 * 12 : 101 * 12]
    np.testing.assert_array_equal(observations.values, stored)


def test_ersst_with_land_missing(shared_data):
    path = shared_data / "observations/ersst_v3b/ersst_v3b_2x2_196001-200212.nc"
    observations = read_observations([path], PrepareRequest(variable="tos"))
    assert observations.grid.shape == (89, 180)
    assert 0.6 < observations.mask.mean() < 0.75
    base = (observations.time.year >= 1961) & (observations.time.year <= 1990)
    always = observations.mask.all(axis=0)
    assert np.abs(observations.values[base][:, always].mean(axis=0)).max() < 1e-3


def test_cmip5_is_read_but_does_not_cover_the_period(shared_data, tmp_path):
    folder = shared_data / "training/cmip5/CMCC-CESM"
    later = folder / "tas_Amon_CMCC-CESM_rcp85_r1i1p1_206601-207512.nc"
    with pytest.raises(InputDataError, match=r"100\.0 % of its area"):
        read_observations([later], PrepareRequest())
    with pytest.raises(InputDataError, match="there are 0"):
        prepare_member([later], FIVE_DEGREES, (1961, 1990), tmp_path)
    values, months = prepare_member([later], FIVE_DEGREES, (2066, 2075), tmp_path)
    assert months.span() == "206601-207512"
    for month in (1, 7):
        assert np.abs(values[months.month == month].mean(axis=0)).max() < 1e-4
    # Remapping and taking anomalies commute: the file's own anomalies have the same global means.
    own = read_observations([later], PrepareRequest(allow_complete=True, reference_period=(2066, 2075)))
    np.testing.assert_allclose(
        (values * FIVE_DEGREES.area).sum((1, 2)), (own.values * own.grid.area).sum((1, 2)), atol=2e-3
    )


def test_annual_means_are_refused(shared_data):
    path = sorted((shared_data / "training/ccsm").glob("*.nc"))[0]
    with pytest.raises(InputDataError, match="not monthly: its fields are 12 months apart"):
        read_observations([path], PrepareRequest())
