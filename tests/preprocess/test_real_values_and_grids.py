"""Files as users have them, whose numbers are known."""

from pathlib import Path

import netCDF4
import numpy as np

from climrecon.fields import Observations
from climrecon.geography import land_fraction
from climrecon.preprocess import PrepareRequest, read_observations


def read(path: Path, **request) -> Observations:
    return read_observations([path], PrepareRequest(**request))


def stored(path: Path, name: str) -> np.ndarray:
    with netCDF4.Dataset(path) as file:
        file[name].set_auto_maskandscale(False)
        return np.asarray(file[name][:])


def test_ice_of_hadisst_is_missing(cases: Path) -> None:
    path = cases / "08-hadisst-ice-1000" / "HadISST_sst.nc"
    observations = read(path, variable="tos")
    known = stored(path, "sst")[:, ::-1] > -999.0
    np.testing.assert_array_equal(observations.mask, known)
    assert "14.2 % masked as -1000 (sea ice)" in " ".join(observations.source.notes)


def test_land_is_outside_the_domain_of_hadsst(cases: Path) -> None:
    grid = read(cases / "09-hadsst4-tos" / "HadSST.4.0.1.0_median.nc", variable="tos").grid
    assert grid.exists is not None
    assert not grid.exists[land_fraction(grid) > 0.99].any()


def test_a_cyclic_meridian_is_read_once(cases: Path) -> None:
    path = cases / "12-cyclic-meridian" / "hadcrut5_cyclic.nc"
    observations = read(path)
    assert observations.values.shape == (12, 36, 72)
    assert observations.mask.sum() == (stored(path, "tas")[..., :-1] < 1e19).sum()


def test_an_unpacked_valid_range_masks_nothing(cases: Path) -> None:
    path = cases / "13-valid-range-unpacked" / "crutem_packed.nc"
    observations = read(path)
    packed = stored(path, "temperature_anomaly")
    np.testing.assert_array_equal(observations.mask, packed != -32768)
    np.testing.assert_allclose(observations.values[observations.mask], packed[packed != -32768] * 0.01, atol=1e-5)
    assert "48.8 % of cells used" in " ".join(observations.source.notes)
