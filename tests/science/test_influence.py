"""What observations contribute to an estimated value: against second implementations, and against estimating again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from climrecon import indices
from climrecon.fields import Auxiliary, Context, Estimate, Months
from climrecon.grid import Grid
from climrecon.methods.contract import Capabilities, Method
from climrecon.methods.gaussian import GaussianMonth
from climrecon.methods.influence import Window, blocks_left_out, by_occlusion, cells_within
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.optimal_interpolation import optimal_interpolation
from climrecon.methods.priors import full_rank
from climrecon.methods.simple import InverseDistance
from climrecon.methods.store import load_network
from climrecon.methods.transformed import transformed
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.variables import VARIABLES

GRID = Grid.regular(36, 72)
NINO34 = indices.weights(GRID, VARIABLES["tas"].indices[0])


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conjugate gradients go on until rounding ends them."""
    monkeypatch.setattr(full_rank, "TOLERANCE", 1e-7)


@cache
def window(cells: int = 300, months: int = 3) -> Window:
    """Smooth anomalies of successive months, seen through other random gaps in each."""
    rng = np.random.default_rng(3)
    lat, lon = np.radians(GRID.lat)[:, None], np.radians(GRID.lon)[None]
    warm = [
        1.5 * np.exp(-((lat / 0.3) ** 2)) * np.cos(lon - 2.6 + 0.1 * m) + 0.3 * np.sin(3 * lat) for m in range(months)
    ]
    mask = np.zeros((months, 36 * 72), bool)
    for row in mask:
        row[rng.choice(36 * 72, cells, replace=False)] = True
    mask = mask.reshape(months, 36, 72)
    values = np.stack(warm) + 0.3 * rng.normal(size=mask.shape)
    return Window(np.where(mask, values, np.nan).astype(np.float32), mask, None, Months.of([1877] * months, range(6, 6 + months)), GRID, months // 2)  # fmt: skip


def groups_of(one: Window) -> list[np.ndarray]:
    seen = np.flatnonzero(one.seen)
    found = [np.intersect1d(cells_within(one.grid, block), seen) for block in blocks_left_out(one.grid)]
    return [group for group in found if len(group)]


@pytest.mark.parametrize("mean_sd", [np.inf, 3.0])
def test_closed_forms_are_those_of_the_equations_solved_again(mean_sd: float) -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(20, 30))
    covariance, target, y = root @ root.T / 30, rng.random(20), rng.normal(size=20)
    cells = np.array([2, 3, 7, 11, 15, 19])
    error = rng.random(6) + 0.1

    def solve(used: np.ndarray, errors: np.ndarray) -> tuple[float, float, np.ndarray]:
        """Weights from the system with a Lagrange multiplier, or with the mean's prior in the covariance."""
        whole = covariance + (mean_sd**2 if np.isfinite(mean_sd) else 0.0)
        system, right = whole[np.ix_(used, used)] + np.diag(errors), whole[used] @ target
        if np.isfinite(mean_sd):
            weights = np.linalg.solve(system, right)
        else:
            ones = np.ones((len(used), 1))
            system = np.block([[system, ones], [ones.T, np.zeros((1, 1))]])
            weights = np.linalg.solve(system, np.append(right, target.sum()))[:-1]
        error_of_sum = -target.copy()
        error_of_sum[used] += weights
        return weights @ y[used], error_of_sum @ whole @ error_of_sum + weights**2 @ errors, weights

    model = GaussianMonth(covariance, error, cells, mean_sd)
    value, variance, weights = solve(cells, error)
    np.testing.assert_allclose(model.weights(target), weights, rtol=1e-8)
    assert model.variance(target) == pytest.approx(variance)
    assert model.analysis(y[cells])[0] @ target == pytest.approx(value)
    changes, reductions = model.without(target, y, [np.array([7]), np.array([3, 15])])
    for group, change, reduction in zip(([2], [1, 4]), changes, reductions, strict=True):
        fewer = np.delete(np.arange(6), group)
        less, more_variance, _ = solve(cells[fewer], error[fewer])
        assert change == pytest.approx(value - less)
        assert reduction == pytest.approx(more_variance - variance)
    np.testing.assert_allclose(model.reductions(target)[2], reductions[0])
    more = np.array([2, 3, 5, 7, 11, 15, 19])
    gained = variance - solve(more, np.insert(error, 2, 0.25))[1]
    assert model.gain(target, 0.5)[5] == pytest.approx(gained)


def test_weights_of_interpolation_are_the_changes_that_each_observation_makes(solved: None) -> None:
    method, one = optimal_interpolation(), window(months=1)
    found = one.influence(method, NINO34)
    assert found.how == "exact"
    seen = np.flatnonzero(one.seen)
    strongest = seen[np.argsort(-np.abs(found.weights[0].reshape(-1)[seen]))[:5]]
    value = one.value(method, NINO34)
    assert found.value == pytest.approx(value, rel=1e-3)
    for cell in strongest:
        values = one.values.copy()
        values.reshape(-1)[cell] += 4.0
        change = (replace(one, values=values).value(method, NINO34) - value) / 4.0
        assert change == pytest.approx(found.weights.reshape(-1)[cell], rel=0.01)


