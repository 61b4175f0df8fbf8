"""The Gaussian model of one month: weights of its observations, and what each is worth, in closed form.

A field is x = b + f, with an unknown mean b and f ~ N(0, C); observed is y = x + e, e ~ N(0, R). The estimate of a
weighted sum of cells is linear in y. With S = C + R on the observed cells, u = S⁻¹ 1 and p the precision of b given y,

    weights a = S⁻¹ c + u (s - 1' S⁻¹ c) / p,    Q = S⁻¹ - u u' / p,

where c are the covariances of the sum with the observed cells and s is the sum of its weights. Without the observations
of a group B the estimate changes by a_B' Q_BB⁻¹ (Q y)_B and its variance grows by a_B' Q_BB⁻¹ a_B: no month is solved
again.

Sources: Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, section 2.7 (an unknown mean); Dubrule
(1983), Mathematical Geology 15:687 (estimates without one observation from one inverse).

Shapes: P cells, N of them observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np

from climrecon.array_types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class GaussianMonth:
    """A field about an unknown mean, and the errors of its observations.

    Attributes
    ----------
    covariance:
        (P, P) of the field about its mean, double precision, K².
    error:
        (N,) variance of the errors of the observed cells, K².
    cells:
        (N,) the observed cells, in order.
    mean_sd:
        Prior standard deviation of the month's mean, K; infinite: ordinary kriging.
    """

    covariance: FloatArray
    error: FloatArray
    cells: IntArray
    mean_sd: float = inf

    @cached_property
    def _inverse(self) -> FloatArray:
        """(N, N) S⁻¹."""
        from scipy.linalg import lapack  # a run that explains nothing need not wait for scipy

        matrix = self.covariance[np.ix_(self.cells, self.cells)]
        matrix[np.diag_indices_from(matrix)] += self.error
        factor, failed = lapack.dpotrf(matrix, lower=1, overwrite_a=1)
        inverse, wrong = lapack.dpotri(factor, lower=1, overwrite_c=1)
        if failed or wrong:
            raise np.linalg.LinAlgError("the covariance of the observations is not positive definite")
        lower = np.tril(inverse)
        return np.asarray(lower + np.tril(lower, -1).T)

    @cached_property
    def _ones(self) -> FloatArray:
        """(N,) u."""
        return np.asarray(self._inverse.sum(axis=1))

    @property
    def _mean_precision(self) -> float:
        return float(self._ones.sum()) + self.mean_sd**-2

    @cached_property
    def precision(self) -> FloatArray:
        """(N, N) Q."""
        return np.asarray(self._inverse - np.outer(self._ones, self._ones) / self._mean_precision)

    def weights(self, target: FloatArray, of_level: float = 0.0) -> FloatArray:
        """(N,) weights of the observations in the sum of (P,) ``target`` times the field.

        Parameters
        ----------
        of_level:
            Weight of the estimated mean b in that sum.
        """
        simple = self._inverse @ (self.covariance[self.cells] @ target)
        missing = float(target.sum() - simple.sum()) + of_level
        return np.asarray(simple + self._ones * (missing / self._mean_precision))

    def analysis(self, values: FloatArray) -> tuple[FloatArray, float]:
        """(P,) estimate of the field from (N,) ``values``, and the mean b."""
        level = float(self._ones @ values) / self._mean_precision
        return np.asarray(level + (self._inverse @ (values - level)) @ self.covariance[self.cells]), level

    def prior_variance(self, target: FloatArray) -> float:
        """Variance of the sum of (P,) ``target`` times the field about its mean, before any observation."""
        return float(target @ self.covariance @ target)

    def posterior_covariance(self, target: FloatArray) -> FloatArray:
        """(P,) covariances, given the observations, of the sum with each cell."""
        across = self.covariance @ target
        simple = self._inverse @ across[self.cells]
        missing = float(target.sum() - simple.sum()) / self._mean_precision
        known = self._ones @ self.covariance[self.cells]
        return np.asarray(across - simple @ self.covariance[self.cells] + (1.0 - known) * missing)

    @cached_property
    def posterior_variance(self) -> FloatArray:
        """(P,) variance of each cell given the observations."""
        shared = self.covariance[self.cells]
        known = self._ones @ shared
        fixed = np.einsum("np,np->p", shared, self._inverse @ shared)
        return np.asarray(np.diag(self.covariance) - fixed + (1.0 - known) ** 2 / self._mean_precision)

    def variance(self, target: FloatArray) -> float:
        """Variance of the sum of (P,) ``target`` times the field, given the observations."""
        return float(self.posterior_covariance(target) @ target)

    def without(
        self, target: FloatArray, values: FloatArray, groups: Iterable[IntArray]
    ) -> tuple[FloatArray, FloatArray]:
        """What each group of observations changes in the sum: with all less without the group.

        Parameters
        ----------
        values:
            (P,) observations.
        groups:
            Observed cells of each of G groups, among the P.

        Returns
        -------
        (G,) changes of the estimate, and (G,) reductions of its variance, K²; infinite where nothing is left to determine
        the mean.
        """
        weights, innovation = self.weights(target), self.precision @ values[self.cells]
        changes, reductions = [], []
        for places in self._places(groups):
            if len(places) == len(self.cells) and self.mean_sd == inf:
                changes.append(float(weights @ values[self.cells]))
                reductions.append(inf)
                continue
            solved = np.linalg.solve(self.precision[np.ix_(places, places)], weights[places])
            changes.append(float(solved @ innovation[places]))
            reductions.append(float(solved @ weights[places]))
        return np.array(changes), np.array(reductions)

    def analyses_without(self, values: FloatArray, groups: Iterable[IntArray]) -> tuple[FloatArray, FloatArray]:
        """(G, P) estimates of the field without each group, and (G,) means b; see :meth:`without`.

        The prior of the mean must not be flat.
        """
        solution, parts = self.precision @ values[self.cells], []
        for places in self._places(groups):
            square = self.precision[np.ix_(places, places)]
            parts.append(solution - self.precision[:, places] @ np.linalg.solve(square, solution[places]))
        weights = np.array(parts)
        level = self.mean_sd**2 * weights.sum(axis=1)
        return np.asarray(level[:, None] + weights @ self.covariance[self.cells]), level

    def _places(self, groups: Iterable[IntArray]) -> Iterator[IntArray]:
        """Where the cells of each group stand among the N; those outside a method's domain do not."""
        for group in groups:
            yield np.flatnonzero(np.isin(self.cells, group))

    def reductions(self, target: FloatArray) -> FloatArray:
        """(N,) by how much each observation reduces the variance of the sum, given all others; see :meth:`without`."""
        if len(self.cells) == 1 and self.mean_sd == inf:
            return np.full(1, inf)
        return np.asarray(self.weights(target) ** 2 / np.diag(self.precision))

    def gain(self, target: FloatArray, error_sd: float) -> FloatArray:
        """(P,) by how much one more observation of each cell would reduce the variance of the sum.

        Parameters
        ----------
        error_sd:
            Its error, K.
        """
        return np.asarray(self.posterior_covariance(target) ** 2 / (self.posterior_variance + error_sd**2))
