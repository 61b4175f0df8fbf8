"""Files that users reported, as they are read or refused today; each kind has a test of its own beside this."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.errors import InputDataError
from climrecon.preprocess import PrepareRequest, file_order, read_observations

pytestmark = pytest.mark.shared


def one(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def read(path: Path, **request):
    return read_observations([path], PrepareRequest(**request))


@pytest.mark.parametrize(
    ("pattern", "label", "base", "blended"),
    [
        ("02-*/OBS_GISTEMP*.nc", "GISTEMP.4", (1951, 1980), True),
        ("05-*/air.mon.anom.median.nc", "HadCRUT.4", (1961, 1990), True),
        ("05-*/air.mon.anom.nc", "CRUTEM.4", (1961, 1990), False),
        ("41-*/hadcrut5_preindustrial.nc", "HadCRUT.5", (1850, 1900), True),
        ("41-*/HadCRUT.5.0.2.0*.nc", "HadCRUT.5.0.2.0", (1850, 1900), True),
        ("45-*/tas_anomaly_global_without_europe.nc", "tas_anomaly_global_without_europe", (1961, 1990), False),
    ],
)
def test_anomalies(cases, pattern, label, base, blended):
    path = one(cases, pattern)
    observations = read(path)
    source = observations.source
    assert (source.label, observations.reference_period, source.blended) == (label, base, blended)
    with netCDF4.Dataset(path) as file:
        raw = np.ma.filled(file[source.variable_in_file][:], np.nan)
    np.testing.assert_array_equal(file_order(observations.values, source), raw)


def test_absolute_values_of_cru_ts(cases):
    path = one(cases, "07-*/*.nc")
    observations = read(path)
    with netCDF4.Dataset(path) as file:
        raw = np.ma.filled(file["tmp"][:].astype(float), np.nan)
    expected = raw - np.tile(raw.reshape(30, 12, *raw.shape[1:]).mean(axis=0), (30, 1, 1))
    np.testing.assert_allclose(file_order(observations.values, observations.source), expected, atol=5e-6)
    assert observations.source.label == "CRU-TS.4.07"


def test_anomalies_of_ersst(cases):
    files = sorted(cases.glob("10-*/ersst*.nc"))
    observations = read_observations(files, PrepareRequest(variable="tos"))
    assert observations.source.variable_in_file == "ssta"
    assert observations.reference_period == (1971, 2000)


@pytest.mark.parametrize("number", range(3))
def test_the_analysis_of_hadcrut5(cases, number):
    path = sorted(cases.glob("03-*/*.nc"))[number]
    with pytest.raises(InputDataError, match="filled already"):
        read(path)
    assert "filled already" in read(path, allow_infilled=True).source.infilled
