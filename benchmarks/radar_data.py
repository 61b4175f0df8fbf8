"""Real rainfall-radar sequences for benchmarks/radar.py: reading, tiles of 32 x 32 cells of 4 km, and outages.

Rates are in mm/h, NaN where a composite has none. ``T`` steps, ``N`` tiles, ``S`` = 32 cells a side; masks are True where
observed.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from climrecon.data.masks import MaskSource
from climrecon.frequency import MONTH, Frequency
from climrecon.grid import EARTH_RADIUS_KM, Grid
from climrecon.training.fields import TrainingFields
from climrecon.variables import Transform

CELL_KM, SIZE = 4.0, 32
#: Gaussian enough for methods: the power of monthly precipitation, of rates relative to 1 mm/h.
RAIN = Transform(kind="power", exponent=0.4, bounds=(0.0, float("inf")), normal=1.0, scale=0.5)
#: A tile counts where it rains in so much of it, on average over its steps.
WET_SHARE, WET = 0.05, 0.1
KINDS = ("sector", "disc", "radar")
#: Ranges of radii in cells, of a disc (clutter, attenuation) and of a whole radar; of a sector's width (a blocked beam)
#: in degrees.
DISC, RADAR, SECTOR = (3.0, 7.0), (10.0, 14.0), (20.0, 60.0)
#: Steps that an outage of the training lasts at most.
LONGEST = 4


def plane() -> Grid:
    """A tile's grid: on the equator degrees of longitude and latitude are alike, as kilometres in a radar's projection.

    The place has no land and none of the boxes that spreads are calibrated on.
    """
    edges = np.degrees((np.arange(SIZE + 1) - SIZE / 2) * CELL_KM / EARTH_RADIUS_KM)
    return Grid(edges, 60.0 + edges)


@dataclass(frozen=True)
class Archive:
    """One archive: its file, how it is read, and which steps serve what.

    Attributes
    ----------
    steps_per_hour:
        Of the sequence.
    side:
        Cells of the file along a cell of 4 km.
    read:
        Names and bytes of its files, in order of time, to (T, H, W) rates.
    learned, validated, scored:
        Steps that are learned from, that the best weights are chosen on, and that are scored; steps between are not used.
    neighbours, duration:
        Steps on either side that a network sees; steps that a scored outage lasts.
    folds:
        Of the cross-fit.
    alone:
        Whether a network that sees no other step is trained too, to compare with.
    """

    file: str
    steps_per_hour: int
    side: int
    read: Callable[[str, bytes], np.ndarray]
    learned: range
    validated: range
    scored: range
    neighbours: int
    duration: int
    folds: int
    alone: bool = False

    @property
    def networks(self) -> tuple[int, ...]:
        """The neighbours of each network."""
        return (0, self.neighbours) if self.alone else (self.neighbours,)

    def rates(self, folder: Path) -> np.ndarray:
        """(T, H, W) mm/h on cells of 4 km; NaN where a part of the cell has no value."""
        with tarfile.open(folder / "radar" / self.file) as archive:
            names = sorted(name for name in archive.getnames() if re.search(r"\.(asc|nc|h5)$", name))
            fields = [self.read(name, archive.extractfile(name).read()) for name in names]  # type: ignore[union-attr]
        whole = np.stack([coarsened(field, self.side) for field in fields])
        return (whole * self.steps_per_hour).astype(np.float32)


def coarsened(field: np.ndarray, side: int) -> np.ndarray:
    """Means over ``side`` x ``side`` cells of (H, W); what is left over at two borders is cut off."""
    height, width = (size // side for size in field.shape)
    cells = field[: height * side, : width * side].reshape(height, side, width, side)
    return np.asarray(cells.mean((1, 3)))


def radolan(name: str, content: bytes) -> np.ndarray:
    """An ASCII grid of tenths of a millimetre, -1 where there is none; rows from north to south."""
    lines = content.decode("ascii").splitlines()
    values = np.array([line.split() for line in lines[6:]], dtype=np.float64)[::-1]
    return np.where(values < 0, np.nan, values / 10.0)


def bom(name: str, content: bytes) -> np.ndarray:
    """netCDF, mm per step."""
    with netCDF4.Dataset(name, memory=content) as file:
        return np.ma.filled(file["precipitation"][:].astype(np.float64), np.nan)


def knmi(name: str, content: bytes) -> np.ndarray:
    """HDF5 of KNMI: hundredths of a millimetre, 65535 out of range."""
    with netCDF4.Dataset(name, memory=content) as file:
        image = file["image1"]["image_data"]
        image.set_auto_mask(False)
        values = image[:].astype(np.float64)[::-1]
    return np.where(values == 65535, np.nan, values / 100.0)


ARCHIVES = {
    "Brisbane, 10 minutes": Archive(
        "bom66_brisbane_10min_20201031_24h.tar",
        6,
        8,
        bom,
        range(6, 42),
        range(45, 49),
        range(51, 72),
        2,
        3,
        2,
        alone=True,
    ),
    "Netherlands, 5 minutes": Archive(
        "knmi_nl_5min_20100826_0000-0735.tar", 12, 4, knmi, range(0, 44), range(50, 58), range(64, 92), 2, 3, 2
    ),
    "Germany, hourly": Archive(
        "radolan_rw_hourly_20221018_ascii.tar.gz", 1, 4, radolan, range(0, 7), range(8, 9), range(10, 16), 1, 2, 1
    ),
}


def corners(rates: np.ndarray, apart: int) -> list[tuple[int, int]]:
    """First row and column of the tiles, ``apart`` cells from each other, whose (T, H, W) rates are complete and wet."""
    found = []
    for row in range(0, rates.shape[1] - SIZE + 1, apart):
        for column in range(0, rates.shape[2] - SIZE + 1, apart):
            tile = rates[:, row : row + SIZE, column : column + SIZE]
            if np.isfinite(tile).all() and (tile >= WET).mean() >= WET_SHARE:
                found.append((row, column))
    return found


def cut(rates: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """(T, S, S) of the tile at ``corner``."""
    row, column = corner
    return rates[:, row : row + SIZE, column : column + SIZE]


def images(tile: np.ndarray) -> Iterator[np.ndarray]:
    """The eight turns and mirror images of (T, S, S)."""
    for turns in range(4):
        turned = np.rot90(tile, turns, (1, 2))
        yield from (turned, turned[:, :, ::-1])


def training_fields(rates: np.ndarray, steps: range, apart: int, all_images: bool) -> TrainingFields:
    """Tiles of these steps, transformed; each tile, or each of its images, is a member.

    Rain of other days comes from elsewhere: without turned images covariances would know the direction of this one's.
    """
    part = rates[steps.start : steps.stop]
    tiles = [cut(part, corner) for corner in corners(part, apart)]
    members = [image for tile in tiles for image in (images(tile) if all_images else [tile])]
    count = len(members)
    return TrainingFields(
        RAIN.forward(np.concatenate(members)),
        np.ones(count * len(steps), int),  # no calendar months
        np.tile(np.array(steps), count),
        np.repeat(np.arange(count), len(steps)),
        tuple(f"tile {number}" for number in range(count)),
        plane(),
    )


def outage(kind: str, rng: np.random.Generator) -> np.ndarray:
    """(S, S) mask of a tile with one outage; between 3 and 70 % of the cells are missing."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    while True:
        site = rng.uniform(0.0, SIZE, 2) if kind != "radar" else rng.uniform(0.25 * SIZE, 0.75 * SIZE, 2)
        north, east = rows - site[0], columns - site[1]
        if kind == "sector":
            width, middle = rng.uniform(*SECTOR), rng.uniform(0.0, 360.0)
            missing = np.abs((np.degrees(np.arctan2(east, north)) - middle + 180.0) % 360.0 - 180.0) < width / 2.0
        else:
            missing = np.hypot(north, east) < rng.uniform(*(DISC if kind == "disc" else RADAR))
        if 0.03 < missing.mean() < 0.7:
            return np.asarray(~missing)


