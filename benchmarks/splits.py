"""Months, masks and truth of the splits of benchmarks/skill.py: what is learned from, and what is scored.

(a) warm: learned from 1960-1985, scored on 1988-2002. Completed GISTEMP; cells that it lacks are not scored.
(b) cold: learned from 1975-2002, scored on 1930-1957 of GISTEMP with its gaps: known cells are observed and scored, and
    annual means are those of the cells known in a month, at least 93 % of the area.
(c) interleaved: scored on 1963-67, 1973-77, 1983-87 and 1993-97, learned from the other months of 1960-2002 but for two
    next to each block. Completed GISTEMP; cells that it lacks are not scored.
(d) other models: learned as in (c), scored on CMCC-CESM's rcp85 of 2066-2075 (anomalies to its 1995-1999) and on
    IPSL-CM6A-LR's ssp585 of 2040-2049 (anomalies to its 2015-2034, since the historical run is annual; cells of 9 by 18
    degrees). The patterns of a model and its family are not learned from where the model is the truth.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.fields import Months
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.priors.forced import ForcedResponses, response_of
from climrecon.preprocess import prepare_member
from climrecon.preprocess.patterns import read_patterns
from climrecon.tasks.benchmark.runs import learned_months
from climrecon.training.sets import family_of

BLOCKS = tuple((first, first + 4) for first in (1963, 1973, 1983, 1993))
MARGIN = 2
ALL_CASES, FEW_CASES = ("clean", "noisy", "sparse", "cold"), ("clean", "noisy")
GISTEMP = "GISTEMP"
#: Models that are truth in (d): their files, the years of the climatology, those that are scored.
MODELS = {
    "CMCC-CESM": ("training/cmip5/CMCC-CESM/tas_Amon_*.nc", (1995, 1999), (2066, 2075)),
    "IPSL-CM6A-LR": ("models/ipsl_cm6a_20x20/tas_mon_*_ssp585_*.nc", (2015, 2034), (2040, 2049)),
}


@dataclass(frozen=True)
class World:
    """Truth: (T, H, W) K, NaN where not known; the cells that may be scored; its months; patterns to learn from."""

    name: str
    truth: np.ndarray
    valid: np.ndarray
    time: Months
    models: ForcedResponses


@dataclass(frozen=True)
class Split:
    """What is learned from, and the worlds that are scored.

    Attributes
    ----------
    fields, index:
        (N, H, W) K and (N,) months since 0000-01 that are learned from.
    response:
        (12, P) K/K, the forced response of these months.
    cases:
        Names of the cases it is scored in.
    """

    name: str
    fields: np.ndarray
    index: np.ndarray
    response: np.ndarray
    worlds: tuple[World, ...]
    cases: tuple[str, ...]

    def directions(self, world: World) -> np.ndarray:
        """(F, P) K: annual means of the models' directions, and the response of the months learned from, 1 K each."""
        own = ForcedResponses((GISTEMP,), self.response[None], GRID.area.reshape(-1))
        return np.concatenate([world.models.directions(1.0, 1.0), own.directions(1.0, 0.0)]).mean(axis=1)


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


def known_months(data: Path, first: int, last: int) -> tuple[np.ndarray, Months]:
    """(T, H, W) GISTEMP of the years ``first`` to ``last`` with its gaps as NaN, K."""
    with netCDF4.Dataset(data / "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc") as file:
        fields = file["tas"][(first - 1880) * 12 : (last - 1880 + 1) * 12].filled(np.nan).astype(np.float64)
    return fields, Months(np.arange(len(fields)) + first * 12)


