"""The errors that an ensemble of observations samples: in the spread, the regional means and the draws, each once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from climrecon.errors import InputDataError
from climrecon.fields import Context, Estimate, Months, Observations, Source
from climrecon.grid import Grid
from climrecon.methods.by_chunks import reconstruct
from climrecon.methods.contract import Capabilities, Method
from climrecon.methods.observation_ensemble import reconstruct_members
from climrecon.methods.priors.covariance import great_circle
from climrecon.tasks.reconstruct.apply import complete_fields
from climrecon.workflow.progress import Quiet

GRID = Grid.regular(6, 12)
CELLS, MONTHS = 72, 6
DISTANCE = great_circle(GRID)
PRIOR = np.exp(-DISTANCE / 3000.0)
#: The systematic error: wide, and the same in all months.
SYSTEMATIC = 0.3**2 * np.exp(-DISTANCE / 8000.0)
OWN = 0.4


class Interpolation(Method):
    """Optimal interpolation in closed form, on a prior that is known; looks at the month before, if told to."""

    name = "exact"
    capabilities = Capabilities(uses_observation_errors=True, gives_spread=True, draws_depend_on_date_only=True)

    def __init__(self, neighbours: int = 0) -> None:
        self.capabilities = replace(self.capabilities, neighbour_months=neighbours)

    def gain(self, seen: np.ndarray, error: np.ndarray) -> np.ndarray:
        """(P, n) weights of the observed cells."""
        return np.asarray(PRIOR[:, seen] @ np.linalg.inv(PRIOR[np.ix_(seen, seen)] + np.diag(error[seen] ** 2)))

    def reconstruct(self, values, mask, obs_sd, month, context: Context) -> Estimate:  # type: ignore[no-untyped-def]
        shape, flat = values.shape, (len(values), CELLS)
        mean, covariance = np.zeros(flat), np.empty((len(values), CELLS, CELLS))
        for t, (row, seen, error) in enumerate(
            zip(values.reshape(flat), mask.reshape(flat), obs_sd.reshape(flat), strict=True)
        ):
            gain = self.gain(seen, error)
            mean[t], covariance[t] = gain @ row[seen], PRIOR - gain @ PRIOR[seen]
        if self.capabilities.neighbour_months:
            mean[1:] += 0.5 * mean[:-1]

        def sample(count: int, seed: int) -> np.ndarray:
            draws = [
                np.random.default_rng([seed, int(date)]).multivariate_normal(mean[t], covariance[t], count)
                for t, date in enumerate(context.time.index)
            ]
            return np.stack(draws, axis=1).reshape(count, *shape).astype(np.float32)

        def area_mean_sd(weights: np.ndarray) -> np.ndarray:
            w = weights.reshape(-1)
            return np.sqrt(np.einsum("i,tij,j->t", w, covariance, w))

        return Estimate(
            mean.reshape(shape).astype(np.float32),
            np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)).reshape(shape).astype(np.float32),
            None, sample, area_mean_sd,
        )  # fmt: skip


def made(months: int = MONTHS, members: int = 300) -> tuple[Observations, list[np.ndarray], np.ndarray]:
    """Observations, their members, and the truth; the systematic error in the data is none of the members'."""
    rng = np.random.default_rng(1)
    root = np.linalg.cholesky(SYSTEMATIC + 1e-9 * np.eye(CELLS))
    truth = rng.multivariate_normal(np.zeros(CELLS), PRIOR, months)
    values = truth + root @ rng.normal(size=CELLS) + OWN * rng.normal(size=truth.shape)
    shape = (months, *GRID.shape)
    mask = rng.random(shape) < 0.4
    observations = Observations(
        "tas", np.where(mask, values.reshape(shape), np.nan).astype(np.float32), mask,
        np.full(shape, OWN, np.float32), Months(np.arange(22800, 22800 + months)), GRID, (1961, 1990),
        Source("", "", (), (), ""),
    )  # fmt: skip
    white = rng.normal(size=(members, CELLS))
    if members > 2 * CELLS:  # their sample covariance is the one wanted: what follows is exact, not on average
        white -= white.mean(0)
        white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white.T))).T
    away = (white @ root.T).reshape(members, 1, *GRID.shape)
    return observations, [(observations.values + one).astype(np.float32) for one in away], truth


