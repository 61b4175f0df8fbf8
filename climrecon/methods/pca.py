"""Infilling with principal components (EOFs) of the observations themselves.

The patterns are found by alternating between a truncated singular value decomposition and filling the gaps with
it; their number is chosen by the error at observed cells that are withheld. Each month is then projected on them,
regularised by the patterns' variances and what they leave, its mean being estimated by generalised least squares.
A cell that is never observed has no pattern and is given the month's mean.

Sources: Beckers & Rixen (2003), J. Atmos. Oceanic Technol. 20:1839 (the alternation and the choice of the number);
Tipping & Bishop (1999), J. R. Statist. Soc. B 61:611 (the regularised projection, from the probabilistic model).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import eigh

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.grid import Grid
from climrecon.methods.contract import Capabilities, Context, Estimate, Method, Observations
from climrecon.methods.priors.interpolation import interpolate, prior_of, stated_or
from climrecon.methods.priors.low_rank import LowRankPrior
from climrecon.variables import VARIABLES

#: Months that the patterns are found from, evenly drawn: more change them little and cost much.
FIT_MONTHS = 240
#: Numbers of patterns that are tried, one after the other, as long as the error at the cells kept back falls.
TRIED = (1, 2, 4, 8, 14, 22, 32)
#: A larger number must lower the squared error by this share.
WORTH = 0.02
#: Share of the observed cells that is kept back to choose among them, in blocks of so many cells a side: a single
#: cell is predicted by its neighbours whatever the patterns, a gap is not.
KEPT_BACK, BLOCK = 0.1, 4
#: Rounds of filling for each number that is tried and for the one taken; the relative change that ends them.
ROUNDS, LAST_ROUNDS, TOLERANCE = 10, 40, 5e-4
#: Observation error where a data set states none, K or units of the variable's scale: small, what the patterns leave
#: holds it already.
UNSTATED = 0.05
#: Smallest residual variance of the patterns, K^2.
FLOOR = 1e-4


@dataclass(frozen=True)
class Components:
    """Patterns (P, K) in K for unit-variance coefficients, the variance (P,) they leave in K^2, months used."""

    vectors: FloatArray
    residual: FloatArray
    n_months: int

    @cached_property
    def prior(self) -> LowRankPrior:
        """The same in all months."""
        return prior_of(self.vectors, self.residual)


def find_components(values: FloatArray, mask: BoolArray, grid: Grid, obs_sd: FloatArray | None = None) -> Components:
    """Principal components of gappy fields about each month's mean.

    Parameters
    ----------
    values, mask:
        (T, H, W) observations and where they are.
    obs_sd:
        (T, H, W) errors that the data set states, or None. They are taken off what the patterns leave.
    """
    cells = grid.area.size
    flat, seen = values.reshape(len(values), cells), mask.reshape(len(mask), cells)
    rng = np.random.default_rng(0)
    usable = np.flatnonzero(seen.sum(axis=1) >= 10)
    if len(usable) < 3:
        return Components(np.zeros((cells, 1)), np.ones(cells), len(usable))
    rows = usable[np.unique(np.linspace(0, len(usable) - 1, FIT_MONTHS).astype(int))]
    seen, given = seen[rows], np.where(seen[rows], flat[rows], 0.0).astype(np.float64)
    area = grid.area.reshape(-1)
    # Gaps begin with the mean of what is seen.
    begun = np.where(seen, given, ((given @ area) / (seen @ area))[:, None])
    back = seen & _blocks(len(seen), grid.shape, rng)
    kept = seen & ~back
    enough = kept.any(axis=1) & back.any()
    count, missed = _number(given[enough], begun[enough], kept[enough], back[enough], area)
    smooth, vectors = _filled(given, begun, seen, area, count, LAST_ROUNDS)[1:]
    left = _left(given - smooth, seen, vectors, missed, area)
    if obs_sd is not None:
        stated = obs_sd.reshape(len(obs_sd), cells)[rows]
        known = seen & np.isfinite(stated)
        error = np.where(known, stated, 0.0) ** 2
        left = left - error.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return Components(vectors, np.maximum(left, FLOOR), len(rows))


def _blocks(count: int, shape: tuple[int, int], rng: np.random.Generator) -> BoolArray:
    """(count, P) True in blocks of cells that each month draws for itself."""
    coarse = [-(-size // BLOCK) for size in shape]
    chosen = rng.random((count, *coarse)) < KEPT_BACK
    fine = chosen.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)[:, : shape[0], : shape[1]]
    return np.asarray(fine.reshape(count, -1))


def _left(error: FloatArray, seen: BoolArray, vectors: FloatArray, missed: float, area: FloatArray) -> FloatArray:
    """(P,) variance that the patterns leave, where a cell is seldom seen mostly that of all cells.

    Its size is that of the errors at the cells kept back: ``missed``, their area-weighted mean square, K^2. What
    the patterns leave of the cells they were fitted to is far too small where gaps are many.
    """
    squares = np.where(seen, error**2, 0.0)
    count = seen.sum(axis=0)
    within = float((squares @ area).sum() / max((seen @ area).sum(), 1e-12))
    factor = max(missed / max(within, 1e-12), 1.0)
    everywhere, weight = squares.sum() / max(seen.sum(), 1), 20.0
    left = factor * (squares.sum(axis=0) + weight * everywhere) / (count + weight)
    # A cell that was never seen may be anything that the others are.
    explained = np.asarray((vectors**2).sum(axis=1))
    typical = float(explained[count > 0].mean()) if (count > 0).any() else 0.0
    return np.asarray(np.where(count > 0, left, left + typical))


def _number(
    given: FloatArray, begun: FloatArray, kept: BoolArray, back: BoolArray, area: FloatArray
) -> tuple[int, float]:
    """How many patterns predict the cells kept ``back`` best, and the mean square they miss these by, K^2.

    Each number begins where the last one ended.
    """
    level = (np.where(kept, given, 0.0) @ area) / (kept @ area)
    filled = np.where(kept, begun, level[:, None])
    best, least, worse = 1, np.inf, 0
    weights = np.where(back, area, 0.0)
    for count in TRIED:
        if count >= min(given.shape):
            break
        filled, smooth, _ = _filled(given, filled, kept, area, count, ROUNDS)
        error = float((weights * (smooth - given) ** 2).sum())
        if error < (1.0 - WORTH) * least:
            best, least, worse = count, error, 0
        else:
            worse += 1
            if worse == 2:
                break
    total = float(weights.sum())
    return best, least / total if total > 0 and np.isfinite(least) else 1.0


def _filled(
    given: FloatArray, begun: FloatArray, seen: BoolArray, area: FloatArray, count: int, rounds: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fill gaps with a level and ``count`` patterns until they settle.

    Returns
    -------
    (N, P) filled fields, (N, P) what level and patterns make of all cells, (P, count) the patterns.
    """
    # The metric of areas: many small cells near the poles must not make the patterns.
    metric = np.sqrt(area * area.size)
    filled = begun
    for _ in range(rounds):
        level = (filled @ area)[:, None]
        smooth, vectors = _truncated((filled - level) * metric, count)
        smooth = level + smooth / metric
        new = np.where(seen, given, smooth)
        change = float(np.linalg.norm(new - filled)) / max(float(np.linalg.norm(filled)), 1e-12)
        filled = new
        if change < TOLERANCE:
            break
    return filled, smooth, vectors / metric[:, None]


