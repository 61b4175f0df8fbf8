"""Methods on numbers of one size and shape, whatever the variable.

The constants of methods (the spread of a month without an observation, an error where none is stated, floors) are made
for anomalies of temperature in K, and their spread is Gaussian. Of another variable methods are given the transform that
its description states (:mod:`climrecon.variables.transform`), at least a division by its scale; estimates, draws and
spreads are carried back.

Where the transform is not linear, the transformed values are also standardised by cell and calendar month: ratios vary
most where and when it is dry, and the mean after the inverse depends on the variance. Means and standard deviations of
cells that are seldom observed are those of their surroundings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.grid import Grid
from climrecon.methods.contract import (
    Auxiliary,
    Capabilities,
    Context,
    Estimate,
    GaussianMonth,
    Influence,
    Method,
    Observations,
)
from climrecon.methods.priors.covariance import distances_by_rows
from climrecon.variables import Transform, Variable

#: Fewest values of a cell in a calendar month for a mean and standard deviation, else in all months; length that both are
#: smoothed over, km; and the weight of all cells against those nearby.
FEWEST, SMOOTH_KM, EVERYWHERE = 10, 500.0, 1e-4
#: Draws that the spread of a regional mean is worked out from where the transform is not linear: within 10 %.
DRAWS = 50


def transformed(method: Method, variable: Variable, normal: FloatArray | None = None) -> Method:
    """``method`` for values of ``variable``; the method itself where it takes them as they are.

    Parameters
    ----------
    normal:
        (12, H, W) mean transformed value of each calendar month, which a method was trained with; None: means and
        standard deviations are those of the observations.
    """
    transform = variable.to_methods if method.capabilities.gives_spread else variable.to_methods.plain
    learned = None if normal is None else LocalMoments(normal, np.ones_like(normal))
    return method if transform.is_identity else Transformed(method, transform, learned, learned is not None)


@dataclass(frozen=True)
class LocalMoments:
    """(12, H, W) means and standard deviations of transformed values."""

    mean: FloatArray
    sd: FloatArray

    @classmethod
    def of(cls, values: FloatArray, mask: BoolArray, month: IntArray, grid: Grid) -> LocalMoments:
        """Of (T, H, W) transformed ``values`` where ``mask``, in calendar months (T,) 1..12; smoothed."""
        flat = np.where(mask, values, np.nan).reshape(len(values), -1).astype(np.float64)
        every, *own = (_moments(part) for part in (flat, *(flat[month == number] for number in range(1, 13))))
        parts = []
        for _, distance in distances_by_rows(grid):
            near = np.exp(-0.5 * (distance / SMOOTH_KM) ** 2) + EVERYWHERE
            whole = _smoothed(every, near) or (np.zeros(len(near)), np.ones(len(near)))
            parts.append(np.stack([_smoothed(one, near) or whole for one in own]))
        moments = np.concatenate(parts, axis=2)
        mean, sd = (moments[:, part].reshape(12, *grid.shape).astype(np.float32) for part in (0, 1))
        return cls(mean, np.maximum(sd, np.float32(1e-3 * sd.mean() + 1e-6)))


#: (P,) cells with enough values, and of these the number of values, their mean and their variance.
_Moments = tuple[BoolArray, FloatArray, FloatArray, FloatArray]


def _moments(values: FloatArray) -> _Moments | None:
    """Of (N, P) values, NaN where missing; None if few are known."""
    count = np.isfinite(values).sum(axis=0)
    usable = count >= FEWEST
    if not usable.any():
        return None
    known = values[:, usable]
    return usable, count[usable], np.nanmean(known, axis=0), np.nanvar(known, axis=0, ddof=1)


def _smoothed(moments: _Moments | None, near: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """(Q,) means and standard deviations of ``moments`` by (Q, P) weights."""
    if moments is None:
        return None
    usable, count, mean, variance = moments
    weights = near[:, usable] * count
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ mean, np.sqrt(weights @ variance)


class Transformed(Method):
    """``method`` on the ``transform`` of values; ``learned``: with the ``local`` moments that it was trained with."""

    def __init__(
        self, method: Method, transform: Transform, local: LocalMoments | None = None, learned: bool = False
    ) -> None:
        self.method, self.transform, self.name, self.local = method, transform, method.name, local
        self.learned = learned

    @property
    def capabilities(self) -> Capabilities:
        """Those of the method."""
        return self.method.capabilities

    def _given(
        self, values: FloatArray, obs_sd: FloatArray | None, month: IntArray
    ) -> tuple[FloatArray, FloatArray | None]:
        """Values and errors as the method is given them."""
        given = self.transform.forward(values)
        # At the observed value the transformed error depends on the error itself: too low values would count for less. A
        # network weighs observations by their errors, and takes these at the climatology (lab log 20).
        level = np.full_like(values, self.transform.normal) if self.learned else values
        sd = None if obs_sd is None else self.transform.spread(level, obs_sd)
        if self.local is None:
            return given, sd
        size = self.local.sd[month - 1]
        return (given - self.local.mean[month - 1]) / size, None if sd is None else sd / size

    def calibrate(self, observations: Observations) -> str:
        """See :class:`climrecon.methods.contract.Method`."""
        month = observations.time.month
        if self.transform.kind != "linear" and not self.learned:
            known = self.transform.forward(observations.values)
            self.local = LocalMoments.of(known, observations.mask, month, observations.grid)
        values, obs_sd = self._given(observations.values, observations.obs_sd, month)
        return self.method.calibrate(replace(observations, values=values, obs_sd=obs_sd))

    def observation_sd(self, obs_sd: FloatArray | None, shape: tuple[int, ...]) -> FloatArray | None:
        """See :class:`climrecon.methods.contract.Method`; of a transform that is not linear, the stated errors."""
        if self.transform.kind != "linear":
            return None
        used = self.method.observation_sd(None if obs_sd is None else obs_sd / self.transform.scale, shape)
        return None if used is None else used * self.transform.scale

    def with_auxiliary(self, auxiliary: Auxiliary | None) -> Method:
        """See :class:`climrecon.methods.contract.Method`."""
        return Transformed(self.method.with_auxiliary(auxiliary), self.transform, self.local, self.learned)

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """See :class:`climrecon.methods.contract.Method`."""
        transform = self.transform
        given, sd = self._given(values, obs_sd, month)
        found = self.method.reconstruct(given, mask, sd, month, context)
        local, size = (0.0, 1.0) if self.local is None else (self.local.mean[month - 1], self.local.sd[month - 1])
        mean, stddev = transform.moments(
            found.mean * size + local, None if found.stddev is None else found.stddev * size
        )
        sample, area_mean_sd = found.sample, found.area_mean_sd
        drawn = None if sample is None else lambda count, seed: transform.inverse(sample(count, seed) * size + local)
        spread: Callable[[FloatArray], FloatArray] | None
        if transform.kind != "linear":
            spread = None if drawn is None else _SpreadOfDraws(drawn)
        else:
            spread = None if area_mean_sd is None else lambda weights: area_mean_sd(weights) * transform.scale
        return replace(
            found, mean=mean, stddev=stddev, prior_stddev=_prior(found, stddev), sample=drawn, area_mean_sd=spread
        )

    def same_mask_means(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> FloatArray:
        """See :class:`climrecon.methods.contract.Method`."""
        if self.transform.kind != "linear":  # the mean after the inverse depends on the spread
            return super().same_mask_means(values, mask, obs_sd, month, context)
        given, sd = self._given(values, obs_sd, month)
        return self.transform.inverse(self.method.same_mask_means(given, mask, sd, month, context))

    def gaussian(
        self, mask: BoolArray, obs_sd: FloatArray | None, month: int, context: Context
    ) -> GaussianMonth | None:
        """See :class:`climrecon.methods.contract.Method`; None where the transform does more than scale."""
        if not self.transform.is_scaling:
            return None
        size = self.transform.scale
        model = self.method.gaussian(mask, None if obs_sd is None else obs_sd / size, month, context)
        if model is None:
            return None
        return GaussianMonth(model.covariance * size**2, model.error * size**2, model.cells, model.mean_sd * size)

    def influence(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
        position: int,
        target: FloatArray,
    ) -> Influence | None:
        """See :class:`climrecon.methods.contract.Method`.

        Through a transform that does more than scale, a cell's slope is that of the secant between its value at the
        climatology and its value: contributions sum to the difference. Source: the rescale rule of Shrikumar, Greenside &
        Kundaje (2017), Learning important features through propagating activation differences, ICML, PMLR 70:3145.
        """
        given, sd = self._given(values, obs_sd, month)
        if self.transform.is_scaling:
            return self._scaled(self.method.influence(given, mask, sd, month, context, position, target))
        known = np.where(mask, given, 0.0).astype(given.dtype)
        ends = [self.method.reconstruct(share * known, mask, sd, month, context) for share in (0.0, 1.0)]
        before, after = (self._of_month(found, month, position) for found in ends)
        change, apart = after[0] - before[0], np.float32(0.01)
        nearly = np.abs(change) < apart
        steep = [self.transform.moments(after[0] + sign * apart, after[1])[0] for sign in (-1, 1)]
        slope = np.where(
            nearly, (steep[1] - steep[0]) / (2 * apart), (after[2] - before[2]) / np.where(nearly, 1.0, change)
        )
        size = 1.0 if self.local is None else self.local.sd[month[position] - 1]
        found = self.method.influence(given, mask, sd, month, context, position, target * slope * size)
        if found is None:
            return None
        first = float((target * before[2]).sum())
        value = first + found.value - found.at_climatology
        return replace(found, weights=None, at_climatology=first, value=value, without=None)

    def _scaled(self, found: Influence | None) -> Influence | None:
        if found is None:
            return None
        size, without = self.transform.scale, found.without
        return replace(
            found,
            contributions=found.contributions * size,
            at_climatology=found.at_climatology * size,
            value=found.value * size,
            without=None if without is None else lambda groups: without(groups) * size,
        )

    def _of_month(
        self, found: Estimate, month: IntArray, position: int
    ) -> tuple[FloatArray, FloatArray | None, FloatArray]:
        """(H, W) transformed mean and standard deviation of a month, and the mean after the inverse."""
        number = month[position] - 1
        local, size = (0.0, 1.0) if self.local is None else (self.local.mean[number], self.local.sd[number])
        mean = found.mean[position] * size + local
        stddev = None if found.stddev is None else found.stddev[position] * size
        return mean, stddev, self.transform.moments(mean, stddev)[0]


def _prior(found: Estimate, stddev: FloatArray | None) -> FloatArray | None:
    """The prior standard deviation that leaves the share of the variance, and so the cells of no skill, as they are."""
    if found.prior_stddev is None or found.stddev is None or stddev is None:
        return None
    prior = np.broadcast_to(found.prior_stddev, found.stddev.shape)
    return stddev * (prior / np.maximum(found.stddev, 1e-6))


Sample = Callable[[int, int], FloatArray]


class _SpreadOfDraws:
    """Standard deviations (T,) of regional means over :data:`DRAWS` realisations, which all regions share."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._draws: FloatArray | None = None

    def __call__(self, weights: FloatArray) -> FloatArray:
        if self._draws is None:
            self._draws = self._sample(DRAWS, 0)
        return np.asarray(np.tensordot(self._draws, weights, axes=((2, 3), (0, 1))).std(axis=0, ddof=1))
