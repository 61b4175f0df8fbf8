"""Figures of a comparison of products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.grid import Grid
from climrecon.plots.changes import CHANGE, scale_of
from climrecon.plots.evaluation import COLOURS
from climrecon.plots.maps import draw_map
from climrecon.plots.picture import Picture, Scale, new_figure, scales_of, tidy
from climrecon.scores.series import NINETY

#: Second sign of a product, for those who do not distinguish colours.
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_MARKS = "osD^vPX"
#: Products of one figure of maps.
MAPPED = 4


def _look(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": _LINES[number % len(_LINES)]}


def draw_series(
    rows: Mapping[str, tuple[IntArray, FloatArray, FloatArray | None]],
    common: Mapping[str, tuple[IntArray, FloatArray]],
    coverage: Mapping[str, tuple[IntArray, FloatArray]],
    units: str,
    mean: str,
) -> Picture:
    """Annual means of each product with their spread, differences to the first on common coverage, and coverage.

    Parameters
    ----------
    rows:
        Product -> years, annual means over its own cells, and their standard deviation or None.
    common, coverage:
        Product -> years and annual means over the common cells; and years and share of the area.
    """
    figure = new_figure(10.5, 9.0)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1.8, 1.2])
    (first, reference), *others = common.items()
    for number, (name, (years, values, sd)) in enumerate(rows.items()):
        look = _look(number)
        top.plot(years, values, label=name, linewidth=1.5, **look)
        if sd is not None:
            reach = NINETY * sd
            top.fill_between(years, values - reach, values + reach, color=look["color"], alpha=0.18, linewidth=0)
        bottom.plot(*coverage[name], linewidth=1.4, **look)
    for number, (_, (years, values)) in enumerate(others, 1):
        middle.plot(years, values - reference[1], linewidth=1.5, **_look(number))
    middle.axhline(0.0, color="0.4", linewidth=0.8)
    titles = (f"Annual {mean}, each product's own coverage", f"Less {first}, common coverage", "Area with values")
    for axes, title in zip((top, middle, bottom), titles, strict=True):
        axes.set_title(title, loc="left", fontsize=12)
    top.set_ylabel(units, fontsize=11)
    middle.set_ylabel(units.partition(",")[0], fontsize=11)
    bottom.set_ylabel("%", fontsize=11)
    bottom.set_ylim(0, 103)
    top.legend(frameon=False, fontsize=11, ncols=2, loc="upper left")
    for axes in (top, middle, bottom):
        tidy(axes)
        axes.tick_params(labelsize=11)
    banded = [name for name, (_, _, sd) in rows.items() if sd is not None]
    bands = f" Bands: 90 % range of {', '.join(banded)}." if banded else ""
    return Picture(
        figure,
        f"Annual {mean} of each product over its own cells (a), its difference to {first} over the cells and months that "
        f"all products have (b), and the share of the area with values (c). {units}.{bands}",
    )


def draw_trends(trends: Sequence[Mapping[str, Any]], names: Sequence[str], units: str, mean: str) -> Picture | None:
    """Trends with their intervals, a panel for each coverage; None without any."""
    shown = {
        coverage: [
            one for one in trends if one["coverage"] == coverage and any(r["period"] for r in one["products"].values())
        ]
        for coverage in ("common", "own")
    }
    if not any(shown.values()):
        return None
    figure = new_figure(10.5, 2.2 + 0.32 * len(names) * max(map(len, shown.values())))
    panels = figure.subplots(1, 2, sharex=True)
    step = len(names) + 1.5
    for axes, (coverage, entries) in zip(panels, shown.items(), strict=True):
        for at, entry in enumerate(entries):
            for number, name in enumerate(names):
                row = entry["products"][name]
                if row["period"] is None:
                    continue
                place, colour = -(at * step + number), COLOURS[number % len(COLOURS)]
                if row["interval"] is not None:
                    axes.plot(row["interval"], [place, place], color=colour, linewidth=2.0)
                if "members" in row:
                    axes.plot(row["members"]["interval"], [place - 0.3] * 2, color="0.35", linewidth=3.0)
                axes.plot(row["slope"], place, _MARKS[number % len(_MARKS)], color=colour, markersize=7,
                          label=name if at == 0 else None)  # fmt: skip
        axes.axvline(0.0, color="0.4", linewidth=0.8)
        axes.set_yticks([-(at * step + (len(names) - 1) / 2) for at in range(len(entries))],
                        [_period_of(one) for one in entries])  # fmt: skip
        axes.set_ylim(0.8 - step * max(map(len, shown.values())), 0.8)
        axes.set_title(f"{coverage.capitalize()} coverage", loc="left", fontsize=12)
        axes.set_xlabel(f"{units} per decade", fontsize=11)
        tidy(axes)
        axes.tick_params(labelsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    if not handles:
        handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=11, loc="outside upper center", ncols=4)
    return Picture(
        figure,
        f"Least-squares trends of the annual {mean} over the common coverage (a) and over each product's own (b), "
        f"{units} per decade. Lines: 90 % intervals with autocorrelated residuals; grey: 90 % of the trends of members.",
    )


def _period_of(entry: Mapping[str, Any]) -> str:
    used = dict.fromkeys(row["period"] for row in entry["products"].values() if row["period"])
    return "\n".join(used)


def draw_ranks(ranks: Sequence[Mapping[str, Any]], title: str) -> Picture | None:
    """Probability of each rank of the highest years, of products with a spread; None without any."""
    every = [one for one in ranks if one["from"]]
    shown = every[:MAPPED]
    if not shown:
        return None
    figure = new_figure(10.5, 4.4 * ((len(shown) + 1) // 2))
    panels = figure.subplots((len(shown) + 1) // 2, 2, squeeze=False).ravel()
    drawn: Any = None
    for axes, one in zip(panels, shown, strict=False):
        table = np.array([row["probabilities"] for row in one["years"]])
        drawn = axes.imshow(np.where(table > 0, table, np.nan), cmap="viridis_r", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_yticks(range(len(table)), [row["year"] for row in one["years"]])
        axes.set_xticks(range(table.shape[1]), range(1, table.shape[1] + 1))
        axes.tick_params(labelsize=10)
        axes.set_xlabel("rank", fontsize=11)
        for at, row in enumerate(table):
            for rank, value in enumerate(row):
                if value >= 0.05:
                    axes.text(rank, at, f"{100 * value:.0f}", ha="center", va="center", fontsize=9,
                              color="white" if value > 0.5 else "black")  # fmt: skip
        axes.set_title(f"{one['product']}, {one['coverage']} coverage", loc="left", fontsize=12)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    figure.colorbar(drawn, ax=panels.tolist(), label="probability", shrink=0.8)
    rest = f" The first {MAPPED} of {len(every)}; the others are in comparison.json." if len(every) > MAPPED else ""
    return Picture(figure, f"{title}: probability of each rank, per cent. White: never.{rest}")


def draw_differences(
    grid: Grid, names: Sequence[str], mean: FloatArray, trend: FloatArray, period: tuple[int, int], variable: str
) -> Picture:
    """Maps of the differences of products to the first: means and trends over a period.

    Parameters
    ----------
    names:
        The products, the first is the reference.
    mean, trend:
        (P, H, W) of the products, NaN where unknown.
    """
    others = list(names[1 : MAPPED + 1])
    figure = new_figure(12.4, 3.6 * len(others))
    places = figure.add_gridspec(len(others), 2)
    for column, (fields, what, label) in enumerate(((mean, "mean", ""), (trend, "trend", " per decade"))):
        change = fields[1 : len(others) + 1] - fields[0]
        scale = scale_of(change, CHANGE, variable)
        scale = Scale(scale.norm, scales_of(variable).difference.colours, f"{scale.label}{label}")
        for row, name in enumerate(others):
            title = f"{name} less {names[0]}, {what}"
            draw_map(figure, places[row, column], grid, change[row], scale, title, size=12, bar={"format": "%g"})
    first, last = period
    left_out = len(names) - 1 - len(others)
    rest = f" {left_out} more products are in comparison.nc." if left_out else ""
    return Picture(
        figure,
        f"Differences to {names[0]} over {first}-{last}: means (left) and least-squares trends per decade (right) of "
        f"annual means over the common cells. Grey: too few common years.{rest}",
    )
