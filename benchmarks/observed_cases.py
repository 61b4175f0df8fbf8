"""Observations of the cases of benchmarks/skill.py: errors that are added to the truth, and those that are stated.

clean: no errors, 0.1 K stated. noisy: independent errors of 0.5 K, as stated. cold: the same, of months that are colder
by 1.3 K times the response of the months learned from. sparse: twelve sparser masks, with independent, regional and slow
errors.

The case "sparse" states one error of each cell. "sparse, stated" has the same observations and says their errors as
HadCRUT5 does: 20 members whose deviations are drawn from the same regional and slow errors (none of them those that are
in the data), and the independent error as uncorrelated; each member is reconstructed
(:mod:`climrecon.methods.observation_ensemble`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from splits import Split, World

from climrecon.data.masks import smoother
from climrecon.grid import FIVE_DEGREES as GRID

NOISE, CLEAN = 0.5, 0.1
#: Errors of the sparse case: cell by cell, regional (1,500 km, persisting), one slow field (5,000 km); K.
OWN, REGIONAL, SLOW = 0.4, 0.25, 0.06
COOLING = 1.3
#: Members of the ensemble that the case "sparse, stated" is given, and what tells their errors from those in the data.
MEMBERS, MEMBERS_SEED = 20, 1_000_000
CELLS = GRID.area.size


class CorrelatedErrors:
    """The regional and the slow error of the sparse case: what an ensemble of observations samples."""

    def __init__(self) -> None:
        self.regional, self.slow = smoother(GRID, 1500.0), smoother(GRID, 5000.0)

    def covariance(self) -> np.ndarray:
        """(P, P) K2 of a month."""
        parts = ((REGIONAL, self.regional), (SLOW, self.slow))
        return np.asarray(sum(size**2 * part @ part.T for size, part in parts))

    def region(self, rng: np.random.Generator, months: int) -> np.ndarray:
        """(T, P) K: about 1,500 km wide, 0.7 of it persisting from month to month."""
        found = np.empty((months, CELLS))
        found[0] = self.regional @ rng.normal(size=CELLS)
        for step in range(1, months):
            found[step] = 0.7 * found[step - 1] + np.sqrt(0.51) * (self.regional @ rng.normal(size=CELLS))
        return REGIONAL * found

    def slow_field(self, rng: np.random.Generator) -> np.ndarray:
        """(P,) K: one field for all months."""
        return np.asarray(SLOW * (self.slow @ rng.normal(size=CELLS)))

    def ensemble(self, seed: int, months: int) -> list[np.ndarray]:
        """Deviations of members, (T, H, W) K each, independent of the errors that are in the data."""
        members = []
        for member in range(MEMBERS):
            rng = np.random.default_rng([MEMBERS_SEED, seed, member])
            own = self.region(rng, months) + self.slow_field(rng)
            members.append(own.reshape(months, *GRID.shape).astype(np.float32))
        return members


@dataclass(frozen=True)
class Case:
    """One set of observations of a world: (T, H, W) truth, values and masks, the stated error in K, the seed."""

    name: str
    label: str
    truth: np.ndarray
    values: np.ndarray
    mask: np.ndarray
    stated: float
    seed: int


def cases_of(
    split: Split,
    world: World,
    names: list[str],
    seeds: int,
    masks: dict[str, np.ndarray],
    sparse: list[np.ndarray],
    errors: CorrelatedErrors,
) -> Iterator[Case]:
    """Observations are where a mask and the truth are."""
    truth, known = world.truth, np.isfinite(world.truth)
    cold = truth - COOLING * split.response.mean(axis=0).reshape(GRID.shape)
    for label, one in masks.items():
        mask = one & known
        if "clean" in names:
            yield Case("clean", label, truth, truth, mask, CLEAN, 0)
        for seed in range(seeds):
            noise = NOISE * np.random.default_rng(seed).normal(size=truth.shape)
            if "noisy" in names:
                yield Case("noisy", label, truth, truth + noise, mask, NOISE, seed)
            if "cold" in names:
                yield Case("cold", label, cold, cold + noise, mask, NOISE, seed)
    for seed in range(seeds if "sparse" in names else 0):
        rng = np.random.default_rng([seed, 9])
        mask = np.stack([sparse[(number // 20) % 12] for number in range(len(truth))]) & known
        region = errors.region(rng, len(truth)).reshape(truth.shape)
        error = OWN * rng.normal(size=truth.shape) + region
        error += errors.slow_field(rng).reshape(truth.shape[1:])
        yield Case("sparse", "twelve", truth, truth + error, mask, float(np.hypot(OWN, REGIONAL)), seed)
        # The same, with the errors said as HadCRUT5 says them: an ensemble, and the independent part.
        yield Case("sparse, stated", "twelve", truth, truth + error, mask, OWN, seed)
