"""The shipped network where nearly everything is observed, with small errors: as today, not as in 1877."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from climrecon.demo.climate import make_climate
from climrecon.fields import Context, Months
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.store import load_network


@pytest.mark.parametrize("cover", [0.7, 0.9, 0.98])
def test_cells_that_are_not_observed_stay_near_the_truth(cover: float) -> None:
    time = Months(np.arange(2010 * 12, 2011 * 12))
    climate = make_climate(time, 1)
    truth = climate.anomalies
    mask = np.random.default_rng(2).random(truth.shape) < cover
    mask[:, :2] = False  # a pole that nobody sees
    loaded = load_network("punet6")
    estimate = loaded.method.reconstruct(
        np.where(mask, truth, np.nan), mask, np.full(truth.shape, 0.05), time.month, Context(climate.grid, time)
    )
    error = np.abs(estimate.mean - truth)
    # Before this was tested: up to 46 K.
    assert error[~mask].max() < 8.0
    assert np.sqrt((error[~mask] ** 2).mean()) < np.sqrt((truth[~mask] ** 2).mean())
    assert error[mask].max() < 2.5


@pytest.mark.usefixtures("solved")
@pytest.mark.parametrize("error", [0.3, 0.1])
def test_the_solver_ends_at_the_exact_solution(error: float) -> None:
    """Against a dense solution in double precision; single precision alone loses it, and so do 32 steps."""
    prior = load_network("punet6").method.prior  # type: ignore[attr-defined]
    assert isinstance(prior, FullPrior)
    rng = torch.Generator().manual_seed(0)
    cells = prior.residual.shape[0]
    mask = torch.rand(2, cells, generator=rng) < 0.9
    month = torch.tensor([1, 7])
    scale = prior.scale[month - 1].double()
    with torch.no_grad():
        whole_year = prior.covariance().double()
        patterns = torch.cat([prior.vectors, prior.trailing.float()], dim=1).double()
        seasons = prior.coefficients_prior()
        assert seasons is not None
        own = whole_year - patterns @ patterns.T  # what the patterns leave is the same all year
        covariances = patterns @ seasons[month - 1].double() @ patterns.T + own
        white = torch.randn(2, cells, generator=rng, dtype=torch.float64)
        root = torch.linalg.cholesky(whole_year + 1e-6 * torch.eye(cells, dtype=torch.float64))
        truth = (white @ root.T) * scale + 0.5
        noise = error * torch.randn(2, cells, generator=rng, dtype=torch.float64)
        values = torch.where(mask, truth + noise, 0.0)
        found = prior.posterior(values.float(), mask, torch.full((2, cells), error), month).mean
        for row in range(2):
            seen = mask[row].nonzero()[:, 0]
            full = covariances[row] * scale[row, :, None] * scale[row] + 9.0
            system = full[seen][:, seen] + error**2 * torch.eye(len(seen), dtype=torch.float64)
            exact = full[:, seen] @ torch.linalg.solve(system, values[row, seen])
            off = (found[row] - exact)[~mask[row]]
            assert off.square().mean().sqrt() < 0.03
            assert off.abs().max() < 0.15