def test_total_variance_is_that_of_the_gaps_plus_that_of_the_systematic_error() -> None:
    observations, members, _ = made()
    method = Interpolation()
    found = reconstruct_members(method, observations, members)
    alone = method.reconstruct(
        observations.values, observations.mask, observations.obs_sd, None, Context(GRID, observations.time)
    )
    np.testing.assert_array_equal(found.mean, alone.mean)
    weights = GRID.area / GRID.area.sum()
    for t in range(MONTHS):
        seen = observations.mask[t].reshape(-1)
        gain = method.gain(seen, np.full(CELLS, OWN))
        systematic = gain @ SYSTEMATIC[np.ix_(seen, seen)] @ gain.T
        # Paper: the error of K y is (K H - 1) x + K e + K s; the first two are the stated posterior.
        expected = np.sqrt(np.diagonal(systematic))
        assert found.observational_stddev is not None
        np.testing.assert_allclose(found.observational_stddev[t].reshape(-1), expected, rtol=1e-3)
        total = alone.stddev[t].reshape(-1) ** 2 + expected**2  # type: ignore[index]
        np.testing.assert_allclose(found.stddev[t].reshape(-1) ** 2, total, rtol=1e-3)  # type: ignore[index]
        w = weights.reshape(-1)
        mean = alone.area_mean_sd(weights)[t] ** 2 + w @ systematic @ w  # type: ignore[misc]
        assert found.area_mean_sd(weights)[t] ** 2 == pytest.approx(mean, rel=1e-3)  # type: ignore[misc]


def test_draws_spread_as_stated_and_systematic_errors_last() -> None:
    observations, members, _ = made()
    found = reconstruct_members(Interpolation(), observations, members)
    draws = found.sample(900, 3)  # type: ignore[misc]
    assert abs(float((draws.std(0, ddof=1) / found.stddev).mean()) - 1.0) < 0.02
    np.testing.assert_allclose(draws.mean(0), found.mean, atol=0.15)
    weights = GRID.area / GRID.area.sum()
    series = (draws * weights).sum((2, 3))
    np.testing.assert_allclose(series.std(0, ddof=1), found.area_mean_sd(weights), rtol=0.1)  # type: ignore[misc]
    # The method's own errors of two months have nothing in common; what the months share is the systematic part.
    one, other = series[:, 0] - series[:, 0].mean(), series[:, 3] - series[:, 3].mean()
    systematic = np.array([(weights * m).sum((1, 2)) for m in members_analyses(observations, members)])
    shared = np.cov(systematic[:, 0], systematic[:, 3])[0, 1]
    assert float((one * other).mean()) == pytest.approx(shared, rel=0.25)
    # Member k modulo M, and the method's own draw.
    alone = Interpolation().reconstruct(
        observations.values, observations.mask, observations.obs_sd, None, Context(GRID, observations.time)
    )
    again = reconstruct_members(Interpolation(), observations, members[:4]).sample(6, 3)  # type: ignore[misc]
    fifth = alone.sample(6, 3)[5] + members_analyses(observations, members[1:2])[0] - alone.mean  # type: ignore[misc]
    np.testing.assert_allclose(again[5], fifth, atol=1e-5)


def members_analyses(observations: Observations, members: list[np.ndarray]) -> list[np.ndarray]:
    context = Context(GRID, observations.time)
    return [
        Interpolation().reconstruct(one, observations.mask, observations.obs_sd, None, context).mean for one in members
    ]


