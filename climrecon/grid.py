"""Latitude-longitude grids on the sphere, global or regional, their areas, and means over regions.

Inside the package latitude runs south to north and longitude west to east: from -180, or on a regional grid from its
western edge. Files come in any order and are put in this one by :mod:`climrecon.preprocess`. No heavy imports here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.variables import VARIABLES

EARTH_RADIUS_KM = 6371.0
#: Of a block of cells whose observations are left out together, on a global grid.
BLOCK_DEGREES = 20.0


@dataclass(frozen=True)
class Region:
    """A latitude-longitude box, degrees; ``west`` > ``east`` crosses the date line."""

    name: str
    south: float
    north: float
    west: float
    east: float


NORTHERN_HEMISPHERE = Region("NH", 0.0, 90.0, -180.0, 180.0)
SOUTHERN_HEMISPHERE = Region("SH", -90.0, 0.0, -180.0, 180.0)
GLOBE = Region("global", -90.0, 90.0, -180.0, 180.0)
#: Networks are scored on it: they are made for temperature.
NINO34 = Region(VARIABLES["tas"].indices[0].title, *VARIABLES["tas"].indices[0].boxes[0])
#: Name of the whole of a grid that is not the globe.
REGION = "region"
#: Regions with scores and a spread of their own, where a grid holds them.
NAMED_REGIONS = (NORTHERN_HEMISPHERE, SOUTHERN_HEMISPHERE, NINO34)
#: Share of a region's area that a grid which holds it covers: edges are rounded.
_HELD = 0.999


@dataclass(frozen=True, eq=False)
class Grid:
    """A rectilinear grid given by its cell bounds.

    Parameters
    ----------
    lat_edges:
        (H + 1,) degrees north, strictly increasing, within [-90, 90].
    lon_edges:
        (W + 1,) degrees east, strictly increasing, spanning at most 360.
    exists:
        (H, W) the domain: cells where the variable exists. Cells outside have no area, so that means, scores and coverage
        are over the domain. None: everywhere.
    where:
        What the domain is: ``sea``, ``land``, or ``observed`` where files of a region never hold the other cells; ""
        where the variable's description states it.
    """

    lat_edges: NDArray[np.float64]
    lon_edges: NDArray[np.float64]
    exists: BoolArray | None = None
    where: str = ""

    @classmethod
    def regular(cls, nlat: int, nlon: int) -> Grid:
        """The global grid of ``nlat`` x ``nlon`` equal-angle cells from 90 S and 180 W."""
        return cls(np.linspace(-90.0, 90.0, nlat + 1), np.linspace(-180.0, 180.0, nlon + 1))

    @cached_property
    def lat(self) -> NDArray[np.float64]:
        """(H,) cell centres, degrees north."""
        return 0.5 * (self.lat_edges[:-1] + self.lat_edges[1:])

    @cached_property
    def lon(self) -> NDArray[np.float64]:
        """(W,) cell centres, degrees east."""
        return 0.5 * (self.lon_edges[:-1] + self.lon_edges[1:])

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return len(self.lat_edges) - 1, len(self.lon_edges) - 1

    @property
    def wraps(self) -> bool:
        """Whether the longitudes close the circle."""
        return bool(np.isclose(self.lon_edges[-1] - self.lon_edges[0], 360.0))

    @property
    def is_global(self) -> bool:
        """Whether the cells cover the whole sphere."""
        return self.wraps and bool(np.isclose(self.lat_edges[0], -90) and np.isclose(self.lat_edges[-1], 90))

    @property
    def whole(self) -> Region:
        """The region that the grid's own mean is over: ``global``, or the ``region`` of its cells."""
        if self.is_global:
            return GLOBE
        return Region(REGION, *map(float, (*self.lat_edges[[0, -1]], *self.lon_edges[[0, -1]])))

    @property
    def regions(self) -> tuple[Region, ...]:
        """:attr:`whole`, and those of the named regions that the grid holds."""
        return (self.whole, *(one for one in NAMED_REGIONS if self.holds(one)))

    def holds(self, region: Region) -> bool:
        """Whether the cells cover ``region``, and some of the domain lies in it."""
        within = replace(self, exists=None).region_weights(region).sum()
        width = (region.east - region.west) % 360.0 or 360.0
        share = np.ptp(np.sin(np.radians([region.south, region.north]))) * width / self._size
        return bool(within >= _HELD * share and self.region_weights(region).any())

    def same_as(self, other: Grid) -> bool:
        """Whether both grids have the same cells within 0.0001 degrees."""
        return (
            self.shape == other.shape
            and bool(np.allclose(self.lat_edges, other.lat_edges, atol=1e-4))
            and bool(np.allclose(self.lon_edges, other.lon_edges, atol=1e-4))
        )

    @cached_property
    def area(self) -> NDArray[np.float64]:
        """(H, W) share of the domain's area in each cell; sums to 1."""
        rows = np.diff(np.sin(np.radians(self.lat_edges)))
        columns = np.diff(self.lon_edges)
        area = self._of_domain(rows[:, None] * columns[None, :])
        return np.asarray(area / area.sum())

    def _of_domain(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return weights if self.exists is None else np.where(self.exists, weights, 0.0)

    def known(self, field: FloatArray) -> FloatArray:
        """(..., H, W) values, NaN outside the domain."""
        return field if self.exists is None else np.where(self.exists, field, field.dtype.type(np.nan))

    @property
    def outside_share(self) -> float:
        """Share of the area of all cells outside the domain."""
        return 0.0 if self.exists is None else float(replace(self, exists=None).area[~self.exists].sum())

    def region_weights(self, region: Region) -> NDArray[np.float64]:
        """(H, W) share of the grid's whole area that each cell of the domain has within ``region``."""
        edges = np.clip(self.lat_edges, region.south, region.north)
        rows = np.diff(np.sin(np.radians(edges)))
        columns = np.zeros(self.shape[1])
        spans = (
            [(region.west, region.east)] if region.west < region.east else [(region.west, 180.0), (-180.0, region.east)]
        )
        for west, east in spans:
            for shift in (-360.0, 0.0, 360.0):
                columns += np.diff(np.clip(self.lon_edges + shift, west, east))
        return self._of_domain(np.asarray(rows[:, None] * columns[None, :] / self._size))

    def mean_weights(self, region: Region) -> NDArray[np.float64]:
        """(H, W) weights whose sum with a field is the mean over ``region``; they sum to 1."""
        weights = self.region_weights(region)
        return np.asarray(weights / weights.sum())

    @property
    def _size(self) -> float:
        """Area of all cells, sines of latitude times degrees."""
        return float(np.diff(np.sin(np.radians(self.lat_edges))).sum() * np.diff(self.lon_edges).sum())

    def describe(self) -> str:
        """One phrase for messages, e.g. ``36 x 72 (5 x 5 degrees, global)``."""
        height, width = self.shape
        dlat, dlon = (round(float(np.diff(edges).mean()), 6) for edges in (self.lat_edges, self.lon_edges))
        return f"{height} x {width} ({dlat:g} x {dlon:g} degrees, {'global' if self.is_global else self.extent()})"

    def extent(self) -> str:
        """South, north, west and east end in words, e.g. ``24.5N-50.5N, 125W-66W``."""

        def place(degrees: float, positive: str, negative: str) -> str:
            return f"{abs(round(degrees, 3)):g}{positive if degrees > 0 else negative if degrees < 0 else ''}"

        lat = [place(edge, "N", "S") for edge in self.lat_edges[[0, -1]]]
        lon = [place((edge + 180.0) % 360.0 - 180.0, "E", "W") for edge in self.lon_edges[[0, -1]]]
        return f"{'-'.join(lat)}, {'all longitudes' if self.wraps else '-'.join(lon)}"

    def blocks(self, size: float) -> tuple[IntArray, IntArray]:
        """(H,) and (W,) numbers of the blocks of ``size`` degrees, from the south and the west, that cells lie in."""
        axes = ((self.lat, self.lat_edges), (self.lon, self.lon_edges))
        rows, columns = (((centres - edges[0]) // size).astype(int) for centres, edges in axes)
        return rows, columns

    def coarsened(self, factor: int) -> Grid:
        """The grid of blocks of ``factor`` x ``factor`` cells, the last ones cut."""
        lat, lon = (np.append(edges[:-1:factor], edges[-1]) for edges in (self.lat_edges, self.lon_edges))
        return Grid(lat, lon)


FIVE_DEGREES = Grid.regular(36, 72)
#: Months at a time.
_PART = 128
#: Cells of masks that are turned into numbers at once.
_MOST_CELLS = 1 << 23


def weighted_mean(field: FloatArray, weights: FloatArray) -> NDArray[np.float64]:
    """Mean of (..., H, W) fields over their finite cells; NaN where no weight is left."""
    flat = field.reshape(*field.shape[:-2], -1)
    share = np.asarray(weights, dtype=np.float64).reshape(-1)
    if flat.ndim != 2:
        return _weighted_mean(flat, share)
    # In parts that stay in the processor's cache: whole records in double precision take 100 MB and more.
    parts = [_weighted_mean(flat[first : first + _PART], share) for first in range(0, len(flat), _PART)]
    return np.concatenate(parts) if parts else np.empty(0)


def _weighted_mean(flat: FloatArray, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """As :func:`weighted_mean`, of (..., P) and (P,)."""
    finite = np.isfinite(flat)
    total = finite.astype(np.float64) @ share
    summed = np.where(finite, flat, 0.0).astype(np.float64) @ share
    return np.asarray(np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan))


def coverage(mask: BoolArray, weights: FloatArray) -> NDArray[np.float64]:
    """Observed share (0..1) of the area in ``weights`` for (..., H, W) masks."""
    flat = mask.reshape(*mask.shape[:-2], -1)
    if flat.ndim == 2 and flat.size > _MOST_CELLS:
        rows = max(_MOST_CELLS // flat.shape[1], 1)
        return np.concatenate([coverage(mask[at : at + rows], weights) for at in range(0, len(flat), rows)])
    return np.asarray(flat.astype(np.float32) @ weights.reshape(-1) / weights.sum())


def observed_mean(field: FloatArray, grid: Grid) -> NDArray[np.float64]:
    """(...,) means of (..., H, W) fields with gaps: by HadCRUT's convention on a global grid, else over the area."""
    return hemispheric_mean(field, grid) if grid.is_global else weighted_mean(field, grid.area)


def hemispheric_mean(field: FloatArray, grid: Grid) -> NDArray[np.float64]:
    """Global mean by HadCRUT's convention: (NH + SH) / 2 of area-weighted hemispheric means.

    Parameters
    ----------
    field:
        (..., H, W), NaN where missing.

    Returns
    -------
    (...,) means; where only one hemisphere has data the mean is missing (NaN).

    Source: Morice et al. (2012), J. Geophys. Res. 117, D08101, section 5.
    """
    north = weighted_mean(field, grid.region_weights(NORTHERN_HEMISPHERE))
    south = weighted_mean(field, grid.region_weights(SOUTHERN_HEMISPHERE))
    return 0.5 * (north + south)
