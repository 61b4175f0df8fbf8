"""A made-up climate: plausible enough for believable maps, and known everywhere.

Forced warming with land contrast and polar amplification, volcanoes, El Nino with its pattern, and
spatially correlated weather with a memory. Nothing here is an observation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.data.masks import harmonic_smoother
from climrecon.fields import Months
from climrecon.geography import land_fraction
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.priors.covariance import unit_vectors

#: Warm events, then cold ones: year in whose December they peak, and Nino 3.4 then, K.
EVENTS = (
    (1877, 3.4), (1888, 1.7), (1902, 1.5), (1918, 1.4), (1940, 1.6), (1957, 1.4), (1965, 1.4), (1972, 1.8),
    (1982, 2.2), (1986, 1.3), (1991, 1.5), (1997, 2.4), (2009, 1.4), (2015, 2.5),
    (1873, -1.4), (1892, -1.6), (1916, -1.4), (1949, -1.2), (1973, -1.8), (1975, -1.4), (1988, -1.7), (1999, -1.5),
    (2010, -1.5),
)  # fmt: skip
VOLCANOES = ((1883, 8, -0.3), (1902, 5, -0.15), (1912, 6, -0.12), (1963, 3, -0.2), (1982, 4, -0.2), (1991, 6, -0.35))


@cache
def _smoother(length_km: float) -> FloatArray:
    """Smoother of the demo's grid: the same few for all its climates."""
    return harmonic_smoother(FIVE_DEGREES, length_km)


@dataclass(frozen=True)
class Climate:
    """Anomalies (T, H, W) relative to 1961-1990 in K, and the index of El Nino (T,) in K."""

    grid: Grid
    time: Months
    anomalies: FloatArray
    nino: FloatArray


def make_climate(time: Months, seed: int, events: bool = True) -> Climate:
    """A different climate for each ``seed``.

    Parameters
    ----------
    events:
        Whether El Nino follows the calendar of the real world (as observations do) or its own.
    """
    grid, rng = FIVE_DEGREES, np.random.default_rng(seed)
    year = (time.index + 0.5) / 12.0
    land = land_fraction(grid).reshape(-1)
    height, width = grid.shape
    lat, lon = np.repeat(grid.lat, width), np.tile(grid.lon, height)
    polar = 1.0 + 1.6 * np.clip((lat - 55.0) / 25.0, 0.0, 1.0) - 0.3 * np.clip((-45.0 - lat) / 15.0, 0.0, 1.0)
    forced = np.outer(_forcing(year) + _volcanoes(time), (0.85 + 0.45 * land) * polar)
    nino = _nino(time, rng, events)
    field = forced + np.outer(nino, _nino_pattern(lat, lon, land))
    winter = np.cos(2.0 * np.pi * (time.month[:, None] - 1) / 12.0) * np.sign(lat)[None, :]
    size = (0.28 + 0.55 * land + 0.5 * np.clip((np.abs(lat) - 45.0) / 30.0, 0, 1)) * (1.0 + 0.35 * winter)
    for length, memory, share in ((2500.0, 0.55, 0.8), (1100.0, 0.3, 0.6)):
        smooth = _smoother(length)
        white = rng.normal(size=(len(time), smooth.shape[1]))
        for step in range(1, len(white)):
            white[step] = memory * white[step - 1] + np.sqrt(1.0 - memory**2) * white[step]
        field += share * size * (white @ smooth.T)
    inside = (time.year >= 1961) & (time.year <= 1990)
    for month in range(1, 13):
        chosen = time.month == month
        if (chosen & inside).any():
            field[chosen] -= field[chosen & inside].mean(axis=0)
    return Climate(grid, time, field.reshape(len(time), height, width), nino)


def _forcing(year: FloatArray) -> FloatArray:
    """Warming in K: slow to 1910, a step to 1940, level, then 0.19 K per decade."""
    knots = ((1840, -0.35), (1910, -0.38), (1942, 0.0), (1972, -0.03), (2030, 1.08))
    return np.asarray(np.interp(year, *np.array(knots).T))


def _volcanoes(time: Months) -> FloatArray:
    effect = np.zeros(len(time))
    for year, month, size in VOLCANOES:
        since = time.index - (year * 12 + month - 1)
        effect += np.where(since >= 0, size * np.exp(-np.maximum(since, 0) / 14.0), 0.0)
    return effect


