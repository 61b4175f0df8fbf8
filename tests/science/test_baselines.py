from __future__ import annotations

import numpy as np
import pytest

from climrecon.fields import Context, Months, Observations, Source
from climrecon.grid import Grid
from climrecon.methods import kriging
from climrecon.methods.kriging import Covariance, Kriging, fit_covariance
from climrecon.methods.observation_ensemble import reconstruct_members
from climrecon.methods.priors.covariance import exponential, great_circle
from climrecon.methods.registry import build, registered

GRID = Grid.regular(4, 8)
CONTEXT = Context(GRID, Months.of([1900, 1900], [1, 2]))


def three_points() -> tuple[np.ndarray, np.ndarray, list[int]]:
    cells = [3, 12, 22]
    mask = np.zeros((2, 32), dtype=bool)
    mask[:, cells] = True
    values = np.full((2, 32), np.nan)
    values[0, cells] = [1.0, -0.5, 2.0]
    values[1, cells] = [0.2, 0.1, -1.0]
    return values.reshape(2, 4, 8), mask.reshape(2, 4, 8), cells


def test_kriging_solves_the_kriging_system() -> None:
    values, mask, cells = three_points()
    model = Covariance(3000.0, 1.3, 0.2)
    estimate = Kriging(model).reconstruct(values, mask, None, np.array([1, 2]), CONTEXT)
    correlation = exponential(great_circle(GRID), 3000.0)
    # The textbook system with a Lagrange multiplier (Cressie 1993, eq. 3.2.12).
    system = np.zeros((4, 4))
    system[:3, :3] = correlation[np.ix_(cells, cells)] + 0.2 * np.eye(3)
    system[3, :3] = system[:3, 3] = 1.0
    for cell in (0, 3, 17):
        right = np.append(correlation[cells, cell], 1.0)
        weights = np.linalg.solve(system, right)
        assert weights[:3].sum() == pytest.approx(1.0)
        want = weights[:3] @ values.reshape(2, -1)[0, cells]
        variance = 1.3**2 * (1.0 - weights @ right)
        assert estimate.mean.reshape(2, -1)[0, cell] == pytest.approx(want, abs=1e-5)
        assert estimate.stddev.reshape(2, -1)[0, cell] == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_kriging_draws_and_regional_spread_agree() -> None:
    values, mask, _ = three_points()
    estimate = Kriging(Covariance(3000.0, 1.0, 0.1)).reconstruct(values, mask, None, np.array([1, 2]), CONTEXT)
    draws = estimate.sample(6000, 1)
    assert draws.shape == (6000, 2, 4, 8)
    weights = GRID.area
    means = (draws * weights).sum((2, 3))
    np.testing.assert_allclose(means.std(0), estimate.area_mean_sd(weights), rtol=0.05)
    np.testing.assert_allclose(draws.std(0), estimate.stddev, atol=0.05)


@pytest.mark.parametrize(
    ("grid", "range_km"),
    [(Grid.regular(18, 36), 1500.0), (Grid(np.linspace(50.0, 50.36, 19), np.linspace(8.0, 9.08, 37)), 8.0)],
)
def test_kriging_finds_the_covariance_it_was_made_with(grid: Grid, range_km: float) -> None:
    distance, rng = great_circle(grid), np.random.default_rng(0)
    truth = Covariance(range_km, 0.8, 0.3)
    root = np.linalg.cholesky(exponential(distance, truth.range_km) + 1e-9 * np.eye(648))
    fields = 0.4 + truth.sd * (rng.normal(size=(24, 648)) @ root.T)
    fields += truth.sd * np.sqrt(truth.nugget) * rng.normal(size=fields.shape)
    found = fit_covariance(fields, rng.random(fields.shape) < 0.5, distance)
    assert found.range_km == pytest.approx(range_km, rel=0.25)
    assert found.sd == pytest.approx(0.8, rel=0.15)
    assert found.nugget == pytest.approx(0.3, rel=0.35)


def test_a_month_without_observations_is_unsure() -> None:
    values, mask, _ = three_points()
    mask[1] = False
    estimate = Kriging(Covariance(3000.0, 1.0, 0.1)).reconstruct(values, mask, None, np.array([1, 2]), CONTEXT)
    assert (estimate.mean[1] == 0).all()
    assert (estimate.stddev[1] > 2.9).all()


