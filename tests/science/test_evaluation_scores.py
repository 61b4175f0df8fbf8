"""Scores against independent libraries, and what perfect, climatological and shuffled reconstructions get."""

from __future__ import annotations

import numpy as np
import properscoring
import pytest
from scipy import fft, stats

from climrecon.fields import Months
from climrecon.grid import GLOBE, NINO34, Grid
from climrecon.scores import paired, scores
from climrecon.scores.masked_truth import LEVELS, RAW, MaskedTruth, MethodOutput, raw_mean, sums_of
from climrecon.scores.paired import in_words
from climrecon.scores.series import annual_means, series_scores
from climrecon.scores.table import score_methods

GRID = Grid.regular(12, 24)
YEARS = 12
TIME = Months(np.arange(1900 * 12, (1900 + YEARS) * 12))


@pytest.fixture(scope="module")
def known() -> MaskedTruth:
    rng = np.random.default_rng(0)
    warming = 0.03 * np.arange(len(TIME))[:, None, None] / 12.0
    common = rng.normal(size=(len(TIME), 1, 1)) * 0.2
    truth = warming + common + rng.normal(size=(len(TIME), *GRID.shape))
    truth[:, 0, 0] = np.nan  # a cell whose truth is not known
    mask = (rng.random(truth.shape) < 0.4) & np.isfinite(truth)
    return MaskedTruth("made up", truth, mask, TIME, GRID)


def table(known: MaskedTruth, methods: dict[str, MethodOutput], reference: str | None = None) -> dict:  # type: ignore[type-arg]
    return score_methods({name: [sums_of(known, made)] for name, made in methods.items()}, reference)


def test_crps_and_log_score_are_those_of_other_libraries() -> None:
    rng = np.random.default_rng(1)
    mean, sd, truth = rng.normal(size=500), rng.uniform(0.1, 2.0, 500), rng.normal(size=500)
    np.testing.assert_allclose(
        scores.crps_normal(mean, sd, truth), properscoring.crps_gaussian(truth, mu=mean, sig=sd), atol=1e-10
    )
    np.testing.assert_allclose(
        scores.log_score_normal(mean, sd, truth), -stats.norm.logpdf(truth, mean, sd), atol=1e-10
    )
    np.testing.assert_allclose(
        scores.probability_transform(mean, sd, truth), stats.norm.cdf(truth, mean, sd), atol=1e-12
    )


def test_series_scores_are_those_of_scipy() -> None:
    rng = np.random.default_rng(2)
    when = np.arange(60) / 12.0
    truth = 0.4 * when + rng.normal(size=60)
    ours = 0.9 * truth + 0.3 * rng.normal(size=60) + 0.1
    found = series_scores(ours, truth, when)
    lines = [stats.linregress(when, series) for series in (ours, truth)]
    left = [series - line.intercept - line.slope * when for series, line in zip((ours, truth), lines, strict=True)]
    assert found["r"] == pytest.approx(stats.pearsonr(ours, truth).statistic)
    assert found["r_detrended"] == pytest.approx(stats.pearsonr(*left).statistic)
    assert found["trend_ratio"] == pytest.approx(lines[0].slope / lines[1].slope)
    assert found["bias"] == pytest.approx(ours.mean() - truth.mean())
    assert found["rmse"] == pytest.approx(np.sqrt(((ours - truth) ** 2).mean()))
    gone = np.where(np.arange(60) % 5 == 0, np.nan, ours)
    assert series_scores(gone, truth, when)["rmse"] == pytest.approx(np.sqrt(np.nanmean((gone - truth) ** 2)))


def test_scores_of_cells_are_weighted_means_over_what_was_missing(known: MaskedTruth) -> None:
    rng = np.random.default_rng(3)
    truth = np.nan_to_num(known.truth)
    made = MethodOutput(truth + rng.normal(size=truth.shape), rng.uniform(0.5, 1.5, truth.shape))
    found = table(known, {"some": made})["some"]
    counted = np.isfinite(known.truth) & ~known.mask
    weights = np.broadcast_to(GRID.area, truth.shape)[counted]
    error = (made.mean - truth)[counted]
    assert found["cells"]["rmse"] == pytest.approx(np.sqrt(np.average(error**2, weights=weights)), abs=1e-4)
    assert found["cells"]["bias"] == pytest.approx(np.average(error, weights=weights), abs=1e-4)
    crps = properscoring.crps_gaussian(truth[counted], mu=made.mean[counted], sig=made.stddev[counted])
    assert found["cells"]["crps"] == pytest.approx(np.average(crps, weights=weights), abs=1e-4)
    for level, actual in zip(LEVELS, found["reliability"]["actual"], strict=True):
        low, high = stats.norm.interval(level, made.mean[counted], made.stddev[counted])
        inside = (truth[counted] >= low) & (truth[counted] <= high)
        assert actual == pytest.approx(np.average(inside, weights=weights), abs=1e-4)
    assert sum(found["reliability"]["histogram"]) == pytest.approx(1.0, abs=1e-3)
    by_decade = [(row["rmse"], row["n_months"]) for row in found["decades"]]
    assert [months for _, months in by_decade] == [120, 24]
    everything = score_methods({"x": [sums_of(known, made), sums_of(known, made)]}, None)["x"]
    assert everything["cells"] == found["cells"]


