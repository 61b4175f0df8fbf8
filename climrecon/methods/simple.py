"""Inverse distance and climatology."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.methods.contract import Capabilities, Context, Estimate, Method
from climrecon.methods.priors.covariance import distances_by_rows


class Climatology(Method):
    """Zero anomaly everywhere: the estimate without any observation."""

    name = "climatology"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False, most_cells=20_000)

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
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False, most_cells=20_000)
    softening_km = 300.0

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Weighted means; zero in a month without observations."""
        seen = mask.reshape(len(mask), -1)
        flat = np.where(seen, values.reshape(len(values), -1), 0.0)
        mean = np.empty(flat.shape, np.float32)
        for part, distance in distances_by_rows(context.grid):
            weights = 1.0 / (distance**2 + self.softening_km**2)
            weights *= context.grid.area.reshape(1, -1)
            total = seen @ weights.T
            mean[:, part] = (flat @ weights.T) / np.where(total > 0, total, 1.0)
        return Estimate(mean=mean.reshape(values.shape))