@pytest.mark.parametrize("name", sorted(set(registered()) - {"oi"}))  # oi: see test_pattern_baselines.py
def test_every_baseline_gives_complete_fields(name: str) -> None:
    values, mask, _ = three_points()
    method = build(name)
    assert method is not None
    estimate = method.reconstruct(values, mask, None, np.array([1, 2]), CONTEXT)
    assert estimate.mean.shape == values.shape
    assert np.isfinite(estimate.mean).all()
    assert method.name == name


def test_inverse_distance_is_nearest_where_observed() -> None:
    values, mask, cells = three_points()
    estimate = build("idw").reconstruct(values, mask, None, np.array([1, 2]), CONTEXT)
    flat = estimate.mean.reshape(2, -1)
    assert flat[0, cells[2]] == pytest.approx(2.0, abs=0.1)
    assert flat[0].min() > -0.5
    assert flat[0].max() < 2.0
    with pytest.raises(KeyError):
        build("nothing")


def test_kriging_of_members_is_that_of_each_and_does_not_depend_on_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, mask, _ = three_points()
    mask[1].reshape(-1)[12] = False  # another mask, other equations
    method, month = Kriging(Covariance(3000.0, 1.3, 0.2)), np.array([1, 2])
    members = np.stack([values, values + 0.5, -values])
    together = method.same_mask_means(members, mask, None, month, CONTEXT)
    each = [method.reconstruct(one, mask, None, month, CONTEXT) for one in members]
    np.testing.assert_allclose(together, [one.mean for one in each], atol=1e-6)
    monkeypatch.setattr(kriging, "KEPT_BYTES", 0)
    again = method.reconstruct(values, mask, None, month, CONTEXT)
    np.testing.assert_array_equal(again.sample(3, 1), each[0].sample(3, 1))
    np.testing.assert_array_equal(again.area_mean_sd(GRID.area), each[0].area_mean_sd(GRID.area))
    np.testing.assert_array_equal(again.sample(5, 1)[:3], again.sample(3, 1))  # also of how many are asked for


def test_many_members_are_kriged_as_one_by_one_with_empty_months_and_gaps_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, mask, _ = three_points()
    mask[1] = False
    method, rng, told = Kriging(Covariance(3000.0, 1.3, 0.2)), np.random.default_rng(0), []
    observations = Observations("tas", values, mask, None, CONTEXT.time, GRID, None, Source("x", "", (), (), "tas"))
    members = [np.where(mask, values + rng.normal(), np.nan) for _ in range(Kriging.capabilities.members_at_once + 3)]
    found = reconstruct_members(method, observations, members, told.append)
    assert told == list(range(1, len(members) + 2))
    monkeypatch.delattr(Kriging, "same_mask_means")
    again = reconstruct_members(method, observations, members)
    np.testing.assert_allclose(found.observational_stddev, again.observational_stddev, atol=1e-6)
    assert (found.observational_stddev[1] == 0).all()
    assert np.isfinite(found.mean).all()


def test_draws_are_the_same_whether_equations_are_kept_or_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    values, mask, _ = three_points()
    draws = []
    for room in (kriging.KEPT_BYTES, 0):
        monkeypatch.setattr(kriging, "KEPT_BYTES", room)
        estimate = Kriging(Covariance(3000.0, 1.3, 0.2)).reconstruct(values, mask, None, np.array([1, 2]), CONTEXT)
        draws.append(estimate.sample(3, 5))
    np.testing.assert_array_equal(*draws)
    assert draws[0].std() > 0


def test_kriging_draws_go_together_as_the_kriging_errors_do() -> None:
    values, mask, cells = three_points()
    estimate = Kriging(Covariance(3000.0, 1.0, 0.1)).reconstruct(values, mask, None, np.array([1, 2]), CONTEXT)
    correlation = exponential(great_circle(GRID), 3000.0)
    system = np.zeros((4, 4))
    system[:3, :3] = correlation[np.ix_(cells, cells)] + 0.1 * np.eye(3)
    system[3, :3] = system[:3, 3] = 1.0
    weights = np.linalg.solve(system, np.vstack([correlation[cells], np.ones(32)]))[:3]
    # The error of x - W' (x + e), by its definition.
    away = np.eye(32)
    away[:, cells] -= weights.T
    want = away @ correlation @ away.T + 0.1 * weights.T @ weights
    found = np.cov(estimate.sample(20000, 3)[:, 0].reshape(20000, 32).T)
    np.testing.assert_allclose(found, want, atol=0.05)
    observed = np.ix_(cells, cells)  # small there, and not hidden by what is large elsewhere
    np.testing.assert_allclose(found[observed], want[observed], atol=0.006)
