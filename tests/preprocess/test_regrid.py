"""Conservative remapping with cdo against area overlaps worked out independently; there and back."""

import shutil
from dataclasses import replace

import numpy as np
import observation_files as files
import pytest
from area_overlaps import gaussian_grid, overlaps

from climrecon.errors import DependencyError, InputDataError, OutputError
from climrecon.fields import Months, Observations, Source
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.preprocess import FileGrid, PrepareRequest, cdo_version, read_observations, to_network_grid
from climrecon.preprocess import cdo as cdo_module
from climrecon.preprocess.regrid import remap, remap_with_gaps

TWO_DEGREES = Grid.regular(90, 180)
FROM_GREENWICH = Grid(np.linspace(-90, 90, 37), np.linspace(-182.5, 177.5, 73))


def expected_means(values, mask, source, target):
    """Means over the observed area of each target cell, and its share."""
    rows, columns = overlaps(source, target)
    share = np.einsum("ai,tij,bj->tab", rows, mask.astype(float), columns)
    summed = np.einsum("ai,tij,bj->tab", rows, np.where(mask, values, 0.0), columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share > 0, summed / share, np.nan), share


GRIDS = {
    "2 degrees": TWO_DEGREES,
    "from Greenwich": FROM_GREENWICH,
    "Gaussian": gaussian_grid(48, 96),
    "72 x 72": Grid.regular(72, 72),
}


def observations_on(grid, values):
    return Observations(
        "tas",
        values.astype(np.float32),
        np.isfinite(values),
        None,
        Months(files.month_numbers(1900, len(values))),
        grid,
        (1961, 1990),
        Source("X", "1", (), (), "tas", lat=grid.lat, lon=grid.lon),
    )


@pytest.mark.parametrize("name", GRIDS)
def test_remapping_with_gaps_is_the_mean_over_the_observed_area(tmp_path, name):
    source = GRIDS[name]
    values = files.gappy(3, (3, *source.shape), 0.4)
    mask = np.isfinite(values)
    got, share = remap_with_gaps(values, mask, source, FIVE_DEGREES, tmp_path)
    mean, true_share = expected_means(values, mask, source, FIVE_DEGREES)
    np.testing.assert_allclose(share, true_share, atol=2e-5)
    seen = true_share > 0.02
    np.testing.assert_allclose(got[seen], mean[seen], atol=5e-4)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", GRIDS)
def test_remapping_keeps_the_global_mean(tmp_path, name):
    field = np.random.default_rng(5).normal(size=(2, 36, 72)).astype(np.float32)
    there = remap(field, FIVE_DEGREES, GRIDS[name], tmp_path)
    before = (field * FIVE_DEGREES.area).sum((1, 2))
    np.testing.assert_allclose((there * GRIDS[name].area).sum((1, 2)), before, atol=1e-6)


def test_half_of_the_area_decides(tmp_path):
    source = Grid.regular(72, 144)
    values = np.full((1, 72, 144), np.nan)
    values[0, 40:42, 20] = 1.0  # the western half of the cell at row 20, column 10
    values[0, 40, 22] = 2.0  # a quarter of the next one
    values[0, 40:42, 24:26] = [[3.0, 5.0], [3.0, np.nan]]  # three quarters of the one after
    network = to_network_grid(observations_on(source, values), FIVE_DEGREES, tmp_path)
    assert network.mask.sum() == 2
    assert network.mask[0, 20, 10]
    assert network.mask[0, 20, 12]
    np.testing.assert_allclose(network.values[0, 20, 10], 1.0, atol=1e-5)
    # Rows at 10-12.5 and 12.5-15 degrees north, weighted by the sine of their edges.
    south, north = np.diff(np.sin(np.radians([10.0, 12.5, 15.0])))
    np.testing.assert_allclose(
        network.values[0, 20, 12], (3 * south + 5 * south + 3 * north) / (2 * south + north), atol=1e-4
    )
    assert np.isnan(network.values[0, 20, 11])
    assert "remapped conservatively from 72 x 144" in network.source.notes[-1]


