"""A page with the map of every step and the series of every cell: a slider, a click, no network.

bokeh draws it; its scripts and all values are in the page. Values are stored as whole multiples of a step that keeps
the page small, low and high bytes apart, compressed; the browser takes them apart (``DecompressionStream``). Differences
of neighbouring cells or months instead of values compress no better where observed cells are noisy.
"""

from __future__ import annotations

import base64
import zlib
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.events import DocumentReady, Tap
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, CustomJS, CustomJSTickFormatter, LinearColorMapper, Range1d
from bokeh.models.annotations import ColorBar
from bokeh.models.widgets import Div, Slider
from bokeh.plotting import figure
from bokeh.resources import INLINE
from matplotlib import colormaps
from matplotlib.colors import to_hex

from climrecon.array_types import FloatArray
from climrecon.files import write_text
from climrecon.grid import Grid
from climrecon.output.product import Product
from climrecon.plots.maps import coastlines
from climrecon.plots.picture import ACCENT, OURS, RAW, scales_of
from climrecon.variables import VARIABLES

FILE = "interactive_map.html"
#: Characters of all values in the page; bokeh's own scripts are 1.7 MB, the rest 0.3 MB on 36 x 72 cells.
MOST_CHARACTERS = 3_000_000
#: Steps of a long record whose compressed size stands for that of all.
_SAMPLED = 200
_MISSING = np.iinfo(np.int16).min
#: Scripts and styles of the page alone; bokeh makes functions of the texts of its callbacks.
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data: blob:; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'\">"
)
_DECODE = """
(async () => {
const bytes = Uint8Array.from(atob(values), one => one.charCodeAt(0));
const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
const planes = new Uint8Array(await new Response(stream).arrayBuffer());
const size = steps * cells, fields = new Int16Array(size);
for (let i = 0; i < size; i++) fields[i] = planes[i] + 256 * planes[size + i];
const at = i => fields[i] === missing ? NaN : fields[i] * step;
const show = () => {
  map.data.value = Array.from({length: cells}, (_, i) => at(slider.value * cells + i));
  map.change.emit();
};
const choose = (cell, where) => {
  series.data.value = Array.from({length: steps}, (_, t) => at(t * cells + cell));
  series.change.emit();
  const {left, right, bottom, top} = map.data;
  place.data = {x: [0.5 * (left[cell] + right[cell])], y: [0.5 * (bottom[cell] + top[cell])]};
  course.title.text = "Cell at " + where[cell];
};
globalThis.climrecon = {show, choose, at};
show();
choose(first, map.data.where);
})();
"""
_TAPPED = """
const {left, right, bottom, top, where} = map.data;
const {x, y} = cb_obj;
const cell = left.findIndex((_, i) => x >= left[i] && x < right[i] && y >= bottom[i] && y < top[i]);
if (cell >= 0) globalThis.climrecon.choose(cell, where);
"""
_MOVED = "globalThis.climrecon.show(); moment.data = {x: [years[slider.value]]};"
_BACK = """
let nearest = 0;
years.forEach((year, i) => { if (Math.abs(year - cb_obj.x) < Math.abs(years[nearest] - cb_obj.x)) nearest = i; });
slider.value = nearest;
"""


