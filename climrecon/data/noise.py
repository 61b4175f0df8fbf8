"""Observation errors to train with: cell by cell, regional, and one slow bias field.

Independent errors average to nothing in a global mean; those of real observations do not (Kennedy
2014, Rev. Geophys. 52:1, doi 10.1002/2013RG000434): neighbouring cells share ships, instruments and
adjustments. A network that has seen independent errors alone trusts regions blindly.

Where a data set states its own uncertainty each part is taken from what states that part, and from nothing else:
HadCRUT5's ``uncorrelated`` file is the cell-by-cell part; the diagonals of its ``error_covariance`` files are the
regional part; the spread of its ensemble is the systematic part, which here is the slow one, or without
covariances the regional and the slow one together. A total that already holds both is never added to either.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.frequency import MONTH, Frequency
from climrecon.variables import VARIABLES

#: Range of the standard deviation of the monthly global mean that the correlated parts carry, K: HadCRUT5 before
#: 1900 (Morice et al. 2021, J. Geophys. Res. 126, e2019JD032361, figure 4).
GLOBAL_MEAN_SD = (0.05, 0.08)
#: Range of generic levels of the cells' errors, K. With smaller ones the correlated parts are smaller in proportion:
#: both fall as observations become more and better.
LEVELS = (0.05, 0.7)
#: Months after which a regional error has fallen to 1/e: ships and instruments stay in use for a season.
PERSISTENCE_MONTHS = 4.0
#: Error of a cell where nothing is stated for it, K.
UNSTATED = 0.3


@dataclass(frozen=True)
class NoiseSource:
    """Draws errors of (P,) cells in K, and the error a data set would state for them.

    Parameters
    ----------
    regional, slow:
        (P, K) smoothers (see :func:`climrecon.data.masks.harmonic_smoother`) of about 1,500 and 5,000 km.
    area:
        (P,) share of the globe's area. Where it is given, the correlated parts are scaled so that the global mean of
        their sum has a standard deviation within ``global_sd``; else they are drawn relative to the cell errors.
    own:
        (N, P) one-sigma cell-by-cell errors as a data set states them for N months, finite everywhere (see
        :func:`complete_levels`); None: generic levels, the same chance for each order of magnitude.
    partial:
        (M, P) one-sigma partly correlated errors as a data set states them for M months in order of time, finite
        everywhere: the size of the regional part. None: it is scaled with the slow one.
    rarity:
        (P,) factor on generic levels: larger where few observations are made; see :func:`rarity_of`.
    systematic:
        (M,) global-mean standard deviation of a data set's own ensemble in M months, K; a month's is drawn in place
        of ``global_sd``. With ``partial`` it is the slow part's alone: HadCRUT5's ensemble does not hold the errors
        that the covariances state.
    global_sd:
        Range of the standard deviation of the global mean, K.
    size:
        Factor on all generic sizes, those of air temperature in K, for a variable whose errors are others.
    units:
        Of the errors, for texts: those in which methods are given values.
    """

    regional: FloatArray
    slow: FloatArray
    area: FloatArray | None = None
    own: FloatArray | None = None
    rarity: FloatArray | None = None
    systematic: FloatArray | None = None
    global_sd: tuple[float, float] = GLOBAL_MEAN_SD
    partial: FloatArray | None = None
    size: float = 1.0
    units: str = VARIABLES["tas"].units

    def draw(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Errors (P,) and their stated one-sigma sizes (P,), K.

        The stated size holds the independent and the regional part, over- or understated by up to a
        third, since real statements are not exact either.
        """
        cell_sd, regional_sd, slow_sd = self._sizes(rng)
        error = cell_sd * rng.normal(size=len(cell_sd))
        error += regional_sd * (self.regional @ rng.normal(size=self.regional.shape[1]))
        error += slow_sd * (self.slow @ rng.normal(size=self.slow.shape[1]))
        return error, _stated(cell_sd, regional_sd, rng)

    def draw_months(self, rng: np.random.Generator, count: int, step: float = 1.0) -> tuple[FloatArray, FloatArray]:
        """Errors (count, P) of consecutive months, or steps of ``step`` months, and their stated sizes (P,), K.

        Cell errors are new each step, regional ones persist over months (first-order autoregression), the slow bias
        stays.
        """
        cell_sd, regional_sd, slow_sd = self._sizes(rng)
        memory = np.exp(-step / PERSISTENCE_MONTHS)
        white = rng.normal(size=(count, self.regional.shape[1]))
        for month in range(1, count):
            white[month] = memory * white[month - 1] + np.sqrt(1.0 - memory**2) * white[month]
        error = cell_sd * rng.normal(size=(count, len(cell_sd))) + regional_sd * (white @ self.regional.T)
        error += slow_sd * (self.slow @ rng.normal(size=self.slow.shape[1]))
        return error, _stated(cell_sd, regional_sd, rng)

    def _sizes(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray | float, float]:
        """Standard deviations: of the cells' own errors (P,), of the regional (P,) or all and the slow part, K."""
        size = self.regional.shape[0]
        level = self.size * np.exp(rng.uniform(*np.log(LEVELS)))
        when = rng.random()
        if self.own is not None:
            cell_sd = _at(self.own, when)
        else:
            cell_sd = level * np.exp(rng.normal(0.0, 0.35, size))
            if self.rarity is not None:
                cell_sd = cell_sd * self.rarity
        # Both of about one time: early months are worse in either.
        stated = None if self.partial is None else _at(self.partial, when)
        if self.area is None:
            regional = rng.uniform(0.0, 0.6) * level
            return cell_sd, float(regional) if stated is None else stated, float(self.size * rng.uniform(0.0, 0.08))
        if self.systematic is not None:
            total = float(self.systematic[rng.integers(len(self.systematic))])
        else:
            total = float(rng.uniform(*self.global_sd)) * (self.size if self.own is not None else level / LEVELS[1])
        share = rng.uniform(0.3, 0.8)
        of_regional, of_slow = self._global_mean_sd
        if stated is None:
            return (cell_sd, float(total * np.sqrt(1.0 - share) / of_regional), float(total * np.sqrt(share) / of_slow))
        if self.systematic is None:  # the total is that of both parts
            weights = self.area * stated / self.area.sum()
            total = float(np.sqrt(max(total**2 - float(((weights @ self.regional) ** 2).sum()), 0.0)))
        return cell_sd, stated, total / of_slow

    @cached_property
    def _global_mean_sd(self) -> tuple[float, float]:
        """Standard deviations of the global means of unit-variance fields, from their covariances: no draws."""
        area = np.ones(len(self.regional)) if self.area is None else self.area
        sds = [float(np.sqrt(((area @ part) ** 2).sum()) / area.sum()) for part in (self.regional, self.slow)]
        return sds[0], sds[1]

    def describe(self, frequency: Frequency = MONTH) -> str:
        """For a card; the sizes that no data set states are those of months, whatever the ``frequency``."""
        if self.own is not None:
            cells = f"cell by cell as the data set states them in {len(self.own)} {frequency.plural}"
        else:
            cells = f"cell by cell {self.size * LEVELS[0]:.3g}-{self.size * LEVELS[1]:.3g} {self.units}" + (
                ", larger where observations are few" if self.rarity is not None else ""
            )
        low, high = (self.size * bound for bound in self.global_sd)
        ensemble = None
        if self.systematic is not None:
            ensemble = f"as in {len(self.systematic)} {frequency.plural} of the data set's own ensemble"
        if self.partial is not None:
            return (
                f"{cells}; regional (1,500 km) as the diagonals of the data set's error covariances of "
                f"{len(self.partial)} months state them; slow (5,000 km) with a standard deviation of the monthly "
                f"global mean {ensemble or f'that makes it up to {low:.3g}-{high:.3g} {self.units}'}"
            )
        if self.area is None:
            return f"{cells}; regional up to 0.6 of it; slow up to {self.size * 0.08:.3g} {self.units}"
        return (
            f"{cells}; regional (1,500 km) and slow (5,000 km) parts that together give the {frequency.adjective} global "
            "mean a standard deviation "
            + (ensemble or f"of {low:.3g}-{high:.3g} {self.units}, less where cell errors are generic and small")
        )