def test_a_perfect_reconstruction_is_perfect(known: MaskedTruth) -> None:
    truth = np.nan_to_num(known.truth)
    found = table(known, {"perfect": MethodOutput(truth, np.full(truth.shape, 0.1))})["perfect"]
    assert found["cells"]["rmse"] == 0.0
    assert found["cells"]["bias"] == 0.0
    assert found["cells"]["covers_50"] == 1.0
    for region in found["regions"].values():
        for step in ("annual", "monthly"):
            assert region[step]["r"] == pytest.approx(1.0)
            assert region[step]["r_detrended"] == pytest.approx(1.0)
            assert region[step]["rmse"] == 0.0
            assert region[step]["trend_ratio"] == pytest.approx(1.0)


def test_a_climatological_reconstruction_errs_by_the_spread_of_the_truth(known: MaskedTruth) -> None:
    truth = np.nan_to_num(known.truth)
    counted = known.scored
    weights = np.broadcast_to(GRID.area, truth.shape)[counted]
    spread = np.sqrt(np.average(truth[counted] ** 2, weights=weights))
    made = MethodOutput(np.zeros(truth.shape), np.full(truth.shape, spread))
    found = table(known, {"climatology": made})["climatology"]
    assert found["cells"]["rmse"] == pytest.approx(spread, abs=1e-4)
    # The CRPS of a right normal climatology is its sd / sqrt(pi); here it is nearly normal.
    assert found["cells"]["crps"] == pytest.approx(spread / np.sqrt(np.pi), rel=0.03)
    assert found["cells"]["covers_90"] == pytest.approx(0.9, abs=0.01)
    annual = found["regions"]["global"]["annual"]
    assert annual["r"] is None
    assert annual["trend_ratio"] == 0.0
    actual, nominal = found["reliability"]["actual"], found["reliability"]["nominal"]
    np.testing.assert_allclose(actual, nominal, atol=0.02)


def test_a_shuffled_reconstruction_errs_by_root_two_of_the_spread(known: MaskedTruth) -> None:
    truth = np.nan_to_num(known.truth)
    shuffled = truth[np.random.default_rng(4).permutation(len(truth))]
    good = MethodOutput(truth + 0.5 * np.random.default_rng(5).normal(size=truth.shape))
    found = table(known, {"good": good, "shuffled": MethodOutput(shuffled)}, "good")
    about = truth - truth.mean(axis=0)
    spread = np.sqrt((GRID.area * about**2)[known.scored].sum() / (GRID.area * known.scored).sum())
    assert found["shuffled"]["cells"]["rmse"] == pytest.approx(np.sqrt(2) * spread, rel=0.03)
    assert abs(found["shuffled"]["regions"]["global"]["monthly"]["r_detrended"]) < 0.25
    assert found["shuffled"]["paired"]["rmse"]["first_is"] == "worse"
    assert found["good"]["paired"] == {}


def test_better_is_said_of_what_is_better_and_of_nothing_else(known: MaskedTruth) -> None:
    truth, rng = np.nan_to_num(known.truth), np.random.default_rng(6)
    one, other, worse = (
        MethodOutput(truth + size * rng.normal(size=truth.shape), np.full(truth.shape, size))
        for size in (0.5, 0.5, 0.6)
    )
    found = table(known, {"one": one, "other": other, "worse": worse}, "other")
    assert found["worse"]["paired"]["rmse"]["first_is"] == "worse"
    assert found["worse"]["paired"]["crps"]["first_is"] == "worse"
    assert found["one"]["paired"]["rmse"]["first_is"] == "does not differ significantly"
    low, high = found["one"]["paired"]["rmse"]["interval"]
    assert low < found["one"]["paired"]["rmse"]["difference"] < high
    assert in_words(found["worse"]["paired"]["rmse"], "other", "K") == "RMSE worse than that of other"
    assert f"not significant (90 % interval {low:+.3f} to {high:+.3f})" in in_words(
        found["one"]["paired"]["rmse"], "other", "K"
    )
    turned = table(known, {"worse": worse, "other": other}, "worse")["other"]["paired"]["rmse"]
    assert turned["first_is"] == "better"
    assert turned["difference"] == pytest.approx(-found["worse"]["paired"]["rmse"]["difference"], abs=1e-4)


