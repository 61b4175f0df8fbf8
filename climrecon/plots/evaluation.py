"""Figures of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.grid import Grid
from climrecon.plots.maps import draw_map
from climrecon.plots.picture import ACCENT, OURS, RAW, Picture, new_figure, scales_of, tidy

#: Okabe & Ito's colours, ours first; the mean of observed cells is grey.
_COLOURS = (OURS, ACCENT, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#B8A500")


def colours_of(names: Sequence[str], raw: str) -> dict[str, str]:
    """A colour for each method."""
    others = [name for name in names if name != raw]
    return {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(others)} | {raw: RAW}


def draw_annual(
    records: Sequence[tuple[str, FloatArray, FloatArray, dict[str, FloatArray]]],
    colours: Mapping[str, str],
    units: str,
    mean: str = "global mean",
) -> Picture:
    """Annual means: (record, years, truth, method -> its means), and each method's error; ``mean`` names them."""
    figure = new_figure(9.0, 2.6 + 2.6 * len(records))
    panels = np.atleast_2d(figure.subplots(len(records), 2, squeeze=False))
    for row, (name, years, truth, methods) in zip(panels, records, strict=True):
        for axes in row:
            tidy(axes)
        row[0].plot(years, truth, color="black", linewidth=1.4, label="truth")
        for method, means in methods.items():
            row[0].plot(years, means, color=colours[method], linewidth=0.9, label=method)
            row[1].plot(years, means - truth, color=colours[method], linewidth=0.9)
        row[1].axhline(0.0, color="black", linewidth=0.8)
        row[0].set_title(name, loc="left", fontsize=9)
        row[0].set_ylabel(f"{mean}, {units}")
        row[1].set_ylabel(f"minus truth, {units}")
    panels[0, 0].legend(frameon=False, fontsize=8)
    return Picture(figure, f"Annual {mean} of the truth and of each method, and the error of each method, {units}.")


def draw_reliability(table: Mapping[str, Mapping[str, Any]], colours: Mapping[str, str]) -> Picture | None:
    """Nominal against actual coverage, and the histogram of probability transforms; None if no method has any."""
    known = {name: row["reliability"] for name, row in table.items() if row["reliability"]}
    if not known:
        return None
    figure = new_figure(9.0, 4.0)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        tidy(axes)
    left.plot([0, 100], [0, 100], color="black", linewidth=0.8)
    for name, row in known.items():
        nominal, actual = (100 * np.array(row[key]) for key in ("nominal", "actual"))
        left.plot(nominal, actual, color=colours[name], marker="o", markersize=3, linewidth=1.2, label=name)
        heights = np.array(row["histogram"]) * len(row["histogram"])
        right.stairs(heights, np.linspace(0, 1, len(heights) + 1), color=colours[name], linewidth=1.2)
    right.axhline(1.0, color="black", linewidth=0.8)
    left.set_xlabel("central interval, %")
    left.set_ylabel("truths inside, % of the area")
    right.set_xlabel("probability of less than the truth")
    right.set_ylabel("density; 1 is reliable")
    right.set_ylim(bottom=0.0)
    left.legend(frameon=False, fontsize=8)
    return Picture(
        figure,
        "Reliability at cells that were missing: how often the truth lies in an interval, and how evenly the truth's "
        "probability is spread (a hill: intervals too wide; a valley: too narrow; a slope: biased).",
    )


def draw_groups(
    table: Mapping[str, Mapping[str, Any]], colours: Mapping[str, str], units: str, area: str = "the globe"
) -> Picture:
    """RMSE by decade and by coverage of ``area``."""
    figure = new_figure(9.0, 4.0)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key, label in zip(panels, ("decades", "coverage"), ("decade", f"observed share of {area}"), strict=True):
        tidy(axes)
        axes.set_xlabel(label)
        labels = list(dict.fromkeys(row["label"] for rows in table.values() for row in rows[key]))
        for name, rows in table.items():
            at = [labels.index(row["label"]) for row in rows[key]]
            axes.plot(at, [row["rmse"] for row in rows[key]], color=colours[name], marker="o", markersize=3, label=name)
        axes.set_xticks(range(len(labels)), labels, fontsize=7, rotation=45)
    panels[0].set_ylabel(f"RMSE of missing cells, {units}")
    panels[0].set_ylim(bottom=0.0)
    panels[0].legend(frameon=False, fontsize=8)
    return Picture(figure, f"RMSE of the cells that were missing, by decade and by the observed share of {area}.")


def draw_cells(grid: Grid, ours: FloatArray, theirs: FloatArray, name: str, reference: str, variable: str) -> Picture:
    """RMSE of each cell of one method, and minus that of the reference; (H, W), NaN where never scored."""
    figure, scales = new_figure(10.0, 3.4), scales_of(variable)
    places = figure.add_gridspec(1, 2)
    panels = (
        (f"RMSE of {name}", ours, scales.rmse),
        (f"RMSE of {name} minus that of {reference}", ours - theirs, scales.difference),
    )
    for number, (title, field, scale) in enumerate(panels):
        draw_map(figure, places[0, number], grid, field, scale, title, size=10, bar={})
    return Picture(
        figure, f"RMSE of {name} where a cell was missing, and minus that of {reference} (violet: {name} is better)."
    )