def write_interactive_map(product: Product, path: Path, month: int) -> str:
    """Write the page with the values of :attr:`~climrecon.output.product.Product.infilled`; returns its caption.

    Parameters
    ----------
    month:
        Index on the time axis of the map at first; the series are those of its most unusual cell.
    """
    grid, time = product.observations.grid, product.observations.time
    variable = VARIABLES[product.observations.variable]
    scale = scales_of(product.observations.variable).anomaly
    step = _smallest_step(product.infilled, 10.0**-variable.decimals)
    cells = ColumnDataSource(_cells(grid))
    years = [round(float(year), 4) for year in time.in_years]
    course = ColumnDataSource({"year": years, "label": time.labels(), "value": [0] * len(time)})
    place = ColumnDataSource({"x": [], "y": []})
    (south, north), (west, east) = grid.lat_edges[[0, -1]], grid.lon_edges[[0, -1]]
    colours = [to_hex(colour) for colour in colormaps[scale.colours](np.linspace(0.0, 1.0, scale.norm.N - 1))]
    mapper = LinearColorMapper(
        palette=colours, low=float(scale.norm.vmin), high=float(scale.norm.vmax), nan_color="white"
    )
    label = f"{variable.label}, {product.units}"
    look: dict[str, Any] = {"sizing_mode": "stretch_width", "toolbar_location": "right"}
    hover = [("", "@where"), (variable.units, f"@value{{0.{'0' * variable.decimals}}}")]
    map_ = figure(height=430, x_range=Range1d(west, east), y_range=Range1d(south, north),
                  tools="pan,wheel_zoom,reset,save,hover", tooltips=hover,
                  x_axis_label="longitude, degrees east", y_axis_label="latitude, degrees north", **look)  # fmt: skip
    map_.quad("left", "right", "bottom", "top", source=cells, line_color=None,
              fill_color={"field": "value", "transform": mapper})  # fmt: skip
    coasts = _coasts(float(west))
    lines = ColumnDataSource({"x": [line[:, 0] for line in coasts], "y": [line[:, 1] for line in coasts]})
    map_.multi_line("x", "y", source=lines, color="#262626", line_width=0.7)
    map_.scatter("x", "y", source=place, size=11, marker="square", fill_color=None, line_color=ACCENT, line_width=2)
    map_.add_layout(ColorBar(color_mapper=mapper, title=product.units, title_text_font_size="9pt"), "below")
    series = figure(height=250, tools="pan,xwheel_zoom,reset,save,hover", title="Cell", y_axis_label=product.units,
                    tooltips=[("", "@label"), (variable.units, hover[1][1])], **look)  # fmt: skip
    series.line("year", "value", source=course, color=OURS, line_width=1)
    moment = ColumnDataSource({"x": [years[month]]})
    series.vspan("x", source=moment, line_color=RAW, line_width=2)
    # A single step leaves nothing to slide over.
    slider = Slider(start=0, end=max(len(time) - 1, 1), step=1, value=month, title=time.word.capitalize(),
                    sizing_mode="stretch_width", visible=len(time) > 1,
                    format=CustomJSTickFormatter(code="return labels[tick] ?? ''",
                                                 args={"labels": time.labels()}))  # fmt: skip
    document = Document(title=f"{product.observations.source.label} reconstructed with {product.network.name}")
    args = {
        "map": cells, "slider": slider, "series": course, "place": place, "course": series, "step": step,
        "missing": int(_MISSING), "steps": len(time), "cells": grid.area.size, "values": _packed(product.infilled, step),
        "first": int(np.argmax(np.nan_to_num(np.abs(product.infilled[month] - variable.normal), nan=-1.0))),
    }  # fmt: skip
    document.js_on_event(DocumentReady, CustomJS(code=_DECODE, args=args))
    map_.js_on_event(Tap, CustomJS(code=_TAPPED, args={"map": cells}))
    moved = CustomJS(code=_MOVED, args={"slider": slider, "moment": moment, "years": years})
    slider.js_on_change("value", moved)
    series.js_on_event(Tap, CustomJS(code=_BACK, args={"slider": slider, "years": years}))
    title = Div(text=escape(f"{document.title}: {label}"), styles={"font-size": "120%"})
    document.add_root(column(title, slider, map_, series, sizing_mode="stretch_width"))
    page = file_html(document, INLINE, title=document.title)
    write_text(path, page.replace("<head>", "<head>" + _POLICY, 1))
    return (
        f"Every {time.word} and cell of the reconstruction, rounded to {step:g} {variable.units}: move the slider; a "
        f"click on the map shows a cell's series, a click on the series its {time.word}. It works without a network."
    )


def _cells(grid: Grid) -> dict[str, Any]:
    """Edges and names of all cells, row by row."""
    height, width = grid.shape
    lat, lon = np.repeat(grid.lat, width), np.tile(grid.lon, height)
    return {
        "left": np.tile(grid.lon_edges[:-1], height).tolist(),
        "right": np.tile(grid.lon_edges[1:], height).tolist(),
        "bottom": np.repeat(grid.lat_edges[:-1], width).tolist(),
        "top": np.repeat(grid.lat_edges[1:], width).tolist(),
        "value": [0] * (height * width),
        "where": [
            f"{abs(y):g} {'N' if y >= 0 else 'S'}, {abs(x):g} {'E' if x >= 0 else 'W'}"
            for y, x in zip(lat, (lon + 180.0) % 360.0 - 180.0, strict=True)
        ],
    }


def _coasts(west: float) -> list[FloatArray]:
    """Coastlines between ``west`` and a circle farther east, cut where they pass it."""
    lines = []
    for line in coastlines():
        lon = (line[:, 0] - west) % 360.0 + west
        cuts = np.flatnonzero(np.abs(np.diff(lon)) > 180.0) + 1
        lines += np.split(np.column_stack([lon, line[:, 1]]).round(2), cuts)
    return lines


def _packed(values: FloatArray, step: float) -> str:
    """(T, H, W) ``values`` as text: low bytes, then high bytes, of multiples of ``step``."""
    whole = np.empty(values.shape, "<i2")
    for number, field in enumerate(values):
        whole[number] = np.nan_to_num(np.rint(field / step), nan=_MISSING)
    planes = whole.reshape(-1, 1).view(np.uint8).T.tobytes()
    return base64.b64encode(zlib.compress(planes)).decode()


def _smallest_step(values: FloatArray, finest: float) -> float:
    """The smallest of 1, 2, 3, 5, 10 … times ``finest`` with which ``values`` are small, and fit into 16 bits."""
    sample = np.array(values[:: max(len(values) // _SAMPLED, 1)])
    largest = float(np.nanmax(np.abs(sample), initial=0.0))
    for step in (float(f"{finest * 10.0**power * factor:g}") for power in range(9) for factor in (1, 2, 3, 5)):
        characters = len(_packed(sample, step)) * len(values) / len(sample)
        if characters <= MOST_CHARACTERS and 2.0 * largest / step < -_MISSING:
            return step
    raise ValueError(f"Values up to {largest:g} are no multiples of {finest:g} that fit into 16 bits.")
