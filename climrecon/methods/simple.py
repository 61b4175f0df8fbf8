"""Inverse distance and climatology."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.methods.contract import Capabilities, Context, Estimate, Method
from climrecon.methods.priors.covariance import great_circle


class Climatology(Method):
    """Zero anomaly everywhere: the estimate without any observation."""

    name = "climatology"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False)

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Zeros of the shape of ``values``."""
        return Estimate(mean=np.zeros(values.shape, np.float32))


class InverseDistance(Method):
    """Mean of the observed cells, each weighted with its area and 1 / (d^2 + d0^2).

    Source: Shepard (1968), Proc. 23rd ACM Nat. Conf., 517; d0 keeps the weight at distance zero finite.
    """

    name = "idw"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False)
    softening_km = 300.0

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Weighted means; zero in a month without observations."""
        weights = 1.0 / (great_circle(context.grid) ** 2 + self.softening_km**2)
        weights *= context.grid.area.reshape(1, -1)
        seen = mask.reshape(len(mask), -1)
        flat = np.where(seen, values.reshape(len(values), -1), 0.0)
        total = seen @ weights.T
        mean = (flat @ weights.T) / np.where(total > 0, total, 1.0)
        return Estimate(mean=mean.reshape(values.shape).astype(np.float32))
