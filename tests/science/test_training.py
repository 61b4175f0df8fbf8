from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from climrecon.data.masks import MaskSource, harmonic_smoother
from climrecon.data.noise import NoiseSource
from climrecon.errors import OutputError
from climrecon.geography import land_fraction
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.priors.covariance import learn_patterns
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.store import load_network
from climrecon.methods.unet.build import build_unet, unet_arguments
from climrecon.methods.unet.channels import analysis_channels, neighbour_channels
from climrecon.methods.unet.network import UNet
from climrecon.training.banks import MaskErrorBank
from climrecon.training.calibration import spread_factor
from climrecon.training.distributed import Workers
from climrecon.training.engine import Loop, TrainingHistory
from climrecon.training.fields import TrainingFields
from climrecon.training.recipes import recipe
from climrecon.training.resume import Checkpoints
from climrecon.training.run import optimiser, plan_of
from climrecon.training.samples import PackedSamples, SamplePool, draw_samples, sample_parts
from climrecon.training.unet_task import UNetTask
from climrecon.training.validation_set import draw_validation_set

GRID = Grid.regular(8, 16)
CELLS = 128
#: All 120 months are of one fold.
FOLD = np.zeros(120, dtype=int)


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    smooth = harmonic_smoother(GRID, 3000.0)
    month = np.arange(120) % 12 + 1
    # Not Gaussian: the sign of a wave decides its shape, which no linear method can know.
    waves = rng.normal(size=(120, smooth.shape[1])) @ smooth.T
    fields = waves + 0.8 * np.maximum(waves, 0.0)
    learned = learn_patterns(fields.reshape(120, 8, 16), month, GRID, 12)
    vectors, residual, scale = (
        torch.tensor(part.copy(), dtype=torch.float32) for part in (learned.vectors, learned.residual, learned.scale)
    )
    prior = FullPrior(vectors, vectors[:, :0], residual, scale)
    land = rng.random(CELLS) < 0.3
    masks = MaskSource(rng.random((20, CELLS)) < 0.6, ~land, smooth, np.repeat(GRID.lat, 16))
    noise = NoiseSource(smooth, smooth)
    index, single = np.arange(120), fields.astype(np.float32).reshape(120, 8, 16)
    data = TrainingFields(single, month, index, 0 * index, ("one",), GRID)
    return prior, masks, noise, data


def network(prior: FullPrior, **more: Any) -> UNet:
    """One that estimates each month by itself, if nothing else is asked for."""
    torch.manual_seed(0)
    area = torch.tensor(GRID.area, dtype=torch.float32)
    settings = {"width": 8, "neighbour_months": 0, **more}
    return UNet(prior, torch.rand(8, 16), torch.linspace(-1, 1, 8), area, **settings)


def bank(parts) -> MaskErrorBank:
    return MaskErrorBank(parts[1], parts[2], 1, size=60)


def fit(
    folder: Path, parts, net: UNet, pool: SamplePool, check: SamplePool, seed: int, **settings: Any
) -> TrainingHistory:
    """Train on a pool with the loop and task of recipes."""
    _, masks, noise, data = parts
    cases = draw_validation_set(data, masks, noise, 1, 1)
    # As ever in these tests: a loss whose values are compared.
    made = recipe("punet", **{"mirror": False, "loss": "likelihood", "decay": 1e-2, **settings})
    cpu = Workers(0, 1, torch.device("cpu"))
    task = UNetTask(made, net, pool, check, cases, seed, cpu)
    loop = Loop(task, optimiser(made, task.groups()), plan_of(made), cpu, Checkpoints(folder, {}))
    return loop.run()


def test_it_starts_as_optimal_interpolation_and_learns_more(parts, tmp_path: Path) -> None:
    prior, _, _, data = parts
    net = network(prior)
    pool, check = (draw_samples(net, [prior], data, FOLD, bank(parts), n, seed) for n, seed in ((192, 1), (64, 2)))
    with torch.no_grad():
        start = net.corrected(net.correct(check.observed, check.mask, check.complete), check.mean, check.variance)
    torch.testing.assert_close(start[0], check.mean)
    assert (start[1] == 1).all()
    history = fit(
        tmp_path, parts, net, pool, check, 0,
        iterations=60, batch=16, rate=3e-3, warm_up=5, averaging=0.9, check_every=10,
    )  # fmt: skip
    scores = [row[2] for row in history.rows]
    assert min(scores) < scores[0] - 0.005
    with torch.no_grad():
        mean, _ = net.corrected(net.correct(check.observed, check.mask, check.complete), check.mean, check.variance)
    # The correction moves anomalies about, not the global mean.
    torch.testing.assert_close((mean * net.area).sum(1), (check.mean * net.area).sum(1), atol=1e-4, rtol=0)


