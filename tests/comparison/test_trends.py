"""Trends with intervals under autocorrelated residuals, and probabilities of ranks, against known truths."""

from __future__ import annotations

import numpy as np
import pytest

from climrecon.scores.trends import LEVEL, drawn, rank_probabilities, slope, trend


def residuals(years: int, persistence: float, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, years))
    found = np.empty_like(noise)
    found[:, 0] = noise[:, 0] / np.sqrt(1.0 - persistence**2)
    for year in range(1, years):
        found[:, year] = persistence * found[:, year - 1] + noise[:, year]
    return found


def share_held(years: int, persistence: float, planted: float, count: int = 1500, least: float = 0.95) -> float:
    """Share of the intervals that hold a planted trend, per decade."""
    x = np.arange(years)
    series = residuals(years, persistence, count) + planted / 10.0 * x
    intervals = [one.interval for one in (trend(x, values) for values in series) if one.interval]
    assert len(intervals) > least * count
    return float(np.mean([low <= planted <= high for low, high in intervals]))


@pytest.mark.parametrize(("years", "persistence"), [(118, 0.0), (118, 0.3), (118, 0.6), (60, 0.5)])
def test_intervals_hold_a_planted_trend_in_nine_of_ten_series(years: int, persistence: float) -> None:
    """1,500 series each: the standard error of a share of 0.9 is 0.008."""
    assert share_held(years, persistence, 0.4) == pytest.approx(LEVEL, abs=0.03)


def test_intervals_of_short_series_with_persistence_are_too_narrow() -> None:
    """The documentation states so: the few years do not tell how much they persist."""
    assert share_held(15, 0.5, 0.4, least=0.8) == pytest.approx(0.82, abs=0.03)


def test_intervals_of_independent_residuals_would_hold_it_in_far_fewer() -> None:
    x, series = np.arange(118), residuals(118, 0.6, 500)
    held = 0
    for values in series:
        found = trend(x, values)
        left = values - values.mean() - found.slope / 10.0 * (x - x.mean())
        sd = 10.0 * np.sqrt(left @ left / 116 / ((x - x.mean()) ** 2).sum())
        held += abs(found.slope) <= 1.66 * sd
    assert held / len(series) < 0.7


def test_a_trend_is_that_of_the_line_and_its_numbers_those_of_the_formulae() -> None:
    years = np.array([1901.0, 1902, 1903, 1905, 1906, 1907, 1908, 1909, 1910, 1911])
    exact = trend(years, 0.02 * years)
    assert exact.slope == pytest.approx(0.2)
    assert exact.interval == pytest.approx((0.2, 0.2), abs=1e-9)
    values = 0.02 * years + np.array([1, -1, 1, -1, 1, -1, 1, -1, 1, -1])
    found = trend(years, values)
    assert found.lag_one < 0, "no interval narrower than that of independent years"
    assert found.independent == 10
    assert found.slope == pytest.approx(10 * np.polyfit(years, values, 1)[0])
    assert slope(years, np.stack([values, values + 3])) == pytest.approx([found.slope] * 2)


def test_residuals_that_persist_throughout_give_no_interval() -> None:
    years = np.arange(12)
    found = trend(years, np.cumsum(np.cumsum(np.where(years < 6, 1.0, -1.0))))
    assert found.independent < 3
    assert found.sd is None
    assert found.interval is None


def test_ranks_have_the_planted_probabilities() -> None:
    """Year 2 is 1.0 above year 0, errors of both 0.5: it is higher with probability Phi(1 / (0.5 sqrt 2)) = 0.921."""
    draws = drawn(np.array([0.0, -9.0, 1.0]), np.full(3, 0.5), seed=1)
    table = rank_probabilities(draws, 2)
    assert table[2] == pytest.approx([0.9214, 0.0786], abs=0.01)
    assert table[0] == pytest.approx([0.0786, 0.9214], abs=0.01)
    assert table[1].sum() == 0
    assert np.array_equal(draws, drawn(np.array([0.0, -9.0, 1.0]), np.full(3, 0.5), seed=1))


def test_ranks_of_members_are_their_shares() -> None:
    members = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [1.0, 4.0, 2.0], [5.0, 4.0, 2.0]])
    assert rank_probabilities(members, 3).tolist() == [[0.25, 0.0, 0.75], [0.5, 0.5, 0.0], [0.25, 0.5, 0.25]]
