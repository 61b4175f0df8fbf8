"""Coverage masks to train with: real land coverage, made-up sea coverage, and thinnings of both.

Masks are drawn independently of the fields and of each other, each from its own seeded stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.covariance import great_circle
from climrecon.grid import Grid

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.floating[Any]]


def smoother(grid: Grid, length_km: float) -> NDArray[np.float64]:
    """(P, P) matrix that turns white noise into unit-variance fields with a Gaussian correlation.

    The correlation is exp(-d^2 / 2 L^2); its symmetric square root is taken by eigenvalues, negative
    ones (the Gaussian is not strictly positive definite on the sphere) cut at zero.
    """
    correlation = np.exp(-0.5 * (great_circle(grid) / length_km) ** 2)
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return np.asarray(root / np.sqrt((root**2).sum(axis=1))[:, None])


@dataclass(frozen=True)
class MaskSource:
    """Draws masks of (P,) cells.

    Parameters
    ----------
    land_masks:
        (N, P) real coverage of land stations.
    sea:
        (P,) True where mostly sea.
    patches:
        (P, P) smoother whose fields make sea coverage patchy, see :func:`smoother`.
    lat:
        (P,) latitude, degrees.
    """

    land_masks: BoolArray
    sea: BoolArray
    patches: FloatArray
    lat: FloatArray

    def draw(self, rng: np.random.Generator) -> BoolArray:
        """One mask; 3 % to 95 % of the cells, at least ten of them."""
        mask = self._sea(rng) | (self.land_masks[rng.integers(len(self.land_masks))] & ~self.sea)
        if rng.random() < 0.3:
            # Coastal and island cells are seen by ships and stations alike.
            mask |= self.land_masks[rng.integers(len(self.land_masks))]
        if rng.random() < 0.5:
            mask &= rng.random(mask.size) < rng.uniform(0.4, 1.0)
        if rng.random() < 0.15:
            mask &= self.patches @ rng.normal(size=mask.size) < rng.uniform(0.5, 1.5)
        if mask.sum() < 10:
            mask[rng.choice(mask.size, 10, replace=False)] = True
        return np.asarray(mask)

    def _sea(self, rng: np.random.Generator) -> BoolArray:
        """Sea cells along patchy lanes, fewer towards the poles as ships go."""
        share = rng.beta(1.0, 1.3)
        preference = self.patches @ rng.normal(size=self.sea.size) + rng.uniform(0.3, 1.5) * rng.normal(
            size=self.sea.size
        )
        preference -= rng.uniform(0.5, 2.5) * np.maximum(np.abs(self.lat) - rng.uniform(25, 55), 0.0) / 20.0
        chosen = np.zeros(self.sea.size, dtype=bool)
        count = int(share * self.sea.sum())
        if count:
            cells = np.flatnonzero(self.sea)
            chosen[cells[np.argsort(preference[cells])[-count:]]] = True
        return chosen
