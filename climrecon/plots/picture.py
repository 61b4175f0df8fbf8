"""A figure with its caption, and the look all figures share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from climrecon.files import atomic_path

DPI = 130
#: Colour-blind safe: blue for ours (Okabe & Ito), grey for what was observed.
OURS, RAW, ACCENT = "#0072B2", "#8c8c8c", "#D55E00"
_PLAIN = {"Software": None}  # equal figures are equal files


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


@dataclass(frozen=True)
class Picture:
    """A figure and its full caption."""

    figure: Figure
    caption: str

    def save(self, path: Path) -> None:
        """Write a PNG."""
        with atomic_path(path) as temporary:
            self.figure.savefig(temporary, dpi=DPI, format="png", metadata=_PLAIN)