class RadarOutages(MaskSource):
    """One outage of any kind, which begins some steps before or ends some steps after the one that is estimated."""

    @classmethod
    def on_tiles(cls) -> RadarOutages:
        """For :func:`plane`."""
        cells = SIZE * SIZE
        return cls(np.ones((1, cells), bool), np.ones(cells, bool), np.zeros((cells, 1)), np.zeros(cells))

    def describe(self, frequency: Frequency = MONTH) -> str:
        """For a card."""
        return f"made-up radar outages ({', '.join(KINDS)}) of 1 to {LONGEST} steps"

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(P,)."""
        return outage(KINDS[rng.integers(len(KINDS))], rng).reshape(-1)

    def neighbours(self, mask: np.ndarray, steps: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
        """The same outage as long as it lasts, and complete fields before and after."""
        duration = rng.integers(1, LONGEST + 1)
        begun = rng.integers(duration)
        return [mask if 0 <= begun + step < duration else np.ones_like(mask) for step in steps]


@dataclass(frozen=True)
class Cases:
    """N outages and what is around them, in order of time.

    Attributes
    ----------
    truth:
        (N, L, S, S) mm/h of the L = duration + 2 x neighbours steps.
    mask:
        (N, L, S, S).
    during:
        The steps of the outage among the L.
    kind, start:
        (N,) names, and the first step of each case.
    """

    truth: np.ndarray
    mask: np.ndarray
    during: slice
    kind: np.ndarray
    start: np.ndarray

    @property
    def gaps(self) -> np.ndarray:
        """(N, duration, S, S) True in the outages."""
        return ~self.mask[:, self.during]


def cases_of(archive: Archive, rates: np.ndarray, seed: int) -> Cases:
    """An outage of each kind in each wet tile, every ``duration`` scored steps."""
    before, lasting = archive.neighbours, archive.duration
    truth, masks, kinds, started = [], [], [], []
    starts = range(archive.scored.start, archive.scored.stop - lasting - 2 * before + 1, lasting)
    for start in starts:
        part = rates[start : start + lasting + 2 * before]
        for number, corner in enumerate(corners(part, SIZE)):
            for which, kind in enumerate(KINDS):
                mask = np.ones((len(part), SIZE, SIZE), bool)
                mask[before : before + lasting] = outage(kind, np.random.default_rng([seed, start, number, which]))
                truth.append(cut(part, corner))
                masks.append(mask)
                kinds.append(kind)
                started.append(start)
    during = slice(before, before + lasting)
    return Cases(np.stack(truth), np.stack(masks), during, np.array(kinds), np.array(started))
