"""Both factors on the spread are found on months whose distribution is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.interpolation import persistent_deviations
from climrecon.methods.unet.network import UNet
from climrecon.training.banks import MaskErrorBank
from climrecon.training.calibration import Judged, calibrate, factors_of, far_boxes, spread_factor
from climrecon.training.fields import TrainingFields
from climrecon.training.samples import SamplePool, draw_samples
from climrecon.training.unet_network import geography
from helpers.small_archive import GRID, SMOOTH, gaps

CELLS, RANK, MONTHS, RESIDUAL = GRID.area.size, 24, 240, 0.05
#: So large that errors of 0.5 K, and the month's mean that a prior allows for, hardly count.
SCALE = 40.0


def prior(sd: float = 1.0, residual: float = RESIDUAL) -> FullPrior:
    """The covariance of the months, with all standard deviations times ``sd``."""
    values, axes = np.linalg.eigh(SMOOTH @ SMOOTH.T)
    vectors = torch.tensor(sd * axes[:, -RANK:] * np.sqrt(values[-RANK:]), dtype=torch.float32)
    left, scale = torch.full((CELLS,), (sd * residual) ** 2), torch.full((12, CELLS), SCALE)
    return FullPrior(vectors, vectors[:, :0], left, scale)


def months(count: int = 60) -> TrainingFields:
    rng, index = np.random.default_rng(4), np.arange(count) + 1900 * 12
    smooth = rng.normal(size=(count, RANK)) @ prior().vectors.numpy().T
    values = SCALE * (smooth + RESIDUAL * rng.normal(size=smooth.shape))
    return TrainingFields(
        values.reshape(count, *GRID.shape).astype(np.float32), index % 12 + 1, index, 0 * index, ("one",), GRID
    )  # fmt: skip


def network(own: FullPrior) -> UNet:
    """A fresh network leaves the interpolation and its spread as they are."""
    return UNet(own, *geography(GRID), width=4, stride=2, depth=2)


def samples(net: UNet, fields: TrainingFields) -> SamplePool:
    bank = MaskErrorBank(*gaps(), 1, size=40)
    return draw_samples(net, [net.prior], fields, np.zeros(len(fields), int), bank, 64, 2)


@pytest.mark.parametrize(("spread", "shared"), [(1.0, 1.0), (0.85, 1.2), (1.3, 0.9)])
def test_the_factors_that_errors_were_drawn_with_are_found(spread: float, shared: float) -> None:
    own, count, index = prior(residual=0.6), 2400, torch.arange(2400)
    masks, rng = gaps()[0], np.random.default_rng(0)
    boxes = torch.tensor(far_boxes(GRID)[0], dtype=torch.float32)
    seen = torch.tensor(np.array([masks.draw(rng) for _ in range(count)])) & ~(boxes > 0).any(0)
    nothing, month = torch.zeros(count, CELLS), index % 12 + 1
    posterior = own.posterior(nothing, seen, nothing + 2.0, month)
    parts = posterior.parts_of(nothing + spread, shared)
    error = persistent_deviations(posterior, index, 1, 3, 0.0, parts)[0]
    weights = (boxes / boxes.sum(1, keepdim=True))[:, None].expand(3, count, CELLS)
    area = torch.tensor(GRID.area.reshape(-1), dtype=torch.float32)
    judged = Judged(error, nothing + 1.0, posterior, area * ~seen, weights, torch.ones(3, count, dtype=torch.bool))
    found = factors_of([judged])
    assert found == pytest.approx((spread, shared), abs=0.05)


@pytest.mark.parametrize(("sd", "spread"), [(0.75, 1.333), (1.25, 0.8)])
def test_a_spread_that_is_wrong_by_a_known_factor_is_found(sd: float, spread: float) -> None:
    wrong, fields = prior(sd), months(MONTHS)
    net = network(wrong)
    found = calibrate(net, [wrong] * 3, fields, samples(net, fields), gaps()[0], 5)
    assert found["cells"] == pytest.approx(0.9, abs=0.002)
    assert found["boxes"] == pytest.approx(0.9, abs=0.005)
    assert (found["months"], found["box_means"]) == (MONTHS, 9 * MONTHS)
    assert float(net.spread_factor * net.shared_factor) == pytest.approx(spread, abs=0.06)


def test_it_depends_on_the_seed_alone() -> None:
    net, fields = network(prior()), months()
    checks = samples(net, fields)
    first, again, other = (calibrate(net, [net.prior] * 3, fields, checks, gaps()[0], seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_factors_stay_within_their_bounds() -> None:
    wrong, fields = prior(0.2), months()
    net = network(wrong)
    found = calibrate(net, [wrong] * 3, fields, samples(net, fields), gaps()[0], 5)
    assert found["spread_factor"] == 1.6
    assert found["cells"] < 0.8, "the card tells it"


@pytest.mark.parametrize("case", ["one covariance", "no box is known", "a region without boxes"])
def test_else_the_validation_samples_tell_one_factor(case: str) -> None:
    wrong, fields = prior(0.8), months()
    net = network(wrong)
    net.shared_factor.fill_(1.1)
    priors = [wrong] if case == "one covariance" else [wrong] * 3
    known = np.ones(fields.values.shape, bool)
    known[:, :, ::2] = case == "one covariance"
    if case == "a region without boxes":
        fields = replace(fields, grid=Grid(np.linspace(20.0, 28.0, 9), np.linspace(0.0, 16.0, 17)))
        assert not far_boxes(fields.grid).any()
    checks = samples(net, fields)
    wanted = spread_factor(net, checks)
    found = calibrate(net, priors, replace(fields, scored=known), checks, gaps()[0], 5)
    assert found == {"spread_factor": round(wanted, 4), "shared_factor": 1.1, "validation_samples": 64}
    assert float(net.spread_factor) == pytest.approx(wanted)
    assert wanted == pytest.approx(1.25, abs=0.1)


def test_cells_that_may_not_be_scored_count_for_nothing() -> None:
    found, fields = [], months()
    known = np.ones(fields.values.shape, bool)
    known[::2, 2, 1] = False
    assert (far_boxes(GRID)[..., 2 * 16 + 1] > 0).any()
    for filler in (np.nan, 1e6):
        values = fields.values.copy()
        values[::2, 2, 1] = filler
        net = network(prior())
        some = replace(fields, values=values, scored=known)
        found.append(calibrate(net, [net.prior] * 3, some, samples(net, some), gaps()[0], 5))
    assert found[0] == found[1]
    assert found[0]["months"] == len(fields)
    assert found[0]["box_means"] == 9 * len(fields) - len(fields) // 2, "a box of too few known cells is not judged"


def test_boxes_withheld_at_once_are_far_apart() -> None:
    boxes = far_boxes(FIVE_DEGREES)
    assert ((boxes > 0).sum(2) == 50).all(), "25 x 50 degrees are 5 x 10 cells"
    assert ((boxes > 0).sum((0, 1)) <= 1).all(), "each cell is in one box at most"
    for group in boxes:
        rows, columns = zip(*(np.nonzero(box.reshape(36, 72)) for box in group), strict=True)
        for first in range(3):
            for second in range(first):
                apart = np.abs(columns[first][:, None] - columns[second])
                beside = np.minimum(apart, 72 - apart).min() * 5
                below = np.abs(rows[first][:, None] - rows[second]).min() * 5
                assert beside >= 70 or below >= 60