def _nino(time: Months, rng: np.random.Generator, events: bool) -> FloatArray:
    """A damped oscillation driven by noise; with ``events``, the known ones on top of a quieter one."""
    index = np.zeros(len(time))
    for step in range(2, len(time)):
        index[step] = 1.86 * index[step - 1] - 0.883 * index[step - 2] + 0.045 * rng.normal()
    index *= (0.25 if events else 0.85) / max(float(index.std()), 1e-9)
    if events:
        for year, size in EVENTS:
            index += size * np.exp(-0.5 * ((time.index - (year * 12 + 11)) / 4.0) ** 2)
    return index


def _nino_pattern(lat: FloatArray, lon: FloatArray, land: FloatArray) -> FloatArray:
    """Response to one kelvin of Nino 3.4: the warm tongue, its horseshoe, and far effects."""
    east = np.mod(lon, 360.0)

    def blob(lat0: float, lon0: float, dlat: float, dlon: float) -> FloatArray:
        away = (east - lon0 + 180.0) % 360.0 - 180.0
        return np.exp(-0.5 * (((lat - lat0) / dlat) ** 2 + (away / dlon) ** 2))

    sea = 1.0 - 0.6 * land
    tongue = 1.05 * blob(0, 222, 6.5, 34) + 0.5 * blob(-4, 275, 7, 12)
    return np.asarray(
        sea * (tongue - 0.3 * blob(22, 165, 9, 22) - 0.3 * blob(-22, 185, 9, 22))
        + 0.55 * blob(60, 245, 11, 22)
        - 0.35 * blob(33, 265, 8, 14)
        + 0.15 * np.exp(-0.5 * (lat / 18.0) ** 2)
        + 0.2 * blob(-10, 70, 12, 20)
    )


def coverage_masks(climate: Climate, seed: int) -> NDArray[np.bool_]:
    """(T, H, W) True where observed: persistent, sparser backwards in time, thinned in the wars."""
    grid, time, rng = climate.grid, climate.time, np.random.default_rng([seed, 77])
    land = land_fraction(grid).reshape(-1)
    points = unit_vectors(grid)
    lat = np.degrees(np.arcsin(np.clip(points[:, 2], -1.0, 1.0)))
    smooth = _smoother(1500.0)
    lanes = smooth @ rng.normal(size=smooth.shape[1]) - 0.035 * np.maximum(np.abs(lat) - 25.0, 0.0)
    # Stations stood first where the first networks were: Europe, eastern North America, India.
    early = np.zeros(land.size)
    for lat0, lon0, reach in ((50, 12, 0.35), (40, -80, 0.3), (22, 78, 0.2), (-34, 148, 0.2), (36, 138, 0.15)):
        y, x = np.radians(lat0), np.radians(lon0)
        centre = np.array([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])
        early = np.maximum(early, np.exp((points @ centre - 1.0) / reach**2))
    stations = 2.2 * early + 0.8 * (smooth @ rng.normal(size=smooth.shape[1])) - 1.3 * (np.abs(lat) > 65)
    order = {}
    for kind, score, cells in (("sea", lanes, land < 0.5), ("land", stations, land >= 0.5)):
        order[kind] = np.full(land.size, np.inf)
        order[kind][cells] = np.argsort(np.argsort(-score[cells])) / cells.sum()
    year = (time.index + 0.5) / 12.0
    sea = np.interp(year, [1850, 1880, 1910, 1938, 1960, 1980, 2030], [0.16, 0.38, 0.5, 0.62, 0.72, 0.85, 0.9])
    ground = np.interp(year, [1850, 1880, 1910, 1938, 1960, 1980, 2030], [0.1, 0.3, 0.55, 0.68, 0.9, 0.92, 0.9])
    sea = sea - 0.16 * ((year > 1914.5) & (year < 1919)) - 0.24 * ((year > 1939.6) & (year < 1946))
    patches = rng.normal(size=(len(time), smooth.shape[1])) @ smooth.T
    masks = (order["sea"] < sea[:, None] + 0.06 * patches) | (order["land"] < ground[:, None] + 0.04 * patches)
    masks &= rng.random(masks.shape) > 0.06
    return np.asarray(masks.reshape(len(time), *grid.shape))