def test_errors_are_remapped_like_values(tmp_path):
    values = files.gappy(3, (2, 90, 180), 0.3)
    observations = replace(
        observations_on(TWO_DEGREES, values), obs_sd=np.where(np.isfinite(values), 0.2, np.nan).astype("f4")
    )
    network = to_network_grid(observations, FIVE_DEGREES, tmp_path)
    np.testing.assert_allclose(network.obs_sd[network.mask], 0.2, atol=1e-5)
    assert np.isnan(network.obs_sd[~network.mask]).all()


def test_the_same_grid_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(cdo_module, "run_cdo", None)
    observations = observations_on(FIVE_DEGREES, files.gappy(1, (2, 36, 72)))
    assert to_network_grid(observations, Grid.regular(36, 72), tmp_path) is observations


def test_twin_rows_reach_the_network_exactly_and_go_back(tmp_path):
    truth = files.gappy(1, (2, 36, 72))
    twice = np.repeat(truth, 2, axis=1)[:, ::-1]
    path = files.write(
        tmp_path / "hadcrut.nc",
        np.roll(twice, 36, axis=2),
        files.month_numbers(1877, 2),
        lat=np.arange(-88.75, 90, 2.5)[::-1],
        lon=np.arange(2.5, 360, 5.0),
        fill=1e20,
    )
    observations = read_observations([path], PrepareRequest())
    network = to_network_grid(observations, FIVE_DEGREES, tmp_path)
    np.testing.assert_array_equal(network.values, truth.astype(np.float32))
    back = FileGrid(observations.grid, network.grid, observations.source, tmp_path)
    np.testing.assert_array_equal(
        back.file_order(back.to_native_grid(network.values)), np.roll(twice, 36, axis=2).astype(np.float32)
    )


def test_there_and_back_on_another_grid(tmp_path):
    """A smooth field survives the way to the network's grid and back; file order is the file's."""
    values = np.cos(np.radians(TWO_DEGREES.lat))[None, :, None] * np.cos(np.radians(TWO_DEGREES.lon))
    path = files.write(
        tmp_path / "gistemp.nc",
        np.roll(values[:, ::-1], 90, axis=2),
        files.month_numbers(1900, 1),
        lat=TWO_DEGREES.lat[::-1],
        lon=np.arange(1.0, 360, 2.0),
        attributes={"units": "K", "long_name": "anomaly"},
    )
    observations = read_observations([path], PrepareRequest(allow_complete=True))
    np.testing.assert_allclose(observations.values, values, atol=1e-6)
    network = to_network_grid(observations, FIVE_DEGREES, tmp_path)
    back = FileGrid(observations.grid, network.grid, observations.source, tmp_path)
    got = back.file_order(back.to_native_grid(network.values))
    assert got.shape == (1, 90, 180)
    np.testing.assert_allclose(got, np.roll(values[:, ::-1], 90, axis=2), atol=0.06)


def test_paths_that_cdo_would_read_as_its_own_syntax(tmp_path):
    folder = tmp_path / "my [run] *,with spaces"
    folder.mkdir()
    field = np.ones((1, 36, 72), np.float32)
    np.testing.assert_allclose(remap(field, FIVE_DEGREES, TWO_DEGREES, folder), 1.0, atol=1e-6)


def test_without_cdo(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    cdo_module.cdo_program.cache_clear()
    try:
        with pytest.raises(DependencyError, match="cdo"):
            remap(np.ones((1, 36, 72), np.float32), FIVE_DEGREES, TWO_DEGREES, tmp_path)
    finally:
        cdo_module.cdo_program.cache_clear()
    assert not list(tmp_path.iterdir())


def test_a_scratch_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        remap(np.ones((1, 36, 72), np.float32), FIVE_DEGREES, TWO_DEGREES, tmp_path / "absent")


def test_what_cdo_says_is_passed_on(tmp_path):
    with pytest.raises(InputDataError, match=r"cdo could not prepare the data: .*nosuchoperator"):
        cdo_module.run_cdo(["-nosuchoperator", "in.nc", "out.nc"], tmp_path)


def test_version_of_cdo():
    assert cdo_version().split(".")[0].isdigit()
