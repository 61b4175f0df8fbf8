"""Draws are the CPU's on any device."""

from __future__ import annotations

import pytest
import torch

from climrecon.model.lowrank import LowRankPrior


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
        draws.append(posterior.deviations(4, torch.Generator().manual_seed(1)).cpu())
    torch.testing.assert_close(draws[0], draws[1], atol=1e-4, rtol=1e-3)
