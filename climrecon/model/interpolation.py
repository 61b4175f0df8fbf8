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

#: Most steps of conjugate gradients. Six to twelve do for early observations; dense and precise ones take more.
MOST_STEPS = 32
#: A month is done when what is left is estimated to be below this, squared and in units of the prior standard
#: deviation. That bounds the error of every single cell; their RMS is then near a hundredth of it.
TOLERANCE = 0.2
#: Smallest error of an observed cell, K: no month's mean over a cell of some hundred kilometres is known better.
LEAST_ERROR = 0.1
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
    """

    def __init__(self, vectors: Tensor, trailing: Tensor, residual: Tensor, scale: Tensor) -> None:
        super().__init__(vectors, residual + (trailing**2).sum(1), scale)
        # Half precision on disk: the patterns that matter little take most of the space.
        self.register_buffer("trailing", trailing.to(torch.float16))
        self.trailing: Tensor
        #: (P, P) covariance that is added for a data set, or None; see :meth:`adapted`.
        self.local: Tensor | None = None
        self._kept: tuple[Tensor, Tensor] | None = None

    def covariance(self) -> Tensor:
        """(P, P) covariance in units of the calendar month's standard deviation."""
        patterns, left = self._all_patterns()
        matrix = patterns @ patterns.T
        matrix.diagonal().add_(left)
        return matrix if self.local is None else matrix + self.local

    def _all_patterns(self) -> tuple[Tensor, Tensor]:
        """(P, K + L) patterns and (P,) variance that they leave."""
        if self._kept is None or self._kept[0].device != self.vectors.device:
            trailing = self.trailing.to(self.vectors.dtype)
            shared = (trailing**2).sum(1)
            shared = shared if self.local is None else shared + self.local.diagonal()
            self._kept = torch.cat([self.vectors, trailing], dim=1), (self.residual - shared).clamp_min(1e-4)
        return self._kept

    def adapted(self, local: Tensor) -> FullPrior:
        """This prior with a covariance ``local`` (P, P) added, in the same units.

        For data sets that hold variability on scales which the training fields lack.
        """
        added = FullPrior(self.vectors, self.trailing, self.residual, self.scale)
        added.residual = self.residual + local.diagonal()
        added.local = local
        return added

    def posterior(self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor) -> Posterior:
        """Condition on observations; see :meth:`LowRankPrior.posterior`.

        Source of the solver: Golub & Van Loan (2013), Matrix Computations, algorithm 11.5.1; of the estimate of
        what is left: Strakos & Tichy (2002), ETNA 13:56, equation 3.7.
        """
        error_sd = error_sd.clamp_min(LEAST_ERROR)
        low = super().posterior(values, mask, error_sd, month)
        scale = self.scale[month - 1]
        error = (error_sd / scale) ** 2
        seen = mask.to(values.dtype)
        left = torch.where(mask, values / scale, torch.zeros_like(values))
        flat = MEAN_PRIOR_SD / scale
        weight = seen / (self.residual + error)
        independent = seen * (self._all_patterns()[1] + error)

        def low_rank_inverse(x: Tensor) -> Tensor:
            y = weight * x
            projected = torch.cat([y @ self.vectors, (y * flat).sum(1, keepdim=True)], dim=1)
            inner = (low.coefficients_covariance @ projected.double()[..., None])[..., 0].to(x.dtype)
            return y.addcmul_(
                weight, torch.addmm(inner[:, -1:] * flat, inner[:, :-1], self.vectors.T), value=-1.0
            )

        solution = torch.zeros_like(left)
        search = direction = low_rank_inverse(left)
        power = (left * direction).sum(1, keepdim=True)
        progress: list[Tensor] = []
        going = torch.ones_like(power, dtype=torch.bool)
        for _ in range(MOST_STEPS):
            along = self.spread(search, flat).addcmul_(error, search).mul_(seen)
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
            if not going.any():
                break
            share = torch.where(going, new / power, torch.zeros_like(new))
            search = torch.addcmul(direction, share, search)
            power = new
        mean = self.spread(solution, flat) * scale
        level = MEAN_PRIOR_SD * (solution * flat).sum(1)
        return replace(low, mean=mean, level=level)

    def spread(self, x: Tensor, flat: Tensor) -> Tensor:
        """(B, P): covariance of field and month's mean, times (B, P) ``x``."""
        patterns, left = self._all_patterns()
        result = torch.addmm(flat * (x * flat).sum(1, keepdim=True), x @ patterns, patterns.T)
        result.addcmul_(left, x)
        return result if self.local is None else result.addmm_(x, self.local)
