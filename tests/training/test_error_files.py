"""Levels of errors to train with, read from files as HadCRUT5's are written; each is counted once."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.data.masks import harmonic_smoother
from climrecon.data.noise import NoiseSource
from climrecon.errors import InputDataError
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.preprocess.error_covariance import month_in_name, read_error_stddev
from climrecon.settings import load_site, validate
from climrecon.tasks.training_data.coverage import coverage_files, mask_inputs, read_coverage
from climrecon.workflow.progress import Quiet
from preprocess.observation_files import LAT5, gappy, month_numbers, write

STEM = "HadCRUT.5.0.2.0"
INDEX = month_numbers(1961, 24)
CELLS = FIVE_DEGREES.area.size
BIAS = 0.11
FILE = {"lat_name": "latitude", "lon_name": "longitude", "fill": -1e30, "file_attributes": {"title": STEM}}


def levels(month: int) -> np.ndarray:
    """(H, W) partly correlated errors: larger to the north and in later months."""
    return 0.05 + 0.01 * month + 0.3 * (LAT5[:, None] > 0) * np.ones((1, 72))


def covariance(folder: Path, month: int, seen: np.ndarray, **change: object) -> Path:
    """``tas_cov`` (1, 2592, 2592) K2, NaN where nothing was observed; neighbours share what one ship brought."""
    path = folder / f"{STEM}.error_covariance.{INDEX[month] // 12}{INDEX[month] % 12 + 1:02d}.nc"
    sd = levels(month).reshape(-1)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 1), ("dim_1", CELLS), ("dim_2", CELLS)):
            file.createDimension(name, size)
        matrix = file.createVariable(
            "tas_cov", "f4", ("time", "dim_1", "dim_2"), fill_value=np.float32(-1e30), compression="zlib", complevel=1
        )  # fmt: skip
        matrix.units = str(change.get("units", "K2"))
        square = np.diag((sd**2).astype(np.float32))
        square[np.arange(CELLS - 1), np.arange(1, CELLS)] = 0.5 * (sd[:-1] * sd[1:])
        gone = ~seen.reshape(-1)
        square[gone] = square[:, gone] = np.nan
        matrix[0] = np.ma.masked_invalid(square)
    return path


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ensemble mean, twelve members, uncorrelated errors and three covariances; another release beside them."""
    folder = tmp_path_factory.mktemp("hadcrut5")
    values = gappy(0, (24, 36, 72))
    attributes = {"units": "K", "reference_period": "1961-1990"}
    write(folder / f"{STEM}.anomalies.ensemble_mean.nc", values, INDEX, name="tas_mean", attributes=attributes, **FILE)
    offsets = np.random.default_rng(1).normal(size=(12, 24))
    offsets *= BIAS / offsets.std(axis=0, ddof=1)
    for member in range(12):
        own = values + offsets[member][:, None, None]
        write(folder / f"{STEM}.anomalies.{member + 1}.nc", own, INDEX, attributes=attributes, **FILE)
    sd = np.where(np.isfinite(values), 0.4, np.nan)
    write(folder / f"{STEM}.uncorrelated.nc", sd, INDEX, name="tas_unc", **FILE)
    for month in (2, 10, 20):
        covariance(folder, month, np.isfinite(values[month]))
    write(folder / "HadCRUT.5.0.1.0.uncorrelated.nc", sd + 5, INDEX, name="tas_unc", **FILE)
    return folder


def gaps_of(path: Path, tmp_path: Path, grid: Grid = FIVE_DEGREES) -> NoiseSource:
    site = load_site()
    settings = validate({"task": "train", "training_data": "cmip5", "masks": str(path)}, site)
    inputs = mask_inputs(settings, site, Quiet())
    return read_coverage(settings, inputs, grid, tmp_path, Quiet()).noise


