"""Files of forced response patterns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from climrecon.errors import InputDataError
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.grid import Grid
from climrecon.preprocess.patterns import read_patterns

SEASONS = ["ANN", "DJF", "MAM", "JJA", "SON"]


def write(path: Path, grid: Grid = GRID, units: str = "K K-1", factor: float = 1.0, seasons: bool = True) -> np.ndarray:
    """Two models, with a larger warming of the north in winter; returns (2, 5, H, W) of them."""
    north = np.sin(np.radians(grid.lat))[:, None] * np.ones(grid.shape)
    values = np.stack(
        [[factor + size * share * north for share in (1.0, 1.6, 1.2, 0.4, 0.8)] for size in (0.5, 0.8)]
    ).astype(np.float32)
    dimensions = ("model", "period", "lat", "lon")
    coordinates = {"model": ["A-1", "B-2"], "period": SEASONS, "lat": grid.lat, "lon": grid.lon}
    data = xr.DataArray(values, coordinates, dimensions, attrs={"units": units})
    data = data if seasons else data.isel(period=0, drop=True)
    data["lat"].attrs["units"], data["lon"].attrs["units"] = "degrees_north", "degrees_east"
    data.to_dataset(name="tas_pattern").to_netcdf(path)
    return values


def test_models_and_seasons_are_read(tmp_path: Path) -> None:
    values = write(tmp_path / "p.nc")
    names, found = read_patterns(tmp_path / "p.nc", GRID, tmp_path)
    assert names == ("A-1", "B-2")
    assert found.shape == (2, 12, GRID.area.size)
    np.testing.assert_allclose(found[0, 0].reshape(GRID.shape), values[0, 1], atol=1e-5)
    np.testing.assert_allclose(found[1, 6].reshape(GRID.shape), values[1, 3], atol=1e-5)


def test_patterns_without_seasons_hold_all_year(tmp_path: Path) -> None:
    values = write(tmp_path / "p.nc", seasons=False)
    _, found = read_patterns(tmp_path / "p.nc", GRID, tmp_path)
    np.testing.assert_allclose(found[0].reshape(12, *GRID.shape), np.repeat(values[:1, 0], 12, axis=0), atol=1e-5)


def test_a_season_that_is_missing_is_the_annual_pattern(tmp_path: Path) -> None:
    values = write(tmp_path / "whole.nc")
    with xr.open_dataset(tmp_path / "whole.nc") as data:
        data = data.load()
    data["tas_pattern"][0, 3] = np.nan
    data.to_netcdf(tmp_path / "p.nc")
    _, found = read_patterns(tmp_path / "p.nc", GRID, tmp_path)
    np.testing.assert_allclose(found[0, 6].reshape(GRID.shape), values[0, 0], atol=0.01)


def test_other_grids_are_remapped(tmp_path: Path) -> None:
    write(tmp_path / "p.nc", Grid.regular(18, 36))
    _, found = read_patterns(tmp_path / "p.nc", GRID, tmp_path)
    assert found.shape == (2, 12, GRID.area.size)
    np.testing.assert_allclose((found @ GRID.area.reshape(-1)).mean(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"), [({"factor": 3.0}, "area mean of 3.0"), ({"units": "mm"}, r"tas_pattern \(mm\)")]
)
def test_what_is_no_change_per_kelvin_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    write(tmp_path / "p.nc", **changes)
    with pytest.raises(InputDataError, match=message):
        read_patterns(tmp_path / "p.nc", GRID, tmp_path)


def test_real_patterns_of_models_are_read(shared_data: Path, tmp_path: Path) -> None:
    names, found = read_patterns(
        shared_data / "forced_patterns_cmip5" / "tas_patterns_41_models_5x5.nc", GRID, tmp_path
    )
    assert len(names) == 41
    mean = found.mean(axis=0).reshape(12, *GRID.shape)
    arctic, tropics = GRID.lat > 70, np.abs(GRID.lat) < 20
    assert mean[0][arctic].mean() > 2.0 * mean[6][arctic].mean() > 0
    assert 0.7 < mean[:, tropics].mean() < 1.1
