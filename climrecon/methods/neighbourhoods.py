"""Kriging with neighbourhoods: grids of more cells than fit into matrices of cells by cells.

Blocks of cells are estimated from the observed cells about them: the nearest ones, and ever farther ones of ever coarser
lattices, so that a block amid a hole meets all sides of it. The weights are those of ordinary kriging of these cells;
variances of means and draws of errors are exact for these weights. Covariances of whole fields are applied row by row: on
a grid of even columns they depend on two latitudes and the difference of two longitudes, so that along a circle of
latitude they are convolutions.

Sources: Chiles & Delfiner (2012), Geostatistics, sections 3.6 (neighbourhoods) and 7.3 (conditioning by kriging); Golub &
Van Loan (2013), Matrix Computations, section 4.8 (circulant matrices).

Shapes: P = H * W cells, C observed, N fields, L columns of the whole circle of latitude.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.grid import EARTH_RADIUS_KM, Grid
from climrecon.methods.priors.covariance import distances_between, exponential, unit_vectors

#: Rows and columns of a block.
BLOCK = 6
#: Observed cells that a block is estimated from: so many nearest ones of the lattice of every cell, of every second row
#: and column, of every fourth, ...
NEAREST = ((1, 64), (2, 32), (4, 24), (8, 24), (16, 24), (32, 24))
MOST_NEIGHBOURS = sum(count for _, count in NEAREST)
#: Cells that a covariance is fitted to.
SAMPLED = 2000


@dataclass
class LargeField:
    """An exponential covariance of unit variance between all cells of a grid of even columns, never as a matrix.

    Attributes
    ----------
    grid:
        The cells.
    range_km:
        Of the covariance.
    """

    grid: Grid
    range_km: float

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.grid.shape

    @property
    def size(self) -> int:
        """P."""
        return self.shape[0] * self.shape[1]

    @cached_property
    def points(self) -> FloatArray:
        """(P, 3) unit vectors."""
        return unit_vectors(self.grid)

    def between(self, first: IntArray, second: IntArray) -> FloatArray:
        """(N, M) correlations of cells."""
        return exponential(distances_between(self.points, first, second), self.range_km)

    def product(self, fields: FloatArray) -> FloatArray:
        """(N, P): (N, P) ``fields`` times the correlations."""
        return self._spread(fields, self._spectra)

    def draw(self, white: FloatArray) -> FloatArray:
        """(N, P) fields with these correlations, from (N, H * L) standard normal noise."""
        return self._spread(white, self._roots)

    @property
    def noise_size(self) -> int:
        """H * L, the numbers that a draw is made of."""
        return self.shape[0] * self._circle

    @property
    def _circle(self) -> int:
        """L: columns of this width that go once around the Earth; more where the circle holds no whole number."""
        return int(np.ceil(360.0 / self._step - 1e-6))

    @property
    def _step(self) -> float:
        return float(np.diff(self.grid.lon_edges).mean())

    @cached_property
    def _spectra(self) -> FloatArray:
        """(L // 2 + 1, H, H) by wave number."""
        height, length = self.shape[0], self._circle
        # A circle of whole columns: the sphere itself, else one stretched by less than a column.
        turn = np.radians(np.minimum(np.arange(length), length - np.arange(length)) * min(self._step, 360.0 / length))
        lat = np.radians(self.grid.lat)
        spectra = np.empty((length // 2 + 1, height, height))
        for row in range(height):
            # From the chord, which keeps its digits at small distances.
            chord2 = (
                4.0 * np.sin((lat - lat[row]) / 2.0)[:, None] ** 2
                + 4.0 * (np.cos(lat) * np.cos(lat[row]))[:, None] * np.sin(turn / 2.0)[None, :] ** 2
            )
            distance = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.minimum(np.sqrt(chord2) / 2.0, 1.0))
            spectra[:, row] = np.fft.rfft(exponential(distance, self.range_km), axis=1).real.T
        return spectra

    @cached_property
    def _roots(self) -> FloatArray:
        """(L // 2 + 1, H, H) symmetric square roots of the spectra; rounding makes none negative."""
        values, axes = np.linalg.eigh(self._spectra)
        return np.asarray((axes * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ axes.transpose(0, 2, 1))

    def _spread(self, fields: FloatArray, spectra: FloatArray) -> FloatArray:
        """(N, P): each wave number of (N, H * W) or (N, H * L) ``fields`` times its (H, H) matrix."""
        height, width = self.shape
        rows = fields.reshape(len(fields), height, -1)
        waves = np.fft.rfft(rows, n=self._circle, axis=2).transpose(2, 1, 0)
        mixed = np.fft.irfft((spectra @ waves).transpose(2, 1, 0), n=self._circle, axis=2)
        return np.asarray(mixed[:, :, :width].reshape(len(fields), -1))


@dataclass(frozen=True)
class _Neighbourhood:
    """Cells (B,) of a block, the observed cells (K,) that it is estimated from, and their weights (K, B)."""

    cells: IntArray
    used: IntArray
    weights: FloatArray


class LargeSystem:
    """The kriging weights of one mask, which answer what the equations of all observed cells do.

    Parameters
    ----------
    field:
        Correlations between the cells.
    cells:
        (C,) the observed ones.
    sd, nugget:
        Root of the sill, and the nugget as a share of the sill.
    empty_sd:
        Standard deviation of the level without any observation.
    """

    def __init__(self, field: LargeField, cells: IntArray, sd: float, nugget: float, empty_sd: float) -> None:
        self.field, self.cells, self.sd, self.nugget, self.empty_sd = field, cells, sd, nugget, empty_sd
        self._blocks: list[_Neighbourhood] = []
        self._unexplained = np.ones(field.size)
        for block in self._all_blocks() if len(cells) else ():
            self._solve(block)
        self.nbytes = sum(one.weights.nbytes for one in self._blocks)

    def _all_blocks(self) -> Iterator[IntArray]:
        """Cells of each block."""
        numbers = np.arange(self.field.size).reshape(self.field.shape)
        for south in range(0, numbers.shape[0], BLOCK):
            for west in range(0, numbers.shape[1], BLOCK):
                yield numbers[south : south + BLOCK, west : west + BLOCK].ravel()

    def _solve(self, block: IntArray) -> None:
        from scipy.linalg import cho_factor, cho_solve

        used = self._near(block)
        matrix = self.field.between(used, used)
        matrix[np.diag_indices_from(matrix)] += self.nugget
        across = self.field.between(used, block)
        both = cho_solve(cho_factor(matrix, lower=True), np.column_stack([np.ones(len(used)), across]))
        ones, simple = both[:, 0], both[:, 1:]
        weights = simple + ones[:, None] * ((1.0 - simple.sum(axis=0)) / ones.sum())
        self._blocks.append(_Neighbourhood(block, used, weights))
        self._unexplained[block] += (weights * (matrix @ weights - 2.0 * across)).sum(axis=0)

    @cached_property
    def _lattices(self) -> list[IntArray]:
        """The observed cells of each lattice of :data:`NEAREST`."""
        row, column = np.divmod(self.cells, self.field.shape[1])
        return [self.cells[(row % every == 0) & (column % every == 0)] for every, _ in NEAREST]

    def _near(self, block: IntArray) -> IntArray:
        """The observed cells that a block is estimated from."""
        if len(self.cells) <= MOST_NEIGHBOURS:
            return self.cells
        middle = self.field.points[block].mean(axis=0)
        found = []
        for candidates, (_, count) in zip(self._lattices, NEAREST, strict=True):
            closeness = self.field.points[candidates] @ middle
            some = len(candidates) > count
            found.append(candidates[np.argpartition(-closeness, count)[:count]] if some else candidates)
        return np.unique(np.concatenate(found))

    def means(self, fields: FloatArray) -> FloatArray:
        """(N, P) best estimates from (N, P) fields, of which the observed cells are looked at."""
        found = np.zeros_like(fields)
        for one in self._blocks:
            found[:, one.cells] = fields[:, one.used] @ one.weights
        return found

    def variance(self) -> FloatArray:
        """(P,) of the estimates' errors."""
        empty = 0.0 if len(self.cells) else self.empty_sd**2
        return np.asarray(self.sd**2 * self._unexplained + empty)

    def weights(self, target: FloatArray) -> FloatArray:
        """(P,) weights of the observed cells in the sum of (P,) ``target`` times the estimates."""
        of_observed = np.zeros(self.field.size)
        for one in self._blocks:
            of_observed[one.used] += one.weights @ target[one.cells]
        return of_observed

    def mean_variance(self, weights: FloatArray) -> float:
        """Variance of the error of the sum of (P,) ``weights`` times the field."""
        of_observed = self.weights(weights)
        left = weights - of_observed
        whole = float(left @ self.field.product(left[None])[0] + self.nugget * (of_observed @ of_observed))
        empty = 0.0 if len(self.cells) else self.empty_sd**2 * float(weights.sum()) ** 2
        return self.sd**2 * whole + empty

    def errors(self, count: int, rng: np.random.Generator) -> FloatArray:
        """(count, P) draws of the estimates' errors."""
        size = self.field.size
        # In one go, so that a draw does not depend on how many follow.
        white = rng.normal(size=(count, self.field.noise_size + size))
        truth, own = self.field.draw(white[:, :-size]), white[:, -size:]
        if not len(self.cells):
            return np.asarray(self.sd * truth + self.empty_sd * own[:, :1])
        return np.asarray(self.sd * (truth - self.means(truth + np.sqrt(self.nugget) * own)))


def sample_of_cells(mask: BoolArray, rng: np.random.Generator) -> IntArray:
    """At most :data:`SAMPLED` cells that (T, H, W) ``mask`` ever holds, in whole blocks: short distances count too."""
    row, column = np.nonzero(mask.any(axis=0))
    names, block = np.unique(row // BLOCK * mask.shape[2] + column // BLOCK, return_inverse=True)
    order = np.argsort(rng.permutation(len(names))[block], kind="stable")[:SAMPLED]
    return np.asarray(np.sort((row * mask.shape[2] + column)[order]))
