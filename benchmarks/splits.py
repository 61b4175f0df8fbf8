"""The months that are learned from and scored: four splits, three of which show a climate that was not learned from.

a
    Warm: learned up to 1985, scored on 1988-2002.
b
    Cold: learned from 1975 on, scored on 1930-1957 where GISTEMP has values.
c
    The same climate: 1963-67, 1973-77, 1983-87 and 1993-97 are scored, two months on either side of each block unused.
d
    Another model's world: 2066-2075 of CMCC-CESM (rcp85), anomalies to 1995-1999; learned from GISTEMP as in c, without
    the patterns of that model and of its family.

Truth of a, b and c: GISTEMP v4 (1,200 km), 5 degrees, months to 2002; cells that GISTEMP lacks are not scored.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import netCDF4
import numpy as np

from climrecon.fields import Months
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.grid import Grid
from climrecon.methods.priors.forced import ForcedResponses, response_of
from climrecon.methods.store import LoadedNetwork
from climrecon.preprocess.patterns import read_patterns
from climrecon.preprocess.regrid import remap
from climrecon.training.sets import family_of

BLOCKS = tuple((first, first + 4) for first in (1963, 1973, 1983, 1993))
MARGIN = 2
MODEL, BASE, WARM = "CMCC-CESM", (1995, 1999), (2066, 2075)


def near(chosen: np.ndarray, months: int = MARGIN) -> np.ndarray:
    """``chosen`` months and those up to ``months`` before or after."""
    wide = chosen.copy()
    for shift in range(1, months + 1):
        wide[shift:] |= chosen[:-shift]
        wide[:-shift] |= chosen[shift:]
    return wide


def held_out(year: np.ndarray) -> np.ndarray:
    return np.any([(year >= first) & (year <= last) for first, last in BLOCKS], axis=0)


def fields_of(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, H, W) completed months 1960-2002, cells that were missing, (N,) months since 0000-01."""
    with netCDF4.Dataset(data / "training/gistemp/gistemp_complete_5x5_196001-200212.nc") as file:
        fields = file["tas"][:].filled(np.nan).astype(np.float64)
        missing = file["was_missing"][:].filled(0) > 0
    return fields, missing, np.arange(len(fields)) + 1960 * 12


def early_of(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) months 1930-1959 with their gaps, NaN, and (N,) months since 0000-01."""
    with netCDF4.Dataset(data / "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc") as file:
        values = np.ma.filled(file["tas"][(1930 - 1880) * 12 : (1960 - 1880) * 12].astype(np.float64), np.nan)
    return values, np.arange(len(values)) + 1930 * 12


@dataclass(frozen=True)
class Split:
    """Months to learn from and to score.

    Attributes
    ----------
    values:
        (T, H, W) what observations show of the scored months; NaN where nothing is known.
    lost:
        (T, H, W) cells that are not scored.
    time:
        (T,) the scored months.
    fields, index:
        (N, H, W) months since 1960 to learn from, and their (N,) months since 0000-01.
    models:
        Forced responses that may be used.
    """

    values: np.ndarray
    lost: np.ndarray
    time: Months
    fields: np.ndarray
    index: np.ndarray
    models: ForcedResponses

    @property
    def blocks(self) -> list[slice]:
        """Runs of consecutive months: months of one are neighbours; those of the next are not."""
        edges = [0, *(np.flatnonzero(np.diff(self.time.index) != 1) + 1).tolist(), len(self.time)]
        return [slice(*pair) for pair in pairwise(edges)]

    def response(self) -> np.ndarray:
        """(P,) forced response of the months learned from, of the whole year."""
        found = response_of(self.fields, self.index, GRID)
        assert found is not None
        return found.mean(axis=0)

    def directions(self) -> np.ndarray:
        """(F, P) K: the models' mean response, their differences and the learned months' own response, 1 K each."""
        found = self.models.directions(1.0, 1.0).mean(axis=1)
        return np.concatenate([found, self.response()[None] - 1.0])


def split_of(data: Path, name: str) -> Split:
    fields, missing, index = fields_of(data)
    year = index // 12
    test = {"a": year >= 1988, "b": np.zeros(len(year), bool), "c": held_out(year), "d": np.zeros(len(year), bool)}[
        name
    ]
    learned = {"a": year <= 1985, "b": year >= 1975, "c": ~near(held_out(year)), "d": ~near(held_out(year))}[name]
    with tempfile.TemporaryDirectory() as scratch:
        path = data / "forced_patterns_cmip5/tas_patterns_41_models_5x5.nc"
        models = ForcedResponses(*read_patterns(path, GRID, Path(scratch)), GRID.area.reshape(-1))
        if name == "d":
            relatives = [one for one in models.names if family_of(one) == family_of(MODEL)]
            models = models.without(relatives)
            values, months = model_world(data, Path(scratch))
            lost = np.zeros(values.shape, bool)
        elif name == "b":
            values, months = early_of(data)
            rows = months // 12 <= 1957
            values, months = values[rows], months[rows]
            lost = ~np.isfinite(values)
        else:
            values, lost, months = fields[test], missing[test], index[test]
    return Split(values, lost, Months(months), fields[learned], index[learned], models)


def model_world(data: Path, scratch: Path) -> tuple[np.ndarray, np.ndarray]:
    """(T, H, W) anomalies of the model's warm decade, and (T,) months since 0000-01."""
    values, months = [], []
    for path in sorted((data / f"training/cmip5/{MODEL}").glob("tas_Amon_*.nc")):
        with netCDF4.Dataset(path) as file:
            first = int(path.stem.rsplit("_", 1)[1][:4]) * 12
            lat, lon = np.array(file["lat"][:]), np.array(file["lon"][:])
            fields = np.roll(np.asarray(file["tas"][:], np.float32), (lon >= 180.0).sum(), axis=2)
            values.append(remap(fields, _source(lat, lon), GRID, scratch))
            months.append(first + np.arange(len(fields)))
    series, index = np.concatenate(values).astype(np.float64), np.concatenate(months)
    base = (index // 12 >= BASE[0]) & (index // 12 <= BASE[1])
    climatology = np.stack([series[base & (index % 12 == month)].mean(axis=0) for month in range(12)])
    warm = (index // 12 >= WARM[0]) & (index // 12 <= WARM[1])
    return series[warm] - climatology[index[warm] % 12], index[warm]


def _source(lat: np.ndarray, lon: np.ndarray) -> Grid:
    """The model's Gaussian grid, from -180."""
    edges = np.concatenate([[-90.0], (lat[1:] + lat[:-1]) / 2.0, [90.0]])
    step = 360.0 / len(lon)
    return Grid(edges, np.arange(len(lon) + 1) * step - 180.0 - step / 2.0)


def learned_from_scored_months(network: LoadedNetwork, time: Months) -> bool | None:
    """Whether a network trained by the product learned from scored months; None where its card does not say."""
    members = network.card.training.get("members")
    if not isinstance(members, dict):
        return None
    scored = np.unique(time.index[:, None] + np.arange(-MARGIN, MARGIN + 1))
    for member in (*members["train"], *members["validation"]):
        for period in member.get("periods", ()):
            first, last = (int(part[:4]) * 12 + int(part[4:6]) - 1 for part in period.split("-"))
            if ((scored >= first) & (scored <= last)).any():
                return True
    return False