def test_the_truth_lies_inside_as_often_as_stated_and_not_without_the_members() -> None:
    inside = {"total": [], "alone": []}
    weights = GRID.area / GRID.area.sum()
    observations, members, _ = made(2)
    method, rng = Interpolation(), np.random.default_rng(5)
    root = np.linalg.cholesky(SYSTEMATIC + 1e-9 * np.eye(CELLS))
    total = reconstruct_members(method, observations, members).area_mean_sd(weights)  # type: ignore[misc]
    context = Context(GRID, observations.time)
    for _ in range(400):
        truth = rng.multivariate_normal(np.zeros(CELLS), PRIOR, 2)
        values = (truth + root @ rng.normal(size=CELLS) + OWN * rng.normal(size=truth.shape)).reshape(2, 6, 12)
        estimate = method.reconstruct(values, observations.mask, observations.obs_sd, None, context)
        wrong = np.abs((weights * (estimate.mean - truth.reshape(2, 6, 12))).sum((1, 2)))
        inside["total"].append(wrong <= 1.645 * total)
        inside["alone"].append(wrong <= 1.645 * estimate.area_mean_sd(weights))  # type: ignore[misc]
    assert np.mean(inside["total"]) == pytest.approx(0.9, abs=0.03)
    assert np.mean(inside["alone"]) < 0.8


def test_chunks_give_the_same_bits_as_one_piece_and_progress_counts_members() -> None:
    observations, members, _ = made(12, 3)
    method = Interpolation(neighbours=1)
    ((_, whole),) = reconstruct(method, observations, chunk=12, members=members)
    said: list[tuple[int, int]] = []
    step = lambda done, total: said.append((done, total))  # noqa: E731
    for months, part in reconstruct(method, observations, chunk=4, members=members, block=slice(4, 12), progress=step):
        for name in ("mean", "stddev", "observational_stddev"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[months], err_msg=name)
        np.testing.assert_array_equal(part.sample(5, 2), whole.sample(5, 2)[:, months])  # type: ignore[misc]
        assert (part.area_mean_sd(GRID.area) == whole.area_mean_sd(GRID.area)[months]).all()  # type: ignore[misc]
    assert said == [(4 * n, 32) for n in range(1, 9)]


def test_a_cell_without_a_members_value_has_that_of_the_observations() -> None:
    observations, members, _ = made(3, 3)
    same = [np.where(np.arange(3)[:, None, None] == 1, np.nan, one) for one in members]
    found = reconstruct_members(Interpolation(), observations, same)
    assert found.observational_stddev is not None
    assert (found.observational_stddev[1] == 0).all()
    assert (found.observational_stddev[0] > 0).all()
    with pytest.raises(InputDataError, match="two members at least; 1 were given"):
        reconstruct_members(Interpolation(), observations, members[:1])


class Silent(Interpolation):
    """States no uncertainty, as the published networks."""

    capabilities = Capabilities(uses_observation_errors=True, gives_spread=False, draws_depend_on_date_only=True)

    def reconstruct(self, *given):  # type: ignore[no-untyped-def]
        return Estimate(super().reconstruct(*given).mean)


def test_a_method_that_states_no_spread_gives_the_observational_part_alone() -> None:
    observations, members, _ = made(3, 5)
    found = reconstruct_members(Silent(), observations, members)
    assert found.stddev is None
    assert found.sample is None
    assert found.area_mean_sd is None
    assert (found.observational_stddev > 0).all()  # type: ignore[operator]


def test_a_run_collects_the_spread_of_regions_the_members_part_and_their_draws(tmp_path: Path) -> None:
    observations, members, _ = made(12, 5)
    method = Interpolation()
    whole = reconstruct_members(method, observations, members)
    found = complete_fields(
        method, observations, members=7, seed=2, scratch=tmp_path, reporter=Quiet(), ensemble=members
    )
    for name, theirs in (("stddev", found.stddev), ("observational_stddev", found.observational)):
        np.testing.assert_array_equal(theirs, getattr(whole, name))
    np.testing.assert_array_equal(found.realisations, whole.sample(7, 2))  # type: ignore[misc]
    alone = complete_fields(method, observations, members=0, seed=2, scratch=tmp_path, reporter=Quiet())
    for name, series in found.region_sd.items():
        weights = GRID.region_weights(next(region for region in GRID.regions if region.name == name))
        means = [(weights / weights.sum() * field).sum((1, 2)) for field in members_analyses(observations, members)]
        expected = np.hypot(alone.region_sd[name], np.std(means, axis=0, ddof=1))
        np.testing.assert_allclose(series, expected, rtol=1e-5)
    assert alone.observational is None
