"""Ordinary kriging on the sphere: the baseline to beat.

y = b 1 + x + e, x with covariance s^2 exp(-d / R) and e with variance s^2 n: range R, sill s^2 and
nugget n are fitted to the observations by restricted maximum likelihood, b by generalised least
squares month by month (Cressie 1993, Statistics for Spatial Data, sections 2.6 and 3.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.grid import Grid
from climrecon.methods.contract import Capabilities, Context, Estimate, GaussianMonth, Influence, Method, Observations
from climrecon.methods.neighbourhoods import MOST_NEIGHBOURS, LargeField, LargeSystem, sample_of_cells
from climrecon.methods.priors.covariance import AT_ONCE, distances_between, exponential, great_circle, unit_vectors
from climrecon.variables import VARIABLES

#: Months and cells a month that the covariance is fitted to: enough for three numbers, and quick.
FIT_MONTHS, FIT_CELLS = 12, 300
#: Ranges on the globe, km: where a fit begins, and its bounds.
USUAL_KM, SHORTEST_KM, LONGEST_KM = 2000.0, 200.0, 15000.0
#: Prior standard deviation of the level of a month that has no observation; as in our own network. K, as all
#: sizes here, or units of the variable's scale.
EMPTY_MONTH_SD = 3.0
#: Equations are kept while those of one estimate take no more than this: some hundred months of early observations.
KEPT_BYTES = 400_000_000
_NEIGHBOURHOODS = f"each cell is estimated from at most {MOST_NEIGHBOURS} observed cells about it"


@dataclass(frozen=True)
class Covariance:
    """Range in km, standard deviation (root of the sill), and nugget as a share of the sill."""

    range_km: float
    sd: float
    nugget: float


def fit_covariance(values: FloatArray, mask: BoolArray, distance: FloatArray) -> Covariance:
    """Fit range, sill and nugget by restricted maximum likelihood to a sample of months and cells.

    Parameters
    ----------
    values, mask:
        (T, P) observations and where they are.
    distance:
        (P, P) km.
    """
    # Here and below: a run that only compares with kriging in its report may make none, and scipy takes its time.
    from scipy.linalg import cho_factor, cho_solve
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    # Ranges that are looked for are those of the globe, in a region shorter in proportion.
    size = min(1.0, float(distance.max()) / LONGEST_KM)
    usable = np.flatnonzero(mask.sum(axis=1) >= 10)
    if not len(usable):
        return Covariance(USUAL_KM * size, 1.0, 0.1)
    months = rng.choice(usable, min(FIT_MONTHS, len(usable)), replace=False)
    samples = []
    for month in months:
        cells = np.flatnonzero(mask[month])
        cells = rng.choice(cells, min(FIT_CELLS, len(cells)), replace=False)
        samples.append((distance[np.ix_(cells, cells)], values[month, cells].astype(np.float64)))

    def deviance(log: FloatArray) -> tuple[float, float]:
        range_km, nugget = np.exp(log)
        squares, determinant, freedom = 0.0, 0.0, 0
        for apart, y in samples:
            matrix = exponential(apart, float(range_km))
            matrix[np.diag_indices_from(matrix)] += nugget
            factor = cho_factor(matrix, lower=True)
            ones = cho_solve(factor, np.ones_like(y))
            residual = y - (y @ ones) / ones.sum()
            squares += float(residual @ cho_solve(factor, residual))
            determinant += 2.0 * float(np.log(np.diag(factor[0])).sum()) + float(np.log(ones.sum()))
            freedom += len(y) - 1
        return freedom * float(np.log(max(squares, 1e-12) / freedom)) + determinant, squares / freedom

    optimum = minimize(
        lambda log: deviance(log)[0],
        np.log([USUAL_KM * size, 0.1]),
        method="Nelder-Mead",
        bounds=np.log([(SHORTEST_KM * size, LONGEST_KM * size), (1e-3, 10.0)]),
        options={"xatol": 0.02, "fatol": 0.1, "maxfev": 80},
    )
    range_km, nugget = np.exp(optimum.x)
    return Covariance(float(range_km), float(np.sqrt(deviance(optimum.x)[1])), float(nugget))


class Kriging(Method):
    """Ordinary kriging; the covariance is fitted at the first call, to the observations it is given.

    Parameters
    ----------
    covariance:
        A covariance to use instead of a fitted one.
    """

    name = "kriging"
    #: The nugget holds the observation error, whatever the data set states.
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=True, members_at_once=25, most_cells=20_000)

    def __init__(self, covariance: Covariance | None = None) -> None:
        self.covariance = covariance
        self._field: _Field | LargeField | None = None

    def _field_of(self, grid: Grid, model: Covariance) -> _Field | LargeField:
        """Correlations between the cells of ``grid``, which all months share."""
        if self._field is None or (self._field.shape, self._field.range_km) != (grid.shape, model.range_km):
            if grid.area.size > AT_ONCE:
                self._field = LargeField(grid, model.range_km)
            else:
                self._field = _Field(exponential(great_circle(grid), model.range_km), model.range_km, grid.shape)
        return self._field

    def fit(self, values: FloatArray, mask: BoolArray, grid: Grid) -> Covariance:
        """Fit the covariance to (T, H, W) observations and keep it."""
        flat, seen = values.reshape(len(values), -1), mask.reshape(len(mask), -1)
        if grid.area.size > AT_ONCE:
            cells = sample_of_cells(mask, np.random.default_rng(0))
            distance = distances_between(unit_vectors(grid), cells, cells)
            self.covariance = fit_covariance(flat[:, cells], seen[:, cells], distance)
        else:
            self.covariance = fit_covariance(flat, seen, great_circle(grid))
        return self.covariance

    def calibrate(self, observations: Observations) -> str:
        """Fit the covariance to all months of a data set, before any is estimated."""
        fitted = self.fit(observations.values, observations.mask, observations.grid)
        return (
            f"kriging's covariance, fitted to the observations: range {fitted.range_km:.0f} km, standard deviation "
            f"{VARIABLES[observations.variable].in_words(fitted.sd)}, nugget {fitted.nugget:.2f} of the sill"
            + (f"; {_NEIGHBOURHOODS}" if observations.grid.area.size > AT_ONCE else "")
        )

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Estimate (T, H, W) fields, months one by one; months that share a mask share their gains.

        ``obs_sd`` is not used: the fitted nugget holds the observation error.
        """
        model = self.covariance or self.fit(values, mask, context.grid)
        field = self._field_of(context.grid, model)
        shape = values.shape
        seen = mask.reshape(len(mask), -1)
        flat = np.where(seen, values.reshape(len(values), -1), 0.0).astype(np.float64)
        systems = _Systems(field, seen, model, KEPT_BYTES)
        mean, variance = np.zeros_like(flat), np.empty_like(flat)
        for system, rows in systems:
            mean[rows], variance[rows] = system.means(flat[rows]), system.variance()

        def sample(count: int, seed: int) -> FloatArray:
            draws = np.empty((count, *flat.shape), np.float32)
            for system, rows in systems:
                for row in rows:
                    draws[:, row] = mean[row] + system.errors(count, np.random.default_rng([seed, row]))
            return draws.reshape(count, *shape)

        def area_mean_sd(weights: FloatArray) -> FloatArray:
            sd = np.empty(len(flat))
            for system, rows in systems:
                sd[rows] = np.sqrt(max(system.mean_variance(weights.reshape(-1)), 0.0))
            return sd

        return Estimate(
            mean=mean.reshape(shape).astype(np.float32),
            stddev=np.sqrt(np.maximum(variance, 0.0)).reshape(shape).astype(np.float32),
            prior_stddev=np.full(shape, model.sd, np.float32),
            sample=sample,
            area_mean_sd=area_mean_sd,
        )

    def same_mask_means(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> FloatArray:
        """See :class:`climrecon.methods.contract.Method`; M right-hand sides of one system of equations."""
        model = self.covariance or self.fit(values[0], mask, context.grid)
        seen = mask.reshape(len(mask), -1)
        flat = np.where(seen, values.reshape(len(values), len(mask), -1), 0.0).astype(np.float64)
        means = np.empty(flat.shape, np.float32)
        for system, rows in _Systems(self._field_of(context.grid, model), seen, model, 0):
            for row in rows:
                means[:, row] = system.means(flat[:, row])
        return means.reshape(values.shape)

    def gaussian(
        self, mask: BoolArray, obs_sd: FloatArray | None, month: int, context: Context
    ) -> GaussianMonth | None:
        """See :class:`climrecon.methods.contract.Method`; None on grids of neighbourhoods, whose months have several."""
        model = self._fitted()
        field = self._field_of(context.grid, model)
        if isinstance(field, LargeField):
            return None
        cells = np.flatnonzero(mask)
        error = np.full(len(cells), model.sd**2 * model.nugget)
        return GaussianMonth(model.sd**2 * field.correlation, error, cells)

    def influence(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
        position: int,
        target: FloatArray,
    ) -> Influence | None:
        """See :class:`climrecon.methods.contract.Method`; weights are exact on grids of neighbourhoods too."""
        model = self._fitted()
        field = self._field_of(context.grid, model)
        if not isinstance(field, LargeField):
            return super().influence(values, mask, obs_sd, month, context, position, target)
        system = LargeSystem(field, np.flatnonzero(mask[position]), model.sd, model.nugget, EMPTY_MONTH_SD)
        weights = np.zeros(values.shape)
        weights[position] = system.weights(target.reshape(-1)).reshape(target.shape)
        contributions = weights * np.where(mask, values, 0.0)
        return Influence(contributions, weights, 0.0, float(contributions.sum()), "exact")

    def _fitted(self) -> Covariance:
        """The covariance, which :meth:`calibrate` has fitted."""
        if self.covariance is None:
            raise ValueError("Kriging is not calibrated to observations.")
        return self.covariance


@dataclass
class _Field:
    """Correlations (P, P) between all cells, and their Cholesky factor once draws need it."""

    correlation: FloatArray
    range_km: float
    shape: tuple[int, int]

    @cached_property
    def root(self) -> FloatArray:
        """(P, P) lower triangle."""
        matrix = self.correlation.copy()
        matrix[np.diag_indices_from(matrix)] += 1e-8
        return np.asarray(np.linalg.cholesky(matrix))


class _Systems:
    """The equations of each mask among (T, P) ``seen``, in turns; those that fit into ``room`` are kept for later."""

    def __init__(self, field: _Field | LargeField, seen: BoolArray, model: Covariance, room: int) -> None:
        self._room = room
        self._groups: dict[bytes, list[int]] = {}
        for index, row in enumerate(seen):
            self._groups.setdefault(row.tobytes(), []).append(index)
        self._field, self._seen, self._model = field, seen, model
        self._kept: dict[bytes, _System | LargeSystem] = {}

    def _system(self, cells: IntArray) -> _System | LargeSystem:
        if isinstance(self._field, LargeField):
            return LargeSystem(self._field, cells, self._model.sd, self._model.nugget, EMPTY_MONTH_SD)
        return _System(self._field, cells, self._model)

    def __iter__(self) -> Iterator[tuple[_System | LargeSystem, list[int]]]:
        """Each mask's equations, and the months that have it."""
        for key, rows in self._groups.items():
            system = self._kept.get(key)
            if system is None:
                system = self._system(np.flatnonzero(self._seen[rows[0]]))
                if system.nbytes + sum(one.nbytes for one in self._kept.values()) <= self._room:
                    self._kept[key] = system
            yield system, rows


class _System:
    """The kriging equations of one mask: C observed of P cells."""

    def __init__(self, field: _Field, cells: IntArray, model: Covariance) -> None:
        self.field, self.cells, self.model = field, cells, model
        self.nbytes = 8 * len(cells) ** 2
        if not len(cells):
            return
        matrix = field.correlation[np.ix_(cells, cells)].copy()
        matrix[np.diag_indices_from(matrix)] += model.nugget
        self._lower = np.linalg.cholesky(matrix)
        self._ones = self._whitened(np.ones(len(cells)))
        self._level_weight = 1.0 / float(self._ones @ self._ones)

    def _whitened(self, columns: FloatArray, transposed: bool = False) -> FloatArray:
        """The inverse of the Cholesky factor of the observations' covariance, or of its transpose, times ``columns``."""
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self._lower, columns, lower=True, trans=int(transposed), check_finite=False))

    def means(self, fields: FloatArray) -> FloatArray:
        """(N, P) best estimates from (N, P) fields, of which the observed cells are looked at."""
        if not len(self.cells):
            return np.zeros_like(fields)
        white = self._whitened(fields[:, self.cells].T)
        level = (self._ones @ white) * self._level_weight
        weights = self._whitened(white - self._ones[:, None] * level, transposed=True)
        return np.asarray(level[:, None] + weights.T @ self.field.correlation[self.cells])

    def variance(self) -> FloatArray:
        """(P,) of the estimates' errors."""
        if not len(self.cells):
            return np.full(len(self.field.correlation), self.model.sd**2 + EMPTY_MONTH_SD**2)
        white = self._whitened(self.field.correlation[self.cells])
        gap = 1.0 - self._ones @ white
        return np.asarray(self.model.sd**2 * (1.0 - (white**2).sum(axis=0) + gap**2 * self._level_weight))

    def mean_variance(self, weights: FloatArray) -> float:
        """Variance of the error of the sum of (P,) ``weights`` times the field."""
        shared = self.field.correlation @ weights
        whole = float(weights @ shared)
        if not len(self.cells):
            return self.model.sd**2 * whole + EMPTY_MONTH_SD**2 * float(weights.sum()) ** 2
        white = self._whitened(shared[self.cells])
        gap = float(weights.sum() - self._ones @ white)
        return self.model.sd**2 * (whole - float(white @ white) + gap**2 * self._level_weight)

    def errors(self, count: int, rng: np.random.Generator) -> FloatArray:
        """(count, P) draws of the estimates' errors.

        A field and errors of observations are drawn, and what the estimate makes of them is taken off: no covariance
        of the errors is needed. Source: Chiles & Delfiner (2012), Geostatistics, section 7.3 (conditioning by kriging).
        """
        size = len(self.field.correlation)
        # In one go, so that a draw does not depend on how many follow.
        white = rng.normal(size=(count, 2 * size))
        truth = white[:, :size] @ self.field.root.T
        if not len(self.cells):
            return np.asarray(self.model.sd * truth + EMPTY_MONTH_SD * white[:, size : size + 1])
        observed = truth + np.sqrt(self.model.nugget) * white[:, size:]
        return np.asarray(self.model.sd * (truth - self.means(observed)))
