"""Ordinary kriging on the sphere: the baseline to beat.

y = b 1 + x + e, x with covariance s^2 exp(-d / R) and e with variance s^2 n: range R, sill s^2 and
nugget n are fitted to the observations by restricted maximum likelihood, b by generalised least
squares month by month (Cressie 1993, Statistics for Spatial Data, sections 2.6 and 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.covariance import exponential, great_circle
from climrecon.fields import Context, Estimate, Observations

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]

#: Months and cells a month that the covariance is fitted to: enough for three numbers, and quick.
FIT_MONTHS, FIT_CELLS = 12, 300
#: Prior standard deviation of the level of a month that has no observation, K; as in our own network.
EMPTY_MONTH_SD = 3.0


@dataclass(frozen=True)
class Covariance:
    """Range in km, standard deviation (root of the sill) in K, and nugget as a share of the sill."""

    range_km: float
    sd: float
    nugget: float


def fit_covariance(values: FloatArray, mask: BoolArray, distance: FloatArray, seed: int = 0) -> Covariance:
    """Fit range, sill and nugget by restricted maximum likelihood to a sample of months and cells.

    Parameters
    ----------
    values, mask:
        (T, P) observations in K and where they are.
    distance:
        (P, P) km.
    """
    # Here and below: a run that only compares with kriging in its report may make none, and scipy takes its time.
    from scipy.linalg import cho_factor, cho_solve
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    usable = np.flatnonzero(mask.sum(axis=1) >= 10)
    if not len(usable):
        return Covariance(2000.0, 1.0, 0.1)
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

    found = minimize(
        lambda log: deviance(log)[0],
        np.log([2000.0, 0.1]),
        method="Nelder-Mead",
        bounds=np.log([(200.0, 15000.0), (1e-3, 10.0)]),
        options={"xatol": 0.02, "fatol": 0.1, "maxfev": 80},
    )
    range_km, nugget = np.exp(found.x)
    return Covariance(float(range_km), float(np.sqrt(deviance(found.x)[1])), float(nugget))


class Kriging:
    """Ordinary kriging; the covariance is fitted at the first call, to the observations it is given.

    Parameters
    ----------
    covariance:
        A covariance to use instead of a fitted one.
    """

    name = "kriging"
    #: The nugget holds the observation error, whatever the data set states.
    uses_obs_sd = False

    def __init__(self, covariance: Covariance | None = None) -> None:
        self.covariance = covariance
        self._distance: FloatArray | None = None
        self._shape: tuple[int, int] | None = None

    def _distances(self, context: Context) -> FloatArray:
        if self._distance is None or self._shape != context.grid.shape:
            self._distance, self._shape = great_circle(context.grid), context.grid.shape
        return self._distance

    def fit(self, values: FloatArray, mask: BoolArray, context: Context) -> Covariance:
        """Fit the covariance to (T, H, W) observations and keep it."""
        flat = (len(values), -1)
        self.covariance = fit_covariance(values.reshape(flat), mask.reshape(flat), self._distances(context))
        return self.covariance

    def fit_to(self, observations: Observations) -> str:
        """Fit the covariance to all months of a data set, before any is estimated; says what was found."""
        found = self.fit(
            observations.values, observations.mask, Context(observations.grid, observations.time)
        )
        return (
            f"kriging's covariance, fitted to the observations: range {found.range_km:.0f} km, standard deviation "
            f"{found.sd:.2f} K, nugget {found.nugget:.2f} of the sill"
        )

    def reconstruct(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
    ) -> Estimate:
        """Estimate (T, H, W) fields, months one by one; months that share a mask share their gains.

        ``obs_sd`` is not used: the fitted nugget holds the observation error.
        """
        distance = self._distances(context)
        model = self.covariance or self.fit(values, mask, context)
        correlation = exponential(distance, model.range_km)
        shape = values.shape
        seen = mask.reshape(len(mask), -1)
        flat = np.where(seen, values.reshape(len(values), -1), 0.0).astype(np.float64)
        mean, variance = np.zeros_like(flat), np.empty_like(flat)
        groups: dict[bytes, list[int]] = {}
        for index, row in enumerate(seen):
            groups.setdefault(row.tobytes(), []).append(index)
        systems = {}
        for key, rows in groups.items():
            cells = np.flatnonzero(seen[rows[0]])
            system = _System(correlation, cells, model)
            systems[key] = system
            mean[rows], variance[rows] = system.predict(flat[rows][:, cells])
            if len(groups) > 1:
                system.forget()

        def covariance_of(row: int) -> FloatArray:
            return systems[seen[row].tobytes()].posterior(correlation)

        def sample(count: int, seed: int) -> FloatArray:
            draws = np.empty((count, *flat.shape), np.float32)
            for row in range(len(flat)):
                rng = np.random.default_rng([seed, row])
                matrix = covariance_of(row)
                matrix[np.diag_indices_from(matrix)] += 1e-8 * model.sd**2
                draws[:, row] = (
                    mean[row] + rng.normal(size=(count, flat.shape[1])) @ np.linalg.cholesky(matrix).T
                )
            return draws.reshape(count, *shape)

        def area_mean_sd(weights: FloatArray) -> FloatArray:
            w = weights.reshape(-1)
            squares = {key: system.mean_variance(correlation, w) for key, system in systems.items()}
            return np.sqrt([max(squares[row.tobytes()], 0.0) for row in seen])

        return Estimate(
            mean=mean.reshape(shape).astype(np.float32),
            stddev=np.sqrt(np.maximum(variance, 0.0)).reshape(shape).astype(np.float32),
            prior_stddev=np.full(shape, model.sd, np.float32),
            sample=sample,
            area_mean_sd=area_mean_sd,
        )


class _System:
    """The kriging equations of one mask."""

    def __init__(self, correlation: FloatArray, cells: IntArray, model: Covariance) -> None:
        self.cells, self.model = cells, model
        self._whitened: FloatArray | None = None
        self._prepare(correlation)

    def _prepare(self, correlation: FloatArray) -> None:
        from scipy.linalg import solve_triangular

        cells = self.cells
        if not len(cells):
            return
        matrix = correlation[np.ix_(cells, cells)].copy()
        matrix[np.diag_indices_from(matrix)] += self.model.nugget
        lower = np.linalg.cholesky(matrix)
        self._lower = lower
        self._whitened = solve_triangular(lower, correlation[cells], lower=True)
        self._ones = solve_triangular(lower, np.ones(len(cells)), lower=True)
        self._level_weight = 1.0 / float(self._ones @ self._ones)
        self._mean_gap = 1.0 - self._ones @ self._whitened

    def forget(self) -> None:
        """Drop what can be worked out again: thousands of masks would not fit into memory."""
        self._whitened = None

    def predict(self, observed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean (N, P) and variance (P,) for (N, n) observations."""
        if not len(self.cells):
            return np.zeros(1), np.asarray(self.model.sd**2 + EMPTY_MONTH_SD**2)
        from scipy.linalg import solve_triangular

        assert self._whitened is not None
        white = solve_triangular(self._lower, observed.T, lower=True)
        level = (self._ones @ white) * self._level_weight
        mean = level[:, None] + (white - self._ones[:, None] * level).T @ self._whitened
        left = 1.0 - (self._whitened**2).sum(axis=0) + self._mean_gap**2 * self._level_weight
        return mean, self.model.sd**2 * left

    def mean_variance(self, correlation: FloatArray, weights: FloatArray) -> float:
        """w' C w of the posterior covariance C (see :meth:`posterior`), without making it, K^2."""
        whole = float(weights @ correlation @ weights)
        if not len(self.cells):
            return self.model.sd**2 * whole + EMPTY_MONTH_SD**2 * float(weights.sum()) ** 2
        forgotten = self._whitened is None
        if forgotten:
            self._prepare(correlation)
        assert self._whitened is not None
        white = self._whitened @ weights
        gap = float(self._mean_gap @ weights)
        if forgotten:
            self.forget()
        return self.model.sd**2 * (whole - float(white @ white) + gap**2 * self._level_weight)

    def posterior(self, correlation: FloatArray) -> FloatArray:
        """(P, P) covariance of the field given the observations, K^2."""
        if not len(self.cells):
            return np.asarray(self.model.sd**2 * correlation + EMPTY_MONTH_SD**2)
        if self._whitened is None:
            self._prepare(correlation)
        assert self._whitened is not None
        left = correlation - self._whitened.T @ self._whitened
        left += np.outer(self._mean_gap, self._mean_gap) * self._level_weight
        return np.asarray(self.model.sd**2 * left)
