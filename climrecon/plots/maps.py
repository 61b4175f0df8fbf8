"""Maps of one month: seen, said, how sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cartopy.crs as ccrs
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm, ListedColormap
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.grid import NINO34, Grid
from climrecon.output.product import NO_SKILL, Product
from climrecon.output.series import NINETY, Series
from climrecon.plots.coast import coastlines
from climrecon.plots.picture import Picture, new_figure

PLATE = ccrs.PlateCarree()
ANOMALY = BoundaryNorm(np.arange(-4.0, 4.01, 0.5), 256, extend="both")
DIFFERENCE = BoundaryNorm(np.arange(-2.0, 2.01, 0.25), 256, extend="both")
#: Finer where most cells are, so that the well-known parts are told apart too.
SPREAD_LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0)
SPREAD = BoundaryNorm(SPREAD_LEVELS, 256, extend="max")
#: Light where sure, so that coasts stay visible; readable in grey and by the colour-blind.
SPREAD_COLOURS = "YlGnBu"
GAP = "#c9c9c9"


def map_axes(figure: Any, place: Any) -> Any:
    """A global Robinson map centred on 180 E; what is not drawn stays grey."""
    axes = figure.add_subplot(place, projection=ccrs.Robinson(central_longitude=180))
    axes.set_global()
    axes.set_facecolor(GAP)
    axes.spines["geo"].set_linewidth(0.6)
    return axes


def draw_coast(axes: Any) -> None:
    """Draw coastlines as a light line."""
    for line in coastlines():
        axes.plot(line[:, 0], line[:, 1], color="0.15", linewidth=0.5, transform=ccrs.Geodetic())


def from_greenwich(grid: Grid, field: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Edges (W' + 1,) from 0 E to 360 E, the ends of the map, and (H, W') cells between them.

    A column that lies across Greenwich is cut in two, one part at either end, so that no seam stays open.
    """
    start = int(np.flatnonzero(grid.lon_edges <= 1e-6)[-1])
    edges = np.concatenate([grid.lon_edges[start:-1], grid.lon_edges[: start + 1] + 360.0])
    cells = np.roll(field, -start, axis=1)
    if edges[-1] < 360.0 - 1e-6:
        edges, cells = np.append(edges, 360.0), np.concatenate([cells, cells[:, :1]], axis=1)
    # A hair inside the map's ends: projected cells that touch them from outside would wrap around.
    return np.clip(edges, 1e-3, 360.0 - 1e-3), cells


def draw_cells(axes: Any, grid: Grid, field: FloatArray, norm: Any, cmap: str) -> Any:
    """Colour cells from edge to edge; missing ones are left as they are."""
    edges, cells = from_greenwich(grid, field)
    return axes.pcolormesh(
        edges, grid.lat_edges, np.ma.masked_invalid(cells), norm=norm, cmap=colormaps[cmap], transform=PLATE
    )


def _box(axes: Any) -> None:
    west, east = NINO34.west % 360, NINO34.east % 360
    lon = np.concatenate([np.linspace(west, east, 20), np.linspace(east, west, 20), [west]])
    lat = np.concatenate([np.full(20, NINO34.south), np.full(20, NINO34.north), [NINO34.south]])
    axes.plot(lon, lat, color="black", linewidth=1.1, transform=PLATE)


def draw_maps(product: Product, series: Series, month: int, others: Mapping[str, FloatArray]) -> Picture:
    """Four maps of one month: observed, analysis, standard deviation, difference to another method.

    Parameters
    ----------
    month:
        Index on the time axis.
    others:
        Name -> (H, W) mean of other methods in that month; the first is shown.
    """
    grid, label = product.observations.grid, product.observations.time.labels()[month]
    mask, status = product.observations.mask[month], product.status[month]
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    figure = new_figure(12.4, 6.6)
    places = figure.add_gridspec(2, 2)
    seen = map_axes(figure, places[0, 0])
    shown = draw_cells(seen, grid, product.observed_field[month], ANOMALY, "RdBu_r")
    seen.set_title("Seen: observed, gaps in grey", fontsize=11)
    said = map_axes(figure, places[0, 1])
    draw_cells(said, grid, product.analysis[month], ANOMALY, "RdBu_r")
    said.scatter(lon[mask], lat[mask], s=1.2, color="0.1", alpha=0.6, linewidths=0, transform=PLATE)
    said.set_title("Said: analysis; dots are observed cells, hatching has no skill", fontsize=11)
    _hatch(said, grid, status == NO_SKILL)
    figure.colorbar(shown, ax=[seen, said], shrink=0.8, label=product.units, ticks=np.arange(-4, 4.1, 1))
    sure = map_axes(figure, places[1, 0])
    if product.stddev is None:
        sure.set_title(f"How sure: {product.network.name} does not say", fontsize=11)
    else:
        spread = draw_cells(sure, grid, product.stddev[month], SPREAD, SPREAD_COLOURS)
        kept = "; observed cells: their own error" if product.keep_observed else ""
        sure.set_title(f"How sure: standard deviation{kept}", fontsize=11)
        figure.colorbar(spread, ax=sure, shrink=0.8, label="K", ticks=SPREAD_LEVELS, format="%g")
    beside = map_axes(figure, places[1, 1])
    name = next(iter(others), None)
    if name is None:
        beside.set_title("Nothing to compare with was asked for", fontsize=11)
    else:
        difference = draw_cells(beside, grid, product.analysis[month] - others[name], DIFFERENCE, "PuOr_r")
        beside.set_title(f"Difference: {product.network.name} minus {name}", fontsize=11)
        figure.colorbar(difference, ax=beside, shrink=0.8, label="K", ticks=np.arange(-2, 2.1, 0.5))
    for axes in (seen, said, sure, beside):
        draw_coast(axes)
        _box(axes)
    figure.suptitle(f"{product.observations.source.label}, {label}", fontsize=14)
    return Picture(figure, maps_caption(product, series, month))


def _hatch(axes: Any, grid: Grid, where: NDArray[np.bool_]) -> None:
    if not where.any():
        return
    edges, cells = from_greenwich(grid, where.astype(float))
    flags = np.ma.masked_equal(cells, 0.0)
    # The hatch is drawn in the edge colour; a transparent face keeps the map below visible.
    hatched = axes.pcolor(
        edges,
        grid.lat_edges,
        flags,
        cmap=ListedColormap([(0.0, 0.0, 0.0, 0.0)]),
        hatch="/////",
        transform=PLATE,
    )
    hatched.set_edgecolor((0.15, 0.15, 0.15, 0.55))
    hatched.set_linewidth(0.0)


def maps_caption(product: Product, series: Series, month: int) -> str:
    """What the maps show, with coverage and Nino 3.4."""
    share = {name: 100.0 * float(values[month]) for name, values in series.coverage.items()}
    nino = f"{series.nino34[month]:+.2f} K"
    if series.nino34_sd is not None:
        nino += f" (90 % within {NINETY * series.nino34_sd[month]:.2f} K)"
    return (
        f"{product.observations.source.label}, {product.observations.time.labels()[month]}: "
        f"{share['global']:.0f} % of the globe observed (NH {share['NH']:.0f} %, SH {share['SH']:.0f} %). "
        f"Nino 3.4 (box) {nino}, "
        f"{100 * series.nino34_observed[month]:.0f} % of the box observed. {product.units}."
    )