def _truncated(fields: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """(N, P) ``fields`` as ``count`` patterns make them, and the patterns (P, count).

    Through the eigenvectors of the (N, N) matrix of products, which are the left singular vectors. Each pattern's
    variance is lowered by what chance gives a direction, or gaps that were filled would confirm themselves
    (Josse & Husson 2012, J. Soc. Fr. Stat. 153:79, regularised iterative PCA).
    """
    size = len(fields)
    products = fields @ fields.T
    squares, left = eigh(products, subset_by_index=[max(size - count, 0), size - 1])
    chance = max(float(np.trace(products)) - float(squares.sum()), 0.0) / max(size - count, 1)
    shrink = np.maximum(1.0 - chance / np.maximum(squares, 1e-12), 0.0)
    right = fields.T @ left
    return np.asarray((left * shrink) @ right.T), np.asarray((right * np.sqrt(shrink))[:, ::-1] / np.sqrt(size))


class PCA(Method):
    """Infilling with principal components, which are found at the first call from the observations it is given."""

    name = "pca"
    capabilities = Capabilities(
        uses_observation_errors=True, gives_spread=True, draws_depend_on_date_only=True, most_cells=20_000
    )

    def __init__(self, components: Components | None = None) -> None:
        self.components = components

    def calibrate(self, observations: Observations) -> str:
        """Find the components from all months of a data set, before any is estimated."""
        self.components = components = find_components(
            observations.values, observations.mask, observations.grid, observations.obs_sd
        )
        left = float(np.sqrt(float(np.median(components.residual))))
        steps = observations.time.plural
        return (
            f"pca's patterns, from {components.n_months} {steps} of the observations: {components.vectors.shape[1]}, "
            f"leaving {VARIABLES[observations.variable].in_words(left)} in the median cell"
        )

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Estimate (T, H, W) fields; see :class:`climrecon.methods.contract.Method`. Each month by itself."""
        if self.components is None:
            self.components = find_components(values, mask, context.grid, obs_sd)
        error = stated_or(obs_sd, UNSTATED, values.shape)
        return interpolate(self.components.prior, values, mask, error, month, context)
