from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from climrecon.fields import Months
from climrecon.grid import FIVE_DEGREES, NINO34, Grid, hemispheric_mean, weighted_mean
from climrecon.output.series import Series, highest_years, make_series, trends
from helpers.made_up import make_product


def series_of(first: int, last: int, slope: float) -> Series:
    time = Months(np.arange(first * 12, last * 12 + 12))
    values = slope * (time.year - first).astype(float)
    flat = np.ones(len(time))
    return Series(time, values - 0.1, values, 0.1 * flat, {"global": flat, "NH": flat, "SH": flat})


def test_hemispheres_count_equally_whatever_their_coverage() -> None:
    grid = Grid.regular(4, 4)
    field = np.full((1, 4, 4), np.nan)
    field[0, 2:] = 1.0
    field[0, 0, 0] = 0.0
    assert hemispheric_mean(field, grid)[0] == pytest.approx(0.5)
    field[0, 0, 0] = np.nan
    assert np.isnan(hemispheric_mean(field, grid)[0])


def test_nino_box_is_weighted_with_its_overlap() -> None:
    weights = FIVE_DEGREES.region_weights(NINO34)
    assert (weights > 0).sum() == 20
    coarse = Grid.regular(9, 18)
    cut = coarse.region_weights(NINO34)
    # Cells of 20 degrees: the box is half of one row, and 50 of 20-degree columns.
    assert cut.sum() == pytest.approx(weights.sum())
    assert (cut > 0).sum() == 3


def test_trends_by_hand() -> None:
    found = trends(series_of(1850, 2024, 0.01))
    assert [(t.first, t.last) for t in found] == [(1850, 2018), (1901, 2018), (1998, 2012), (1850, 2024)]
    for trend in found:
        assert trend.ours == pytest.approx(0.1)
        assert trend.raw == pytest.approx(0.1)
        assert trend.half == pytest.approx(0.0, abs=1e-9)
    assert [(t.first, t.last) for t in trends(series_of(1900, 1950, 0.02))] == [(1900, 1950)]
    assert trends(series_of(1900, 1905, 0.02)) == []


def test_the_fit_of_a_trend_allows_for_residuals_that_persist() -> None:
    series, slow = series_of(1901, 1960, 0.01), np.repeat(0.1 * np.sin(np.arange(60) / 3.0), 12)
    white = np.repeat(0.1 * np.random.default_rng(0).normal(size=60), 12)
    persistent, independent = (trends(replace(series, ours=series.ours + one))[0].half for one in (slow, white))
    assert independent is not None
    assert persistent is None or persistent > 1.5 * independent
    x = np.arange(60) - 29.5
    left = white[::12] - white[::12].mean()
    left = left - x * (x @ left) / (x @ x)
    naive = 1.645 * 10 * np.sqrt((left @ left) / 58 / (x @ x))
    assert 0.95 * naive < independent < 1.5 * naive


def test_spread_of_a_trend_by_hand() -> None:
    # 11 years -5..5 with the same spread s: sd of the slope is s / sqrt(sum x^2) = 0.1 / sqrt(110) a year.
    (trend,) = trends(series_of(1900, 1910, 0.01))
    assert trend.reconstruction_sd == pytest.approx(10 * 0.1 / 110**0.5)
    certain = replace(series_of(1900, 1910, 0.01), ours_sd=None)
    assert trends(certain)[0].reconstruction_sd is None


def test_spread_of_a_trend_is_that_of_simulated_errors() -> None:
    rng = np.random.default_rng(3)
    series = series_of(1900, 1930, 0.0)
    years = np.repeat(np.arange(31), 12)
    sd = 0.05 + 0.01 * (years % 5)
    slopes = [
        trends(replace(series, ours=np.repeat(rng.normal(size=31), 12) * sd, ours_sd=sd))[0].ours for _ in range(400)
    ]
    stated = trends(replace(series, ours_sd=sd))[0].reconstruction_sd
    assert stated == pytest.approx(np.std(slopes), rel=0.12)


def test_highest_years() -> None:
    years = highest_years(series_of(1990, 2009, 0.1), 3)
    assert [row.year for row in years] == [2009, 2008, 2007]
    assert years[0].ours == pytest.approx(1.9)
    assert years[0].raw == pytest.approx(1.8)
    assert years[0].sd == pytest.approx(0.1)


def test_only_whole_years_are_averaged() -> None:
    time = Months(np.arange(1900 * 12 + 3, 1902 * 12))
    flat = np.ones(len(time))
    series = Series(time, flat, flat, None, {})
    assert series.annual(flat)[0].tolist() == [1901]


def test_series_of_a_product() -> None:
    product = make_product()
    series = make_series(product)
    mask = product.observations.mask
    assert series.coverage["global"][0] == pytest.approx((mask[0] * FIVE_DEGREES.area).sum())
    assert series.ours[3] == pytest.approx(float((product.infilled[3] * FIVE_DEGREES.area).sum()), abs=1e-6)
    weights = FIVE_DEGREES.region_weights(NINO34)
    assert series.indices[0].values[5] == pytest.approx(float(weighted_mean(product.infilled[5], weights)))
    assert series.ours_sd is not None


def test_the_global_series_also_without_cells_of_no_skill() -> None:
    product = make_product(24)
    unskilled = product.status == 3
    infilled = np.where(unskilled, 50.0, product.infilled).astype(np.float32)
    series = make_series(replace(product, infilled=infilled))
    assert series.skilled is not None
    want = hemispheric_mean(np.where(unskilled, np.nan, product.infilled), FIVE_DEGREES)
    np.testing.assert_allclose(series.skilled, want)
    assert abs(series.skilled).max() < 1.0 < series.ours.min()
    whole = replace(product, status=np.where(unskilled, 2, product.status).astype(np.int8))
    assert make_series(whole).skilled is None
