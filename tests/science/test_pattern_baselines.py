"""Optimal interpolation and principal components: known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from climrecon.fields import Context, Months
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.pca import PCA, Components, find_components
from climrecon.methods.priors.covariance import exponential, great_circle
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.interpolation import interpolate
from climrecon.methods.priors.low_rank import MEAN_PRIOR_SD
from climrecon.methods.registry import build

GRID = Grid.regular(6, 12)


def months(count: int, first: int = 1900 * 12) -> Months:
    return Months(np.arange(first, first + count))


def closed_form(
    covariance: np.ndarray, observed: np.ndarray, cells: np.ndarray, error: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance given the observations, the month's mean being one more unknown with a flat prior."""
    whole = covariance + MEAN_PRIOR_SD**2
    gain = np.linalg.solve(whole[np.ix_(cells, cells)] + error**2 * np.eye(len(cells)), whole[cells]).T
    return gain @ observed, np.diag(whole) - (gain * whole[:, cells]).sum(1)


def test_optimal_interpolation_with_the_exact_covariance_is_the_closed_form() -> None:
    distance = great_circle(GRID)
    scale = 0.5 + np.random.default_rng(1).random(GRID.area.size)
    correlation = exponential(distance, 3000.0)
    values, vectors = np.linalg.eigh(correlation)
    whole = torch.as_tensor(vectors * np.sqrt(values), dtype=torch.float32)
    twelve = torch.as_tensor(np.tile(scale, (12, 1)), dtype=torch.float32)
    prior = FullPrior(whole, torch.zeros(len(scale), 1), torch.full((len(scale),), 1e-4), twelve)
    rng = np.random.default_rng(0)
    mask = rng.random((3, *GRID.shape)) < 0.4
    field = np.where(mask, 0.7 + rng.normal(size=mask.shape), np.nan)
    error = np.full(mask.shape, 0.3)
    estimate = interpolate(prior, field, mask, error, np.array([1, 2, 3]), Context(GRID, months(3)))
    covariance = correlation * np.outer(scale, scale) + np.diag(1e-4 * scale**2)
    for row in range(3):
        cells = np.flatnonzero(mask[row])
        mean, variance = closed_form(covariance, field[row].ravel()[cells], cells, 0.3)
        np.testing.assert_allclose(estimate.mean[row].ravel(), mean, atol=2e-3)
        np.testing.assert_allclose(estimate.stddev[row].ravel(), np.sqrt(variance), rtol=5e-3)


def test_trailing_patterns_count_fully_for_the_mean_and_nearly_for_the_spread() -> None:
    values, vectors = np.linalg.eigh(exponential(great_circle(GRID), 3000.0))
    patterns = torch.as_tensor((vectors * np.sqrt(values))[:, ::-1].copy(), dtype=torch.float32)
    one, nothing = torch.ones(12, len(values)), torch.full((len(values),), 1e-4)
    rng = np.random.default_rng(0)
    mask = rng.random((1, *GRID.shape)) < 0.4
    field, error = rng.normal(size=mask.shape), np.full(mask.shape, 0.3)
    context = Context(GRID, months(1))
    whole, cut = (
        interpolate(
            FullPrior(patterns[:, :rank], patterns[:, rank:], nothing, one), field, mask, error, np.array([1]), context
        )
        for rank in (71, 20)
    )
    np.testing.assert_allclose(whole.mean, cut.mean, atol=5e-3)
    np.testing.assert_allclose(cut.stddev, whole.stddev, rtol=0.3)


@pytest.fixture(scope="module")
def shown() -> tuple[np.ndarray, np.ndarray]:
    """Smooth made-up months on the grid of the shipped patterns, seen through gaps."""
    rng = np.random.default_rng(5)
    lat, lon = np.radians(FIVE_DEGREES.lat)[:, None], np.radians(FIVE_DEGREES.lon)[None]
    waves = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) * np.ones_like(lon)])
    fields = np.einsum("tk,khw->thw", rng.normal(size=(40, 3)), waves)
    return fields, rng.random(fields.shape) < 0.35


