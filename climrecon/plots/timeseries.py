"""Global mean and Nino 3.4 since the start."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from climrecon.output.product import Product
from climrecon.output.series import NINETY, Series
from climrecon.plots.picture import ACCENT, OURS, RAW, Picture, new_figure, tidy

FloatArray = NDArray[np.floating[Any]]

#: A regional value with less of its area observed than this is drawn in grey.
BARELY_SEEN = 0.25


def _years(series: Series) -> FloatArray:
    return np.asarray((series.time.index + 0.5) / 12.0)


def _with_gaps(series: Series, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Positions and values with a NaN wherever months are absent, so that no line bridges a gap."""
    breaks = np.flatnonzero(np.diff(series.time.index) > 1) + 1
    return np.insert(_years(series), breaks, np.nan), np.insert(
        np.asarray(values, dtype=float), breaks, np.nan
    )


def draw_global_mean(product: Product, series: Series) -> Picture:
    """Annual (for few months: monthly) global mean, the difference to the raw mean, and coverage."""
    figure = new_figure(10.5, 8.0)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1.3, 1.3])
    years, ours = series.annual(series.ours)
    annual = len(years) >= 3
    if annual:
        raw, sd = series.annual(series.raw)[1], series.annual_sd(series.ours_sd)
        x, style = years + 0.5, {}
        top.plot(
            _years(series),
            series.raw,
            color=RAW,
            linewidth=0.35,
            alpha=0.6,
            label="observed cells alone, monthly",
        )
    else:
        x, ours, raw, sd, style = (
            _years(series),
            series.ours,
            series.raw,
            series.ours_sd,
            {"marker": "o", "linestyle": "none"},
        )
    top.plot(
        x,
        raw,
        color="0.35",
        linewidth=1.0,
        label="observed cells alone" + (", annual" if annual else ""),
        **style,
    )
    if sd is not None and annual:
        top.fill_between(
            x, ours - NINETY * sd, ours + NINETY * sd, color=OURS, alpha=0.25, linewidth=0, label="90 %"
        )
    elif sd is not None:
        # Single months far apart: a bar for each, no band across the years between them.
        top.errorbar(x, ours, NINETY * sd, color=OURS, alpha=0.5, capsize=4, linestyle="none", label="90 %")
    top.plot(x, ours, color=OURS, linewidth=1.6, label=product.network.name, **style)
    finite = np.concatenate([ours, raw[np.isfinite(raw)]])
    top.set_ylim(finite.min() - 0.35, finite.max() + 0.35)
    top.axhline(0.0, color="0.6", linewidth=0.7)
    top.set_ylabel(f"{product.units}", fontsize=9)
    top.legend(frameon=False, fontsize=9, loc="upper left")
    top.set_title(f"{product.observations.source.label}: global mean", fontsize=12, loc="left")
    middle.axhline(0.0, color="0.6", linewidth=0.7)
    middle.plot(x, ours - raw, color=ACCENT, linewidth=1.1, **style)
    middle.set_ylabel("ours minus\nobserved, K", fontsize=9)
    for name, colour in (("NH", OURS), ("SH", ACCENT)):
        position, share = _with_gaps(series, 100.0 * series.coverage[name])
        bottom.plot(position, share, color=colour, linewidth=1.0, label=name, marker="" if annual else "o")
    bottom.set_ylim(0, 100)
    bottom.set_ylabel("area observed, %", fontsize=9)
    bottom.legend(frameon=False, fontsize=9, ncols=2, loc="lower right")
    bottom.set_xlabel("year", fontsize=9)
    for axes in (top, middle, bottom):
        tidy(axes)
    band = (
        "90 % band: monthly spreads taken as persisting through the year. "
        if sd is not None and annual
        else ""
    )
    caption = (
        f"Global mean of {product.observations.source.label}. Observed cells alone: (NH + SH) / 2 of area-weighted "
        f"hemispheric means, annual = mean of twelve months (HadCRUT's convention). Ours: area mean of the complete "
        f"field. {band}{product.units}."
    )
    return Picture(figure, caption)


def draw_nino34(product: Product, series: Series) -> Picture:
    """Monthly Nino 3.4; grey where less than a quarter of the box was observed."""
    figure = new_figure(10.5, 4.0)
    axes: Axes = figure.subplots()
    seen = series.nino34_observed >= BARELY_SEEN
    few = len(series.time) < 36
    x, values = _with_gaps(series, series.nino34)
    axes.axhline(0.0, color="0.6", linewidth=0.7)
    if series.nino34_sd is not None:
        half = _with_gaps(series, NINETY * series.nino34_sd)[1]
        axes.fill_between(x, values - half, values + half, color=OURS, alpha=0.18, linewidth=0, label="90 %")
    axes.plot(
        x,
        values,
        color="0.6",
        linewidth=0.7,
        marker="o" if few else "",
        label="under 25 % of the box observed",
    )
    sure = _with_gaps(series, np.where(seen, series.nino34, np.nan))[1]
    axes.plot(x, sure, color=OURS, linewidth=0.9, marker="o" if few else "", label=product.network.name)
    axes.set_ylabel("K", fontsize=9)
    axes.set_xlabel("year", fontsize=9)
    axes.set_title(f"{product.observations.source.label}: Nino 3.4", fontsize=12, loc="left")
    axes.legend(frameon=False, fontsize=9, ncols=3, loc="upper left")
    low, high = np.nanmin(values), np.nanmax(values)
    axes.set_ylim(low - 1.0, high + 1.4)
    tidy(axes)
    caption = (
        f"Nino 3.4 (5S-5N, 170-120W, cells weighted with their overlap) of {product.observations.source.label}; "
        f"grey where under 25 % of the box was observed. {product.units}."
    )
    return Picture(figure, caption)
