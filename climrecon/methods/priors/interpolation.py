"""Optimal interpolation: posteriors of months as estimates, and their realisations.

The mean of each month is estimated by generalised least squares (:mod:`climrecon.methods.priors.low_rank`), so that the
analysis does not shrink towards the climatology.

Shapes: T months, M realisations, H x W cells, P = H * W.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from climrecon.array_types import Array, BoolArray, FloatArray, IntArray
from climrecon.fields import Context, Estimate
from climrecon.methods.priors.low_rank import LowRankPrior, Posterior, SpreadScaling

#: Months of noise in the moving average of a month's errors; weights of earlier ones are below 1 % of the first.
MEMORY = 10


def prior_of(vectors: FloatArray, residual: FloatArray) -> LowRankPrior:
    """A prior in K from patterns (P, K) with unit-variance coefficients and residual variances (P,), K^2."""
    patterns = torch.as_tensor(np.ascontiguousarray(vectors, dtype=np.float32))
    left = torch.as_tensor(np.ascontiguousarray(residual, dtype=np.float32))
    return LowRankPrior(patterns, left, torch.ones(12, len(left)))


def as_tensor(array: Array, device: torch.device, dtype: type[np.generic] = np.float32) -> Tensor:
    """``array`` on ``device``."""
    return torch.as_tensor(np.ascontiguousarray(array, dtype=dtype), device=device)


def flat_observations(
    values: FloatArray, mask: BoolArray, obs_sd: FloatArray, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """(T, P) values (0 where missing), mask and errors of (T, H, W) observations, as networks and priors take them."""
    flat = (len(values), -1)
    return (
        as_tensor(np.where(mask, values, 0.0), device).reshape(flat),
        torch.as_tensor(np.array(mask), device=device).reshape(flat),
        as_tensor(obs_sd, device).reshape(flat),
    )


def stated_or(obs_sd: FloatArray | None, default: float, shape: tuple[int, ...]) -> FloatArray:
    """(T, H, W) float32 errors that a data set states, ``default`` where it states none, K."""
    if obs_sd is None:
        return np.full(shape, default, np.float32)
    return np.where(np.isfinite(obs_sd) & (obs_sd > 0), obs_sd, default).astype(np.float32)


def estimate_of(
    mean: Tensor,
    stddev: Tensor,
    prior_sd: Tensor,
    deviations: Callable[[int, int], Tensor],
    mean_sd: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
) -> Estimate:
    """Tensors as an estimate.

    Parameters
    ----------
    mean, stddev, prior_sd:
        (T, P), K.
    deviations:
        ``deviations(count, seed) -> (count, T, P)`` draws about the mean, K.
    mean_sd:
        ``mean_sd(weights (P,)) -> (T,)`` standard deviation of the weighted mean, K.
    shape:
        (T, H, W).
    """
    device, fields = mean.device, mean.cpu().numpy().reshape(shape)

    def sample(count: int, seed: int) -> FloatArray:
        with torch.inference_mode():
            drawn = deviations(count, seed)
        return np.asarray(fields + drawn.cpu().numpy().reshape(count, *shape), dtype=np.float32)

    def area_mean_sd(weights: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return np.asarray(mean_sd(as_tensor(weights, device).reshape(-1)).cpu().numpy())

    return Estimate(
        mean=fields,
        stddev=stddev.cpu().numpy().reshape(shape),
        prior_stddev=prior_sd.cpu().numpy().reshape(shape),
        sample=sample,
        area_mean_sd=area_mean_sd,
    )


def interpolate(
    prior: LowRankPrior,
    values: FloatArray,
    mask: BoolArray,
    error_sd: FloatArray,
    month: IntArray,
    context: Context,
    *,
    persistence: float = 0.0,
) -> Estimate:
    """The posterior of (T, H, W) months under ``prior``, each month by itself.

    Parameters
    ----------
    values, mask, error_sd:
        (T, H, W) K, True where observed, one-sigma errors in K.
    month:
        (T,) calendar months 1..12.
    persistence:
        Correlation of the errors of successive months, for realisations.
    """
    device = prior.vectors.device
    index, months = (as_tensor(axis, device, np.int64) for axis in (context.time.index, month))
    with torch.inference_mode():
        posterior = prior.posterior(*flat_observations(values, mask, error_sd, device), months)
        stddev, before = posterior.variance.sqrt(), prior.prior_sd(months)
    return estimate_of(
        posterior.mean,
        stddev,
        before,
        lambda count, seed: persistent_deviations(posterior, index, count, seed, persistence),
        posterior.weighted_mean_sd,
        values.shape,
    )


def persistent_deviations(
    posterior: Posterior, index: Tensor, count: int, seed: int, persistence: float, parts: SpreadScaling | None = None
) -> Tensor:
    """(M, T, P) draws of the field about its mean, errors of neighbouring months being correlated.

    ``parts``: how they are widened or narrowed; None: as they are.

    The coefficients of the patterns are a moving average of white noise drawn for each month, with
    weights ``persistence ** lag``: a first-order autoregression cut after :data:`MEMORY` months. So a draw
    does not depend on where a record begins or is cut, and annual means of the draws have the right spread.
    The residual of the patterns is independent in time.
    """
    months, size, _ = posterior.factor.shape
    weights = persistence ** torch.arange(MEMORY + 1, dtype=posterior.mean.dtype)
    weights = weights / (weights**2).sum().sqrt()
    white: dict[int, Tensor] = {}

    def noise(month: int) -> Tensor:
        if month not in white:
            generator = torch.Generator().manual_seed((seed * 1_000_003 + month) % (2**63))
            white[month] = torch.randn(size, count, generator=generator, dtype=posterior.mean.dtype)
        return white[month]

    dates = [int(month) for month in index.cpu()]
    mixed = torch.zeros(months, size, count, dtype=posterior.mean.dtype)
    for position, date in enumerate(dates):
        for lag, weight in enumerate(weights):
            mixed[position].add_(noise(date - lag), alpha=float(weight))
    mixed = mixed.to(posterior.factor.device)
    coefficients = torch.linalg.solve_triangular(posterior.factor.mT, mixed, upper=True).permute(2, 0, 1)
    shared: Tensor = (coefficients[..., :-1] @ posterior.vectors.T) * posterior.damping
    shared += coefficients[..., -1:] * posterior.level_pattern
    if parts is not None:
        shared *= parts.shared
    for position, date in enumerate(dates):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + date + 500_000) % (2**63))
        residual = posterior.residual_deviations(position, count, generator)
        shared[:, position] += residual if parts is None else residual * parts.residual[position]
    return shared
