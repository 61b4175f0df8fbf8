from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import integrate, stats

from climrecon.fields import Estimate, Months
from climrecon.grid import Grid
from climrecon.scores import scores
from climrecon.scores.suite import score_table
from climrecon.tasks.train.results import averaged


def test_rmse_and_bias_by_hand() -> None:
    estimate, truth, weights = np.array([1.0, 3.0, 9.0]), np.array([0.0, 1.0, 0.0]), np.array([3.0, 1.0, 0.0])
    assert scores.rmse(estimate, truth, weights) == pytest.approx(np.sqrt((3 * 1 + 4) / 4))
    assert scores.bias(estimate, truth, weights) == pytest.approx((3 * 1 + 2) / 4)


def test_crps_is_the_integral_of_squared_differences() -> None:
    mean, sd, truth = 0.3, 0.7, 1.1
    left = integrate.quad(lambda x: stats.norm.cdf(x, mean, sd) ** 2, -10, truth)[0]
    right = integrate.quad(lambda x: (1 - stats.norm.cdf(x, mean, sd)) ** 2, truth, 10)[0]
    got = scores.crps_normal(np.array([mean]), np.array([sd]), np.array([truth]))
    assert got[0] == pytest.approx(left + right, rel=1e-6)


def test_log_score_is_that_of_scipy() -> None:
    got = scores.log_score_normal(np.array([0.3]), np.array([0.7]), np.array([1.1]))
    assert got[0] == pytest.approx(-stats.norm.logpdf(1.1, 0.3, 0.7))


def test_interval_coverage_of_a_calibrated_forecast() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200000)
    zero, one = np.zeros_like(truth), np.ones_like(truth)
    assert scores.interval_coverage(zero, one, truth, one) == pytest.approx(0.9, abs=0.003)
    assert scores.interval_coverage(zero, 0.5 * one, truth, one) == pytest.approx(0.589, abs=0.004)


def test_correlation_and_trend() -> None:
    time = np.arange(30.0)
    wiggle = np.sin(time)
    assert scores.correlation(time + wiggle, time - wiggle) > 0.98
    assert scores.correlation(time + wiggle, time - wiggle, detrended=True) < -0.9
    assert scores.trend_ratio(0.8 * time + 3.0, time) == pytest.approx(0.8)
    years = np.array([0.0, 1.0, 2.0, 10.0])
    assert scores.trend_ratio(2.0 * years, years, years) == pytest.approx(2.0)


class Oracle:
    """Knows the truth, or a shuffled one."""

    name = "oracle"

    def __init__(self, truth: np.ndarray) -> None:
        self.truth = truth

    def reconstruct(self, values, mask, obs_sd, month, context) -> Estimate:
        return Estimate(self.truth, np.full(values.shape, 0.5), area_mean_sd=lambda weights: np.full(len(values), 0.1))


def test_perfect_climatological_and_shuffled_get_what_they_must() -> None:
    grid, rng = Grid.regular(6, 12), np.random.default_rng(0)
    time = Months(np.arange(1960 * 12, 1980 * 12))
    level = np.linspace(0, 1, 240)[:, None, None] + 0.1 * rng.normal(size=(240, 1, 1))
    truth = level + rng.normal(size=(240, 6, 12))
    mask = rng.random((6, 12)) < 0.4
    methods = {
        "perfect": lambda: Oracle(truth),
        "climatology": lambda: Oracle(np.zeros_like(truth)),
        "shuffled": lambda: Oracle(truth[rng.permutation(240)]),
    }
    table = score_table(methods, truth, np.ones(truth.shape, bool), time, grid, {"m": mask}, seeds=(0, 1))
    case = table["cases"]["m clean"]
    assert case["perfect"]["rmse"] == 0
    assert case["perfect"]["annual_mean_r_detrended"] == pytest.approx(1.0)
    assert case["perfect"]["annual_mean_trend_ratio"] == pytest.approx(1.0)
    hidden = np.broadcast_to(grid.area * ~mask, truth.shape)
    assert case["climatology"]["rmse"] == pytest.approx(np.sqrt((truth**2 * hidden).sum() / hidden.sum()), abs=1e-3)
    assert case["shuffled"]["rmse"] > 1.2 * case["climatology"]["rmse"]
    assert abs(case["shuffled"]["annual_mean_r_detrended"]) < 0.7
    assert table["response"]["perfect"]["m"] == 0.0


def test_a_member_of_a_single_year_is_scored_by_what_a_year_can_say() -> None:
    grid, rng = Grid.regular(6, 12), np.random.default_rng(1)
    mask = rng.random((6, 12)) < 0.4
    tables = []
    for years in (1, 4):
        time = Months(np.arange(1960 * 12, (1960 + years) * 12))
        truth = rng.normal(size=(12 * years, 6, 12))
        tables.append(
            score_table(
                {"perfect": lambda truth=truth: Oracle(truth)}, truth, np.ones(truth.shape, bool), time, grid,
                {"m": mask}, seeds=(0,),
            )
        )  # fmt: skip
    short, long = (table["cases"]["m clean"]["perfect"] for table in tables)
    assert short["rmse"] == short["annual_mean_bias"] == 0.0
    assert set(long) - set(short) == {"annual_mean_r_detrended", "annual_mean_trend_ratio"}
    both = averaged(tables)["cases"]["m clean"]["perfect"]
    assert both["annual_mean_trend_ratio"] == pytest.approx(1.0), "of the member that has one"
    json.dumps(both, allow_nan=False)
