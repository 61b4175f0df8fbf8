"""Made-up coverage of the sea, month by month: along shipping lanes, and as data sets of ships and buoys have it.

They stand for gaps where no file of observations with such gaps is at hand, in trainings and evaluations alike. A month's
mask follows from the seed and the month alone.

Shapes: V voyages, S points of each, P = H * W cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.geography import land_fraction
from climrecon.grid import EARTH_RADIUS_KM, Grid

#: First and last month that masks are made for, since 0000-01: those of the longest data sets.
FIRST, LAST = 1850 * 12, 2022 * 12 + 11
#: Ports and turning points (degrees north, degrees east), and the lanes between them.
PLACES = {
    "Channel": (49.0, -6.0), "New York": (40.5, -73.5), "Gibraltar": (36.0, -6.5), "Suez": (29.5, 32.5),
    "Aden": (12.5, 46.0), "Bombay": (18.5, 72.0), "Colombo": (6.0, 79.5), "Singapore": (1.2, 104.5),
    "Hong Kong": (22.0, 114.5), "Yokohama": (34.5, 140.0), "San Francisco": (37.7, -123.0), "Honolulu": (21.0, -158.0),
    "Panama": (8.5, -79.5), "Colon": (9.8, -79.9), "Callao": (-12.0, -77.5), "Valparaiso": (-33.0, -72.0),
    "Horn": (-57.0, -67.0), "River Plate": (-35.5, -55.0), "Rio": (-23.5, -42.5), "Recife": (-8.0, -34.5),
    "Dakar": (14.5, -18.0), "Cape": (-35.0, 18.0), "Durban": (-30.0, 31.5), "Fremantle": (-32.0, 115.0),
    "Melbourne": (-39.0, 144.5), "Sydney": (-34.0, 151.5), "Auckland": (-36.5, 175.5), "Bergen": (60.5, 4.0),
}  # fmt: skip
LANES = (
    ("Channel", "New York"), ("Channel", "Gibraltar"), ("Gibraltar", "Suez"), ("Suez", "Aden"), ("Aden", "Bombay"),
    ("Aden", "Colombo"), ("Colombo", "Singapore"), ("Singapore", "Hong Kong"), ("Hong Kong", "Yokohama"),
    ("Yokohama", "San Francisco"), ("Yokohama", "Honolulu"), ("Honolulu", "San Francisco"), ("Honolulu", "Panama"),
    ("San Francisco", "Panama"), ("Panama", "Callao"), ("Callao", "Valparaiso"), ("Valparaiso", "Horn"),
    ("Horn", "River Plate"), ("River Plate", "Rio"), ("Rio", "Recife"), ("Recife", "Dakar"), ("Dakar", "Channel"),
    ("Channel", "Recife"), ("Dakar", "Cape"), ("Cape", "Durban"), ("Durban", "Colombo"), ("Cape", "Fremantle"),
    ("Fremantle", "Melbourne"), ("Colombo", "Fremantle"), ("Sydney", "Auckland"), ("Melbourne", "Sydney"),
    ("Auckland", "Panama"), ("Auckland", "Horn"), ("Sydney", "Honolulu"), ("Colon", "Channel"), ("Colon", "New York"),
    ("Channel", "Bergen"), ("Cape", "River Plate"), ("Singapore", "Fremantle"), ("New York", "Recife"),
)  # fmt: skip
#: Points of a voyage, and how far it keeps from the great circle at most, km.
POINTS, ASIDE_KM = 120, 500.0
#: Routes of a year that follow no lane; voyages that are drawn at once, and how often at most.
OFF_LANES, VOYAGES, ROUNDS = 100, 80, 10
#: Share of the sea that data sets of ships and buoys observe, by year: in between it changes evenly. After figure 2 of
#: Kennedy et al. (2011), J. Geophys. Res. 116, D14103 (HadSST3), to about a tenth: the world wars are gaps.
OBSERVED = (
    (1850, 0.12), (1865, 0.14), (1880, 0.24), (1913, 0.36), (1917, 0.20), (1921, 0.36), (1938, 0.44), (1943, 0.20),
    (1948, 0.42), (1960, 0.55), (1975, 0.66), (1990, 0.70), (2000, 0.72), (2010, 0.80), (2022, 0.82),
)  # fmt: skip
#: Latitudes between which vessels off the lanes and buoys are found.
SOUTH, NORTH = -62.0, 72.0
#: Share of the sea that is observed along lanes alone: between these, drawn for each year.
ON_LANES = (0.08, 0.20)


@dataclass(frozen=True)
class Kind:
    """A kind of made-up coverage: a title, and the share of the voyages that follow no lane."""

    title: str
    off_lanes: float

    def observed(self, year: int, rng: np.random.Generator) -> float:
        """Share of the sea that is observed in a year."""
        if not self.off_lanes:
            return float(rng.uniform(*ON_LANES))
        years, shares = np.array(OBSERVED).T
        return float(np.interp(year, years, shares))


#: Made-up coverage by the name that ``masks`` takes.
MADE_UP = {
    "hadsst-like": Kind("made-up coverage of ships and buoys, growing as HadSST's does", 0.5),
    "ship-tracks": Kind("made-up coverage along shipping lanes alone, 8-20 % of the sea", 0.0),
}


def made_up_masks(name: str, grid: Grid, seed: int, index: IntArray) -> BoolArray:
    """(T, H, W) masks of the kind ``name`` in the months (T,) ``index`` since 0000-01.

    Routes, and how busy they are, are drawn for each year, so that gaps persist. Cells without sea are never observed.
    """
    edges = tuple(grid.lat_edges.tolist()), tuple(grid.lon_edges.tolist())
    return _made(name, *edges, seed, tuple(index.tolist())).copy()


@lru_cache(maxsize=2)  # several methods of an evaluation are given the same months
def _made(
    name: str, lat_edges: tuple[float, ...], lon_edges: tuple[float, ...], seed: int, index: tuple[int, ...]
) -> BoolArray:
    grid = Grid(np.array(lat_edges), np.array(lon_edges))
    kind, land = MADE_UP[name], land_fraction(grid).reshape(-1)
    area = np.where(land < 0.5, grid.area.reshape(-1), 0.0)
    masks = np.zeros((len(index), land.size), bool)
    for mask, month in zip(masks, index, strict=True):
        of_year, of_month = (
            np.random.default_rng([seed, list(MADE_UP).index(name), length, int(month) // length]) for length in (12, 1)
        )
        wanted = kind.observed(int(month) // 12, of_year) * float(area.sum())
        routes, busy = _routes(kind, of_year)
        for _ in range(ROUNDS):
            cells = _visited(grid, routes[of_month.choice(len(routes), VOYAGES, p=busy)], of_month)
            new = cells[np.sort(np.unique(cells, return_index=True)[1])]  # in order of the voyages
            new = new[~mask[new] & (land[new] < 1.0)]
            left = wanted - float(area[mask].sum())
            fits = np.cumsum(area[new]) <= left
            mask[new[fits]] = True
            if not fits.all():
                break
    return masks.reshape(len(index), *grid.shape)


def _routes(kind: Kind, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """(R, 2, 2) latitude and longitude of both ends of a year's routes, and the (R,) share of the voyages on each."""
    lanes = np.array([[PLACES[place] for place in lane] for lane in LANES])
    south, north = np.sin(np.radians([SOUTH, NORTH]))
    lat = np.degrees(np.arcsin(rng.uniform(south, north, (OFF_LANES, 2))))
    others = np.stack([lat, rng.uniform(-180.0, 180.0, (OFF_LANES, 2))], axis=2)
    busy = [
        (1.0 - kind.off_lanes) * rng.dirichlet(np.ones(len(lanes))),
        kind.off_lanes * rng.dirichlet(np.ones(OFF_LANES)),
    ]
    return np.concatenate([lanes, others]), np.concatenate(busy)


