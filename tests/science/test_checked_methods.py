"""A method whose estimate is not finite, or of another shape, ends the run with the method's name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from climrecon.errors import NetworkError
from climrecon.fields import Months, Observations, Source
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods import checked
from climrecon.methods.by_chunks import reconstruct
from climrecon.methods.contract import Capabilities, Estimate, Method

SHAPE = (3, *GRID.shape)
MASK = np.random.default_rng(0).random(SHAPE) < 0.4
OBSERVATIONS = Observations(
    "tas",
    np.where(MASK, 0.5, np.nan),
    MASK,
    None,
    Months(np.arange(3) + 1961 * 12),
    GRID,
    None,
    Source("x", "", (), (), ""),
)
FULL = np.full(SHAPE, 0.2, np.float32)
RIGHT = Estimate(FULL, FULL, FULL[0], lambda n, seed: np.stack([FULL] * n), lambda weights: np.full(3, 0.1))


def spoilt(values: Any, value: float) -> Any:
    other = np.array(values)
    other.flat[5] = value
    return other


class Given(Method):
    """Estimates what it is given."""

    name = "given"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=True)

    def __init__(self, estimate: Any, means: Any = None) -> None:
        self.estimate, self.means = estimate, means

    def reconstruct(self, values: Any, mask: Any, obs_sd: Any, month: Any, context: Any) -> Estimate:
        return self.estimate  # type: ignore[no-any-return]

    def observation_sd(self, obs_sd: Any, shape: Any) -> Any:
        return self.means

    def same_mask_means(self, values: Any, mask: Any, obs_sd: Any, month: Any, context: Any) -> Any:
        return np.stack([FULL] * len(values)) if self.means is None else self.means


def estimates(method: Method, **how: Any) -> list[Estimate]:
    return [estimate for _, estimate in reconstruct(method, OBSERVATIONS, **how)]


def test_a_right_estimate_passes_and_its_prior_may_be_one_field() -> None:
    (estimate,) = estimates(Given(RIGHT))
    assert estimate.sample is not None
    assert estimate.area_mean_sd is not None
    assert estimate.prior_stddev is not None
    assert estimate.prior_stddev.shape == SHAPE
    assert estimate.sample(4, 1).shape == (4, *SHAPE)
    assert np.allclose(estimate.area_mean_sd(np.ones(GRID.shape)), 0.1)


@pytest.mark.parametrize(
    ("estimate", "match"),
    [
        (FULL, "ndarray, no Estimate"),
        (None, "NoneType, no Estimate"),
        (replace(RIGHT, mean=spoilt(FULL, np.nan)), r"a mean with 1 of 7776 values that are not finite"),
        (replace(RIGHT, mean=spoilt(FULL, -np.inf)), "a mean with 1 of 7776 values"),
        (replace(RIGHT, mean=FULL[:1]), r"a mean of shape \(1, 36, 72\), not \(3, 36, 72\)"),
        (replace(RIGHT, mean=FULL.astype(object)), "no real numbers"),
        (replace(RIGHT, mean=FULL.astype(complex)), "no real numbers"),
        (replace(RIGHT, stddev=spoilt(FULL, np.inf)), "a standard deviation with 1 of 7776 values"),
        (replace(RIGHT, stddev=spoilt(FULL, -0.1)), "a standard deviation with values below 0"),
        (replace(RIGHT, stddev=None), "no standard deviation, which its capabilities promise"),
        (replace(RIGHT, stddev=FULL[0]), r"a standard deviation of shape \(36, 72\)"),
        (replace(RIGHT, prior_stddev=FULL[:2]), r"a prior standard deviation of shape \(2, 36, 72\)"),
        (replace(RIGHT, prior_stddev=spoilt(FULL, np.nan)), "a prior standard deviation with 1 of"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("members", [(), (OBSERVATIONS.values, OBSERVATIONS.values)], ids=["alone", "of members"])
def test_a_wrong_estimate_ends_the_run(estimate: Any, match: str, members: Any) -> None:
    with pytest.raises(NetworkError, match=f"The method given gave .*{match}") as caught:
        estimates(Given(estimate), members=members)
    assert "climrecon networks" in str(caught.value.hint)


@pytest.mark.parametrize("means", [spoilt(np.stack([FULL] * 1), np.nan), FULL])
def test_wrong_means_of_members_end_the_run(means: Any) -> None:
    with pytest.raises(NetworkError, match="means of members"):
        estimates(Given(RIGHT, means), members=(OBSERVATIONS.values, OBSERVATIONS.values))


def test_wrong_draws_and_spreads_of_means_end_the_run_when_asked_for() -> None:
    draws = replace(RIGHT, sample=lambda n, seed: spoilt(np.stack([FULL] * n), np.nan))
    (estimate,) = estimates(Given(draws))
    with pytest.raises(NetworkError, match="realisations with 1 of 15552 values"):
        estimate.sample(2, 1)  # type: ignore[misc]
    (estimate,) = estimates(Given(replace(RIGHT, sample=lambda n, seed: FULL)))
    with pytest.raises(NetworkError, match="realisations of shape"):
        estimate.sample(2, 1)  # type: ignore[misc]
    (estimate,) = estimates(Given(replace(RIGHT, area_mean_sd=lambda weights: np.array([0.1, np.nan, 0.1]))))
    with pytest.raises(NetworkError, match="regional mean with 1 of 3 values"):
        estimate.area_mean_sd(np.ones(GRID.shape))  # type: ignore[misc]


def test_wrong_errors_of_observed_cells_end_the_run() -> None:
    assert checked.observation_sd(Given(RIGHT, FULL), None, SHAPE) is FULL
    for wrong in (FULL[0], spoilt(FULL, np.nan), spoilt(FULL, -1.0)):
        with pytest.raises(NetworkError, match="errors of observed cells"):
            checked.observation_sd(Given(RIGHT, wrong), None, SHAPE)
