"""Draws are the CPU's on any device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from climrecon.grid import Grid
from climrecon.methods.priors.covariance import great_circle
from climrecon.methods.priors.data_set_errors import DataSetErrors, SurfaceErrors
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.interpolation import persistent_deviations
from climrecon.methods.priors.low_rank import LowRankPrior


def test_draws_of_a_posterior_do_not_depend_on_the_device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    random = torch.Generator().manual_seed(0)
    prior = LowRankPrior(
        torch.randn(60, 5, generator=random), torch.rand(60, generator=random) + 0.1, torch.ones(12, 60)
    )
    values, mask = torch.randn(3, 60, generator=random), torch.rand(3, 60, generator=random) < 0.4
    draws = []
    for device in ("cpu", "cuda"):
        posterior = prior.to(device).posterior(
            *(x.to(device) for x in (values, mask, torch.full((3, 60), 0.3), torch.tensor([1, 6, 12])))
        )
        draws.append(persistent_deviations(posterior, torch.tensor([1, 2, 12]), 4, 1, 0.5).cpu())
    torch.testing.assert_close(draws[0], draws[1], atol=1e-4, rtol=1e-3)


def test_neither_do_those_of_what_the_leading_patterns_leave() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    grid = Grid.regular(12, 24)
    random = torch.Generator().manual_seed(0)
    patterns, area = torch.randn(288, 12, generator=random), torch.as_tensor(grid.area.reshape(-1)).float()
    distance = great_circle(grid)
    for calibrated in (False, True):
        drawn, spread = [], []
        for device in ("cpu", "cuda"):
            parts = (patterns[:, :4], patterns[:, 4:], torch.full((288,), 0.2), torch.ones(12, 288))
            prior = FullPrior(*(part.clone() for part in parts)).to(device)
            if calibrated:
                level = DataSetErrors(SurfaceErrors(0.1, 0.5, 0.3), SurfaceErrors(0.1, 0.5, 0.3))
                local = level.covariance(distance, parts[3].numpy(), np.zeros(288), grid.shape)
                assert local is not None
                prior = prior.calibrated(local.to(torch.device(device)), area.to(device))
            residual = prior.left_by_leading()
            drawn.append(residual.draw(4, torch.Generator().manual_seed(1)).cpu())
            spread.append(residual.variance_of_sum(area.to(device)[None]).cpu())
        torch.testing.assert_close(drawn[0], drawn[1], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(spread[0], spread[1], atol=1e-5, rtol=1e-3)
