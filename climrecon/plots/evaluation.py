"""Figures of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from climrecon.array_types import FloatArray
from climrecon.grid import Grid
from climrecon.plots.maps import draw_map
from climrecon.plots.picture import ACCENT, OURS, RAW, Picture, new_figure, scales_of, tidy

#: Okabe & Ito's colours, ours first; the mean of observed cells is grey.
COLOURS = (OURS, ACCENT, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#B8A500")


def colours_of(names: Sequence[str], raw: str) -> dict[str, str]:
    """A colour for each method."""
    others = [name for name in names if name != raw]
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(others)} | {raw: RAW}


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


def draw_reliability(
    table: Mapping[str, Mapping[str, Any]], colours: Mapping[str, str], cells: str = "cells that were missing"
) -> Picture | None:
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
        f"Reliability at {cells}: how often the truth lies in an interval, and how evenly the truth's "
        "probability is spread (a hill: intervals too wide; a valley: too narrow; a slope: biased).",
    )


def draw_groups(
    table: Mapping[str, Mapping[str, Any]],
    surfaces: Mapping[str, Mapping[str, Mapping[str, Any]]],
    colours: Mapping[str, str],
    units: str,
    cells: str,
    area: str = "the globe",
) -> Picture:
    """RMSE, and CRPS where there is one, by decade, by coverage of ``area``, and over land and sea."""
    groups = {
        "decade": {name: rows["decades"] for name, rows in table.items()},
        f"observed share of {area}": {name: rows["coverage"] for name, rows in table.items()},
        "": {name: [{"label": key, **row} for key, row in rows.items()] for name, rows in surfaces.items()},
    }
    scores = ["rmse", *(["crps"] if any("crps" in rows["cells"] for rows in table.values()) else [])]
    figure = new_figure(11.0, 1.0 + 3.0 * len(scores))
    panels = figure.subplots(len(scores), 3, sharey="row", squeeze=False, width_ratios=(3, 3, 1))
    for line, score in zip(panels, scores, strict=True):
        for axes, (label, methods) in zip(line, groups.items(), strict=True):
            tidy(axes)
            axes.set_xlabel(label)
            labels = list(dict.fromkeys(row["label"] for rows in methods.values() for row in rows))
            for name, rows in methods.items():
                known = [row for row in rows if row.get(score) is not None]
                at, values = [labels.index(row["label"]) for row in known], [row[score] for row in known]
                axes.plot(
                    at, values, "o-" if label else "o", color=colours[name], markersize=3 if label else 5, label=name
                )
            axes.set_xticks(range(len(labels)), labels, fontsize=7, rotation=45)
            axes.set_xlim(-0.5, len(labels) - 0.5)
        line[0].set_ylabel(f"{score.upper()}, {units}")
        line[0].set_ylim(0.0, 1.05 * line[0].get_ylim()[1])
    panels[0, 0].legend(frameon=False, fontsize=8)
    which = " and ".join(score.upper() for score in scores)
    return Picture(
        figure, f"{which} of the {cells}, by decade, by the observed share of {area}, and over land and sea, {units}."
    )


def draw_spread(
    spread_skill: Mapping[str, Mapping[str, Any]],
    realisations: Mapping[str, Mapping[str, Any]],
    colours: Mapping[str, str],
    units: str,
    cells: str,
) -> Picture | None:
    """RMSE by the stated standard deviation, and ranks of the truth among realisations; None if there is neither."""
    if not spread_skill:
        return None
    figure = new_figure(9.0 if realisations else 7.0, 4.0)
    left, *others = figure.subplots(1, 1 + bool(realisations), squeeze=False)[0]
    tidy(left)
    for name, rows in spread_skill.items():
        left.plot(rows["spread"], rows["rmse"], "o-", color=colours[name], markersize=3, linewidth=1.2, label=name)
    limit = max(left.get_xlim()[1], left.get_ylim()[1])
    left.plot([0, limit], [0, limit], color="black", linewidth=0.8)
    left.set_xlabel(f"stated standard deviation, {units}")
    left.set_ylabel(f"RMSE, {units}")
    left.legend(frameon=False, fontsize=8)
    caption = f"RMSE at {cells}, by tenths of the stated standard deviation (on the line: as large as stated)."
    for right in others:
        tidy(right)
        for name, rows in realisations.items():
            heights = np.array(rows["rank_histogram"], dtype=float)
            right.stairs(heights, np.linspace(0, 1, len(heights) + 1), color=colours[name], linewidth=1.2)
        right.axhline(1.0, color="black", linewidth=0.8)
        right.set_ylim(bottom=0.0)
        right.set_xlabel("share of realisations below the truth")
        right.set_ylabel("frequency; 1 is reliable")
        caption += " Right: rank of the truth among realisations (a hill: they vary too much; a valley: too little)."
    return Picture(figure, caption)


def draw_scales(
    variogram: Mapping[str, Any],
    spectrum: Mapping[str, Any] | None,
    colours: Mapping[str, str],
    units: str,
    *,
    observed: bool = False,
) -> Picture:
    """Variograms, and spectra along latitude circles: truth black, estimates in full, realisations broken.

    Parameters
    ----------
    observed:
        Whether the truth are observations, and realisations have their errors too.
    """
    squared = f"{units}²" if units.isalpha() else f"({units})²"
    panels = [("distance, km", f"half the mean squared difference, {squared}", variogram["km"], variogram)]
    if spectrum is not None:
        label = f"power along latitude circles, {squared}"
        panels.insert(0, ("waves around a latitude circle", label, spectrum["waves"], spectrum))
    figure = new_figure(4.8 * len(panels) if len(panels) > 1 else 7.0, 4.0)
    for axes, (across, up, at, fields) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        tidy(axes)
        truth = "observations" if observed else "truth"
        lines = [(truth, "black", "-", fields["truth"])] if "truth" in fields else []
        for key, style, suffix in (("estimates", "-", ""), ("realisations", "--", ", one realisation")):
            lines += [(name + suffix, colours[name], style, line) for name, line in fields.get(key, {}).items()]
        for name, colour, style, values in lines:
            known = [(x, y) for x, y in zip(at, values, strict=True) if y]
            if known:
                axes.plot(*zip(*known, strict=True), style, color=colour, linewidth=1.2, label=name)
        for scale, axis, numbers in (
            (axes.set_xscale, axes.xaxis, (1.0, 2.0, 5.0)),
            (axes.set_yscale, axes.yaxis, (1.0,)),
        ):
            scale("log")
            axis.set_major_locator(LogLocator(subs=numbers))
            axis.set_major_formatter("{x:g}")  # plain: the figures here show no formulae
            axis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.legend(frameon=False, fontsize=7)
    return Picture(
        figure,
        "How much the fields vary at each scale. An estimate below the truth is smoother, as a mean of equally likely "
        "fields must be; a realisation should follow the truth."
        + (" The truth are the observations; realisations have errors as observations have." if observed else ""),
    )


def draw_cells(
    grid: Grid, ours: FloatArray, theirs: FloatArray | None, name: str, reference: str, variable: str, cells: str
) -> Picture:
    """RMSE of each cell of one method, and minus that of the reference; (H, W), NaN where never scored."""
    figure, scales = new_figure(10.0 if theirs is not None else 5.0, 3.4), scales_of(variable)
    panels, caption = [(f"RMSE of {name}", ours, scales.rmse)], f"RMSE of {name} at the {cells}"
    if theirs is not None:
        panels.append((f"RMSE of {name} minus that of {reference}", ours - theirs, scales.difference))
        caption += f", and minus that of {reference} (violet: {name} is better)"
    places = figure.add_gridspec(1, len(panels))
    for number, (title, field, scale) in enumerate(panels):
        draw_map(figure, places[0, number], grid, field, scale, title, size=10, bar={})
    return Picture(figure, f"{caption}.")
