"""Methods on numbers of one size, whatever the variable.

The constants of methods (the spread of a month without an observation, an error where none is stated, floors) are made
for anomalies of temperature in K. Of another variable methods are given its anomalies over its ``scale``, and estimates
are multiplied by it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.methods.contract import Auxiliary, Capabilities, Context, Estimate, Method, Observations
from climrecon.variables import Variable


def scaled(method: Method, variable: Variable) -> Method:
    """``method`` for anomalies of ``variable`` in its units; the method itself where its scale is 1."""
    return method if variable.scale == 1.0 else Scaled(method, variable.scale)


class Scaled(Method):
    """``method`` on anomalies over ``scale``."""

    def __init__(self, method: Method, scale: float) -> None:
        self.method, self.scale, self.name = method, np.float32(scale), method.name

    @property
    def capabilities(self) -> Capabilities:
        """Those of the method."""
        return self.method.capabilities

    def _over(self, values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values / self.scale

    def _times(self, values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values * self.scale

    def calibrate(self, observations: Observations) -> str:
        """See :class:`climrecon.methods.contract.Method`."""
        values, obs_sd = observations.values / self.scale, self._over(observations.obs_sd)
        return self.method.calibrate(replace(observations, values=values, obs_sd=obs_sd))

    def observation_sd(self, obs_sd: FloatArray | None, shape: tuple[int, ...]) -> FloatArray | None:
        """See :class:`climrecon.methods.contract.Method`."""
        return self._times(self.method.observation_sd(self._over(obs_sd), shape))

    def with_auxiliary(self, auxiliary: Auxiliary | None) -> Method:
        """See :class:`climrecon.methods.contract.Method`."""
        return Scaled(self.method.with_auxiliary(auxiliary), float(self.scale))

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """See :class:`climrecon.methods.contract.Method`."""
        found = self.method.reconstruct(values / self.scale, mask, self._over(obs_sd), month, context)
        sample, area_mean_sd = found.sample, found.area_mean_sd
        return replace(
            found,
            mean=found.mean * self.scale,
            stddev=self._times(found.stddev),
            prior_stddev=self._times(found.prior_stddev),
            sample=None if sample is None else lambda count, seed: sample(count, seed) * self.scale,
            area_mean_sd=None if area_mean_sd is None else lambda weights: area_mean_sd(weights) * self.scale,
        )

    def same_mask_means(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> FloatArray:
        """See :class:`climrecon.methods.contract.Method`."""
        means = self.method.same_mask_means(values / self.scale, mask, self._over(obs_sd), month, context)
        return np.asarray(means * self.scale)
