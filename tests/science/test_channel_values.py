"""Values of the U-Net's channels: the misfit of observations, and neighbouring months."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from climrecon.methods.unet.channels import misfit, shifted


def test_misfit_says_how_observations_agree_with_their_stated_errors() -> None:
    observed = torch.zeros(4, 3, 6)
    observed[:, 2] = 0.5
    observed[0, 1] = torch.tensor([0.5, -0.5, 0.5, -0.5, 99.0, 99.0])  # the last two are not observed
    observed[1, 1] = 1.0
    observed[2, 1] = 1e-6
    mask = torch.tensor([[True] * 4 + [False] * 2] * 3 + [[False] * 6])
    found = misfit(observed, mask).tolist()
    assert found[0] == pytest.approx(0.0, abs=1e-6), "as large as stated"
    assert found[1] == pytest.approx(np.log(2.0)), "twice"
    assert found[2] == pytest.approx(np.log(0.03)), "bounded"
    assert found[3] == 0.0, "a month without observations"


def test_neighbours_are_found_by_date_not_by_place() -> None:
    channel = torch.arange(4.0)[:, None].expand(4, 2)
    index = torch.tensor([10, 11, 13, 14])
    assert shifted(channel, index, -1, -9.0)[:, 0].tolist() == [-9.0, 0.0, -9.0, 2.0]
    assert shifted(channel, index, 1, -9.0)[:, 0].tolist() == [1.0, -9.0, 3.0, -9.0]