def test_gradients_of_a_u_net_that_corrects_nothing_are_the_exact_weights() -> None:
    loaded, one = load_network("punet6").method, window()
    assert isinstance(loaded, UNetReconstructor)
    with torch.no_grad():
        loaded.network.head.weight.zero_()
        loaded.network.head.bias.zero_()
    found, exact = (one.influence(method, NINO34) for method in (loaded, optimal_interpolation()))
    assert (found.how, exact.how) == ("gradients", "exact")
    weights = exact.weights[one.position]
    np.testing.assert_allclose(found.weights[one.position], weights, rtol=1e-4, atol=1e-5 * np.abs(weights).max())
    assert not found.weights[[0, 2]].any(), "neighbouring months reach the mean through the U-Net alone"


@pytest.mark.parametrize("place", [None, 1200, 2000])
def test_contributions_of_the_network_sum_to_the_value(place: int | None, solved: None) -> None:
    method, one = load_network("punet6").method, window()
    target = NINO34 if place is None else np.eye(36 * 72)[place].reshape(36, 72)
    found = one.influence(method, target)
    assert found.how == "gradients"
    assert found.value == pytest.approx(one.value(method, target), abs=2e-3)
    assert found.contributions.sum() + found.at_climatology == pytest.approx(found.value, rel=0.01)
    assert np.abs(found.contributions[[0, 2]]).sum() > 0.0, "the neighbouring months have a share"
    assert not found.contributions[~one.mask].any()


def test_months_without_anomalies_have_no_contributions() -> None:
    one = window()
    still = replace(one, values=np.where(one.mask, 0.0, np.nan).astype(np.float32))
    found = still.influence(load_network("punet6").method, NINO34)
    assert not found.contributions.any()
    assert found.value == pytest.approx(found.at_climatology)


def test_gradients_are_those_of_differences_along_the_path(solved: None) -> None:
    """The mean over the path of the change that 0.2 K of one observation makes, by estimating again."""
    method, one = load_network("punet6").method, window()
    found = one.influence(method, NINO34)
    for month in (0, 1):
        cell = np.unravel_index(np.abs(found.weights[month]).argmax(), GRID.shape)
        slopes = []
        for share in (np.arange(12) + 0.5) / 12:
            ends = []
            for step in (-0.1, 0.1):
                values = share * one.values
                values[month][cell] += step
                ends.append(replace(one, values=values).value(method, NINO34))
            slopes.append((ends[1] - ends[0]) / 0.2)
        assert np.mean(slopes) == pytest.approx(found.weights[month][cell], rel=0.05)


@pytest.mark.parametrize("name", ["punet6", "oi", "kriging"])
def test_changes_without_blocks_are_those_of_estimating_again(name: str, solved: None) -> None:
    methods = {
        "punet6": lambda: load_network("punet6").method,
        "oi": optimal_interpolation,
        "kriging": lambda: Kriging(Covariance(2000.0, 1.2, 0.2)),
    }
    method = methods[name]()
    one = window(months=1 + 2 * method.capabilities.neighbour_months)
    groups = groups_of(one)
    found, again = one.influence(method, NINO34).without(groups), one.without(method, NINO34, groups)
    np.testing.assert_allclose(found, again, atol=0.02 * np.abs(again).max())


def test_without_gradients_each_observation_is_left_out() -> None:
    one = window(40, months=1)
    assert one.influence(InverseDistance(), NINO34) is None
    found = by_occlusion(one, InverseDistance(), NINO34)
    assert found.how == "occlusion"
    cell = int(np.abs(found.contributions).argmax())
    mask = one.mask.copy()
    mask.reshape(-1)[cell] = False
    without = replace(one, mask=mask).value(InverseDistance(), NINO34)
    assert found.contributions.reshape(-1)[cell] == pytest.approx(found.value - without, abs=1e-6)


class Dated(Method):
    """The mean of the observed cells with a trend in time."""

    name = "dated"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False)

    def reconstruct(self, values, mask, obs_sd, month, context: Context) -> Estimate:
        means = np.where(mask, values, 0.0).sum((1, 2)) / mask.sum((1, 2)) + 0.01 * context.time.index
        return Estimate(np.broadcast_to(means[:, None, None], mask.shape).astype(np.float32))


def test_a_method_that_knows_the_date_is_given_the_true_one() -> None:
    one = window(40, months=1)
    seen = np.flatnonzero(one.seen)
    changes = one.without(Dated(), NINO34, [seen[:1], seen[1:20]])
    values = one.values.reshape(-1)
    whole = values[seen].mean()
    np.testing.assert_allclose(changes, [whole - values[seen[1:]].mean(), whole - values[np.r_[seen[0], seen[20:]]].mean()], atol=1e-4)  # fmt: skip


