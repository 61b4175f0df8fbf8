"""The K x K form against dense Gaussian algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from climrecon.methods.priors.interpolation import persistent_deviations
from climrecon.methods.priors.low_rank import MEAN_PRIOR_SD, LowRankPrior

CELLS, RANK = 40, 6


@pytest.fixture
def prior() -> LowRankPrior:
    torch.manual_seed(1)
    return LowRankPrior(
        torch.randn(CELLS, RANK, dtype=torch.float64),
        torch.rand(CELLS, dtype=torch.float64) * 0.5 + 0.1,
        torch.rand(12, CELLS, dtype=torch.float64) + 0.5,
    )


def dense(prior: LowRankPrior, values, mask, error_sd, month):
    """Mean and covariance by the textbook formula with the full covariance."""
    scale = prior.scale[month - 1].numpy()
    vectors = prior.vectors.numpy() * scale[:, None]
    covariance = vectors @ vectors.T + np.diag(prior.residual.numpy() * scale**2) + MEAN_PRIOR_SD**2
    cells = np.flatnonzero(mask)
    gain = covariance[:, cells] @ np.linalg.inv(covariance[np.ix_(cells, cells)] + np.diag(error_sd[cells] ** 2))
    return gain @ values[cells], covariance - gain @ covariance[cells]


def test_posterior_is_the_conditional_gaussian(prior: LowRankPrior) -> None:
    rng = np.random.default_rng(5)
    masks = rng.random((4, CELLS)) < 0.4
    masks[3] = False
    values, errors = rng.normal(size=(4, CELLS)), rng.uniform(0.05, 0.6, size=(4, CELLS))
    month = np.array([1, 4, 7, 12])
    tensors = [torch.tensor(a) for a in (values, masks, errors, month)]
    posterior = prior.posterior(*tensors)
    weights = rng.random(CELLS)
    spread = posterior.weighted_mean_sd(torch.tensor(weights)).numpy()
    for row in range(4):
        mean, covariance = dense(prior, values[row], masks[row], errors[row], month[row])
        np.testing.assert_allclose(posterior.mean[row].numpy(), mean, atol=1e-8)
        np.testing.assert_allclose(posterior.variance[row].numpy(), np.diag(covariance), rtol=1e-7)
        assert spread[row] == pytest.approx(np.sqrt(weights @ covariance @ weights), rel=1e-7)


def test_draws_have_the_posterior_covariance(prior: LowRankPrior) -> None:
    rng = np.random.default_rng(6)
    mask = rng.random(CELLS) < 0.3
    values, errors = rng.normal(size=CELLS), np.full(CELLS, 0.3)
    posterior = prior.posterior(*(torch.tensor(a)[None] for a in (values, mask, errors)), torch.tensor([6]))  # type: ignore[call-arg]
    draws = persistent_deviations(posterior, torch.tensor([23000]), 20000, 0, 0.5)[:, 0].numpy()
    _, covariance = dense(prior, values, mask, errors, 6)
    size = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.abs(draws.mean(0) / np.sqrt(np.diag(covariance))).max() < 0.04
    assert (np.abs(np.cov(draws.T) - covariance) / size).max() < 0.05


def test_level_does_not_shrink(prior: LowRankPrior) -> None:
    mask = torch.zeros(1, CELLS, dtype=torch.bool)
    mask[0, ::3] = True
    errors, month = torch.full((1, CELLS), 0.2, dtype=torch.float64), torch.tensor([3])
    values = torch.randn(1, CELLS, dtype=torch.float64)
    first = prior.posterior(values, mask, errors, month).mean
    second = prior.posterior(values + 1.0, mask, errors, month).mean
    assert float((second - first).mean()) == pytest.approx(1.0, abs=0.03)
