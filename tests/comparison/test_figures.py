"""Figures of a comparison: what they show, and what they state that they leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.fields import Months
from climrecon.grid import Grid
from climrecon.output.comparison import SeriesOfProducts, write_comparison_file
from climrecon.plots.comparison import draw_differences, draw_ranks, draw_series, draw_trends

NAMES = [f"product {number}" for number in range(7)]
YEARS = np.arange(1901, 1931)


def test_more_products_than_fit_are_counted_in_the_caption(tmp_path: Path) -> None:
    grid = Grid.regular(4, 8)
    fields = np.random.default_rng(0).normal(0.0, 1.0, (7, 4, 8))
    picture = draw_differences(grid, NAMES, fields, 0.1 * fields, (1901, 1930), "tas")
    picture.save(tmp_path / "maps.png")
    assert "2 more products are in comparison.nc" in picture.caption
    titles = [axes.get_title() for axes in picture.figure.axes if "less product 0" in axes.get_title()]
    assert len(titles) == 8
    assert titles[0].startswith("product 1 less product 0, mean")
    letters = [one.get_text() for axes in picture.figure.axes for one in axes.texts if one.get_text().startswith("(")]
    assert letters == [f"({one})" for one in "abcdefgh"]
    picture = draw_differences(grid, NAMES[:3], fields[:3], fields[:3], (1901, 1930), "tas")
    assert "more products" not in picture.caption


def row(probability: float) -> dict[str, Any]:
    return {"year": 1930, "probabilities": [probability, 1 - probability]}


def test_ranks_are_of_products_with_a_spread_alone() -> None:
    ranks = [{"product": name, "coverage": "own", "from": "", "years": [row(1.0)]} for name in NAMES]
    assert draw_ranks(ranks, "Warmest years") is None
    known = [{**one, "from": "9 members"} for one in ranks]
    picture = draw_ranks([*ranks, *known], "Warmest years")
    assert picture is not None
    assert "The first 4 of 7" in picture.caption


def test_series_have_a_line_for_each_product_and_bands_where_there_is_a_spread(tmp_path: Path) -> None:
    values = np.linspace(0.0, 1.0, 30)
    rows = {name: (YEARS, values + 0.1 * at, None if at else values * 0 + 0.1) for at, name in enumerate(NAMES)}
    picture = draw_series(
        rows, {name: one[:2] for name, one in rows.items()}, dict.fromkeys(NAMES, (YEARS, values)), "K", "global mean"
    )
    picture.save(tmp_path / "series.png")
    top, middle, _ = picture.figure.axes
    assert [text.get_text() for text in top.get_legend().get_texts()] == NAMES
    assert len(top.collections) == 1
    np.testing.assert_allclose(middle.lines[2].get_ydata(), 0.3)
    assert picture.caption.endswith("Bands: 90 % range of product 0.")


def test_trends_without_an_interval_are_marks_alone() -> None:
    def entry(coverage: str, period: str | None) -> dict[str, Any]:
        rows = {name: {"period": period, "slope": 0.1, "interval": None} for name in NAMES[:2]}
        return {"coverage": coverage, "asked": "1901-1930", "products": rows}

    assert draw_trends([entry("common", None), entry("own", None)], NAMES[:2], "K", "global mean") is None
    picture = draw_trends([entry("common", "1901-1930"), entry("own", None)], NAMES[:2], "K", "global mean")
    assert picture is not None
    left, right = picture.figure.axes
    assert len(left.lines) == 3, "two marks, and the line at zero"
    assert len(right.lines) == 1


def test_names_of_products_may_have_any_letters(tmp_path: Path) -> None:
    series, names = SeriesOfProducts(Months.of(1900, 1), np.array([1900])), ["GISTEMP", "Größe"]
    write_comparison_file(tmp_path / "one.nc", Grid.regular(2, 4), "tas", names, series, None, {})
    with netCDF4.Dataset(tmp_path / "one.nc") as file:
        assert netCDF4.chartostring(file["product_name"][:], encoding="utf-8").tolist() == names
