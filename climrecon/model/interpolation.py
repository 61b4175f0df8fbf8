"""Optimal interpolation with all patterns of a learned covariance, for thousands of months at once.

A rank of some hundred makes the posterior of :mod:`climrecon.model.lowrank` quick, but loses what varies on
the scale of a few cells, which is worth most where observations are good. Here the mean is solved for again
with the whole covariance: conjugate gradients, preconditioned by the low-rank solution, need a handful of
products with one (P, P) matrix, and all months share them. Spread and realisations stay those of the leading
patterns; the network on top corrects the spread.

Shapes: B months, P cells, K leading and L trailing patterns.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from climrecon.model.lowrank import MEAN_PRIOR_SD, LowRankPrior, Posterior

#: Steps of conjugate gradients: the error is below a thousandth of the correction then.
STEPS = 8


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
    """

    def __init__(self, vectors: Tensor, trailing: Tensor, residual: Tensor, scale: Tensor) -> None:
        super().__init__(vectors, residual + (trailing**2).sum(1), scale)
        # Half precision on disk: the patterns that matter little take most of the space.
        self.register_buffer("trailing", trailing.to(torch.float16))
        self.trailing: Tensor
        self._covariance: Tensor | None = None

    def covariance(self) -> Tensor:
        """(P, P) covariance in units of the calendar month's standard deviation."""
        if self._covariance is None:
            trailing = self.trailing.float()
            matrix = self.vectors @ self.vectors.T + trailing @ trailing.T
            left = (self.residual - (trailing**2).sum(1)).clamp_min(1e-4)
            matrix.diagonal().add_(left)
            self._covariance = matrix
        return self._covariance

    def adapted(self, local: Tensor) -> FullPrior:
        """This prior with a covariance ``local`` (P, P) added, in the same units.

        For data sets that hold variability on scales which the training fields lack.
        """
        added = FullPrior(self.vectors, self.trailing, self.residual, self.scale)
        added.residual = self.residual + local.diagonal()
        added._covariance = self.covariance() + local
        return added

    def posterior(self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor) -> Posterior:
        """Condition on observations; see :meth:`LowRankPrior.posterior`.

        Source of the solver: Golub & Van Loan (2013), Matrix Computations, algorithm 11.5.1.
        """
        low = super().posterior(values, mask, error_sd, month)
        scale = self.scale[month - 1]
        error = (error_sd / scale) ** 2
        seen = mask.to(values.dtype)
        observed = torch.where(mask, values / scale, torch.zeros_like(values))
        flat = MEAN_PRIOR_SD / scale
        weight = seen / (self.residual + error)

        def product(x: Tensor) -> Tensor:
            return seen * (self.spread(x, flat) + error * x)

        def low_rank_inverse(x: Tensor) -> Tensor:
            y = weight * x
            projected = torch.cat([y @ self.vectors, (y * flat).sum(1, keepdim=True)], dim=1)
            inner = torch.cholesky_solve(projected[..., None], low.factor)[..., 0]
            return y - weight * (inner[:, :-1] @ self.vectors.T + inner[:, -1:] * flat)

        solution = low_rank_inverse(observed)
        left = observed - product(solution)
        search = direction = low_rank_inverse(left)
        power = (left * direction).sum(1, keepdim=True)
        for _ in range(STEPS):
            along = product(search)
            step = power / (search * along).sum(1, keepdim=True).clamp_min(1e-20)
            solution = solution + step * search
            left = left - step * along
            direction = low_rank_inverse(left)
            new = (left * direction).sum(1, keepdim=True)
            search = direction + new / power.clamp_min(1e-20) * search
            power = new
        mean = self.spread(solution, flat) * scale
        level = MEAN_PRIOR_SD * (solution * flat).sum(1)
        return replace(low, mean=mean, level=level)

    def spread(self, x: Tensor, flat: Tensor) -> Tensor:
        """(B, P): covariance of field and month's mean, times (B, P) ``x``."""
        return x @ self.covariance() + flat * (x * flat).sum(1, keepdim=True)
