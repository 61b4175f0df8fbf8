"""Optimal interpolation with all patterns of a learned covariance, for thousands of months at once.

A rank of some hundred makes the posterior of :mod:`climrecon.model.lowrank` quick, but loses what varies on
the scale of a few cells, which is worth most where observations are good. Here the mean is solved for again
with the whole covariance: conjugate gradients, preconditioned by the low-rank solution, need a handful of
products with one (P, P) matrix, and all months share them. Spread and realisations stay those of the leading
patterns; the network on top corrects the spread.

Shapes: B months, P cells, K leading and L trailing patterns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from climrecon.model.local import LocalCovariance
from climrecon.model.lowrank import MEAN_PRIOR_SD, LowRankPrior, Posterior

#: Most steps of conjugate gradients. Six to twelve do for early observations; dense and precise ones take more.
MOST_STEPS = 32
#: A month is done when what is left is estimated to be below this, squared and in units of the prior standard
#: deviation. That bounds the error of every single cell; their RMS is then near a hundredth of it.
TOLERANCE = 0.2
#: Smallest error of an observed cell, K: no month's mean over a cell of some hundred kilometres is known better.
LEAST_ERROR = 0.1
#: Months that are done are left out of further steps once no more than this share is going.
LEAVE = 0.7
#: Steps that find the leading patterns of a covariance that is like a known one.
SUBSPACE_STEPS = 4
#: Steps whose progress estimates what was left before them.
DELAY = 3


class FullPrior(LowRankPrior):
    """A learned covariance of K leading and L trailing patterns, see :class:`climrecon.covariance.LowRank`.

    Parameters
    ----------
    vectors, trailing:
        (P, K) and (P, L).
    residual:
        (P,) variance that both leave.
    scale:
        (12, P) standard deviation of each calendar month, K.
    seasons:
        (12, K + L, K + L) covariance of the patterns' coefficients in each calendar month; None where it is the unit
        matrix all year. It counts for the mean alone: what the leading patterns leave unsure is taken as the whole
        year's.
    """

    def __init__(
        self,
        vectors: Tensor,
        trailing: Tensor,
        residual: Tensor,
        scale: Tensor,
        seasons: Tensor | None = None,
    ) -> None:
        super().__init__(vectors, residual + (trailing**2).sum(1), scale)
        # Half precision on disk: the patterns that matter little take most of the space.
        self.register_buffer("trailing", trailing.to(torch.float16))
        self.trailing: Tensor
        # Symmetric, so that one triangle is kept.
        packed = None if seasons is None else seasons[(slice(None), *_triangle(seasons.shape[-1]))]
        self.register_buffer("seasons", None if packed is None else packed.to(torch.float16))
        self.seasons: Tensor | None
        #: What is added for a data set, or None; see :meth:`adapted`.
        self.local: LocalCovariance | None = None
        self._kept: tuple[Tensor, Tensor] | None = None
        self._by_month: Tensor | None = None
        self._precision_by_month: Tensor | None = None

    def covariance(self) -> Tensor:
        """(P, P) covariance of the whole year, in units of the calendar month's standard deviation."""
        patterns, left = self._all_patterns()
        matrix = patterns @ patterns.T
        matrix.diagonal().add_(left)
        return matrix if self.local is None else matrix + self.local.matrix()

    def _all_patterns(self) -> tuple[Tensor, Tensor]:
        """(P, K + L) patterns and (P,) variance that they leave."""
        if self._kept is None or (self.local is None and self._kept[0].device != self.vectors.device):
            trailing = self.trailing.to(self.vectors.dtype)
            left = (self.residual - (trailing**2).sum(1)).clamp_min(1e-4)
            self._kept = torch.cat([self.vectors, trailing], dim=1), left
        return self._kept

    def coefficients_prior(self) -> Tensor | None:
        """(12, K + L, K + L) covariance of the coefficients by calendar month, or None."""
        if self.seasons is None:
            return None
        if self._by_month is None or self._by_month.device != self.vectors.device:
            size = self.vectors.shape[1] + self.trailing.shape[1]
            rows, columns = _triangle(size)
            whole = self.vectors.new_empty(12, size, size)
            packed = self.seasons.to(self.vectors.dtype)
            whole[:, rows, columns] = packed
            whole[:, columns, rows] = packed
            self._by_month = whole
        return self._by_month

    def prior_precision(self) -> Tensor | None:
        """(12, K, K) precision of the leading patterns' coefficients in each calendar month, or None."""
        if self.seasons is None or self.local is not None:
            return None  # the leading patterns of an adapted prior are others
        if self._precision_by_month is None or self._precision_by_month.device != self.vectors.device:
            rank = self.vectors.shape[1]
            covariance = self.coefficients_prior()
            assert covariance is not None
            self._precision_by_month = torch.cholesky_inverse(
                torch.linalg.cholesky(covariance[:, :rank, :rank].double())
            )
        return self._precision_by_month

    def adapted(self, local: LocalCovariance, area: Tensor) -> FullPrior:
        """This prior with a covariance ``local`` added, in the same units; ``area`` (P,) sums to 1.

        For data sets that hold variability on scales which the training fields lack. The K leading patterns are those
        of the sum, in the area-weighted metric, by a few subspace iterations from the former ones.

        Source: Halko, Martinsson & Tropp (2011), SIAM Review 53:217, algorithm 4.4.
        """
        patterns, left = self._all_patterns()
        metric = (area * area.numel()).sqrt()[:, None]

        def product(x: Tensor) -> Tensor:
            x = metric * x
            return metric * (patterns @ (patterns.T @ x) + left[:, None] * x + local.product(x.T).T)

        # By one thread: the last bits of factorisations depend on how many there are, and the processes of a run that
        # is done in parts may have other numbers of them.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            basis = torch.linalg.qr(metric * self.vectors)[0]
            for _ in range(SUBSPACE_STEPS):
                basis = torch.linalg.qr(product(basis))[0]
            values, axes = torch.linalg.eigh(basis.T @ product(basis))
        finally:
            torch.set_num_threads(threads)
        vectors = basis @ (axes * values.clamp_min(0.0).sqrt()).flip(1) / metric
        added = FullPrior(vectors, self.trailing, self.residual, self.scale)
        variance = (patterns**2).sum(1) + left + local.variance
        added.residual = (variance - (vectors**2).sum(1)).clamp_min(1e-4)
        added.seasons, added.local, added._kept = self.seasons, local, (patterns, left)
        return added

    def posterior(self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor) -> Posterior:
        """Condition on observations; see :meth:`LowRankPrior.posterior`.

        Source of the solver: Golub & Van Loan (2013), Matrix Computations, algorithm 11.5.1; of the estimate of
        what is left: Strakos & Tichy (2002), ETNA 13:56, equation 3.7.
        """
        error_sd = error_sd.clamp_min(LEAST_ERROR)
        low = super().posterior(values, mask, error_sd, month)
        # A cell that none of these months has observed counts for nothing until there is a solution.
        cells = torch.nonzero(mask.any(0))[:, 0]
        solution = torch.zeros_like(values)
        solution[:, cells] = self._solve(
            values[:, cells], mask[:, cells], error_sd[:, cells], month, cells, low.coefficients_covariance
        )
        scale = self.scale[month - 1]
        flat = MEAN_PRIOR_SD / scale
        mean = self._system().product(solution, flat, month) * scale
        return replace(low, mean=mean, level=MEAN_PRIOR_SD * (solution * flat).sum(1))

    def _solve(
        self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor, cells: Tensor, low: Tensor
    ) -> Tensor:
        """(B, C) weights of the observations; values, mask and errors on the (C,) ``cells``."""
        system, vectors = self._system(cells), self.vectors[cells]
        scale = self.scale[:, cells][month - 1]
        error = (error_sd / scale) ** 2
        seen = mask.to(values.dtype)
        left = torch.where(mask, values / scale, torch.zeros_like(values))
        flat = MEAN_PRIOR_SD / scale
        weight = seen / (self.residual[cells] + error)
        independent = seen * (system.left + error)

        def low_rank_inverse(x: Tensor) -> Tensor:
            y = weight * x
            projected = torch.cat([y @ vectors, (y * flat).sum(1, keepdim=True)], dim=1)
            inner = (low @ projected.double()[..., None])[..., 0].to(x.dtype)
            return y.addcmul_(weight, torch.addmm(inner[:, -1:] * flat, inner[:, :-1], vectors.T), value=-1.0)

        solution = torch.zeros_like(left)
        search = direction = low_rank_inverse(left)
        power = (left * direction).sum(1, keepdim=True)
        progress: list[Tensor] = []
        rows = torch.arange(len(left), device=left.device)
        found = torch.zeros_like(left)
        going = torch.ones_like(power, dtype=torch.bool)
        for _ in range(MOST_STEPS):
            along = system.product(search, flat, month).addcmul_(error, search).mul_(seen)
            curvature = (search * along).sum(1, keepdim=True)
            # What is independent from cell to cell gives twice this by itself, but for rounding, which then is
            # all that is left of a direction.
            least = 0.5 * (independent * search**2).sum(1, keepdim=True)
            going = going & (power > 0.0) & (curvature > least)
            # A month that is done stays as it is, so that it does not depend on those it is solved with.
            step = torch.where(going, power / curvature, torch.zeros_like(power))
            solution.addcmul_(step, search)
            left.addcmul_(step, along, value=-1.0)
            progress.append(step * power)
            if len(progress) >= DELAY:
                going = going & (sum(progress[-DELAY:]) > TOLERANCE)
            direction = low_rank_inverse(left)
            new = (left * direction).sum(1, keepdim=True)
            # Rounding ends a month's progress too; what follows would be noise.
            going = going & (new > 0.0)
            count = int(going.sum())
            if not count:
                break
            share = torch.where(going, new / power, torch.zeros_like(new))
            search = torch.addcmul(direction, share, search)
            power = new
            if count <= LEAVE * len(rows):
                # Months that are done leave: the slowest take several times as many steps as most.
                found[rows] = solution
                keep = going[:, 0]
                rows, month, low = rows[keep], month[keep], low[keep]
                solution, left, search, power, going = (
                    x[keep] for x in (solution, left, search, power, going)
                )
                error, seen, flat, weight, independent = (
                    x[keep] for x in (error, seen, flat, weight, independent)
                )
                progress = [x[keep] for x in progress[-DELAY:]]
        found[rows] = solution
        return found

    def _system(self, cells: Tensor | None = None) -> _System:
        """The covariance on all cells, or on (C,) of them."""
        patterns, left = self._all_patterns()
        local, by_month = self.local, self.coefficients_prior()
        if cells is None or len(cells) == len(patterns):
            return _System(patterns, left, local, by_month)
        return _System(patterns[cells], left[cells], local, by_month, cells)