def test_training_is_reproducible(parts, tmp_path: Path) -> None:
    prior, _, _, data = parts
    states = []
    for number in range(2):
        net = network(prior)
        pool = draw_samples(net, [prior], data, FOLD, bank(parts), 48, 1)
        folder = tmp_path / str(number)
        fit(folder, parts, net, pool, pool, 3, iterations=6, batch=8, warm_up=2, check_every=3)
        states.append(net.state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


class _Same:
    """The same gaps for all, and no errors."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def draw(self, rng):
        return (
            np.stack([self.mask] * 3),
            np.zeros((3, self.mask.size), np.float32),
            np.full(self.mask.size, 0.3, np.float32),
        )


@pytest.mark.parametrize("misfit", [False, True])
@pytest.mark.parametrize("neighbours", [0, 1])
def test_a_mirror_image_is_what_fields_of_the_other_sign_give(parts, neighbours: int, misfit: bool) -> None:
    prior, masks, _, data = parts
    mask = masks.draw(np.random.default_rng(3))
    pools = []
    for sign in (1.0, -1.0):
        fields = replace(data, values=np.float32(sign) * data.values)
        full = FullPrior(prior.vectors[:, :8], prior.vectors[:, 8:], prior.residual, prior.scale)
        net = network(full, misfit=misfit, neighbour_months=neighbours)
        pools.append(draw_samples(net, [full], fields, FOLD, _Same(mask), 6, 5))
    numbers = torch.arange(6)
    images, turned, straight = pools[0].at(numbers + 6), pools[1], pools[0].at(numbers)
    assert images.complete.shape[1] == len(images.channels) == 7 + 4 * neighbours + misfit
    for name in set(vars(images)) - {"channels"}:
        torch.testing.assert_close(getattr(images, name), getattr(turned, name), atol=1e-4, rtol=1e-4, msg=name)
        assert torch.equal(getattr(straight, name), getattr(pools[0], name)), name


def test_a_cell_without_a_value_is_neither_observed_nor_scored(parts) -> None:
    prior, _, _, data = parts
    values = np.array(data.values)
    values[:, 2, 3] = np.nan
    gappy, net = replace(data, values=values), network(prior)
    pool, whole = (draw_samples(net, [prior], one, FOLD, bank(parts), 20, 5) for one in (gappy, data))
    assert not pool.mask[:, 0, 2, 3].any()
    assert whole.mask[:, 0, 2, 3].any()
    assert not pool.scored.reshape(20, 8, 16)[:, 2, 3].any()


def test_a_pool_does_not_depend_on_how_it_is_cut(parts) -> None:
    prior, _, _, data = parts
    net = network(prior)
    first, second = (draw_samples(net, [prior], data, FOLD, bank(parts), 20, 5, chunk=chunk) for chunk in (20, 7))
    assert torch.equal(first.mask, second.mask)
    torch.testing.assert_close(first.mean, second.mean, atol=1e-4, rtol=1e-4)


def test_each_sample_uses_the_prior_that_has_not_seen_it(parts) -> None:
    prior, _, _, data = parts
    net = network(prior)
    wide = FullPrior(prior.vectors, prior.trailing, prior.residual, 3.0 * prior.scale)
    fold = (np.arange(120) >= 60).astype(int)
    pool = draw_samples(net, [prior, wide], data, fold, bank(parts), 40, 5)
    which = np.random.default_rng(5).integers(120, size=40)
    spread = pool.variance.mean(1).numpy()
    assert np.median(spread[which >= 60]) > 3.0 * np.median(spread[which < 60])


def test_masks_are_plausible() -> None:
    land = land_fraction(FIVE_DEGREES)
    assert (land * FIVE_DEGREES.area).sum() == pytest.approx(0.29, abs=0.01)
    assert land[2, 40] == 1.0, "Antarctica is land"
    rng = np.random.default_rng(0)
    smooth = harmonic_smoother(GRID, 2500.0)
    source = MaskSource(rng.random((20, CELLS)) < 0.6, rng.random(CELLS) < 0.7, smooth, np.repeat(GRID.lat, 16))
    shares = [source.draw(np.random.default_rng(seed)).mean() for seed in range(200)]
    assert min(shares) >= 10 / CELLS
    assert np.median(shares) < 0.6, "early months count most"
    assert max(shares) > 0.9, "nearly complete ones are seen too"
    assert np.std(shares) > 0.1
    assert np.array_equal(source.draw(np.random.default_rng(3)), source.draw(np.random.default_rng(3)))


def test_errors_have_a_part_that_does_not_average_out() -> None:
    coarse = Grid.regular(18, 36)
    smooth = harmonic_smoother(coarse, 1500.0)
    np.testing.assert_allclose((smooth**2).sum(1), 1.0, atol=1e-9)
    noise = NoiseSource(smooth, harmonic_smoother(coarse, 5000.0))
    area = coarse.area.reshape(-1)
    means, independent = [], []
    for seed in range(60):
        error, stated = noise.draw(np.random.default_rng(seed))
        means.append(error @ area)
        independent.append(np.sqrt((stated**2 * area**2).sum()))
    assert np.std(means) > 2.0 * np.mean(independent)


def test_three_months_are_drawn_with_similar_gaps_and_neighbours_by_date(parts, tmp_path: Path) -> None:
    _, _, _, data = parts
    learned = learn_patterns(data.values.reshape(120, 8, 16), data.month, GRID, 40)
    tensors = [
        torch.tensor(part.copy(), dtype=torch.float32)
        for part in (learned.vectors[:, :12], learned.vectors[:, 12:], learned.residual, learned.scale)
    ]
    full, wide = FullPrior(*tensors), FullPrior(*tensors[:3], 3.0 * tensors[3])  # type: ignore[call-arg]
    net = network(full, width=4, neighbour_months=1)
    index = np.r_[np.arange(60), np.arange(70, 130)]
    values = data.values.reshape(120, 8, 16).copy()
    values[:, 0, 0] = np.nan
    fields = TrainingFields(values, index % 12 + 1, index, np.zeros(120, int), ("one",), GRID)
    fold = (np.arange(120) >= 60).astype(int)
    fold[119] = -1
    pools = [draw_samples(net, [full, wide], fields, fold, bank(parts), 40, 5, chunk=chunk) for chunk in (40, 7)]
    # A chunk may end a month one step of the solver sooner.
    torch.testing.assert_close(pools[0].complete, pools[1].complete, atol=5e-3, rtol=1e-3)
    pool = pools[0]
    assert pool.complete.shape == (40, 11, 8, 16)
    assert not pool.scored[:, 0].any(), "what is not known is not scored"
    assert not pool.mask[:, 0, 0, 0].any(), "nor seen"
    which = np.random.default_rng(5).choice(np.flatnonzero(fold >= 0), 40)
    spread = pool.variance.mean(1).numpy()
    assert np.median(spread[which >= 60]) > 3.0 * np.median(spread[which < 60]), (
        "each month by the prior that has not seen it"
    )
    alone = [n for n, row in enumerate(which) if row in (59,)]
    for n in alone:  # month 59 has a successor in the array, but not in time
        assert (pool.complete[n, 9] == 0).all()
        assert (pool.complete[n, 10] == 1).all()
    history = fit(tmp_path, parts, net, pool, pool, 3, iterations=4, batch=8, warm_up=2, check_every=2)
    assert len(history.rows) == 2
    before = spread_factor(net, pool)
    net.spread_factor.fill_(before)
    assert spread_factor(net, pool) == pytest.approx(1.0, abs=1e-3), "what was found is what was missing"
    with torch.no_grad():
        correction = net.correct(pool.observed, pool.mask, pool.complete)
        mean, factor = net.corrected(correction, pool.mean, pool.variance)
    inside = (pool.truth - mean).abs() <= 1.645 * factor * pool.variance.sqrt()
    weight = net.area * (pool.scored & (pool.mask.flatten(1) == 0))
    assert float((inside * weight).sum() / weight.sum()) == pytest.approx(0.9, abs=2e-3)


class Everything(MaskSource):
    """All cells of each month, and half of each neighbour's."""

    def draw(self, rng):
        return np.ones(CELLS, bool)

    def neighbours(self, mask, steps, rng):
        return [mask & (np.arange(CELLS) % 2 == 0) for _ in steps]


@pytest.mark.parametrize("calendar", [True, False])
def test_samples_see_as_many_neighbours_as_wanted(parts, calendar: bool) -> None:
    prior, masks, _, data = parts
    none = np.zeros((CELLS, 1))
    noise = NoiseSource(none, none, own=np.full((1, CELLS), 1e-6), partial=np.zeros((1, CELLS)))
    draws = MaskErrorBank(Everything(**vars(masks)), noise, 1, size=4, neighbours=2)
    net = network(prior, neighbour_months=2)
    if not calendar:  # steps of minutes
        data = replace(data, month=np.ones_like(data.month))
    pool = draw_samples(net, [prior], data, FOLD, draws, 20, 5)
    assert net.complete_channels[7:] == neighbour_channels(2)
    assert neighbour_channels(2)[::2] == ("neighbour-1", "neighbour+1", "neighbour-2", "neighbour+2")
    which = np.random.default_rng(5).choice(120, 20)
    half = torch.arange(CELLS) % 2 == 0
    for position, step in enumerate((-1, 1, -2, 2)):
        rows = which + step
        there = (rows >= 0) & (rows < 120)
        month = torch.as_tensor(data.month[rows[there]])
        values = torch.as_tensor(data.values[rows[there]]).reshape(-1, CELLS)
        seen, error = half.expand_as(values), torch.full_like(values, 0.05)
        alone = prior.posterior(torch.where(seen, values, 0.0), seen, error, month)
        for channel, expected in enumerate(analysis_channels(alone, prior.prior_sd(month))):
            found = pool.complete[there, 7 + 2 * position + channel].flatten(1)
            torch.testing.assert_close(found, expected, atol=5e-3, rtol=1e-3)
        assert (pool.complete[~there, 7 + 2 * position] == 0).all()
    turned = pool.at(torch.arange(20) + 20)
    signs = [float((turned.complete[:, n] / pool.complete[:, n]).nanmedian()) for n in range(7, 15)]
    assert signs == [-1.0, 1.0] * 4


@pytest.mark.parametrize("keeps", [True, False])
def test_the_correction_has_a_mean_where_it_may(parts, keeps: bool) -> None:
    net = network(parts[0], keeps_mean=keeps)
    correction = torch.ones(1, 2, *GRID.shape)
    mean, _ = net.corrected(correction, torch.zeros(1, CELLS), torch.ones(1, CELLS))
    shift = float((mean * net.area).sum())
    assert shift == pytest.approx(0.0 if keeps else 1.5 * np.tanh(1 / 1.5), abs=1e-5)
    again = build_unet("again", net.state_dict(), unet_arguments(net))
    assert again.keeps_mean is keeps


def test_a_share_of_the_samples_states_errors_that_are_not_theirs(parts) -> None:
    _, masks, noise, _ = parts
    right, wrong = (MaskErrorBank(masks, noise, 1, 30, share) for share in (0.0, 0.4))
    exact, other = 0, 0
    for seed in range(300):
        (mask, errors, stated), (mask_2, errors_2, stated_2) = (
            draws.draw(np.random.default_rng(seed)) for draws in (right, wrong)
        )
        assert np.array_equal(mask, mask_2), "gaps are those that are drawn without"
        if not errors_2.any():
            exact += 1
            assert 0.05 <= stated_2.min() == stated_2.max() <= 0.2
        else:
            assert np.array_equal(errors, errors_2)
            other += not np.array_equal(stated, stated_2)
            assert stated_2.min() >= 0.05
    assert 40 <= exact <= 80, "a fifth: half of the share"
    assert 40 <= other <= 80


def test_the_spread_factor_goes_with_the_weights() -> None:
    network = load_network("punet6").method.network  # type: ignore[attr-defined]
    assert 0.5 < float(network.spread_factor) < 1.0
    again = build_unet("mine", network.state_dict(), unet_arguments(network))
    assert torch.equal(again.spread_factor, network.spread_factor)


def test_samples_without_room_are_refused_before_they_are_drawn(parts, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    prior, _, _, data = parts
    net = network(FullPrior(prior.vectors[:, :8], prior.vectors[:, 8:], prior.residual, prior.scale))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match=r"Training samples need \d+ MB in .*: No space left on device"):
        PackedSamples(30, sample_parts(net, [net.prior], data, FOLD, bank(parts), 30, 5), tmp_path)


@pytest.mark.parametrize(("neighbours", "in_file"), [(0, True), (1, True), (1, False)])
def test_packed_samples_are_the_samples(parts, neighbours: int, in_file: bool, tmp_path) -> None:
    prior, _, _, data = parts
    full = FullPrior(prior.vectors[:, :8], prior.vectors[:, 8:], prior.residual, prior.scale)
    net = network(full, misfit=True, sees_level=True, neighbour_months=neighbours)
    given = net, [full], data, FOLD, bank(parts), 30, 5
    folder = tmp_path if in_file else None
    whole, packed = draw_samples(*given), PackedSamples(30, sample_parts(*given, chunk=7), folder)
    assert not list(tmp_path.iterdir()), "files have no name: nothing is left however a training ends"
    numbers = torch.tensor([3, 29, 30, 44, 59])
    for name, values in vars(whole.at(numbers)).items():
        found = getattr(packed.at(numbers), name)
        if name == "channels":
            assert found == values
        else:
            torch.testing.assert_close(found, values, atol=2e-3, rtol=2e-3, msg=name)
    assert sum(part.nbytes for part in packed.kept.values()) < 0.6 * sum(
        part.nbytes for name, part in vars(whole).items() if name != "channels"
    )