def scoring_masks(data: Path) -> dict[str, np.ndarray]:
    """The two real HadCRUT4 masks at 36 x 72 (the file writes each row twice)."""
    with netCDF4.Dataset(data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc") as file:
        values = np.ma.filled(file["tas"][:].astype(float), np.nan)[:, ::2]
    values = np.roll(np.where(np.abs(values) < 1e3, values, np.nan), 36, axis=2)
    return {"1877-09": np.isfinite(values[0]), "1893-08": np.isfinite(values[1])}


def sparse_masks(data: Path, land: np.ndarray, masks: dict[str, np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Twelve masks of about 20 % coverage: CRUTEM4 land of 1865-1900, sea of the two months thinned and rolled."""
    rng = np.random.default_rng(seed)
    with netCDF4.Dataset(data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc") as file:
        stations = ~np.ma.getmaskarray(file["temperature_anomaly"][15 * 12 : 51 * 12])
    found = []
    for number in range(12):
        sea = masks["1877-09" if number % 2 else "1893-08"] & (land < 0.5)
        sea = np.roll(sea, rng.integers(-6, 7), axis=1) & (land < 0.5)
        sea &= rng.random(sea.shape) < 0.65
        found.append(sea | (stations[rng.integers(len(stations))] & (land >= 0.3)))
    return found


def model_world(data: Path, name: str, models: ForcedResponses, scratch: Path) -> World:
    """Months of a model as truth, remapped conservatively, and the patterns of other families than its own."""
    pattern, base, (first, last) = MODELS[name]
    values, time = prepare_member(sorted(data.glob(pattern)), GRID, base, scratch)
    rows = (time.year >= first) & (time.year <= last)
    truth = values[rows].astype(np.float64)
    kin = [other for other in models.names if family_of(other) == family_of(name)]
    return World(name, truth, np.ones(truth.shape, bool), Months(time.index[rows]), models.without(kin))


def split_of(name: str, data: Path) -> Split:
    """The split ``a``, ``b``, ``c`` or ``d``; see the head of this module."""
    fields, missing, index = fields_of(data)
    year = index // 12
    with tempfile.TemporaryDirectory() as scratch:
        patterns = read_patterns(data / "forced_patterns_cmip5/tas_patterns_41_models_5x5.nc", GRID, Path(scratch))
        models = ForcedResponses(*patterns, GRID.area.reshape(-1))
        if name == "d":
            worlds = tuple(model_world(data, model, models, Path(scratch)) for model in MODELS)
    if name == "b":
        truth, time = known_months(data, 1930, 1957)
        learned, worlds = year >= 1975, (World(GISTEMP, truth, np.isfinite(truth), time, models),)
    else:
        learned = year <= 1985 if name == "a" else ~near(held_out(year))
    if name in "ac":
        scored = year >= 1988 if name == "a" else held_out(year)
        worlds = (World(GISTEMP, fields[scored], ~missing[scored], Months(index[scored]), models),)
    response = response_of(fields[learned], index[learned], GRID)
    if response is None:
        raise SystemExit(f"The months that split {name} learns from warm too little to have a forced response.")
    cases = ALL_CASES if name in "ac" else FEW_CASES
    return Split(name, fields[learned], index[learned], response, worlds, cases)


def not_held_out(training: Mapping[str, Any], split: Split) -> str:
    """Why a network with the card's entry ``training`` is not shown to be blind to what is scored; "" where it is.

    Months are compared whatever member they are of: the product holds out years of all members. Validation chooses
    the weights, and so counts as learned from.
    """
    members = training.get("members")
    listed = [m for use in ("train", "validation") for m in members[use]] if isinstance(members, dict) else []
    if split.name == "d":
        known = {str(m["family"]) for m in listed}
        known |= {family_of(name) for name in training.get("forced_responses", {}).get("sources", ())}
        met = sorted({family_of(world.name) for world in split.worlds} & known)
        if met:
            return f"it learned from the model family {', '.join(met)}"
        return "" if listed else "its card does not list the families that it learned from"
    if str(training.get("covariances", "")).startswith("all "):
        return "its covariances are those of all months"
    if not all("periods" in m for m in listed):
        return "its card does not list the months of all members"
    learned = learned_months(training)
    if learned is None:
        return "its card does not list the months that it learned from"
    scored = np.concatenate([world.time.index for world in split.worlds])
    close = np.intersect1d(learned, scored[:, None] + np.arange(-MARGIN, MARGIN + 1))
    return f"it learned from {len(close)} months within {MARGIN} of those scored" if len(close) else ""
