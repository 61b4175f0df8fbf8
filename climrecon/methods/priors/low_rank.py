"""The posterior of a month under a low-rank covariance: optimal interpolation in the space of K patterns.

A field is x = b + s (E z + d): the month's unknown mean b, patterns E with z ~ N(0, I), and a residual
d ~ N(0, D) independent from cell to cell, scaled by the calendar month's standard deviation s.
Observed is y = x + e, e ~ N(0, r). It takes one symmetric (K + 1) x (K + 1) system a month
(Woodbury; Rasmussen & Williams 2006, A.9), so thousands of months take seconds where a dense solve
takes minutes. b has a nearly flat prior, which is generalised least squares: the analysis does not
shrink towards the climatology.

Shapes: B months, P = H * W cells, K patterns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from climrecon.methods.priors.residual import Residual
from climrecon.methods.threads import MAKING

T = TypeVar("T")
#: Prior standard deviation of a month's mean, K. Flat against the 0.1 K to which observations
#: determine it, and still a statement for a month without any observation.
MEAN_PRIOR_SD = 3.0


@dataclass(frozen=True)
class SpreadScaling:
    """How the deviations of a :class:`Posterior` are widened or narrowed, and what a cell's spread is then.

    Attributes
    ----------
    shared, residual:
        (B, P) factors on the deviations along the patterns and on the residuals of the cells.
    variance:
        (B, P) of the true field with them, K^2.
    """

    shared: Tensor
    residual: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Posterior:
    """The joint distribution of the cells of B months given their observations.

    Attributes
    ----------
    mean, variance:
        (B, P) of the true field, K and K^2.
    level:
        (B,) estimated mean b of each month, K.
    residual_variance:
        (B, P) variance of the residual of the patterns, K^2.
    vectors:
        (P, K) patterns E, shared by all months.
    damping:
        (B, P): s (1 - gain), by which a pattern counts in a cell; small where an observation fixes it.
    level_pattern:
        (B, P): what one prior standard deviation of b adds to a cell, K.
    factor:
        (B, K + 1, K + 1) lower Cholesky factor of the precision of (z, b).
    residual:
        Correlation of the residuals between cells; None: they are independent.
    """

    mean: Tensor
    variance: Tensor
    level: Tensor
    residual_variance: Tensor
    vectors: Tensor
    damping: Tensor
    level_pattern: Tensor
    factor: Tensor
    residual: Residual | None = None

    def parts_of(self, factor: Tensor, shared_factor: float = 1.0) -> SpreadScaling:
        """Factors on the deviations along the patterns and on the cells' residuals, for (B, P) ``factor`` on their sum.

        Above 1 both are widened. Below, the residuals are narrowed first: the posterior overstates them, since it
        neglects what nearby observations determine of them. Narrowing both by one factor made means over unobserved
        boxes overconfident (docs/results.md).

        Parameters
        ----------
        shared_factor:
            Factor on the deviations along the patterns, which are overconfident where patterns were learned from few
            years. The residuals are narrowed for it; where they are too small, the spread exceeds that of ``factor``.
        """
        residual = self.residual_variance.clamp_min(1e-9)
        shared = (self.variance - self.residual_variance).clamp_min(1e-9)
        whole = factor**2 * self.variance
        of_shared = torch.where(factor < 1.0, (whole / shared).sqrt().clamp_max(1.0), factor) * shared_factor
        along = of_shared**2 * shared
        of_residual = ((whole - along).clamp_min(0.0) / residual).sqrt()
        if shared_factor == 1.0:
            return SpreadScaling(of_shared, torch.where(factor < 1.0, of_residual, factor), whole)
        return SpreadScaling(of_shared, of_residual, along + of_residual**2 * residual)

    def weighted_mean_sd(self, weights: Tensor, parts: SpreadScaling | None = None) -> Tensor:
        """(B,) standard deviation of the sum of weights (P,) or (B, P) times the field; ``parts`` None: as it is."""
        weights = weights.expand_as(self.residual_variance)
        residual_weights = weights
        if parts is not None:
            weights, residual_weights = weights * parts.shared, weights * parts.residual
        projected = torch.cat(
            [(weights * self.damping) @ self.vectors, (weights * self.level_pattern).sum(1, keepdim=True)], dim=1
        )
        shared = torch.linalg.solve_triangular(self.factor, projected[..., None], upper=False)[..., 0]
        if self.residual is None:
            residual = (residual_weights**2 * self.residual_variance).sum(1)
        else:
            residual = self.residual.variance_of_sum(residual_weights * self.residual_variance.sqrt())
        spread: Tensor = ((shared**2).sum(1) + residual).sqrt()
        return spread

    def residual_deviations(self, month: int, count: int, generator: torch.Generator) -> Tensor:
        """(count, P) draws of the residuals in one of the months."""
        if self.residual is None:
            size = self.residual_variance.shape[1]
            draws = torch.randn(count, size, generator=generator, dtype=self.mean.dtype).to(self.mean.device)
        else:
            draws = self.residual.draw(count, generator)
        return draws * self.residual_variance[month].sqrt()


class LowRankPrior(nn.Module):
    """The learned covariance (see :class:`climrecon.methods.priors.covariance.LowRank`) as buffers of a network.

    Parameters
    ----------
    vectors, residual, scale:
        (P, K), (P,) and (12, P).
    """

    def __init__(self, vectors: Tensor, residual: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.register_buffer("residual", residual)
        self.register_buffer("scale", scale)
        self.vectors: Tensor
        self.residual: Tensor
        self.scale: Tensor
        self._kept: dict[str, Any] = {}

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """``make()``, kept under ``name`` for all threads until the prior moves to another device."""
        with MAKING:
            kept = self._kept.get(name)
            if kept is None or kept[0] != self.vectors.device:
                self._kept[name] = kept = (self.vectors.device, make())
            value: T = kept[1]
            return value

    def pairs(self) -> Tensor:
        """(P, K (K + 1) / 2) products of two patterns, each pair once.

        What a month needs of E' W E and of the diagonal of E C E' is linear in W and C. With these at hand both are
        one matrix product for all months together, of half the work.
        """
        return self._once("pairs", self._pairs)

    def _pairs(self) -> Tensor:
        rank = self.vectors.shape[1]
        pairs = self.vectors.new_empty(len(self.vectors), rank * (rank + 1) // 2)
        for row in range(rank):
            first = row * (row + 1) // 2
            part = pairs[:, first : first + row + 1]
            torch.mul(self.vectors[:, : row + 1], self.vectors[:, row : row + 1], out=part)
        return pairs

    def prior_sd(self, month: Tensor) -> Tensor:
        """(B, P) standard deviation about the month's own mean before any observation; month is 1..12."""
        return self.scale[month - 1] * ((self.vectors**2).sum(1) + self.residual).sqrt()

    def posterior(self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor) -> Posterior:
        """Condition on observations.

        Parameters
        ----------
        values:
            (B, P) K, finite everywhere (0 where missing).
        mask:
            (B, P) bool, True where observed.
        error_sd:
            (B, P) one-sigma observation errors, K.
        month:
            (B,) calendar months, 1..12.
        """
        return self._condition(values, mask, error_sd, month)[0]

    def _condition(self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor) -> tuple[Posterior, Tensor]:
        """The posterior, and the inverse of its factor, (B, K + 1, K + 1)."""
        # Everything in units of the calendar month's standard deviation s: the patterns E are then the
        # same for all months, and only vectors and K x K matrices differ.
        scale = self.scale[month - 1]
        error = (error_sd / scale) ** 2
        residual = self.residual.expand_as(error)
        weight = torch.where(mask, 1.0 / (residual + error), torch.zeros_like(error))
        flat = MEAN_PRIOR_SD / scale
        observed = torch.where(mask, values / scale, torch.zeros_like(values))
        # Double precision for the small system: a warming can be the mean's or the leading pattern's, so that some
        # of its eigenvalues are ten million times the others.
        factor = torch.linalg.cholesky(self._precision(weight, flat, month))
        identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
        exact_inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        exact_covariance = exact_inverse.mT @ exact_inverse
        inverse, factor = exact_inverse.to(values.dtype), factor.to(values.dtype)
        del exact_inverse
        weighted = weight * observed
        projected = torch.cat([weighted @ self.vectors, (weighted * flat).sum(1, keepdim=True)], dim=1)
        coefficients = (exact_covariance @ projected.double()[..., None])[..., 0].to(values.dtype)
        covariance = exact_covariance.to(values.dtype)
        del exact_covariance
        smooth = coefficients[:, :-1] @ self.vectors.T + coefficients[:, -1:] * flat
        gain = residual * weight
        mean = smooth + gain * torch.where(mask, observed - smooth, torch.zeros_like(smooth))
        residual_variance = torch.where(mask, gain * error, residual)
        variance = self._spread(covariance, flat) * (1.0 - gain) ** 2 + residual_variance
        posterior = Posterior(
            mean=mean * scale,
            variance=variance * scale**2,
            level=coefficients[:, -1] * MEAN_PRIOR_SD,
            residual_variance=residual_variance * scale**2,
            vectors=self.vectors,
            damping=scale * (1.0 - gain),
            level_pattern=MEAN_PRIOR_SD * (1.0 - gain),
            factor=factor,
        )
        return posterior, inverse

    def prior_precision(self) -> Tensor | None:
        """(12, K, K) precision of the coefficients in each calendar month, double; None where it is the unit matrix."""
        return None

    def _precision(self, weight: Tensor, flat: Tensor, month: Tensor) -> Tensor:
        """Prior precision + E' W E with the flat pattern as last column, (B, K + 1, K + 1) in double precision.

        ``weight`` (B, P) is 0 where nothing was observed.
        """
        rank = self.vectors.shape[1]
        packed = weight @ self.pairs()
        result = packed.new_empty(len(weight), rank + 1, rank + 1, dtype=torch.float64)
        whole = packed.index_select(1, whole_of_packed(rank, weight.device))
        result[:, :rank, :rank] = whole.reshape(-1, rank, rank)
        weighted = weight.double() * flat
        border = weighted @ self.vectors.double()
        result[:, :rank, rank] = border
        result[:, rank, :rank] = border
        result[:, rank, rank] = (weighted * flat).sum(1)
        prior = self.prior_precision()
        if prior is None:
            result.diagonal(dim1=1, dim2=2).add_(1.0)
        else:
            result[:, :rank, :rank] += prior[month - 1]
            result[:, rank, rank] += 1.0
        return result

    def _spread(self, covariance: Tensor, flat: Tensor) -> Tensor:
        """(B, P) variance of E z + flat b for the (B, K + 1, K + 1) covariance of (z, b)."""
        rank = self.vectors.shape[1]
        flat_index, counts = packed_of_whole(rank, flat.device)
        packed = covariance.flatten(1).index_select(1, flat_index).mul_(counts)
        spread = packed @ self.pairs().T
        spread += 2.0 * flat * (covariance[:, :rank, rank] @ self.vectors.T)
        spread += flat**2 * covariance[:, rank, rank, None]
        return spread.clamp_min_(0.0)


@lru_cache(maxsize=8)
def whole_of_packed(rank: int, device: torch.device) -> Tensor:
    """(K K,) where each element of a symmetric (K, K) matrix stands in its packed lower triangle."""
    index = torch.arange(rank, device=device)
    low, high = torch.minimum(index[:, None], index), torch.maximum(index[:, None], index)
    return (high * (high + 1) // 2 + low).flatten()


@lru_cache(maxsize=8)
def packed_of_whole(rank: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(K (K + 1) / 2,) where each pair stands in a (K + 1, K + 1) matrix, and how often it counts.

    A pair stands for itself and for the same pair the other way round.
    """
    rows, columns = torch.tril_indices(rank, rank, device=device)
    return rows * (rank + 1) + columns, 2.0 - (rows == columns).float()