def _stated(cell_sd: FloatArray, regional_sd: FloatArray | float, rng: np.random.Generator) -> FloatArray:
    """(P,) one-sigma errors that a data set would state, K."""
    stated = np.sqrt(cell_sd**2 + regional_sd**2) * np.exp(rng.uniform(-0.28, 0.28))
    return np.asarray(np.maximum(stated, 0.05))


def _at(levels: FloatArray, when: float) -> NDArray[np.float64]:
    """(P,) levels of the month at ``when``, 0 to 1, of (N, P) in order of time."""
    return np.asarray(levels[int(when * len(levels))], np.float64)


def complete_levels(errors: FloatArray, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, P) stated cell errors, finite everywhere, as levels to train with.

    Where a month states none for a cell, the cell's mean over all months stands in; for a cell that is never
    observed the upper quartile of all cells: what is rarely seen is seen badly.

    Parameters
    ----------
    errors:
        (N, H, W) one-sigma errors in K, NaN where none is stated.
    mask:
        (N, H, W) True where observed.
    """
    flat = errors.reshape(len(errors), -1)
    known = np.isfinite(flat) & (flat > 0) & mask.reshape(flat.shape)
    keep = known.any(axis=1)
    flat, known = flat[keep], known[keep]
    if not len(flat):
        return np.full((1, errors[0].size), UNSTATED, np.float32)
    count = known.sum(axis=0)
    mean = np.where(known, flat, 0.0).sum(axis=0) / np.maximum(count, 1)
    never = float(np.quantile(mean[count > 0], 0.75))
    mean = np.where(count > 0, mean, never)
    # Months differ as a whole too: early ones are worse in cells that they do not see, as well.
    of_month = np.where(known, flat / mean, 0.0).sum(axis=1) / known.sum(axis=1)
    return np.where(known, flat, mean[None] * of_month[:, None]).astype(np.float32)


def rarity_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(P,) factor on a cell's error: 1 on average, larger where it is seldom observed.

    The error of a mean of n observations falls with n^(-1/2); how often a cell is observed at all stands in for n,
    which data sets seldom give. Between a half and two.
    """
    share = mask.reshape(len(mask), -1).mean(axis=0)
    factor = np.clip(np.sqrt(max(float(share.mean()), 1e-3) / np.maximum(share, 1e-3)), 0.5, 2.0)
    return np.asarray(factor / factor.mean())