def test_the_interval_is_that_of_the_first_cosine_coefficients() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.gamma(2.0, size=40), rng.gamma(2.2, size=40)
    found = paired.difference(first, second, np.ones(40), [40], root=False)
    differences = first - second
    assert found["difference"] == pytest.approx(differences.mean())
    slow = fft.dct(differences, norm="ortho")[1:6]  # 0.4 n^(2/3) = 4.7
    half = stats.t.ppf(0.95, 5) * np.sqrt((slow**2).mean() / 40)
    np.testing.assert_allclose(found["interval"], [differences.mean() - half, differences.mean() + half])
    small = paired.difference(1.0 + 1e-4 * first, 1.0 + 1e-4 * second, np.ones(40), [40])
    assert small["difference"] == pytest.approx(0.5e-4 * found["difference"], rel=1e-3)
    np.testing.assert_allclose(small["interval"], 0.5e-4 * np.array(found["interval"]), rtol=1e-2, atol=1e-8)


def test_years_without_weight_and_joins_of_records_do_not_count() -> None:
    rng = np.random.default_rng(8)
    first, second, weights = rng.gamma(20.0, size=35), rng.gamma(20.0, size=35), np.ones(35)
    offset = np.repeat([0.0, 500.0], [27, 8])  # one record is much more difficult for both methods
    apart = paired.difference(first + offset, second + offset, weights, [27, 8], root=False)
    near = paired.difference(first, second, weights, [27, 8], root=False)
    np.testing.assert_allclose(apart["interval"], near["interval"], rtol=1e-9)
    padded = [np.insert(one, 5, 0.0) for one in (first, second, weights)]
    assert paired.difference(padded[0], padded[1], padded[2], [28, 8], root=False)["interval"] == pytest.approx(
        near["interval"]
    )
    few = np.array([1.0, 2.0, 3.0, 4.0])
    assert paired.difference(few, few[::-1], np.ones(4), [4])["interval"] is None
    assert paired.difference(first, first, weights, [35])["first_is"] == paired.SIMILAR
    assert paired.difference(np.zeros(35), second, weights, [35])["first_is"] == paired.BETTER


@pytest.mark.parametrize("records", [[150], [40], [10], [12, 12, 12]])
@pytest.mark.parametrize("persistence", [0.0, 0.5])
def test_equal_methods_are_called_different_in_a_tenth_of_the_records(records: list[int], persistence: float) -> None:
    """Years are difficult for both methods alike; the errors of each are its own, and go on to the next year."""
    rng, trials = np.random.default_rng(9), 1500
    white = rng.normal(size=(trials, 3, sum(records)))
    starts = set(np.cumsum([0, *records]))
    for year in range(sum(records)):
        if year not in starts:
            white[..., year] = persistence * white[..., year - 1] + np.sqrt(1 - persistence**2) * white[..., year]
    first, second = np.exp(0.4 * white[:, :1] + 0.2 * white[:, 1:]).transpose(1, 0, 2)
    weights = rng.uniform(0.5, 1.5, (trials, sum(records)))
    called = [
        paired.difference(own * one, own * other, own, records)["first_is"]
        for one, other, own in zip(first, second, weights, strict=True)
    ]
    alarms = 1.0 - called.count(paired.SIMILAR) / trials
    assert 0.07 <= alarms <= (0.13 if persistence == 0.0 else 0.15), alarms


def test_the_raw_mean_is_that_of_what_was_observed(known: MaskedTruth) -> None:
    observed = np.where(known.mask, known.truth, np.nan)
    made = raw_mean(known, observed)
    month = 5
    weights = np.where(known.mask[month], GRID.area, 0.0)
    whole = np.average(np.nan_to_num(known.truth[month]), weights=weights)
    assert made.mean[month, 3, 4] == pytest.approx(whole)
    assert made.region_mean[GLOBE.name][month] == pytest.approx(whole)
    box = GRID.region_weights(NINO34)
    hidden = MaskedTruth("", known.truth, known.mask & (box == 0), TIME, GRID)
    fallen_back = raw_mean(hidden, np.where(hidden.mask, known.truth, np.nan))
    assert fallen_back.region_mean[NINO34.name][month] == fallen_back.mean[month, 0, 0]
    assert RAW == "raw_mean"


def test_realisations_that_are_right_cover_annual_means_as_often_as_they_say() -> None:
    rng = np.random.default_rng(9)
    time = Months(np.arange(1800 * 12, 2000 * 12))
    grid = Grid.regular(6, 12)
    truth = rng.normal(size=(len(time), *grid.shape))
    known = MaskedTruth("", truth, np.zeros(truth.shape, bool), time, grid)
    error, sd = rng.normal(size=len(time)) * 0.3, np.full(len(time), 0.3)
    draws = 0.3 * rng.normal(size=(60, len(time)))
    made = MethodOutput(truth + error[:, None, None], None, {"global": sd}, {"global": draws})
    found = table(known, {"right": made})["right"]["regions"]["global"]
    assert found["monthly"]["covers_90"] == pytest.approx(0.9, abs=0.02)
    assert found["annual"]["covers_90"] == pytest.approx(0.9, abs=0.06)
    years, means = annual_means(truth[:, 0, 0], time)
    assert len(years) == 200
    assert means[3] == pytest.approx(truth[36:48, 0, 0].mean())