@dataclass(frozen=True)
class _System:
    """The covariance of field and month's mean on C cells, in units of the calendar month's standard deviation.

    Attributes
    ----------
    patterns, left:
        (C, R) and (C,) variance that they leave.
    local:
        What is added for a data set, or None.
    by_month:
        (12, R, R) covariance of the patterns' coefficients, or None.
    cells:
        (C,) which of the grid's cells these are; None: all.
    """

    patterns: Tensor
    left: Tensor
    local: LocalCovariance | None
    by_month: Tensor | None
    cells: Tensor | None = None

    def product(self, x: Tensor, flat: Tensor, month: Tensor) -> Tensor:
        """(B, C): the covariance times (B, C) ``x``; ``flat`` (B, C) is what the month's mean adds, month 1..12."""
        coefficients = x @ self.patterns
        if self.by_month is not None:
            for number in range(12):
                rows = torch.nonzero(month == number + 1)[:, 0]
                if len(rows):
                    coefficients[rows] = coefficients[rows] @ self.by_month[number]
        result = torch.addmm(flat * (x * flat).sum(1, keepdim=True), coefficients, self.patterns.T)
        result.addcmul_(self.left, x)
        if self.local is None:
            return result
        if self.cells is None:
            return result.add_(self.local.product(x))
        everywhere = x.new_zeros(len(x), len(self.local.variance))
        everywhere[:, self.cells] = x
        return result.add_(self.local.product(everywhere)[:, self.cells])


def _triangle(size: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the lower triangle of a matrix."""
    index = torch.tril_indices(size, size)
    return index[0], index[1]
