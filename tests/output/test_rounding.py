"""Written fields are rounded far below their uncertainty, and observed cells are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.output.netcdf import write_netcdf
from climrecon.output.rounding import FEW_FIELDS_BITS, SPREAD_BITS, step_attributes, step_of, to_bits, to_step
from climrecon.variables import VARIABLES
from helpers.made_up import make_product
from output.test_files import attributes

STEP = 2.0**-7
RNG = np.random.default_rng(1)


def read(path: Path, name: str) -> np.ndarray:
    """Values in the package's order."""
    with netCDF4.Dataset(path) as file:
        return np.roll(file[name][:].data[..., ::-1, :], 36, axis=-1)


@pytest.mark.parametrize("keep_observed", [True, False])
def test_fields_are_rounded_without_bias_and_observed_cells_are_not(tmp_path: Path, keep_observed: bool) -> None:
    product = replace(make_product(240, realisations=2), keep_observed=keep_observed)
    path, mask = tmp_path / "x.nc", product.observations.mask
    write_netcdf(product, path, attributes(product))
    area = product.observations.grid.area / product.observations.grid.area.sum()
    assert product.realisations is not None
    rounded = {
        "tas": (read(path, "tas"), product.infilled, mask if keep_observed else np.zeros_like(mask)),
        "tas_analysis": (read(path, "tas_analysis"), product.analysis, np.zeros_like(mask)),
        "tas_realisation": (read(path, "tas_realisation")[1], list(product.realisations())[1], np.zeros_like(mask)),
    }
    for name, (found, true, exact) in rounded.items():
        error = found.astype(float) - true
        assert (error[exact] == 0).all(), name
        inexact = error[~exact]
        assert np.abs(inexact).max() <= STEP / 2 * (1 + 1e-6), name
        assert (found[~exact] % STEP == 0).all(), name
        # A step's rounding errors are uniform; their mean lies within four of its standard errors.
        assert inexact.std() == pytest.approx(STEP / np.sqrt(12), rel=0.01), name
        assert abs(inexact.mean()) < 4 * STEP / np.sqrt(12 * inexact.size), name
        assert np.abs((error * area).sum((1, 2))).max() < 2.2e-4, name
    with netCDF4.Dataset(path) as file:
        assert file["tas_analysis"].least_significant_digit == 2
        assert file["tas_realisation"].comment.endswith("Rounded to multiples of 0.0078125 K.")
        spared = "; observed cells are not rounded." if keep_observed else "."
        assert file["tas"].comment == f"Rounded to multiples of 0.0078125 K{spared}"
        assert ("least_significant_digit" in file["tas"].ncattrs()) is not keep_observed


def test_standard_deviations_are_rounded_as_the_library_rounds(tmp_path: Path) -> None:
    product = make_product(24)
    spread = np.exp(RNG.normal(-1, 2, product.analysis.shape)).astype(np.float32)
    spread[0, 0, :3] = 0.0, 2.0**-20, 1.0
    write_netcdf(replace(product, stddev=spread), tmp_path / "x.nc", attributes(product))
    found = read(tmp_path / "x.nc", "tas_stddev")
    with netCDF4.Dataset(tmp_path / "library.nc", "w") as file:
        for name, size in zip("thw", spread.shape, strict=True):
            file.createDimension(name, size)
        rounding = {"significant_digits": SPREAD_BITS, "quantize_mode": "BitRound"}
        file.createVariable("sd", "f4", ("t", "h", "w"), **rounding)[:] = spread
    with netCDF4.Dataset(tmp_path / "library.nc") as other, netCDF4.Dataset(tmp_path / "x.nc") as ours:
        np.testing.assert_array_equal(found, other["sd"][:])
        assert (
            ours["tas_stddev"].QuantizeBitRoundNumberOfSignificantBits == other["sd"].quantization()[0] == SPREAD_BITS
        )
    np.testing.assert_allclose(found, spread, rtol=2.0 ** -(SPREAD_BITS + 1))
    assert (found[spread > 0] > 0).all()


def test_missing_values_stay_missing() -> None:
    gappy = np.array([np.nan, -STEP / 4, 3.3 * STEP], np.float32)
    np.testing.assert_array_equal(to_step(gappy, STEP), np.array([np.nan, 0.0, 3 * STEP], np.float32))
    assert not np.signbit(to_step(gappy, STEP)[1])
    np.testing.assert_array_equal(to_bits(gappy, FEW_FIELDS_BITS)[:1], gappy[:1])


@pytest.mark.parametrize(("error", "digit"), [(1e-6, 7), (0.3, 2), (150.0, -1), (2e4, -3)])
def test_steps_are_in_units_of_the_variable(error: float, digit: int) -> None:
    variable = VARIABLES["pr"].model_copy(update={"default_obs_sd": error})
    step = step_of(variable)
    assert step is not None
    assert error / 64 < step <= error / 32
    assert np.log2(step) % 1 == 0
    assert step_attributes(variable)["least_significant_digit"] == digit
    assert step <= 10.0**-digit


def test_a_variable_without_a_known_error_is_not_rounded() -> None:
    values = RNG.normal(size=(2, 3, 4)).astype(np.float32)
    assert step_of(VARIABLES["sic"]) is None
    assert step_attributes(VARIABLES["sic"]) == {}
    assert to_step(values, None) is values
