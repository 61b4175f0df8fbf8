"""Spectra and variograms, and scores of realisations, against independent libraries and closed forms."""

from __future__ import annotations

import numpy as np
import properscoring
import pytest
import scoringrules
from scipy import stats

from climrecon.grid import EARTH_RADIUS_KM, Grid
from climrecon.scores.ensembles import crps_ensemble, energy_score, rank_histogram, spread
from climrecon.scores.structure import distances, variogram_sums, zonal_power

GRID = Grid.regular(18, 36)


def variogram(fields: np.ndarray, where: np.ndarray, grid: Grid) -> np.ndarray:
    sums, weights = variogram_sums(fields, where, grid)
    return sums.sum(axis=0) / weights.sum(axis=0)


def test_a_wave_has_its_power_at_its_number() -> None:
    waves = 3.0 * np.cos(np.radians(5.0 * GRID.lon)) + 0.5 * np.sin(np.radians(2.0 * GRID.lon)) + 7.0
    power = zonal_power(np.broadcast_to(waves, (2, *GRID.shape)), GRID.area[:, 0])
    expected = np.zeros(18)
    expected[4], expected[1] = 3.0**2 / 2.0, 0.5**2 / 2.0
    np.testing.assert_allclose(power, np.stack([expected] * 2), atol=1e-12)


def test_the_power_sums_to_the_variance_along_circles_of_the_rows_that_count() -> None:
    fields = np.random.default_rng(0).normal(size=(300, *GRID.shape))
    rows = np.broadcast_to(GRID.area[:, 0], fields.shape[:2]).copy()
    rows[5, 3] = 0.0
    rows[7] = 0.0
    fields[5, 3] = np.nan
    power = zonal_power(fields, rows)
    assert np.isnan(power[7]).all()
    some = [0, 5, 299]
    variance = [np.average(fields[n].var(axis=-1)[rows[n] > 0], weights=rows[n][rows[n] > 0]) for n in some]
    np.testing.assert_allclose(power[some].sum(axis=1), variance)


@pytest.mark.parametrize("grid", [GRID, Grid(np.linspace(25.0, 50.0, 26), np.linspace(-125.0, -66.0, 60))])
def test_the_variogram_of_noise_is_its_variance_at_every_distance(grid: Grid) -> None:
    fields = 2.0 * np.random.default_rng(1).normal(size=(60, *grid.shape))
    found = variogram(fields, np.ones(fields.shape, bool), grid)
    np.testing.assert_allclose(found, 4.0, rtol=0.1)
    assert len(found) == len(distances(grid)) > 5


def test_the_variogram_of_a_covariance_is_its_closed_form() -> None:
    """Draws of an exponential covariance on the sphere: variance * (1 - exp(-distance / range))."""
    lat, lon = np.radians(np.meshgrid(GRID.lat, GRID.lon, indexing="ij"))
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1).reshape(-1, 3)
    apart = np.arccos(np.clip(points @ points.T, -1.0, 1.0)) * EARTH_RADIUS_KM
    root = np.linalg.cholesky(np.exp(-apart / 3000.0) + 1e-9 * np.eye(len(points)))
    fields = (root @ np.random.default_rng(2).normal(size=(len(points), 400))).T.reshape(-1, *GRID.shape)
    found = variogram(fields, np.ones(fields.shape, bool), GRID)
    np.testing.assert_allclose(found, 1.0 - np.exp(-distances(GRID) / 3000.0), atol=0.05)


def test_only_cells_that_count_enter_a_variogram() -> None:
    rng = np.random.default_rng(3)
    fields = rng.normal(size=(40, *GRID.shape))
    where = rng.random(fields.shape) < 0.5
    spoilt = np.where(where, fields, np.nan)
    np.testing.assert_allclose(variogram(spoilt, where, GRID), variogram(np.where(where, fields, 9.0), where, GRID))
    assert variogram_sums(fields, np.zeros(fields.shape, bool), GRID)[1].sum() == 0.0


def test_crps_and_energy_score_are_those_of_other_libraries() -> None:
    rng = np.random.default_rng(4)
    draws, truth, weights = rng.normal(size=(20, 50)), rng.normal(size=50), rng.uniform(0.2, 2.0, 50)
    crps = crps_ensemble(draws, truth)
    np.testing.assert_allclose(crps, properscoring.crps_ensemble(truth, draws.T), atol=1e-10)
    np.testing.assert_allclose(crps, scoringrules.crps_ensemble(truth, draws.T), atol=1e-10)
    np.testing.assert_allclose(
        crps_ensemble(draws.reshape(20, 5, 10), truth.reshape(5, 10)), crps.reshape(5, 10), atol=1e-12
    )
    scale = np.sqrt(weights / weights.sum())
    theirs = scoringrules.es_ensemble(truth * scale, draws * scale)
    assert energy_score(draws, truth, weights) == pytest.approx(float(theirs))
    assert energy_score(draws[:1], truth, weights) == pytest.approx(
        np.sqrt(np.average((draws[0] - truth) ** 2, weights=weights))
    )
    half = np.where(np.arange(50) < 25, weights, 0.0)
    spoilt = np.where(half > 0, truth, np.nan)
    assert energy_score(draws, spoilt, half) == pytest.approx(energy_score(draws[:, :25], truth[:25], weights[:25]))


def test_ranks_are_those_of_scipy_and_even_where_truth_and_draws_are_alike() -> None:
    rng = np.random.default_rng(5)
    both = rng.normal(size=(10, 20000))
    draws, truth = both[1:], both[0]
    weights = rng.uniform(0.5, 1.5, truth.shape)
    found = rank_histogram(draws, truth, weights)
    ranks = stats.rankdata(both, axis=0)[0].astype(int) - 1
    np.testing.assert_allclose(found, [weights[ranks == rank].sum() for rank in range(10)])
    np.testing.assert_allclose(found / found.sum(), 0.1, atol=0.01)
    narrow = rank_histogram(0.5 * draws, truth, weights)
    assert narrow[[0, -1]].min() > 1.5 * narrow[1:-1].max()


def test_ties_are_spread_evenly() -> None:
    draws = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]])
    found = rank_histogram(draws, np.array([0.0, 2.5]), np.array([3.0, 1.0]))
    np.testing.assert_allclose(found, [1.0, 1.0, 1.0 + 1.0, 0.0])


def test_the_spread_of_draws_is_the_squared_error_of_their_mean() -> None:
    rng = np.random.default_rng(6)
    both = rng.normal(size=(6, 200000))
    error = ((both[1:].mean(axis=0) - both[0]) ** 2).mean()
    assert spread(both[1:]).mean() == pytest.approx(error, rel=0.02)
