"""Maps and series of the changes between two releases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.grid import Grid
from climrecon.plots.maps import draw_map
from climrecon.plots.picture import ACCENT, OURS, RAW, Picture, Scale, new_figure, scales_of, tidy

#: Kinds of a panel: an anomaly, a signed change, a size (never negative), a share in per cent.
ANOMALIES, CHANGE, SIZE, SHARE = "anomaly", "change", "size", "share"


@dataclass(frozen=True)
class Panel:
    """One map: (H, W) in the package's order, NaN where there is nothing."""

    title: str
    values: FloatArray
    kind: str


def _limit(values: FloatArray) -> float:
    """A round number that nearly all values stay below."""
    size = np.abs(values[np.isfinite(values)])
    size = size[size > 0]
    reach = float(np.quantile(size, 0.98)) if size.size else 1.0
    power = 10.0 ** math.floor(math.log10(reach))
    return next((step * power for step in (1.0, 2.0, 5.0) if step * power >= reach), 10.0 * power)


def scale_of(values: FloatArray, kind: str, variable: str) -> Scale:
    """Classes and colours of maps of a ``kind`` that suit all ``values``."""
    scales = scales_of(variable)
    if kind == ANOMALIES:
        return scales.anomaly
    if kind == SHARE:
        shares = BoundaryNorm([0.01, 1, 5, 10, 25, 50, 75, 100], 256)
        return Scale(shares, scales.spread.colours, "% of months")
    limit = _limit(values)
    like = scales.difference if kind == CHANGE else scales.spread
    norm = (
        BoundaryNorm(np.linspace(-limit, limit, 17), 256, extend="both")
        if kind == CHANGE
        else BoundaryNorm(np.linspace(0.0, limit, 11), 256, extend="max")
    )
    return Scale(norm, like.colours, like.label)


def draw_change_maps(grid: Grid, panels: Sequence[Panel], caption: str, variable: str) -> Picture:
    """Up to four maps, two a row; grey where there is nothing to show."""
    rows = (len(panels) + 1) // 2
    figure = new_figure(12.4 if len(panels) > 1 else 7.2, 3.5 * rows)
    places = figure.add_gridspec(rows, min(len(panels), 2))
    for number, panel in enumerate(panels):
        # Where nothing changed there is no colour, so that what changed stands out.
        values = panel.values if panel.kind == ANOMALIES else np.where(panel.values == 0, np.nan, panel.values)
        place = places[number // 2, number % 2]
        draw_map(
            figure, place, grid, values, scale_of(panel.values, panel.kind, variable), panel.title, bar={"format": "%g"}
        )
    return Picture(figure, caption)


def draw_change_series(
    months: NDArray[np.int64],
    now: FloatArray,
    common: NDArray[np.int64],
    change: FloatArray,
    cells: NDArray[np.int64] | None,
    names: tuple[str, str],
    caption: str,
    units: str,
) -> Picture:
    """The global mean of both releases, its change, and how many input cells changed.

    Parameters
    ----------
    months, now:
        (T,) months of the new release and its global mean.
    common, change:
        (N,) months both have, and the change of the global mean.
    cells:
        (N,) input cells that changed; None if it is not known.
    names:
        The new and the previous release.
    """
    figure = new_figure(10.5, 7.0)
    top, middle, bottom = figure.subplots(3, 1, height_ratios=[2, 1.3, 1.3])
    recent = months > months[-1] - 360
    years = (months + 0.5) / 12.0
    position = np.searchsorted(months, common)
    before = np.full(len(months), np.nan)
    before[position] = now[position] - change
    top.plot(years[recent], before[recent], color=RAW, linewidth=2.2, label=names[1])
    top.plot(years[recent], now[recent], color=OURS, linewidth=0.9, label=names[0])
    fresh = recent & ~np.isin(months, common)
    top.plot(years[fresh], now[fresh], "o", color=ACCENT, markersize=4, label="new months")
    top.legend(fontsize=9, frameon=False, loc="upper left")
    top.set_ylabel(f"Area mean, {units}")
    x = (common + 0.5) / 12.0
    middle.vlines(x, 0.0, change, color=OURS, linewidth=1.0)
    middle.axhline(0.0, color="0.3", linewidth=0.6)
    middle.set_ylabel(f"Its change, {units}")
    if cells is None:
        bottom.set_title("The input of the previous release is not known", fontsize=10)
    else:
        bottom.vlines(x, 0, cells, color=ACCENT, linewidth=1.0)
        bottom.set_ylim(0, max(int(cells.max(initial=0)) * 1.08, 1))
        bottom.yaxis.set_major_locator(MaxNLocator(integer=True))
    bottom.set_ylabel("Changed cells")
    for axes in (top, middle, bottom):
        tidy(axes)
    return Picture(figure, caption)
