"""Coverage masks to train with: real coverage of any data set, made-up sea coverage, and thinnings of both.

Masks are drawn independently of the fields and of each other, each from its own seeded stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.frequency import MONTH, YEAR, Frequency
from climrecon.grid import EARTH_RADIUS_KM, Grid
from climrecon.methods.priors.covariance import great_circle, unit_vectors
from climrecon.steps import Steps

#: Share of the variance that the harmonics of a smoother hold.
KEPT_VARIANCE = 0.999
#: Share of the made-up masks to which whole regions are added, for the time since: up to complete coverage.
DENSER = 0.25
#: A data set that covers the sea this much less than the land is one of land stations, islands and coasts included.
LAND_ONLY = 0.5
#: Share of the samples whose coverage is thinner than any real month may be.
SPARSER = 0.25
#: Masks persist: steps up to so many before and after a held-out one are not trained with.
MASK_MARGIN = 2
#: Fewest steps, and years, of which some can be spared to score.
FEWEST, FEWEST_YEARS = 120, 40
#: Months whose masks score where a data set has them: the two that published figures exist for.
SCORING_MONTHS = (1877 * 12 + 8, 1893 * 12 + 7)


def smoother(grid: Grid, length_km: float) -> NDArray[np.float64]:
    """(P, P) matrix that turns white noise into unit-variance fields with a Gaussian correlation.

    The correlation is exp(-d^2 / 2 L^2); its symmetric square root is taken by eigenvalues, negative
    ones (the Gaussian is not strictly positive definite on the sphere) cut at zero.
    """
    correlation = np.exp(-0.5 * (great_circle(grid) / length_km) ** 2)
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return np.asarray(root / np.sqrt((root**2).sum(axis=1))[:, None])


def harmonic_smoother(grid: Grid, length_km: float) -> NDArray[np.float64]:
    """(P, K) matrix that turns K white numbers into unit-variance fields of correlation exp(-d^2 / 2 L^2).

    The correlation is expanded in Legendre polynomials, negative coefficients cut at zero, degrees kept up to
    :data:`KEPT_VARIANCE`; the columns are spherical harmonics. No matrix of cells by cells is made.

    Source: Schoenberg's expansion; Lang & Schwab (2015), Ann. Appl. Probab. 25:3047, section 2.
    """
    degrees = int(np.ceil(6.0 * EARTH_RADIUS_KM / length_km)) + 4
    nodes, weights = np.polynomial.legendre.leggauss(4 * degrees + 64)
    angle = np.arccos(nodes)
    correlation = np.exp(-0.5 * (angle * EARTH_RADIUS_KM / length_km) ** 2)
    legendre = np.polynomial.legendre.legvander(nodes, degrees)
    power = (legendre * (weights * correlation)[:, None]).sum(axis=0) * (np.arange(degrees + 1) + 0.5)
    power = np.maximum(power, 0.0)
    last = int(np.searchsorted(np.cumsum(power) / power.sum(), KEPT_VARIANCE)) + 1
    points = unit_vectors(grid)
    columns = _harmonics(points[:, 2], np.arctan2(points[:, 1], points[:, 0]), np.sqrt(power[:last]))
    return np.asarray(columns / np.sqrt((columns**2).sum(axis=1))[:, None])


def _harmonics(sine: FloatArray, longitude: FloatArray, size: FloatArray) -> NDArray[np.float64]:
    """(P, L^2) real harmonics of degrees 0 to L - 1, those of degree l times ``size[l]``.

    The normalised associated Legendre functions by their stable recursion.
    Source: Holmes & Featherstone (2002), J. Geodesy 76:279, equations 11 and 12.
    """
    cosine = np.sqrt(np.maximum(1.0 - sine**2, 0.0))
    columns = []
    sectoral = np.ones_like(sine)
    for order in range(len(size)):
        if order:
            factor = 3.0 if order == 1 else (2.0 * order + 1.0) / (2.0 * order)
            sectoral = sectoral * cosine * np.sqrt(factor)
        before, now = np.zeros_like(sine), sectoral
        for degree in range(order, len(size)):
            if degree > order:
                a = np.sqrt((4.0 * degree**2 - 1.0) / (degree**2 - order**2))
                b = np.sqrt(
                    (2.0 * degree + 1.0)
                    * ((degree - 1.0) ** 2 - order**2)
                    / ((2.0 * degree - 3.0) * (degree**2 - order**2))
                    if degree > order + 1
                    else 0.0
                )
                before, now = now, a * sine * now - b * before
            scaled = now * size[degree] / np.sqrt(2.0 * degree + 1.0)
            columns.append(scaled * np.cos(order * longitude))
            if order:
                columns.append(scaled * np.sin(order * longitude))
    return np.stack(columns, axis=1)


def hold_out_masks(time: Steps) -> tuple[IntArray, IntArray]:
    """Positions of the steps whose masks are trained with, and of those that score; none is in both.

    Masks of neighbouring steps are alike, so that steps within ``MASK_MARGIN`` of one that scores are not trained
    with either. Of fewer than 120 (of years 40) none can be spared: then all are trained with, and two of them score.
    """
    index, number = time.index, np.arange(len(time))
    if len(index) < (FEWEST_YEARS if time.frequency == YEAR else FEWEST):
        return number, np.unique(np.linspace(0, len(index) - 1, 2).astype(int))
    test = np.flatnonzero(np.isin(index, SCORING_MONTHS)) if time.frequency == MONTH else number[:0]
    if len(test) < 2:
        test = np.linspace(0, len(index) - 1, 5).astype(int)[1:3]
    near = np.abs(index[:, None] - index[test][None, :]).min(axis=1) <= MASK_MARGIN
    return number[~near], test


@dataclass(frozen=True)
class MaskSource:
    """Draws masks of (P,) cells.

    Parameters
    ----------
    land_masks:
        (N, P) real coverage: of land stations, or where ``blended`` of land and sea.
    sea:
        (P,) True where mostly sea.
    patches:
        (P, K) smoother whose fields make sea coverage patchy, see :func:`harmonic_smoother`.
    lat:
        (P,) latitude, degrees.
    blended:
        Whether ``land_masks`` cover the sea too. Then they are used as they are, all months alike, and a quarter
        of the samples is thinned to stand for the time before the data set begins. Else sea coverage is made up.
    """

    land_masks: BoolArray
    sea: BoolArray
    patches: FloatArray
    lat: FloatArray
    blended: bool = False

    @classmethod
    def of_observations(cls, mask: BoolArray, sea: BoolArray, grid: Grid, patches: FloatArray) -> MaskSource:
        """From the (N, H, W) coverage of any data set, of land alone or of land and sea; empty months are left out.

        Parameters
        ----------
        sea:
            (H, W) or (P,) True where mostly sea.
        """
        flat = mask.reshape(len(mask), -1)
        flat = flat[flat.any(axis=1)]
        sea = np.asarray(sea, dtype=bool).reshape(-1)
        of_sea, of_land = (float(flat[:, part].mean()) if part.any() else 0.0 for part in (sea, ~sea))
        lat = np.repeat(grid.lat, grid.shape[1])
        return cls(flat, sea, patches, lat, blended=of_sea >= LAND_ONLY * of_land)

    def describe(self, frequency: Frequency = MONTH) -> str:
        """For a card."""
        count = f"{len(self.land_masks)} {frequency.plural}"
        if self.blended:
            return (
                f"{count} of real coverage, all alike; {100 * SPARSER:.0f} % of the samples thinned cell by "
                "cell and in patches for the time before"
            )
        return f"{count} of real land coverage, generated sea coverage, thinned"

    def draw(self, rng: np.random.Generator) -> BoolArray:
        """One mask; at least ten cells."""
        mask = self._real(rng) if self.blended else self._made_up(rng)
        if mask.sum() < 10:
            mask[rng.choice(mask.size, 10, replace=False)] = True
        return np.asarray(mask)

    def neighbours(self, mask: BoolArray, steps: Sequence[int], rng: np.random.Generator) -> list[BoolArray]:
        """Masks (P,) of the months ``steps`` before and after one with the (P,) ``mask``.

        Every second time these have the same gaps, else up to four tenths fewer cells.
        """
        keep = 1.0 if rng.random() < 0.5 else rng.uniform(0.6, 1.0)
        return [mask & (rng.random(mask.size) < keep) for _ in steps]

    def _real(self, rng: np.random.Generator) -> BoolArray:
        mask = self.land_masks[rng.integers(len(self.land_masks))].copy()
        if rng.random() < SPARSER:
            # Whole shipping routes and station networks are absent, not cells here and there alone.
            mask &= self._patch(rng) > rng.uniform(-0.5, 1.0)
            mask &= rng.random(mask.size) < rng.uniform(0.5, 1.0)
        return np.asarray(mask)

    def _made_up(self, rng: np.random.Generator) -> BoolArray:
        mask = self._sea(rng) | (self.land_masks[rng.integers(len(self.land_masks))] & ~self.sea)
        if rng.random() < 0.3:
            # Coastal and island cells are seen by ships and stations alike.
            mask |= self.land_masks[rng.integers(len(self.land_masks))]
        if rng.random() < 0.5:
            mask &= rng.random(mask.size) < rng.uniform(0.4, 1.0)
        if rng.random() < 0.15:
            mask &= self._patch(rng) < rng.uniform(0.5, 1.5)
        if rng.random() < DENSER:
            # Of land and ships alone no mask covers what satellites, buoys and polar stations do today.
            mask |= self._patch(rng) > rng.uniform(-2.0, 0.5)
        return np.asarray(mask)

    def _patch(self, rng: np.random.Generator) -> FloatArray:
        return np.asarray(self.patches @ rng.normal(size=self.patches.shape[1]))

    def _sea(self, rng: np.random.Generator) -> BoolArray:
        """Sea cells along patchy lanes, fewer towards the poles as ships go."""
        share = rng.beta(1.0, 1.3)
        preference = self._patch(rng) + rng.uniform(0.3, 1.5) * rng.normal(size=self.sea.size)
        preference -= rng.uniform(0.5, 2.5) * np.maximum(np.abs(self.lat) - rng.uniform(25, 55), 0.0) / 20.0
        chosen = np.zeros(self.sea.size, dtype=bool)
        count = int(share * self.sea.sum())
        if count:
            cells = np.flatnonzero(self.sea)
            chosen[cells[np.argsort(preference[cells])[-count:]]] = True
        return chosen
