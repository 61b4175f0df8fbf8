"""Interpolation with all patterns, its network, and what it estimates of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from climrecon.errors import NetworkError
from climrecon.fields import Context, Months, Observations, Source
from climrecon.grid import Grid
from climrecon.methods.by_chunks import reconstruct
from climrecon.methods.priors.covariance import great_circle, learn_patterns
from climrecon.methods.priors.data_set_errors import (
    LOCAL_KM,
    REGIONAL_KM,
    DataSetErrors,
    SurfaceErrors,
    _kernel,
    _Month,
    estimate_data_set_errors,
)
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.interpolation import persistent_deviations
from climrecon.methods.priors.low_rank import MEAN_PRIOR_SD, Posterior
from climrecon.methods.unet.build import build_unet, unet_arguments
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.tasks.reconstruct.apply import complete_fields
from climrecon.workflow.progress import Quiet

GRID = Grid.regular(12, 24)
CELLS = 288
RNG = np.random.default_rng(0)
DISTANCE = great_circle(GRID)


def fields(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(np.exp(-0.5 * (DISTANCE / 2500.0) ** 2) + 1e-6 * np.eye(CELLS))
    return (rng.normal(size=(count, CELLS)) @ root.T).reshape(count, 12, 24)


@pytest.fixture(scope="module")
def learned():
    months = np.arange(480) % 12 + 1
    return learn_patterns(fields(480), months, GRID, 120)


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.as_tensor(np.ascontiguousarray(a), dtype=torch.float32) for a in arrays]


@pytest.fixture(scope="module")
def prior(learned) -> FullPrior:
    return FullPrior(*tensors(learned.vectors[:, :24], learned.vectors[:, 24:], learned.residual, learned.scale))


@pytest.fixture
def network(prior: FullPrior) -> UNet:
    torch.manual_seed(0)
    land = torch.rand(12, 24)
    net = UNet(prior, land, torch.linspace(-1, 1, 12), *tensors(GRID.area), width=4)
    torch.nn.init.normal_(net.head.weight, std=0.1)
    return net.eval()


def observed(count: int, seed: int = 1, sd: float = 0.3):
    rng = np.random.default_rng(seed)
    truth = fields(count, 5)
    mask = rng.random(truth.shape) < 0.4
    return truth, np.where(mask, truth + sd * rng.normal(size=truth.shape), np.nan), mask


def test_the_network_is_told_of_the_misfit_and_keeps_it_in_its_card(prior: FullPrior) -> None:
    torch.manual_seed(0)
    parts = prior, torch.rand(12, 24), torch.linspace(-1, 1, 12), *tensors(GRID.area)
    net = UNet(*parts, width=4, misfit=True).eval()
    torch.nn.init.normal_(net.head.weight, std=0.1)
    again = build_unet("mine", net.state_dict(), unet_arguments(net))
    _, values, mask = observed(2)
    flat = torch.as_tensor(mask.reshape(2, -1))
    inputs = (*tensors(np.nan_to_num(values.reshape(2, -1))), flat, torch.full((2, CELLS), 0.3))
    when = torch.tensor([5, 6]), torch.tensor([4, 5])
    with torch.no_grad():
        first, second = net(*inputs, *when), again(*inputs, *when)
        assert torch.equal(first.mean, second.mean)
        net.enc_1.complete.conv.weight[:, -1] += 0.1
        changed = net(*inputs, *when)
    assert not torch.allclose(first.factor, changed.factor)
    without = {key: value for key, value in unet_arguments(net).items() if key != "misfit"}
    with pytest.raises(NetworkError, match="do not belong together"):
        build_unet("mine", net.state_dict(), without)


@pytest.mark.usefixtures("solved")
def test_the_mean_is_that_of_the_dense_equations(prior: FullPrior) -> None:
    _, values, mask = observed(3)
    month = np.array([1, 7, 12])
    flat = np.nan_to_num(values.reshape(3, -1)), mask.reshape(3, -1)
    found = prior.posterior(  # type: ignore[call-arg]
        *tensors(flat[0]), torch.as_tensor(flat[1]), torch.full((3, CELLS), 0.3), torch.as_tensor(month)
    )
    covariance = prior.covariance().double().numpy()
    for row in range(3):
        cells, scale = np.flatnonzero(flat[1][row]), prior.scale[month[row] - 1].double().numpy()
        whole = covariance * np.outer(scale, scale) + MEAN_PRIOR_SD**2
        weights = np.linalg.solve(whole[np.ix_(cells, cells)] + 0.09 * np.eye(len(cells)), flat[0][row, cells])
        np.testing.assert_allclose(found.mean[row].numpy(), whole[:, cells] @ weights, atol=0.02)
    low = super(FullPrior, prior).posterior(  # type: ignore[call-arg]
        *tensors(flat[0]), torch.as_tensor(flat[1]), torch.full((3, CELLS), 0.3), torch.as_tensor(month)
    )
    assert (low.mean - found.mean).abs().max() > 0.05, "the low rank alone is something else"


def test_patterns_are_learned_from_fields_with_gaps(learned) -> None:
    gappy = fields(480)
    gappy[RNG.random(gappy.shape) < 0.3] = np.nan
    again = learn_patterns(gappy, np.arange(480) % 12 + 1, GRID, 120)
    full, part = (one.vectors @ one.vectors.T for one in (learned, again))
    assert np.abs(full - part).mean() < 0.05
    np.testing.assert_allclose(again.scale, learned.scale, rtol=0.25)


def reconstructor(network: UNet, persistence: float = 0.6) -> UNetReconstructor:
    return UNetReconstructor("test", network, 0.3, persistence, DISTANCE)


def observations(count: int, sd: float = 0.3) -> Observations:
    _, values, mask = observed(count, sd=sd)
    return Observations(
        "tas", values.astype(np.float32), mask, None, Months(np.arange(count) + 24000), GRID, (1961, 1990),
        Source("test", "", (), (), "tas"),
    )  # fmt: skip


def test_where_a_record_is_cut_does_not_matter(network: UNet) -> None:
    data, method = observations(14), reconstructor(network)
    whole = next(e for _, e in reconstruct(method, data, chunk=14))
    cut = [e for _, e in reconstruct(method, data, chunk=4)]
    np.testing.assert_allclose(np.concatenate([e.mean for e in cut]), whole.mean, atol=5e-4)
    draws = np.concatenate([e.sample(3, 7) for e in cut], axis=1)  # type: ignore[misc]
    np.testing.assert_allclose(draws, whole.sample(3, 7), atol=1e-3)  # type: ignore[misc]
    spread = np.concatenate([e.area_mean_sd(GRID.area) for e in cut])  # type: ignore[misc]
    np.testing.assert_allclose(spread, whole.area_mean_sd(GRID.area), rtol=1e-4)  # type: ignore[misc]
    # The month beside is used: without it the estimate is another.
    alone = data.select(np.arange(14) == 5)
    ((_, single),) = reconstruct(method, alone)
    assert np.abs(single.mean[0] - whole.mean[5]).max() > 1e-4


def test_one_kelvin_more_gives_one_kelvin_more(network: UNet) -> None:
    data, method = observations(4), reconstructor(network)
    context = Context(GRID, data.time)
    means = [
        method.reconstruct(data.values + shift, data.mask, None, data.time.month, context).mean for shift in (0, 1)
    ]
    np.testing.assert_allclose(((means[1] - means[0]) * GRID.area).sum((1, 2)), 1.0, atol=0.03)


def test_draws_persist_as_they_should(network: UNet) -> None:
    data = observations(40)
    lagged = {}
    for persistence in (0.0, 0.6):
        estimate = reconstructor(network, persistence).reconstruct(
            data.values, data.mask, None, data.time.month, Context(GRID, data.time)
        )
        draws = estimate.sample(400, 1)  # type: ignore[misc]
        np.testing.assert_allclose(draws.std(0).mean(), estimate.stddev.mean(), rtol=0.05)  # type: ignore[union-attr]
        series = (draws * GRID.area).sum((2, 3))
        np.testing.assert_allclose(series.std(0), estimate.area_mean_sd(GRID.area), rtol=0.2)  # type: ignore[misc]
        series = series - series.mean(0)
        lagged[persistence] = (series[:, 1:] * series[:, :-1]).mean() / (series**2).mean()
    # What is independent from cell to cell is independent in time too; the rest persists.
    assert abs(lagged[0.0]) < 0.05
    assert 0.25 < lagged[0.6] < 0.65


def test_draws_persist_over_the_borders_of_chunks_and_blocks(network: UNet, tmp_path: Path) -> None:
    data, method = observations(70), reconstructor(network)
    ((_, once),) = reconstruct(method, data, chunk=70)
    assert once.sample is not None
    for block in (None, slice(32, 70)):
        found = complete_fields(
            method, data, members=3, seed=5, scratch=tmp_path, reporter=Quiet(), block=block
        ).realisations
        assert found is not None
        np.testing.assert_allclose(found, once.sample(3, 5)[:, block or slice(None)], atol=2e-3)


@pytest.mark.parametrize("sd", [0.1, 0.5])
def test_errors_that_are_not_stated_are_estimated(prior: FullPrior, sd: float) -> None:
    _, values, mask = observed(20, sd=sd)
    found = estimate_data_set_errors(
        prior.covariance().numpy(), DISTANCE, prior.scale.numpy(), np.zeros(CELLS),
        np.nan_to_num(values.reshape(20, -1)), mask.reshape(20, -1), None, np.arange(20),
    )  # fmt: skip
    assert found is not None
    assert 0.6 * sd <= found.sea.error <= 1.6 * sd
    assert found.sea.local <= 0.1
    assert found.sea.regional <= 0.1
    few = estimate_data_set_errors(
        prior.covariance().numpy(), DISTANCE, prior.scale.numpy(), np.zeros(CELLS),
        np.zeros((2, CELLS)), np.arange(2 * CELLS).reshape(2, -1) < 20, None, np.array([0, 1]),
    )  # fmt: skip
    assert few is None


def test_stated_errors_are_not_counted_twice(prior: FullPrior) -> None:
    _, values, mask = observed(20, sd=0.5)
    arguments = (
        prior.covariance().numpy(), DISTANCE, prior.scale.numpy(), np.zeros(CELLS),
        np.nan_to_num(values.reshape(20, -1)), mask.reshape(20, -1),
    )  # fmt: skip
    found = estimate_data_set_errors(*arguments, np.full((20, CELLS), 0.5), np.arange(20))
    assert found is not None
    assert found.sea.error <= 0.2


def test_the_likelihood_is_that_of_what_is_applied_on_coasts_too(prior: FullPrior) -> None:
    level = DataSetErrors(SurfaceErrors(0.5, regional=0.8, local=0.1), SurfaceErrors(0.3, regional=0.1, local=0.6))
    land, scale = np.linspace(0.0, 1.0, CELLS), prior.scale.numpy()
    cells = np.arange(3, CELLS, 7)
    added = level.covariance(DISTANCE, scale, land, GRID.shape)
    assert added is not None
    at = np.ix_(cells, cells)
    matrix = prior.covariance().double().numpy()[at]
    whole_year, spread = np.sqrt((scale**2).mean(0))[cells], scale[0, cells]
    near = (_kernel(DISTANCE, REGIONAL_KM)[at], _kernel(DISTANCE, LOCAL_KM)[at] / np.outer(whole_year, whole_year))
    values = np.random.default_rng(0).normal(size=len(cells))
    known = np.full(len(cells), 0.2)
    month = _Month(matrix, near, values, spread, known, land[cells])
    errors = (known**2 + level.on(land[cells]) ** 2) / spread**2
    whole = matrix + added.matrix().double().numpy()[at] + np.diag(errors)
    want = -2.0 * multivariate_normal(np.zeros(len(cells)), whole).logpdf(values)
    assert month.deviance(level) == pytest.approx(want - len(cells) * np.log(2.0 * np.pi), abs=1e-2)


def test_what_land_holds_is_told_from_what_the_sea_holds(prior: FullPrior) -> None:
    """Regional variability and a small error on the eastern half, which is land; a large error alone on the other."""
    _, values, mask = observed(30, sd=0.0)
    land = (np.arange(CELLS) % 24 >= 12).astype(float)
    rng = np.random.default_rng(5)
    near = np.exp(-DISTANCE / REGIONAL_KM) * np.outer(land, land) + 1e-9 * np.eye(CELLS)
    local = rng.normal(size=(30, CELLS)) @ np.linalg.cholesky(near).T
    error = rng.normal(size=(30, CELLS)) * np.where(land > 0, 0.2, 0.9)
    arguments = (prior.covariance().numpy(), DISTANCE, prior.scale.numpy(), land)
    given = np.nan_to_num(values.reshape(30, -1)) + local + error
    found = estimate_data_set_errors(*arguments, given, mask.reshape(30, -1), None, np.arange(30))
    assert found is not None
    assert 0.7 <= found.sea.error <= 1.2
    assert found.land.error <= 0.5
    assert found.land.local + found.land.regional >= 0.5
    assert found.sea.local + found.sea.regional <= 0.2
    assert "over sea" in found.variability("K")
    # Where there is no land, nothing is told of it: it has what the sea has, and the error that was begun with.
    sea = estimate_data_set_errors(*arguments[:3], np.zeros(CELLS), given, mask.reshape(30, -1), None, np.arange(30))
    assert sea is not None
    assert (sea.land.error, *sea.land[1:]) == (0.3, *sea.sea[1:])


def test_local_variability_is_found_and_used(network: UNet) -> None:
    method = reconstructor(network)
    rng = np.random.default_rng(3)
    local = np.linalg.cholesky(np.exp(-DISTANCE / 1000.0)) @ rng.normal(size=(CELLS, 20))
    data = observations(20, sd=0.2)
    rough = Observations(
        "tas", data.values + local.T.reshape(20, 12, 24).astype(np.float32), data.mask, None, data.time, GRID,
        None, data.source,
    )  # fmt: skip
    said = method.calibrate(rough)
    assert method.data_set_errors is not None
    assert method.data_set_errors.sea.regional + method.data_set_errors.sea.local >= 0.5
    assert "over 1,000 km" in said
    before = reconstructor(network).reconstruct(data.values, data.mask, None, data.time.month, Context(GRID, data.time))
    after = method.reconstruct(data.values, data.mask, None, data.time.month, Context(GRID, data.time))
    assert after.prior_stddev.mean() > 1.1 * before.prior_stddev.mean()  # type: ignore[union-attr]
    # What was calibrated on fields without such variability does not hold here.
    wider = build_unet("mine", network.state_dict(), unet_arguments(network))
    wider.shared_factor.fill_(1.4)
    other = reconstructor(wider)
    other.calibrate(rough)
    again = other.reconstruct(data.values, data.mask, None, data.time.month, Context(GRID, data.time))
    np.testing.assert_array_equal(again.stddev, after.stddev)  # type: ignore[arg-type]
    # Realisations of the calibrated network have the spread that is stated, of cells and of means over boxes.
    draws = after.sample(500, 1)  # type: ignore[misc]
    assert np.median(draws.std(0) / after.stddev) == pytest.approx(1.0, abs=0.04)
    box = np.zeros(GRID.shape)
    box[4:7, 8:11] = GRID.area[4:7, 8:11]
    box /= box.sum()
    ratio = (draws * box).sum((2, 3)).std(0) / after.area_mean_sd(box)  # type: ignore[misc]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.08)


def posterior_of(network: UNet) -> tuple[Posterior, torch.Tensor]:
    """Six months given their observations, and their (6,) index."""
    data = observations(6)
    flat = torch.as_tensor(data.mask.reshape(6, -1))
    values = torch.nan_to_num(torch.as_tensor(data.values.reshape(6, -1)))
    month = torch.as_tensor(data.time.month.astype(np.int64))
    found = network.prior.posterior(values, flat, torch.full((6, CELLS), 0.3), month)
    return found, torch.as_tensor(data.time.index)


def test_draws_have_the_spread_that_the_network_gives_each_cell(network: UNet) -> None:
    """A factor below 1 in the western half and above it in the eastern one."""
    found, index = posterior_of(network)
    west = (torch.arange(CELLS) % 24 < 12).expand(6, CELLS)
    factor = torch.where(west, 0.5, 1.4)
    draws = persistent_deviations(found, index, 1500, 3, 0.5, found.parts_of(factor))
    ratio = draws.std(0) / found.variance.sqrt()
    assert float(ratio[west].median()) == pytest.approx(0.5, abs=0.02)
    assert float(ratio[~west].median()) == pytest.approx(1.4, abs=0.05)
    for part in (0.02, 0.98):
        assert float(ratio[west].quantile(part)) == pytest.approx(0.5, abs=0.05)


def test_what_the_patterns_tell_is_widened_at_the_expense_of_the_cells_own_parts(network: UNet) -> None:
    found, index = posterior_of(network)
    factor = torch.full((6, CELLS), 0.9)
    plain, wide = found.parts_of(factor), found.parts_of(factor, 1.4)
    box = torch.zeros(GRID.shape)
    box[4:7, 8:11] = 1.0
    box = box.reshape(-1) / 9.0
    for weights in (box, network.area):
        ratio = found.weighted_mean_sd(weights, wide) / found.weighted_mean_sd(weights, plain)
        assert (ratio > 1.1).all()
        assert (ratio < 1.401).all()
    # No cell is narrowed: where its own part has no room, it is widened.
    own = found.variance - wide.shared**2 * (found.variance - found.residual_variance) > 0.2 * found.variance
    assert own.any()
    torch.testing.assert_close(wide.variance[own], plain.variance[own], rtol=1e-3, atol=1e-6)
    assert (wide.variance >= plain.variance * 0.999).all()
    draws = persistent_deviations(found, index, 3000, 3, 0.5, wide)
    assert float((draws.std(0) / wide.variance.sqrt()).median()) == pytest.approx(1.0, abs=0.02)
    for weights in (box, network.area):
        drawn = (draws * weights).sum(2).std(0)
        np.testing.assert_allclose(drawn, found.weighted_mean_sd(weights, wide), rtol=0.06)


def test_the_network_states_the_spread_that_its_shared_factor_makes(network: UNet) -> None:
    wider = build_unet("mine", network.state_dict(), unet_arguments(network))
    wider.shared_factor.fill_(1.4)
    data = observations(4)
    before, after = (
        reconstructor(one).reconstruct(data.values, data.mask, None, data.time.month, Context(GRID, data.time))
        for one in (network, wider)
    )
    np.testing.assert_array_equal(before.mean, after.mean)
    box = np.zeros(GRID.shape)
    box[4:7, 8:11] = 1.0 / 9.0
    assert (after.area_mean_sd(box) > 1.1 * before.area_mean_sd(box)).all()
    drawn = after.sample(800, 2)
    assert np.median(drawn.std(0) / after.stddev) == pytest.approx(1.0, abs=0.03)


def test_a_network_comes_back_from_its_weights(network: UNet) -> None:
    again = build_unet("mine", network.state_dict(), unet_arguments(network))
    for key, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    data = observations(3)
    first, second = (
        reconstructor(one).reconstruct(data.values, data.mask, None, data.time.month, Context(GRID, data.time))
        for one in (network, again)
    )
    np.testing.assert_array_equal(first.mean, second.mean)
    with pytest.raises(NetworkError, match="do not belong together"):
        build_unet("mine", network.state_dict(), {**unet_arguments(network), "rank": 3})


def test_a_month_more_hardly_changes_which_months_are_looked_at(prior: FullPrior) -> None:
    _, values, mask = observed(40, sd=0.4)
    found = [
        estimate_data_set_errors(
            prior.covariance().numpy(), DISTANCE, prior.scale.numpy(), np.zeros(CELLS),
            np.nan_to_num(values[:n].reshape(n, -1)), mask[:n].reshape(n, -1), None, np.arange(n),
        )
        for n in (38, 39, 40)
    ]  # fmt: skip
    assert len({(one.sea, one.land) for one in found if one}) <= 2