def test_oi_answers_a_warming_of_one_kelvin_with_one_and_months_do_not_leak(
    shown: tuple[np.ndarray, np.ndarray],
) -> None:
    fields, mask = (part[:6] for part in shown)
    method, time = build("oi"), months(6)
    assert method is not None
    assert method.name == "oi"
    context, sd = Context(FIVE_DEGREES, time), np.full(fields.shape, 0.2, np.float32)
    first = method.reconstruct(fields, mask, sd, time.month, context)
    second = method.reconstruct(fields + 1.0, mask, sd, time.month, context)
    response = ((second.mean - first.mean) * FIVE_DEGREES.area).sum((1, 2))
    assert response == pytest.approx(np.ones(6), abs=0.01)
    # What stands in the gaps is never read, and each month is estimated by itself.
    other = np.where(mask, fields, 99.0)
    other[3:] += 5.0
    third = method.reconstruct(other, mask, sd, time.month, context)
    np.testing.assert_allclose(third.mean[:3], first.mean[:3], atol=1e-4)
    assert first.stddev is not None
    assert first.prior_stddev is not None
    assert (first.stddev < 1.02 * np.hypot(first.prior_stddev, 3.0)).all()
    draws = first.sample(300, 1)
    means = (draws * FIVE_DEGREES.area).sum((2, 3))
    np.testing.assert_allclose(means.std(0), first.area_mean_sd(FIVE_DEGREES.area), rtol=0.15)


def test_pca_recovers_a_field_of_two_patterns() -> None:
    rng = np.random.default_rng(2)
    lat, lon = np.radians(GRID.lat)[:, None], np.radians(GRID.lon)[None]
    patterns = np.stack([np.sin(2 * lat) * np.cos(lon), np.cos(lat) ** 2 * np.sin(2 * lon)])
    truth = np.einsum("tk,khw->thw", rng.normal(size=(120, 2)) * [1.5, 1.0], patterns)
    truth += rng.normal(size=(120, 1, 1))
    mask = rng.random(truth.shape) < 0.5
    seen = np.where(mask, truth + 0.01 * rng.normal(size=truth.shape), np.nan)
    method = PCA()
    estimate = method.reconstruct(seen, mask, None, months(120).month, Context(GRID, months(120)))
    error = (estimate.mean - truth)[~mask]
    assert np.sqrt((error**2).mean()) < 0.12
    assert method.components is not None
    assert method.components.vectors.shape[1] <= 8
    assert np.sqrt(((truth - truth.mean((1, 2), keepdims=True))[~mask] ** 2).mean()) > 0.5  # what there was to tell


def test_pca_knows_how_sure_it_is_and_does_not_shrink() -> None:
    rng = np.random.default_rng(3)
    lat = np.radians(GRID.lat)[:, None]
    pattern = np.sin(lat) * np.ones(GRID.shape)
    truth = rng.normal(size=(150, 1, 1)) * pattern + 0.3 * rng.normal(size=(150, *GRID.shape))
    mask = rng.random(truth.shape) < 0.4
    time = months(150)
    method = PCA(find_components(np.where(mask, truth, np.nan), mask, GRID))
    estimate = method.reconstruct(truth, mask, None, time.month, Context(GRID, time))
    inside = np.abs(estimate.mean - truth)[~mask] <= 1.645 * estimate.stddev[~mask]
    assert 0.85 < inside.mean() < 0.975
    warmer = method.reconstruct(truth + 1.0, mask, None, time.month, Context(GRID, time))
    change = ((warmer.mean - estimate.mean) * GRID.area).sum((1, 2))
    assert change == pytest.approx(np.ones(150), abs=0.02)
    # The patterns are fixed once found: a month's estimate depends on no other month.
    alone = method.reconstruct(truth[7:8], mask[7:8], None, time.month[7:8], Context(GRID, months(1)))
    np.testing.assert_allclose(alone.mean[0], estimate.mean[7], atol=1e-4)


def test_pca_of_almost_nothing_is_complete_and_unsure() -> None:
    mask = np.zeros((2, *GRID.shape), dtype=bool)
    mask[0, 2, 3] = True
    method = PCA()
    estimate = method.reconstruct(np.ones(mask.shape), mask, None, np.array([1, 2]), Context(GRID, months(2)))
    assert np.isfinite(estimate.mean).all()
    assert estimate.stddev.min() > 0.0
    assert isinstance(method.components, Components)
    assert estimate.stddev[1].min() > 2.5
