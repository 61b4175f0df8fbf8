"""Kriging with neighbourhoods equals kriging of all cells, but for what far observations add."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from climrecon.fields import Months, Observations, Source
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods import kriging as kriging_module
from climrecon.methods.contract import Context
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.neighbourhoods import MOST_NEIGHBOURS, LargeField, LargeSystem, sample_of_cells
from climrecon.methods.priors import covariance
from climrecon.methods.priors.covariance import distances_by_rows, exponential, great_circle
from climrecon.methods.simple import InverseDistance

RANGE, NUGGET = 1500.0, 0.05
#: Europe at one degree, and at a half.
COARSE = Grid(np.arange(35.0, 72.1), np.arange(-15.0, 45.1))
FINE = Grid(np.arange(35.0, 72.01, 0.5), np.arange(-15.0, 45.01, 0.5))
HOLE = (slice(10, 22), slice(20, 36))


def seen(grid: Grid, share: float = 0.6, seed: int = 1) -> np.ndarray:
    mask = np.random.default_rng(seed).random(grid.shape) < share
    mask[HOLE] = False
    return mask


@pytest.fixture(scope="module")
def both() -> tuple[kriging_module._System, LargeSystem]:
    model = Covariance(RANGE, 2.0, NUGGET)
    cells = np.flatnonzero(seen(COARSE))
    field = kriging_module._Field(exponential(great_circle(COARSE), RANGE), RANGE, COARSE.shape)
    return (
        kriging_module._System(field, cells, model),
        LargeSystem(LargeField(COARSE, RANGE), cells, model.sd, model.nugget, 3.0),
    )


def test_covariances_are_applied_without_matrices() -> None:
    fields = np.random.default_rng(0).normal(size=(3, COARSE.area.size))
    for grid, accuracy in (
        (COARSE, 1e-5),
        (Grid.regular(18, 36), 1e-5),
        (Grid(np.linspace(0.0, 70.0, 101), np.linspace(0.0, 60.0, 83)), 2e-3),  # 492 columns of 0.7317 degrees
    ):
        field, given = LargeField(grid, RANGE), np.resize(fields, (3, grid.area.size))
        exact = given @ exponential(great_circle(grid), RANGE) if grid.area.size < 5000 else None
        if exact is None:
            part = np.arange(0, grid.area.size, 97)
            exact = given @ field.between(np.arange(grid.area.size), part)
            found = field.product(given)[:, part]
        else:
            found = field.product(given)
        np.testing.assert_allclose(found, exact, atol=accuracy * np.abs(exact).max())


def test_draws_have_the_covariance() -> None:
    field = LargeField(Grid(np.arange(40.0, 61.0, 2.0), np.arange(0.0, 31.0, 2.0)), RANGE)
    drawn = field.draw(np.random.default_rng(3).normal(size=(4000, field.noise_size)))
    np.testing.assert_allclose(drawn.T @ drawn / 4000, exponential(great_circle(field.grid), RANGE), atol=0.09)


def test_estimates_are_those_of_all_observations(both: tuple[kriging_module._System, LargeSystem]) -> None:
    whole, local = both
    rng = np.random.default_rng(2)
    truth = whole.model.sd * (whole.field.root @ rng.normal(size=(COARSE.area.size, 20))).T
    given = truth + whole.model.sd * np.sqrt(NUGGET) * rng.normal(size=truth.shape)
    missing = ~seen(COARSE).ravel()
    errors = [np.sqrt(((one.means(given) - truth)[:, missing] ** 2).mean()) for one in both]
    assert errors[1] < 1.03 * errors[0]
    # Never better than all observations, and hardly worse.
    ratio = local.variance() / whole.variance()
    assert ratio.min() > 1.0 - 1e-6
    assert ratio.max() < 1.2
    inside = np.zeros(COARSE.shape, bool)
    inside[HOLE] = True
    stated = np.sqrt(local.variance()[inside.ravel()].mean())
    assert np.sqrt(((local.means(given) - truth)[:, inside.ravel()] ** 2).mean()) == pytest.approx(stated, rel=0.15)


def test_spread_of_means_and_draws_agree(both: tuple[kriging_module._System, LargeSystem]) -> None:
    whole, local = both
    area = COARSE.area.ravel()
    inside = np.zeros(COARSE.shape)
    inside[HOLE] = COARSE.area[HOLE]
    drawn = local.errors(2000, np.random.default_rng(4))
    for weights in (area, inside.ravel() / inside.sum()):
        exact = np.sqrt(local.mean_variance(weights))
        assert 1.0 <= exact / np.sqrt(whole.mean_variance(weights)) < 1.05
        assert (drawn @ weights).std() == pytest.approx(exact, rel=0.06)
    np.testing.assert_allclose(drawn.var(axis=0).mean(), local.variance().mean(), rtol=0.03)
    np.testing.assert_array_equal(local.errors(3, np.random.default_rng(4)), local.errors(3, np.random.default_rng(4)))


def test_a_month_without_observations() -> None:
    empty = LargeSystem(LargeField(COARSE, RANGE), np.empty(0, int), 2.0, NUGGET, 3.0)
    assert not empty.means(np.ones((1, COARSE.area.size))).any()
    np.testing.assert_allclose(empty.variance(), 4.0 + 9.0)
    drawn = empty.errors(1500, np.random.default_rng(0))
    weights = COARSE.area.ravel()
    assert (drawn @ weights).std() == pytest.approx(np.sqrt(empty.mean_variance(weights)), rel=0.08)


def test_few_observations_are_used_by_all_cells() -> None:
    cells = np.flatnonzero(seen(COARSE, 0.05))
    assert len(cells) < MOST_NEIGHBOURS
    field = kriging_module._Field(exponential(great_circle(COARSE), RANGE), RANGE, COARSE.shape)
    exact = kriging_module._System(field, cells, Covariance(RANGE, 1.0, NUGGET))
    local = LargeSystem(LargeField(COARSE, RANGE), cells, 1.0, NUGGET, 3.0)
    given = np.random.default_rng(0).normal(size=(2, COARSE.area.size))
    np.testing.assert_allclose(local.means(given), exact.means(given), atol=1e-6)
    np.testing.assert_allclose(local.variance(), exact.variance(), atol=1e-6)


# Europe at half a degree: more cells than matrices are made for


def smooth(grid: Grid) -> np.ndarray:
    lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)[None]
    return np.stack([np.sin(5 * lon + month) * np.cos(4 * lat) + 0.5 * np.cos(3 * lat - month) for month in range(3)])


def test_a_hole_in_the_middle_of_a_fine_grid_is_filled() -> None:
    """A hole of 15 by 20 degrees, monthly, by the method itself."""
    truth = smooth(FINE)
    mask = np.random.default_rng(5).random(truth.shape) < 0.5
    mask[:, 25:55, 50:90] = False
    month = np.arange(1, 4)
    context = Context(FINE, Months.of(1990, month))
    method = Kriging()
    given = np.where(mask, truth, np.nan)
    fitted = method.calibrate(
        Observations("tas", given, mask, None, context.time, FINE, None, Source("", "", (), (), ""))
    )
    assert f"from at most {MOST_NEIGHBOURS} observed cells" in fitted
    found = method.reconstruct(given, mask, None, month, context)
    error = (found.mean - truth)[:, 25:55, 50:90]
    assert np.sqrt((error**2).mean()) < 0.1 * truth[:, 25:55, 50:90].std()
    assert np.abs(found.mean - truth)[mask].max() < 0.05
    assert found.stddev is not None
    assert found.stddev[:, 25:55, 50:90].mean() > 5 * found.stddev[mask].mean()


def haversine(lat: np.ndarray, lon: np.ndarray, to_lat: np.ndarray, to_lon: np.ndarray) -> np.ndarray:
    """(N, M) km between places in degrees."""
    y, x, to_y, to_x = (np.deg2rad(one) for one in (lat[:, None], lon[:, None], to_lat[None], to_lon[None]))
    square = np.sin((y - to_y) / 2) ** 2 + np.cos(y) * np.cos(to_y) * np.sin((x - to_x) / 2) ** 2
    return np.asarray(2 * 6371.0 * np.arcsin(np.sqrt(square)))


@pytest.mark.parametrize(("grid", "accuracy"), [(COARSE, 1e-3), (FINE, 0.3)])
def test_the_western_border_counts_by_distance_alone(grid: Grid, accuracy: float) -> None:
    """A value at one border changes the other as ordinary kriging, solved here by its own equations, lets it: no wrap.

    From neighbourhoods the level of the month is that of the observations nearby: a value at the other border has no share.
    """
    rows, columns = grid.shape
    context, month = Context(grid, Months.of(1990, 1)), np.array([1])
    mask = np.zeros((1, rows, columns), bool)
    mask[0, ::4, 4:-4:4] = True
    mask[0, rows // 2, 0] = True
    values = np.zeros(mask.shape)
    values[0, rows // 2, 0] = 10.0
    change = Kriging(Covariance(RANGE, 1.0, NUGGET)).reconstruct(values, mask, None, month, context).mean[0]
    row, column = np.nonzero(mask[0])
    lat, lon = grid.lat[row], grid.lon[column]
    system = np.ones((len(row) + 1, len(row) + 1))
    system[:-1, :-1] = np.exp(-haversine(lat, lon, lat, lon) / RANGE) + NUGGET * np.eye(len(row))
    system[-1, -1] = 0.0
    for side in (0, columns - 1):
        right = np.ones((len(row) + 1, rows))
        right[:-1] = np.exp(-haversine(lat, lon, grid.lat, np.full(rows, grid.lon[side])) / RANGE)
        expected = values[0][row, column] @ np.linalg.solve(system, right)[:-1]
        np.testing.assert_allclose(change[:, side], expected, atol=accuracy)
    assert change[rows // 2, 0] > 7.0
    assert np.abs(change[:, -1]).max() < 0.2  # its share in the month's level


@pytest.mark.parametrize("method", [InverseDistance, lambda: Kriging(Covariance(RANGE, 1.0, 0.1))])
def test_methods_agree_below_and_above_the_limit(
    method: Callable[[], Kriging | InverseDistance], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid(np.arange(40.0, 56.0), np.arange(0.0, 22.0))
    values = np.random.default_rng(0).normal(size=(2, *grid.shape))
    mask = np.random.default_rng(1).random(values.shape) < 0.3
    context, month = Context(grid, Months.of(1990, np.array([1, 2]))), np.array([1, 2])
    exact = method().reconstruct(values, mask, None, month, context).mean
    for module in (kriging_module, covariance):
        monkeypatch.setattr(module, "AT_ONCE", 100)
    monkeypatch.setattr(covariance, "_ROWS", 50)
    np.testing.assert_allclose(method().reconstruct(values, mask, None, month, context).mean, exact, atol=2e-5)


def test_distances_come_in_rows() -> None:
    (only,) = distances_by_rows(FIVE_DEGREES)
    np.testing.assert_array_equal(only[1], great_circle(FIVE_DEGREES))
    parts = list(distances_by_rows(FINE))
    assert sum(len(distance) for _, distance in parts) == FINE.area.size
    assert max(distance.nbytes for _, distance in parts) < 40e6


def test_a_covariance_is_fitted_to_cells_that_are_observed() -> None:
    mask = seen(FINE)[None]
    cells = sample_of_cells(mask, np.random.default_rng(0))
    assert len(cells) == 2000
    assert len(set(cells)) == 2000
    assert mask.reshape(-1)[cells].all()
