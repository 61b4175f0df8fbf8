"""Global mean and indices since the start."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.frequency import DAY, MONTH, YEAR
from climrecon.grid import weighted_mean
from climrecon.output.product import Product
from climrecon.output.series import NINETY, IndexSeries, Series
from climrecon.plots.picture import ACCENT, OURS, RAW, Picture, new_figure, tidy
from climrecon.variables import VARIABLES, Box, Index

#: A regional value with less of its area observed than this is drawn in grey.
SPARSE = 0.25
#: With fewer whole years than this the months are drawn instead.
FEWEST_YEARS = 3
BAND = "90 % band"
#: Colours and dashes of baselines, by Okabe & Ito.
_BASELINES = (("0.1", "--"), ("#CC79A7", "-."), ("#E69F00", ":"))


class _Line:
    """Positions with a NaN wherever a step is longer than ``step``, so that no line bridges a gap."""

    def __init__(self, positions: FloatArray, step: float) -> None:
        self.breaks = np.flatnonzero(np.diff(positions) > 1.5 * step) + 1
        self.x = np.insert(np.asarray(positions, dtype=float), self.breaks, np.nan)

    def y(self, values: FloatArray) -> FloatArray:
        return np.insert(np.asarray(values, dtype=float), self.breaks, np.nan)

    def marks(self, values: FloatArray) -> NDArray[np.bool_]:
        """Which points have no neighbour to be joined to."""
        joined = np.isfinite(self.y(values)) & np.isfinite(self.x)
        padded = np.pad(joined, 1)
        return np.asarray(joined & ~padded[:-2] & ~padded[2:])

    def draw(self, axes: Axes, values: FloatArray, **look: Any) -> None:
        """A line, and a dot where a point stands alone."""
        y, alone = self.y(values), self.marks(values)
        if alone.sum() == np.isfinite(y).sum():
            axes.plot(self.x, y, **look, linestyle="none", marker="o", markersize=5)
            return
        axes.plot(self.x, y, **look)
        dots = {"color": look["color"], "zorder": look.get("zorder", 2)}
        axes.plot(self.x[alone], y[alone], "o", markersize=3, **dots)

    def band(self, axes: Axes, values: FloatArray, half: FloatArray) -> None:
        """The band ``values`` +- ``half``; a bar where a point stands alone, for which a band has no width."""
        y, reach, alone = self.y(values), self.y(half), self.marks(values)
        joined = bool((np.isfinite(y) & ~alone).any())
        if joined:
            look: dict[str, Any] = {"alpha": 0.22, "linewidth": 0, "label": BAND}
            axes.fill_between(self.x, y - reach, y + reach, color=OURS, zorder=1, **look)
        if alone.any():
            look = {"alpha": 0.6, "capsize": 4, "linestyle": "none", "label": None if joined else "90 % range"}
            axes.errorbar(self.x[alone], y[alone], reach[alone], color=OURS, zorder=1, **look)


def _describe(axes: Axes, product: Product, what: str, columns: int) -> None:
    """Units, title and legend."""
    axes.set_ylabel(product.units, fontsize=9)
    axes.set_title(f"{product.observations.source.label}: {what}", fontsize=12, loc="left")
    axes.legend(frameon=False, fontsize=9, loc="upper left", ncols=columns)


def draw_global_mean(product: Product, series: Series) -> Picture:
    """Annual mean (of few years that of each step) of globe or region, the difference to the raw mean, and coverage."""
    figure = new_figure(10.5, 8.0)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1.3, 1.3])
    name, units = product.network.name, VARIABLES[product.observations.variable].units
    months = _Line(series.time.in_years, series.time.frequency.years)
    years, _ = series.annual(series.ours)
    annual = len(years) >= FEWEST_YEARS

    def means(each: FloatArray) -> FloatArray:
        return series.annual(each)[1] if annual else each

    line = _Line(years + 0.5, 1.0) if annual else months
    ours, raw = means(series.ours), means(series.raw)
    sd = series.annual_sd(series.ours_sd) if annual else series.ours_sd
    frequency = series.time.frequency
    if annual and frequency not in (YEAR, DAY):  # days would cover all else
        look = {"color": RAW, "linewidth": 0.35, "alpha": 0.6}
        top.plot(months.x, months.y(series.raw), label=f"observed cells alone, {frequency.adjective}", **look)
    line.draw(top, raw, color="0.35", linewidth=1.0, label="observed cells alone" + ", annual" * annual)
    if sd is not None:
        line.band(top, ours, NINETY * sd)
    line.draw(top, ours, color=OURS, linewidth=1.6, label=name, zorder=3)
    if series.skilled is not None:
        look = {"color": "#009E73", "linewidth": 0.9, "linestyle": ":"}
        top.plot(line.x, line.y(means(series.skilled)), label=f"{name}, without cells of no skill", zorder=3, **look)
    for other, field in product.structural.infilled.items() if product.structural else ():
        theirs = means(weighted_mean(field, product.observations.grid.area))
        line.draw(top, theirs, color=ACCENT, linewidth=0.9, alpha=0.8, label=other)
    reach = np.zeros(len(ours)) if sd is None else NINETY * sd
    shown = np.concatenate([ours - reach, ours + reach, raw[np.isfinite(raw)]])
    _give_room(top, float(shown.min()), float(shown.max()))
    top.axhline(VARIABLES[product.observations.variable].normal, color="0.6", linewidth=0.7, zorder=1)
    middle.axhline(0.0, color="0.6", linewidth=0.7, zorder=1)
    line.draw(middle, ours - raw, color=OURS if product.baselines else ACCENT, linewidth=1.1, label=name)
    middle.set_ylabel(f"{name} minus\nobserved, {units}", fontsize=9)
    for (other, field), (colour, style) in zip(product.baselines.items(), cycle(_BASELINES)):
        theirs = means(weighted_mean(field, product.observations.grid.area))
        line.draw(top, theirs, color=colour, linewidth=1.0, label=other, linestyle=style, zorder=4)
        line.draw(middle, theirs - raw, color=colour, linewidth=1.0, label=other, linestyle=style)
    _describe(top, product, f"{product.mean_in_words}{_of_region(product)}", columns=2)
    if product.baselines:
        middle.set_ylabel(f"minus observed, {units}", fontsize=9)
        middle.legend(frameon=False, fontsize=9, ncols=4, loc="upper left")
        low, high = middle.get_ylim()
        middle.set_ylim(low, high + 0.25 * (high - low))
    hemispheres = [name for name in ("NH", "SH") if name in series.coverage] or list(series.coverage)[:1]
    for region, colour in zip(hemispheres, (OURS, ACCENT), strict=False):
        months.draw(bottom, 100.0 * series.coverage[region], color=colour, linewidth=1.0, label=region)
    bottom.set_ylim(0, 100)
    bottom.set_ylabel("area observed, %", fontsize=9)
    if len(hemispheres) > 1:
        bottom.legend(frameon=False, fontsize=9, ncols=2, loc="best")
    bottom.set_xlabel("year", fontsize=9)
    for axes in (top, middle, bottom):
        tidy(axes)
    spread = " with its 90 % range" if sd is not None else ""
    others = f"; broken: {', '.join(product.baselines)}" if product.baselines else ""
    caption = (
        f"{product.mean_in_words.capitalize()}{_of_region(product)}, {product.observations.source.label}; blue: "
        f"{name}{spread}, grey: observed cells alone{others}. {_convention(product)} {product.units}."
    )
    return Picture(figure, caption)


def _of_region(product: Product) -> str:
    grid = product.observations.grid
    return "" if grid.is_global else f" ({grid.extent()})"


def _convention(product: Product) -> str:
    """How the means of observed cells are taken."""
    frequency = product.observations.time.frequency
    of_year = "twelve months" if frequency == MONTH else f"all {frequency.plural} of a year"
    annual = "" if frequency == YEAR else f", annual = mean of {of_year}"
    if product.observations.grid.is_global:
        return f"These are (NH + SH) / 2 of area-weighted hemispheric means{annual} (HadCRUT's convention)."
    return f"These are area-weighted{annual}."


def _give_room(axes: Axes, low: float, high: float) -> None:
    """Limits around values from ``low`` to ``high``, with room for the legend above."""
    size = (high - low) or max(abs(high), 1.0)
    axes.set_ylim(low - 0.1 * size, high + 0.25 * size)


def draw_index(product: Product, shown: IndexSeries) -> Picture:
    """An index; grey where less than a quarter of its cells was observed."""
    figure = new_figure(10.5, 4.0)
    axes: Axes = figure.subplots()
    time = product.observations.time
    line = _Line(time.in_years, time.frequency.years)
    observed = shown.observed >= SPARSE
    half = np.zeros(len(observed)) if shown.sd is None else NINETY * shown.sd
    axes.axhline(VARIABLES[product.observations.variable].normal, color="0.6", linewidth=0.7, zorder=1)
    if shown.sd is not None:
        line.band(axes, shown.values, half)
    name = product.network.name
    title = shown.index.title + ("" if shown.index.boxes else _of_region(product))
    if not observed.all():
        label = f"{name}, under 25 % of {shown.index.cells} observed"
        line.draw(axes, shown.values, color="0.55", linewidth=0.7, label=label)
    if observed.any():
        kept = np.where(observed, shown.values, np.nan)
        line.draw(axes, kept, color=OURS, linewidth=0.9, label=name, zorder=3)
    axes.set_xlabel("year", fontsize=9)
    _describe(axes, product, title, columns=3)
    low, high = (shown.values - half).min(), (shown.values + half).max()
    _give_room(axes, float(low), float(high))
    tidy(axes)
    spread = " with its 90 % range" if shown.sd is not None else ""
    title = title[:1].upper() + title[1:]
    caption = (
        f"{title}{spread}, {product.observations.source.label} by {name}. {_cells_in_words(shown.index)}; grey where "
        f"under 25 % of {shown.index.cells} was observed. {product.units}."
    )
    return Picture(figure, caption)


def _cells_in_words(index: Index) -> str:
    """The cells of an index and their weights, as a sentence without its full stop."""
    which = {
        None: "Cells",
        "land": "Cells at least half of which is land",
        "sea": "Cells less than half of which is land",
    }
    if not index.boxes:
        return f"{which[index.surface]} are weighted with their area"
    boxes = " less those in ".join(map(_box_in_words, index.boxes))
    return f"{which[index.surface]} in {boxes} are weighted with their overlap"


def _box_in_words(box: Box) -> str:
    """``5S-5N, 170-120W``."""
    south, north, west, east = (abs(edge) for edge in box)
    lat, lon = ("SN"[box[1] > 0], "WE"[box[3] > 0])
    rows = f"{south:g}-{north:g}{lat}" if box[0] * box[1] > 0 else f"{south:g}S-{north:g}N"
    columns = f"{west:g}-{east:g}{lon}" if box[2] * box[3] > 0 else f"{west:g}W-{east:g}E"
    return f"{rows}, {columns}"
