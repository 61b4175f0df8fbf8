"""What each observation contributes to a mean that our U-Net estimates: integrated gradients.

The path leads from the climatology, zero anomalies under the same mask, straight to the observations. Along it the
analysis of each month is linear in the observations: at the share t of the path it is t times that of the observations.
So the gradient with respect to the U-Net's inputs is averaged over the path by automatic differentiation, and brought
back to the observations of each month once, through the exact weights of the interpolation.

Source: Sundararajan, Taly & Yan (2017), Axiomatic attribution for deep networks, ICML, PMLR 70:3319, equation 1.

Shapes: N months that the estimate depends on, S points of the path, P = H * W cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from climrecon.array_types import FloatArray, IntArray
from climrecon.fields import Influence
from climrecon.methods.gaussian import GaussianMonth
from climrecon.methods.priors.full_rank import LEAST_ERROR, FullPrior
from climrecon.methods.priors.interpolation import as_tensor
from climrecon.methods.priors.low_rank import LowRankPrior
from climrecon.methods.unet.channels import MISFIT_BOUNDS, analysis_channels, neighbour_steps, shifted
from climrecon.methods.unet.network import UNet

#: Points of the path at first; twice as many until contributions and value agree within this share of the value, or of
#: this value, K.
FIRST_STEPS, MOST_STEPS = 16, 256
WITHIN, LEAST_VALUE = 0.002, 0.01
#: Points of the path whose gradients are kept at a time, to bound memory.
AT_ONCE = 16


def influence_of(
    network: UNet,
    prior: FullPrior,
    models: Sequence[GaussianMonth | None],
    observed: tuple[Tensor, Tensor, Tensor],
    month: IntArray,
    index: IntArray,
    position: int,
    target: FloatArray,
    auxiliary: Tensor | None = None,
) -> Influence:
    """Contributions to the sum of (H, W) ``target`` times the mean of the month at ``position``.

    Parameters
    ----------
    models:
        (N) interpolation of each month; None where nothing is observed.
    observed:
        (N, P) values, mask and errors, see :meth:`~climrecon.methods.unet.network.UNet.forward`.
    month, index:
        (N,) calendar months 1..12 and months since 0000-01.
    auxiliary:
        (N, V, P), see :meth:`~climrecon.methods.unet.network.UNet.inputs`.
    """
    path = _Path(network, prior, models, observed, month, index, position, target, auxiliary)
    first, last = path.ends()
    shape = (len(month), *network.shape)
    if not path.values.any():
        # There is no path: the misfit has no slope where observations are met exactly.
        return Influence(np.zeros(shape), None, first, last, "gradients", 0, path.without)
    steps = FIRST_STEPS
    while True:
        gradients = path.gradients(steps)
        off = abs(path.sum_of(gradients) - (last - first))
        if off <= WITHIN * max(abs(last), LEAST_VALUE) or steps >= MOST_STEPS:
            break
        steps *= 2
    weights = path.weights(gradients)
    contributions = weights * path.values
    return Influence(
        contributions.reshape(shape), weights.reshape(shape), first, last, "gradients", steps, path.without
    )


class _Path:
    """The network from the climatology to the observations; see :func:`influence_of` for its arguments."""

    def __init__(
        self,
        network: UNet,
        prior: FullPrior,
        models: Sequence[GaussianMonth | None],
        observed: tuple[Tensor, Tensor, Tensor],
        month: IntArray,
        index: IntArray,
        position: int,
        target: FloatArray,
        auxiliary: Tensor | None,
    ) -> None:
        self.network, self.models, self.position = network, models, position
        self._prior = prior
        device = network.area.device
        one = slice(position, position + 1)
        self.values = observed[0].double().cpu().numpy()
        self._month = torch.as_tensor(month, device=device)[one]
        months, dates = (torch.as_tensor(np.asarray(axis), device=device) for axis in (month, index))
        with torch.no_grad():
            posterior = prior.posterior(*observed, months)
            self._spread = prior.prior_sd(months)
            # Exactly, not as conjugate gradients leave it: contributions are then those of the value that is explained.
            exact = [_analysis(model, row) for model, row in zip(models, self.values, strict=True)]
            mean = as_tensor(np.stack([field for field, _ in exact]), device)
            level = as_tensor(np.array([level for _, level in exact]), device)
            posterior = replace(posterior, mean=mean, level=level)
            channel, left = analysis_channels(posterior, self._spread)
            steps = neighbour_steps(network.neighbour_months)
            self._left = [shifted(left, dates, step, 1.0)[one] for step in steps]
            neighbours = [shifted(channel, dates, step, 0.0)[one] for step in steps]
        # Where the month ``step`` later stands among the N; None where it is absent.
        where = {int(date): number for number, date in enumerate(np.asarray(index))}
        self._neighbours = [where.get(int(index[position]) + step) for step in steps]
        #: What the observations determine linearly: the month's values, its analysis and mean, analyses of neighbours.
        self._linear = [observed[0][one], mean[one], level[one], *neighbours]
        self._mask, self._error = observed[1][one], observed[2][one]
        self._posterior = replace(
            posterior, **{name: getattr(posterior, name)[one] for name in ("mean", "variance", "level")}
        )
        self._target = as_tensor(target, device).reshape(-1)
        self._auxiliary = None if auxiliary is None else auxiliary[one]

    def _value(self, linear: Sequence[Tensor], mask: Tensor | None = None, variance: Tensor | None = None) -> Tensor:
        """(S,) values at S points, given the linear inputs there, and (S, P) mask and variance where they change."""
        values, mean, level, *neighbours = linear
        count = len(values)

        def each(one: Tensor) -> Tensor:
            return one.expand(count, *one.shape[1:])

        mask = each(self._mask) if mask is None else mask
        variance = each(self._posterior.variance) if variance is None else variance
        spread = each(self._spread[self.position][None])
        posterior = replace(self._posterior, mean=mean, level=level, variance=variance)
        channels = [one for pair in zip(neighbours, map(each, self._left), strict=True) for one in pair]
        auxiliary = None if self._auxiliary is None else each(self._auxiliary)
        month, error = each(self._month), each(self._error)
        inputs = self.network.inputs(values, mask, error, month, posterior, spread, channels, auxiliary)
        return self.network.corrected(self.network.correct(*inputs), mean, variance)[0] @ self._target

    def ends(self) -> tuple[float, float]:
        """Value at the climatology, and with the observations."""
        with torch.no_grad():
            first, last = (float(self._value([share * one for one in self._linear])) for share in (0.0, 1.0))
        return first, last

    def gradients(self, steps: int) -> Sequence[FloatArray]:
        """Mean gradient along the path with respect to each linear input, from ``steps`` points."""
        total = [np.zeros(one.shape[1:]) for one in self._linear]
        points_and_weights = torch.split(as_tensor(np.array(self._nodes(steps)).T, self._target.device), AT_ONCE)
        for share, weight in (some.T for some in points_and_weights):
            points = [(share.reshape(-1, *[1] * (one.dim() - 1)) * one).requires_grad_() for one in self._linear]
            found = torch.autograd.grad(self._value(points) @ weight, points)
            for sum_, one in zip(total, found, strict=True):
                sum_ += one.double().sum(0).cpu().numpy()
        return total

    def _nodes(self, steps: int) -> tuple[FloatArray, FloatArray]:
        """(S,) shares of the path and their weights: Gauss and Legendre's, denser near the climatology by the square.

        The logarithm of the misfit changes fastest there, and has a bound: the path is cut where it leaves the bound.
        """
        borders = [0.0, 1.0]
        if self.network.misfit:
            apart = ((self._linear[0] - self._linear[1]) / self._error)[self._mask]
            misfit = float((apart**2).mean().sqrt())
            if misfit > MISFIT_BOUNDS[0]:
                borders = [0.0, (MISFIT_BOUNDS[0] / misfit) ** 0.5, 1.0]
        nodes, weights = np.polynomial.legendre.leggauss(steps // (len(borders) - 1))
        roots, widths = [], []
        for low, high in pairwise(borders):
            roots.append(low + (high - low) * (nodes + 1.0) / 2.0)
            widths.append((high - low) / 2.0 * weights)
        root, width = np.concatenate(roots), np.concatenate(widths)
        return root**2, 2.0 * root * width

    def sum_of(self, gradients: Sequence[FloatArray]) -> float:
        """What the gradients make of the way from the climatology to the observations."""
        ends = [one[0].double().cpu().numpy() for one in self._linear]
        return float(sum((gradient * end).sum() for gradient, end in zip(gradients, ends, strict=True)))

    def weights(self, gradients: Sequence[FloatArray]) -> FloatArray:
        """(N, P) mean gradient of the value with respect to the observations."""
        of_values, of_mean, of_level, *of_neighbours = gradients
        weights = np.zeros(self.values.shape)
        here = self.models[self.position]
        assert here is not None
        weights[self.position, here.cells] = of_values[here.cells] + here.weights(of_mean, float(of_level))
        spread = self._spread.double().cpu().numpy()
        for number, gradient in zip(self._neighbours, of_neighbours, strict=True):
            model = None if number is None else self.models[number]
            if model is not None and number is not None:
                # The channel is the analysis about the month's mean, in units of the prior's standard deviation.
                scaled = gradient / spread[number]
                weights[number, model.cells] += model.weights(scaled, -float(scaled.sum()))
        return weights

    def without(self, groups: Sequence[IntArray]) -> FloatArray:
        """(G,) changes of the value by each group of the month's observed cells."""
        here = self.models[self.position]
        assert here is not None
        found = [np.empty(0)]
        with torch.no_grad():
            whole = float(self._value(self._linear))
            for first in range(0, len(groups), AT_ONCE):
                some = groups[first : first + AT_ONCE]
                fields, levels = here.analyses_without(self.values[self.position], some)
                mask = self._mask.repeat(len(some), 1)
                for row, group in zip(mask, some, strict=True):
                    row[torch.as_tensor(group, device=row.device)] = False
                values = torch.where(mask, self._linear[0], 0.0)
                error, month = self._error.clamp_min(LEAST_ERROR).expand(len(some), -1), self._month.expand(len(some))
                variance = LowRankPrior.posterior(self._prior, values, mask, error, month).variance
                mean, level = (as_tensor(one, mask.device) for one in (fields, levels))
                neighbours = (one.expand(len(some), -1) for one in self._linear[3:])
                without = self._value([values, mean, level, *neighbours], mask, variance)
                found.append(whole - without.double().cpu().numpy())
        return np.concatenate(found)


def _analysis(model: GaussianMonth | None, values: FloatArray) -> tuple[FloatArray, float]:
    return (np.zeros(values.shape), 0.0) if model is None else model.analysis(values[model.cells])
