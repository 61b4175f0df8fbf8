"""Grids of the demo's models, and fields on them."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.geography import land_fraction
from climrecon.grid import Grid

#: Rows of the T21 Gaussian grid, degrees north.
T21 = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(32)[0]))


def gaussian() -> Grid:
    """The T21 grid, 32 x 64."""
    middle = 0.5 * (T21[1:] + T21[:-1])
    return Grid(np.concatenate([[-90.0], middle, [90.0]]), np.linspace(-2.8125, 357.1875, 65))


def rows(grid: Grid) -> FloatArray:
    """Latitudes of a grid's rows: Gaussian rows are not the middles of their cells."""
    return np.sort(T21) if grid.shape[0] == len(T21) else grid.lat


def ocean(rows: int = 24, columns: int = 36) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """A curvilinear ocean grid: rows and columns about a pole in Greenland, as ocean models put it.

    Returns
    -------
    (H, W) latitudes and longitudes of the centres, (H, W, 4) of the corners, degrees.
    """

    def turned(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
        lat, lon = np.radians(lat), np.radians(lon)
        x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
        tilt = np.radians(14.0)  # the pole from 90 N to 76 N, 40 W
        x, z = x * np.cos(tilt) + z * np.sin(tilt), z * np.cos(tilt) - x * np.sin(tilt)
        return np.degrees(np.arcsin(np.clip(z, -1, 1))), (np.degrees(np.arctan2(y, x)) - 40.0) % 360.0

    lat, lon = np.linspace(-90, 90, rows + 1), np.linspace(0, 360, columns + 1)
    centres = turned(*np.meshgrid(0.5 * (lat[1:] + lat[:-1]), 0.5 * (lon[1:] + lon[:-1]), indexing="ij"))
    corners = turned(
        np.stack([np.repeat(part[:, None], columns, 1) for part in (lat[:-1], lat[:-1], lat[1:], lat[1:])], -1),
        np.stack([np.repeat(part[None], rows, 0) for part in (lon[:-1], lon[1:], lon[1:], lon[:-1])], -1),
    )
    return *centres, *corners


def on_grid(field: FloatArray, source: Grid, target: Grid) -> FloatArray:
    """(T, H, W) by bilinear interpolation, longitudes wrapping: a made-up field needs no conservation."""
    return at(field, source, *np.meshgrid(rows(target), target.lon, indexing="ij"))


def at(field: FloatArray, source: Grid, at_lat: FloatArray, at_lon: FloatArray) -> FloatArray:
    """(T, H', W') at the points (H', W'), bilinear, longitudes wrapping."""
    from scipy.interpolate import RegularGridInterpolator

    lon = np.concatenate([source.lon[-1:] - 360.0, source.lon, source.lon[:1] + 360.0])
    lat = np.concatenate([[-90.0], source.lat, [90.0]])
    wide = np.concatenate([field[..., -1:], field, field[..., :1]], axis=2)
    wide = np.concatenate([wide[:, :1], wide, wide[:, -1:]], axis=1)
    points = np.stack([at_lat, (at_lon + 180.0) % 360.0 - 180.0], axis=-1)
    inside = RegularGridInterpolator((lat, lon), np.moveaxis(wide, 0, -1))
    return np.asarray(np.moveaxis(inside(points), -1, 0), dtype=np.float32)


def climatology(grid: Grid) -> FloatArray:
    """(12, H, W) absolute temperatures, K."""
    land = land_fraction(grid)
    lat = rows(grid)[:, None] + np.zeros(grid.shape)
    mean = 301.0 - 0.0075 * lat**2 - 12.0 * np.clip((-60.0 - lat) / 20.0, 0, 1) * land
    season = (1.5 + 13.0 * land * np.clip(np.abs(lat) / 60.0, 0, 1)) * np.sign(lat)
    phase = np.cos(2.0 * np.pi * (np.arange(12) - 6.5) / 12.0)
    return np.asarray(mean[None] + season[None] * phase[:, None, None])