def _visited(grid: Grid, ends: FloatArray, rng: np.random.Generator) -> IntArray:
    """(N,) cells that voyages between (V, 2, 2) ``ends`` pass, one voyage after the other."""
    lat, lon = _paths(ends, rng)
    row, column = np.searchsorted(grid.lat_edges, lat, "right") - 1, np.searchsorted(grid.lon_edges, lon, "right") - 1
    inside = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
    return np.asarray((row * grid.shape[1] + column)[inside])


def _paths(ends: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """(V, S) latitudes and longitudes of voyages between (V, 2, 2) ``ends``: great circles, and aside of them."""
    lat, lon = np.radians(ends[..., 0]), np.radians(ends[..., 1])
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=2)
    start, end = points[:, :1], points[:, 1:]
    angle = np.arccos(np.clip((start * end).sum(axis=2), -1.0, 1.0))[..., None]
    share = np.linspace(0.0, 1.0, POINTS)[None, :, None]
    line = (np.sin((1.0 - share) * angle) * start + np.sin(share * angle) * end) / np.maximum(np.sin(angle), 1e-9)
    normal = np.cross(start, end)
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9)
    aside = rng.uniform(-1.0, 1.0, (len(ends), 1, 1)) * ASIDE_KM / EARTH_RADIUS_KM
    line = line + aside * np.sin(np.pi * share) * normal
    line /= np.linalg.norm(line, axis=2, keepdims=True)
    return np.degrees(np.arcsin(line[..., 2])), np.degrees(np.arctan2(line[..., 1], line[..., 0]))
