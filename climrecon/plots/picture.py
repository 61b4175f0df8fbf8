"""A figure with its caption, the look all figures share, and the colours of maps by the description of a variable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.text import Text

from climrecon.array_types import FloatArray
from climrecon.files import atomic_path
from climrecon.variables import VARIABLES

DPI = 130
#: Colour-blind safe: blue for ours (Okabe & Ito), grey for what was observed.
OURS, RAW, ACCENT = "#0072B2", "#8c8c8c", "#D55E00"
#: Equal figures are equal files.
_PLAIN = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}


class _PlainText(Figure):  # type: ignore[misc,unused-ignore]
    """A figure whose texts are shown as they are: dollar signs in the name of a file or network are no formulae."""

    def draw(self, renderer: RendererBase) -> None:
        for text in self.findobj(Text):
            text.set_parse_math(False)
        with rc_context({"text.parse_math": False}):  # labels of ticks are made while they are drawn
            super().draw(renderer)


def new_figure(width: float, height: float) -> Figure:
    """A figure without pyplot's global state, and without formulae."""
    figure = _PlainText(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes) -> None:
    """Axes without frame on top and right, with a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def _letter(figure: Figure) -> None:
    """(a), (b) … above the upper left corner of each panel of a figure with several; left of titles that begin there."""
    panels = [one for one in figure.axes if one.get_visible() and one.get_label() != "<colorbar>"]
    aside = 42.0 if any(one.get_title(loc="left") for one in panels) else 12.0
    for panel, one in zip(panels if len(panels) > 1 else [], ascii_lowercase, strict=False):
        place: dict[str, Any] = {"xytext": (-aside, 5.0), "xycoords": "axes fraction", "textcoords": "offset points"}
        panel.annotate(f"({one})", (0.0, 1.0), **place, fontsize=10, weight="bold")


@dataclass(frozen=True)
class Picture:
    """A figure and its full caption; panels get letters, in the order that they were added in."""

    figure: Figure
    caption: str

    def __post_init__(self) -> None:
        _letter(self.figure)

    def save(self, path: Path) -> None:
        """Write a PNG or a PDF, by the path."""
        form = path.suffix.removeprefix(".")
        with atomic_path(path) as temporary:
            self.figure.savefig(temporary, dpi=DPI, format=form, metadata=_PLAIN[form])


@dataclass(frozen=True, eq=False)
class Scale:
    """Classes of values with their colours (a name of matplotlib's), the label of the bar and its ticks."""

    norm: BoundaryNorm
    colours: str
    label: str
    ticks: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Scales:
    """Scales of a variable's anomalies, their differences, standard deviations and RMS errors."""

    anomaly: Scale
    difference: Scale
    spread: Scale
    rmse: Scale


@cache
def scales_of(variable: str) -> Scales:
    """Scales of ``variable``, the same object at each call.

    Raises
    ------
    ValueError
        If its description has no colours of maps.
    """
    units, maps = VARIABLES[variable].units, VARIABLES[variable].maps
    if maps is None:
        raise ValueError(f"The description of {variable} has no colours of maps.")

    def both_ways(limit: float, step: float, ticks: float, colours: str, middle: float = 0.0) -> Scale:
        low, high = middle - limit, middle + limit
        extend = "max" if low == VARIABLES[variable].to_methods.bounds[0] else "both"
        norm = BoundaryNorm(np.arange(low, high + 0.01 * step, step), 256, extend=extend)
        return Scale(norm, colours, units, np.arange(low, high + 0.1 * ticks, ticks))

    levels = np.array(maps.spread_levels)
    rmse = np.arange(0.0, maps.rmse_limit + 0.05 * maps.rmse_step, maps.rmse_step)
    return Scales(
        both_ways(maps.limit, maps.step, maps.ticks, maps.colours, VARIABLES[variable].normal),
        both_ways(maps.difference_limit, maps.difference_step, maps.difference_ticks, maps.difference_colours),
        Scale(BoundaryNorm(levels, 256, extend="max"), maps.spread_colours, units, levels),
        Scale(BoundaryNorm(rmse, 256, extend="max"), maps.rmse_colours, units),
    )