def test_each_part_comes_from_the_file_that_states_it(release: Path, tmp_path: Path) -> None:
    site = load_site()
    main = release / f"{STEM}.anomalies.ensemble_mean.nc"
    settings = validate({"task": "train", "training_data": "cmip5", "masks": str(main)}, site)
    roles = [role for role, _ in coverage_files(mask_inputs(settings, site, Quiet()))]
    assert [roles.count(role) for role in ("main", "uncorrelated", "member", "error_covariance")] == [1, 1, 12, 3]
    noise = gaps_of(main, tmp_path)
    assert noise.own is not None
    assert np.allclose(noise.own, 0.4)
    assert noise.systematic is not None
    assert noise.systematic == pytest.approx(np.full(24, BIAS), abs=2e-3)
    assert noise.partial is not None
    assert noise.partial.shape == (3, CELLS)
    with netCDF4.Dataset(main) as file:
        seen = ~np.ma.getmaskarray(file["tas_mean"][10])
    np.testing.assert_allclose(noise.partial[1].reshape(36, 72)[seen], levels(10)[seen], rtol=1e-5)
    assert "error covariances of 3 months" in noise.describe()
    # The errors drawn have the stated variance, cell by cell, and the ensemble's in the global mean.
    rng = np.random.default_rng(3)
    drawn = np.array([noise.draw(rng)[0] for _ in range(500)])
    slow = noise.systematic.mean() / noise._global_mean_sd[1]
    expected = 0.4**2 + (noise.partial**2).mean(axis=0) + slow**2
    np.testing.assert_allclose((drawn.var(axis=0) / expected).mean(), 1.0, atol=0.08)
    weights = FIVE_DEGREES.area.reshape(-1)
    regional = [float((((weights * row) @ noise.regional) ** 2).sum()) for row in noise.partial]
    assert (drawn @ weights).var() == pytest.approx(BIAS**2 + np.mean(regional), rel=0.2)


def test_on_another_grid_and_without_an_ensemble(release: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    folder.mkdir()
    for path in release.glob(f"{STEM}*"):
        if "anomalies" not in path.name or "ensemble" in path.name:
            (folder / path.name).symlink_to(path)
    noise = gaps_of(folder / f"{STEM}.anomalies.ensemble_mean.nc", tmp_path, Grid.regular(18, 36))
    assert noise.systematic is None
    assert noise.partial is not None
    north = noise.partial[1].reshape(18, 36)[10:]
    assert np.median(north) == pytest.approx(0.45, abs=1e-4)
    # Without an ensemble the global mean carries what is assumed, the stated part included.
    rng, weights = np.random.default_rng(0), Grid.regular(18, 36).area.reshape(-1)
    means = np.array([weights @ noise.draw(rng)[0] for _ in range(800)])
    regional = [float((((weights * row) @ noise.regional) ** 2).sum()) for row in noise.partial]
    totals = np.linspace(0.05, 0.08, 31) ** 2
    expected = np.maximum(totals[:, None], np.array(regional)).mean() + 0.4**2 * (weights**2).sum()
    assert means.var() == pytest.approx(expected, rel=0.15)


def test_the_slow_part_fills_up_to_the_total() -> None:
    grid = Grid.regular(18, 36)
    regional, slow = harmonic_smoother(grid, 1500.0), harmonic_smoother(grid, 5000.0)
    weights = grid.area.reshape(-1)
    small = NoiseSource(regional, slow, area=weights, own=np.full((1, 648), 1e-6), partial=np.full((1, 648), 0.1))
    means = np.array([weights @ small.draw(np.random.default_rng(n))[0] for n in range(2000)])
    assert means.std() == pytest.approx(0.0656, rel=0.06)


def test_files_that_are_no_such_covariances_are_named(release: Path, tmp_path: Path) -> None:
    from climrecon.preprocess import PrepareRequest, read_observations

    main = release / f"{STEM}.anomalies.ensemble_mean.nc"
    like = read_observations([main], PrepareRequest("tas"))
    month, sd = read_error_stddev(release / f"{STEM}.error_covariance.196103.nc", like)
    assert month == INDEX[2]
    assert np.isnan(sd[~like.mask[2]]).all()
    with pytest.raises(InputDataError, match="matrix of 2592 by 2592 cells"):
        read_error_stddev(release / f"{STEM}.uncorrelated.nc", like)
    wrong = covariance(tmp_path, 5, like.mask[5], units="W m-2")
    with pytest.raises(InputDataError, match="'W m-2'; a covariance"):
        read_error_stddev(wrong, like)
    assert month_in_name(Path("HadCRUT.5.0.0.0_error-covariance_185001.nc")) == 1850 * 12
    assert month_in_name(Path("error_covariance.nc")) is None