def test_contributions_have_the_size_of_the_variable() -> None:
    """Sea-level pressure is given to methods in units of 300 Pa."""
    one = window(months=1)
    plain = Kriging(Covariance(2000.0, 1.2, 0.2))
    wrapped = transformed(plain, VARIABLES["psl"])
    pressure = replace(one, values=300.0 * one.values)
    found, of_units = pressure.influence(wrapped, NINO34), one.influence(plain, NINO34)
    np.testing.assert_allclose(found.weights, of_units.weights, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.contributions, 300.0 * of_units.contributions, rtol=1e-4, atol=1e-6)
    assert found.value == pytest.approx(pressure.value(wrapped, NINO34), rel=1e-4)
    groups = groups_of(one)[:4]
    np.testing.assert_allclose(found.without(groups), 300.0 * of_units.without(groups), rtol=1e-4, atol=1e-6)
    sd = pressure.gaussian(wrapped).variance(NINO34.reshape(-1)) ** 0.5
    assert sd == pytest.approx(300.0 * one.gaussian(plain).variance(NINO34.reshape(-1)) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("name", ["kriging", "punet6"])
def test_contributions_sum_through_a_transform_that_is_not_linear(name: str, solved: None) -> None:
    """Ratios of precipitation: the value at the climatology is near 100 %, and wet cells raise it."""
    method = Kriging(Covariance(2000.0, 1.2, 0.2)) if name == "kriging" else load_network("punet6").method
    wrapped = transformed(method, VARIABLES["pr"])
    one = window(months=1 + 2 * method.capabilities.neighbour_months)
    ratios = replace(one, values=np.maximum(100.0 + 40.0 * one.values, 0.0).astype(np.float32))
    for target in (NINO34, np.eye(36 * 72)[900].reshape(36, 72)):
        found = ratios.influence(wrapped, target)
        assert found.value == pytest.approx(ratios.value(wrapped, target), rel=5e-3)
        assert found.contributions.sum() + found.at_climatology == pytest.approx(found.value, rel=0.01)
        assert found.at_climatology == pytest.approx(100.0, abs=30.0)
        assert abs(found.value - found.at_climatology) > 1.0
        assert found.weights is None
    assert ratios.gaussian(wrapped) is None


def test_weights_of_kriging_with_neighbourhoods_are_those_of_its_estimate() -> None:
    """Of more than 5,000 cells each block of the grid has observations of its own, and so has the adjoint."""
    grid = Grid(np.linspace(50.0, 53.6, 73), np.linspace(8.0, 13.4, 73))
    rng = np.random.default_rng(2)
    mask = rng.random((1, *grid.shape)) < 0.1
    values = np.where(mask, rng.normal(size=mask.shape), np.nan).astype(np.float32)
    one = Window(values, mask, None, Months.of([1900], [1]), grid, 0)
    method, target = Kriging(Covariance(40.0, 1.0, 0.1)), grid.area
    found = one.influence(method, target)
    assert (found.how, found.without) == ("exact", None)
    assert found.value == pytest.approx(one.value(method, target), rel=1e-4)
    assert found.weights.sum() == pytest.approx(1.0)
    assert one.gaussian(method) is None
    cell = int(np.abs(found.weights).argmax())
    more = values.copy()
    more.reshape(-1)[cell] += 10.0
    change = replace(one, values=more).value(method, target) - one.value(method, target)
    assert change / 10.0 == pytest.approx(found.weights.reshape(-1)[cell], rel=1e-3)


def test_blocks_hold_each_cell_once() -> None:
    for grid in (GRID, Grid(np.linspace(35.0, 70.0, 36), np.linspace(-10.0, 30.0, 41))):
        cells = np.concatenate([cells_within(grid, block) for block in blocks_left_out(grid)])
        np.testing.assert_array_equal(np.sort(cells), np.arange(grid.area.size))
    assert len(blocks_left_out(GRID)) == 9 * 18


def test_auxiliary_variables_are_part_of_the_value_without_anomalies(solved: None) -> None:
    """A U-Net that sees pressure; pressure is held as it is along the path."""
    shipped, one = load_network("punet6").method, window()
    assert isinstance(shipped, UNetReconstructor)
    inner = shipped.network
    torch.manual_seed(0)
    network = UNet(inner.prior, inner.land, inner.sin_lat, inner.area, stride=2, misfit=True, auxiliary=("psl",))
    torch.nn.init.normal_(network.head.weight, std=0.05)
    method = UNetReconstructor("pressure", network, 0.3, 0.0, shipped.distance)
    psl = np.random.default_rng(4).normal(size=(3, 1, 36, 72)).astype(np.float32)
    seen = method.with_auxiliary(Auxiliary(("psl",), one.time.index, psl))
    found, blind = one.influence(seen, NINO34), one.influence(method, NINO34)
    assert found.value == pytest.approx(one.value(seen, NINO34), abs=2e-3)
    assert found.contributions.sum() + found.at_climatology == pytest.approx(found.value, rel=0.01)
    assert abs(found.at_climatology - blind.at_climatology) > 1e-4
    groups = groups_of(one)[40:44]
    np.testing.assert_allclose(found.without(groups), one.without(seen, NINO34, groups), atol=2e-3)
