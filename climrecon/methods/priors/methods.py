"""Optimal interpolation without a network on top: what a covariance alone makes of the observations.

Two baselines stand on it: ``oi`` with the covariance that the shipped network has learned, and ``pca`` with
patterns of the observations themselves. The mean of each month is estimated by generalised least squares
(:mod:`climrecon.methods.priors.low_rank`), so neither shrinks towards the climatology.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.fields import Context, Estimate
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import great_circle
from climrecon.methods.priors.low_rank import LowRankPrior, Posterior
from climrecon.methods.unet.network import AnalysisUNet, persistent_deviations
from climrecon.methods.unet.reconstructor import AnalysisReconstructor


def prior_of(vectors: FloatArray, residual: FloatArray) -> LowRankPrior:
    """A prior in K from patterns (P, K) with unit-variance coefficients and residual variances (P,), K^2."""
    patterns = torch.as_tensor(np.ascontiguousarray(vectors, dtype=np.float32))
    left = torch.as_tensor(np.ascontiguousarray(residual, dtype=np.float32))
    return LowRankPrior(patterns, left, torch.ones(12, len(left)))


def interpolate(
    prior: LowRankPrior,
    values: FloatArray,
    mask: BoolArray,
    error_sd: FloatArray,
    month: IntArray,
    context: Context,
    *,
    persistence: float = 0.0,
    device: str = "cpu",
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
    shape, flat = values.shape, (len(values), -1)
    where = torch.device(device)

    def tensor(array: FloatArray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=where)

    index = torch.as_tensor(np.asarray(context.time.index, dtype=np.int64), device=where)
    months = torch.as_tensor(np.asarray(month, dtype=np.int64), device=where)
    with torch.inference_mode():
        posterior: Posterior = prior.posterior(
            tensor(np.where(mask, values, 0.0)).reshape(flat),
            torch.as_tensor(np.array(mask), device=where).reshape(flat),
            tensor(error_sd).reshape(flat),
            months,
        )
        before = prior.prior_sd(months)
    mean = posterior.mean.cpu().numpy().reshape(shape)

    def sample(count: int, seed: int) -> FloatArray:
        with torch.inference_mode():
            drawn = persistent_deviations(posterior, index, count, seed, persistence)
        return np.asarray(mean + drawn.cpu().numpy().reshape(count, *shape), dtype=np.float32)

    def area_mean_sd(weights: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return np.asarray(posterior.weighted_mean_sd(tensor(weights).reshape(-1)).cpu().numpy())

    return Estimate(
        mean=mean,
        stddev=posterior.variance.sqrt().cpu().numpy().reshape(shape),
        prior_stddev=before.cpu().numpy().reshape(shape),
        sample=sample,
        area_mean_sd=area_mean_sd,
    )


class OptimalInterpolation(AnalysisReconstructor):
    """The covariance of a network of ours without its U-Net; errors are estimated as the network does it.

    The mean comes from all patterns, the spread of cells from the posterior of the leading ones; means over regions and
    realisations know what the trailing ones share between cells.

    Source: Gandin (1963), Objective Analysis of Meteorological Fields; Kaplan et al. (1997), J. Geophys. Res.
    102:27835, for covariances learned from a well-observed period.
    """

    #: Each month by itself.
    neighbour_months = 0

    def __init__(
        self,
        network: AnalysisUNet,
        grid: Grid,
        default_obs_sd: float,
        persistence: float,
        device: str = "cpu",
    ) -> None:
        super().__init__("oi", network, default_obs_sd, persistence, great_circle(grid), device)
        self.grid = grid

    def reconstruct(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
    ) -> Estimate:
        """Estimate (T, H, W) fields; see :class:`climrecon.fields.Reconstructor`."""
        return interpolate(
            self.prior,
            values,
            mask,
            self.error_sd(obs_sd, values.shape),
            month,
            context,
            persistence=self.persistence,
            device=str(self.device),
        )
