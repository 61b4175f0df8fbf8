"""What the leading patterns leave is alike in neighbouring cells, and means over boxes are stated accordingly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from climrecon.grid import Grid
from climrecon.methods.priors.covariance import great_circle
from climrecon.methods.priors.data_set_errors import DataSetErrors, SurfaceErrors
from climrecon.methods.priors.full_rank import FullPrior

GRID = Grid.regular(12, 24)
CELLS = 288
DISTANCE = great_circle(GRID)
ROOT = np.linalg.cholesky(np.exp(-0.5 * (DISTANCE / 2000.0) ** 2) + 1e-6 * np.eye(CELLS))


def fields(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, CELLS)) @ ROOT.T


def single(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)


@pytest.fixture(scope="module")
def prior() -> FullPrior:
    """The covariance that the fields have, about their area mean: ten leading patterns and 140 more."""
    area = GRID.area.reshape(-1)
    about_mean = np.eye(CELLS) - np.outer(np.ones(CELLS), area)
    covariance = about_mean @ ROOT @ ROOT.T @ about_mean.T
    metric = np.sqrt(area * CELLS)
    values, axes = np.linalg.eigh(covariance * metric[:, None] * metric)
    patterns = (axes[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0)) / metric[:, None])[:, :150]
    left = np.maximum(np.diag(covariance) - (patterns**2).sum(1), 1e-4)
    return FullPrior(single(patterns[:, :10]), single(patterns[:, 10:]), single(left), torch.ones(12, CELLS))


@pytest.fixture(scope="module", params=["as learned", "calibrated"])
def either(request: pytest.FixtureRequest, prior: FullPrior) -> FullPrior:
    if request.param == "as learned":
        return prior
    level, land = (
        DataSetErrors(SurfaceErrors(0.1, 0.5, 0.3), SurfaceErrors(0.1, 0.2, 0.6)),
        np.linspace(0.0, 1.0, CELLS),
    )
    local = level.covariance(DISTANCE, prior.scale.numpy(), land, GRID.shape)
    assert local is not None
    return prior.calibrated(local, single(GRID.area.reshape(-1)))


def test_the_variance_of_a_sum_is_that_of_the_matrix(either: FullPrior) -> None:
    residual = either.left_by_leading()
    whole = (either.covariance() - either.vectors @ either.vectors.T).double()
    scale = residual.variance.double().sqrt()
    torch.testing.assert_close(whole.diagonal(), scale**2, atol=2e-3, rtol=2e-3)
    weights = torch.zeros(3, CELLS)
    weights[0], weights[1, 30:40], weights[2, 100] = 1.0 / CELLS, 0.1, 1.0
    scaled = weights.double() / scale
    expected = ((scaled @ whole) * scaled).sum(1)
    torch.testing.assert_close(residual.variance_of_sum(weights).double(), expected, atol=1e-5, rtol=2e-3)


def test_draws_have_that_covariance(either: FullPrior) -> None:
    residual = either.left_by_leading()
    draws = residual.draw(6000, torch.Generator().manual_seed(1))
    assert float((draws**2).mean()) == pytest.approx(1.0, abs=0.03)
    box = torch.zeros(1, CELLS)
    box[0, [100, 101, 102, 124, 125, 126]] = 1.0 / 6.0
    expected = float(residual.variance_of_sum(box))
    assert float((draws @ box[0]).var()) == pytest.approx(expected, rel=0.12)
    assert expected > 1.1 / 6.0, "more than of cells that are independent"


def test_means_over_unseen_boxes_lie_where_they_are_said_to(prior: FullPrior) -> None:
    count = 600
    truth = fields(count, 5)
    mask = np.random.default_rng(6).random((count, CELLS)) < 0.5
    rows, columns = np.divmod(np.arange(CELLS), 24)
    box = (rows >= 5) & (rows < 8) & (columns >= 9) & (columns < 12)
    mask[:, box] = False
    month = torch.arange(count) % 12 + 1
    error = torch.full((count, CELLS), 0.1)
    found = prior.posterior(single(np.where(mask, truth, 0.0)), torch.as_tensor(mask), error, month)
    weights = single(box * GRID.area.reshape(-1))
    weights /= weights.sum()
    away = ((found.mean - single(truth)) @ weights).numpy()
    spread = found.weighted_mean_sd(weights).numpy()
    alone = replace(found, residual=None).weighted_mean_sd(weights).numpy()
    inside, inside_alone = (np.mean(np.abs(away) <= 1.645 * sd) for sd in (spread, alone))
    assert 0.86 <= inside <= 0.97
    assert inside_alone < 0.83, "as if cells were independent of each other"
    generator = torch.Generator().manual_seed(2)
    drawn = torch.stack([found.residual_deviations(0, 4000, generator)])[0] @ weights
    shared = replace(found, residual_variance=torch.zeros_like(found.residual_variance)).weighted_mean_sd(weights)[0]
    assert float(drawn.var() + shared**2) == pytest.approx(spread[0] ** 2, rel=0.1)


def test_a_narrower_spread_is_first_that_of_the_cells_own_parts(prior: FullPrior) -> None:
    truth = fields(40, 8)
    mask = np.random.default_rng(9).random((40, CELLS)) < 0.3
    found = prior.posterior(
        single(np.where(mask, truth, 0.0)), torch.as_tensor(mask), torch.full((40, CELLS), 0.2),
        torch.arange(40) % 12 + 1,
    )  # fmt: skip
    shared = found.variance - found.residual_variance
    for size in (0.3, 0.9, 1.0, 1.4):
        factor = torch.full_like(found.variance, size)
        parts = found.parts_of(factor)
        of_shared, of_own = parts.shared, parts.residual
        torch.testing.assert_close(parts.variance, size**2 * found.variance, rtol=1e-5, atol=1e-7)
        whole = of_shared**2 * shared + of_own**2 * found.residual_variance
        torch.testing.assert_close(whole, size**2 * found.variance, rtol=1e-3, atol=1e-5)
        if size < 1.0:
            assert (of_shared >= size * 0.999).all()
            assert (of_own <= size * 1.001).all()
            kept = of_shared > 0.999
            assert kept.any(), "what the patterns tell stays where the cells' own parts can be narrowed instead"
            assert (of_own[~kept] < 1e-2).all(), "else nothing of them is left"
        else:
            torch.testing.assert_close(of_shared, factor)
            torch.testing.assert_close(of_own, factor, rtol=1e-3, atol=1e-3)
    weights = single(GRID.area.reshape(-1))
    torch.testing.assert_close(
        found.weighted_mean_sd(weights, found.parts_of(torch.ones_like(found.variance))),
        found.weighted_mean_sd(weights), rtol=1e-3, atol=1e-6,
    )  # fmt: skip
