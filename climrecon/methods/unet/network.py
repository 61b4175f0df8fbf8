"""Our own network: a partial-convolution U-Net that corrects optimal interpolation.

Optimal interpolation (:mod:`climrecon.methods.priors.full_rank`) knows how far-away cells vary together; what it
cannot know is anything that is not linear. The U-Net sees what was observed (value, innovation, error, auxiliary
variables) through partial convolutions, and what is known everywhere (the analysis, geography, season) through ordinary
ones, and gives a correction to the mean and a factor on the standard deviation. The correction has no global mean: the
month's mean stays the generalised least-squares estimate, so that a network trained on anomalies cannot pull it towards
the climatology.

The analyses of the months before and after are channels where neighbouring months are wanted: three months determine a
persistent anomaly better than one. The misfit of the month's observations, in units of their stated errors, is another,
so that intervals hold where these are wrong.

Shapes: B months in order of time, H x W cells, P = H * W, V auxiliary variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.array_types import FloatArray
from climrecon.grid import Grid
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.low_rank import Posterior, SpreadScaling
from climrecon.methods.unet.channels import (
    COMPLETE_CHANNELS,
    LEVEL_CHANNEL,
    MISFIT_CHANNEL,
    OBSERVED_CHANNELS,
    analysis_channels,
    misfit,
    neighbour_channels,
    neighbour_steps,
    shifted,
)
from climrecon.methods.unet.layers import Encoder, PaddedConv
from climrecon.methods.unet.partial import Padding

#: Levels where a card states no depth: as many as 36 x 72 cells allow.
DEPTH = 3
#: Largest correction of the mean, in standard deviations, and of the logarithm of the standard deviation.
BOUND = 1.5
#: Share of the learned correction of the spread (its logarithm) that holds where a data set has variability which the
#: training fields lack; lab log 8.
CALIBRATED_SHARE = 0.5
#: Months at a time where gradients are not wanted, to bound memory.
BATCH = 44


@dataclass(frozen=True)
class UNetOutput:
    """What the network gives for B months.

    Attributes
    ----------
    mean, stddev:
        (B, P), K.
    factor:
        (B, P) on the posterior's standard deviation.
    posterior, parts:
        The posterior, and how it is widened or narrowed for that spread.
    """

    mean: Tensor
    stddev: Tensor
    factor: Tensor
    posterior: Posterior
    parts: SpreadScaling


#: Rows and columns of the last level of a regional grid, at least.
FEWEST_ROWS = 4


def most_levels(grid: Grid) -> int:
    """How many levels fit: rows and columns are halved once less, and 36 x 72 cells twice.

    A regional grid is extended where it cannot be halved; it may be halved down to :data:`FEWEST_ROWS` rows or columns.
    """
    depth = 1
    while min(grid.shape) >= FEWEST_ROWS * 2**depth if not grid.wraps else not any(n % 2**depth for n in grid.shape):
        depth += 1
    return depth


class UNet(nn.Module):
    """Optimal interpolation with a U-Net of partial convolutions on top.

    An auxiliary variable (such as sea-level pressure) has its own gaps: the first level has a partial convolution of
    each, and its mask is a complete channel. Where the variable is not observed at all both are zero.

    Parameters
    ----------
    prior:
        The learned covariance.
    land, sin_lat, area:
        (H, W) land fraction, (H,) sine of latitude, (H, W) share of the globe's area; the last sums to 1.
    width:
        Channels of the first level; each further level has twice as many.
    stride:
        1, or 2: then the first level has half the rows and columns, the last as many as the one before, and each
        point of the first level gives the corrections of its four cells. A quarter of the work.
    depth:
        Number of levels, see :func:`most_levels`.
    padding:
        What lies beyond the borders of the grid, see :func:`climrecon.methods.unet.partial.padding_of`.
    misfit:
        Whether :func:`~climrecon.methods.unet.channels.misfit` is a channel.
    neighbour_months:
        How many months before and after have their analyses as channels; 0: each month stands by itself.
    sees_level:
        Whether the month's mean is a channel.
    keeps_mean:
        Whether the correction has no mean over the domain.
    auxiliary:
        Names of V auxiliary variables that are channels.
    normal:
        (12, P) mean of the transformed values that the network takes, by calendar month, where its variable has a
        transform that is not linear, see :func:`climrecon.methods.transformed.transformed`; else None.
    statistics:
        (V, P) mean and (V, P) standard deviation of their anomalies in the training members, by which they are
        normalised; None where weights will be loaded.
    """

    def __init__(
        self,
        prior: FullPrior,
        land: Tensor,
        sin_lat: Tensor,
        area: Tensor,
        *,
        width: int = 16,
        stride: int = 1,
        depth: int = DEPTH,
        padding: Padding = "sphere",
        misfit: bool = False,
        neighbour_months: int = 1,
        sees_level: bool = False,
        keeps_mean: bool = True,
        auxiliary: tuple[str, ...] = (),
        statistics: tuple[FloatArray, FloatArray] | None = None,
        normal: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("normal", normal)
        self.normal: Tensor | None
        self.register_buffer("land", land)
        self.register_buffer("sin_lat", sin_lat)
        self.register_buffer("area", area.reshape(-1))
        self.land: Tensor
        self.sin_lat: Tensor
        self.area: Tensor
        if stride not in (1, 2):
            raise ValueError(f"The stride of the first level is {stride}; 1 or 2 is expected.")
        self.width, self.stride, self.depth, self.padding = width, stride, depth, padding
        self.misfit, self.neighbour_months, self.auxiliary = misfit, neighbour_months, auxiliary
        self.sees_level, self.keeps_mean = sees_level, keeps_mean
        # Calibrations after training, 1 until then: of all standard deviations, and see :meth:`Posterior.parts_of`.
        self.register_buffer("spread_factor", torch.ones(()))
        self.register_buffer("shared_factor", torch.ones(()))
        self.spread_factor: Tensor
        self.shared_factor: Tensor
        complete = len(self.complete_channels) + len(auxiliary)
        self.enc_1 = Encoder(len(OBSERVED_CHANNELS), complete, width, 5, stride, len(auxiliary), mode=padding)
        widths = [width * 2**level for level in range(depth)]
        for level, above in enumerate(widths[:-1], 2):
            step = 2 // stride if level == depth else 2
            self.add_module(f"enc_{level}", Encoder(above, above, 2 * above, 3, step, mode=padding))
        for level in range(depth - 1, 0, -1):
            outputs = widths[level - 1]
            self.add_module(f"dec_{level}", PaddedConv(3 * outputs, outputs, mode=padding))
        self.head = nn.Conv2d(width, 2 * stride**2, 1)
        # It starts as optimal interpolation itself.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.prior = prior
        if auxiliary:
            cells = len(auxiliary), self.area.numel()
            mean, sd = statistics or (np.zeros(cells), np.ones(cells))
            self.register_buffer("auxiliary_mean", torch.as_tensor(mean, dtype=torch.float32))
            self.register_buffer("auxiliary_sd", torch.as_tensor(sd, dtype=torch.float32))
            self.auxiliary_mean: Tensor
            self.auxiliary_sd: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.land.shape[0], self.land.shape[1]

    @property
    def complete_channels(self) -> tuple[str, ...]:
        """Names of the channels that are known everywhere, in their order."""
        last = ((MISFIT_CHANNEL, self.misfit), (LEVEL_CHANNEL, self.sees_level))
        return (
            *COMPLETE_CHANNELS,
            *neighbour_channels(self.neighbour_months),
            *(name for name, there in last if there),
        )

    def inputs(
        self,
        values: Tensor,
        mask: Tensor,
        error_sd: Tensor,
        month: Tensor,
        posterior: Posterior,
        spread: Tensor,
        neighbours: Sequence[Tensor],
        auxiliary: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of :meth:`correct`: (B, 3 + V, H, W) observed channels, (B, 1 + V, H, W) masks, complete ones.

        Values are relative to the month's estimated mean and in units of ``spread`` (B, P), the prior's
        standard deviation, so that adding a constant to all observations adds it to the result.

        Parameters
        ----------
        neighbours:
            (B, P) each, in the order of :func:`~climrecon.methods.unet.channels.neighbour_channels`; none where each
            month stands by itself.
        auxiliary:
            (B, V, P) anomalies of the auxiliary variables, NaN where not observed; None: nowhere.
        """
        level = posterior.level[:, None]
        observed = torch.stack(
            [(values - level) / spread, (values - posterior.mean) / spread, error_sd / spread], dim=1
        )
        angle = (month.to(values.dtype) - 0.5) * (2.0 * torch.pi / 12.0)
        ones = torch.ones_like(values)
        channels = [
            mask.to(values.dtype),
            *analysis_channels(posterior, spread),
            self.land.reshape(1, -1) * ones,
            self.sin_lat.repeat_interleave(self.shape[1])[None] * ones,
            angle.cos()[:, None] * ones,
            angle.sin()[:, None] * ones,
            *neighbours,
        ]
        if self.misfit:
            channels.append(misfit(observed, mask)[:, None] * ones)
        if self.sees_level:
            channels.append(level * ones)
        seen = mask.to(observed.dtype)[:, None]
        observed = observed * seen
        if self.auxiliary:
            if auxiliary is None:
                auxiliary = torch.full_like(values, torch.nan)[:, None].expand(-1, len(self.auxiliary), -1)
            known = torch.isfinite(auxiliary)
            scaled = torch.where(known, (auxiliary - self.auxiliary_mean) / self.auxiliary_sd, 0.0)
            observed, seen = torch.cat([observed, scaled], dim=1), torch.cat([seen, known.to(seen.dtype)], dim=1)
        shape = (len(values), -1, *self.shape)
        return observed.reshape(shape), seen.reshape(shape), torch.stack(channels, dim=1).reshape(shape)

    def correct(self, observed: Tensor, mask: Tensor, complete: Tensor) -> Tensor:
        """(B, 2, H, W): correction in units of the posterior sd, and log of the factor on it; see :meth:`inputs`."""
        if not torch.is_grad_enabled():
            # Padding copies whole pixels then.
            observed = observed.contiguous(memory_format=torch.channels_last)
            complete = complete.contiguous(memory_format=torch.channels_last)
            if len(mask) > BATCH:
                parts = zip(*(torch.split(x, BATCH) for x in (observed, mask, complete)), strict=True)
                return torch.cat([self.correct(*part) for part in parts])
        if self.padding != "edge":
            return self._apply_levels(observed, mask, complete)
        # A region has other cells on no side: it may be extended by cells without observations until it can be halved.
        height, width = self.shape
        times = max(self.stride, 2 ** (self.depth - 1))
        more = (0, -width % times, 0, -height % times)
        complete = F.pad(complete, more, mode="replicate")
        return self._apply_levels(F.pad(observed, more), F.pad(mask, more), complete)[..., :height, :width]

    def _apply_levels(self, observed: Tensor, mask: Tensor, complete: Tensor) -> Tensor:
        first, levels = len(OBSERVED_CHANNELS), []
        auxiliary = [(observed[:, n + first, None], mask[:, n + 1, None]) for n in range(len(self.auxiliary))]
        whole = torch.cat([complete, mask[:, 1:]], dim=1) if self.auxiliary else complete
        seen, mask = observed[:, :first], mask[:, :1]
        for level in range(1, self.depth + 1):
            more = auxiliary if level == 1 else ()
            seen, mask, whole = self.get_submodule(f"enc_{level}")(seen, mask, whole, *more)
            levels.append(whole)
        up = levels.pop()
        for level in range(self.depth - 1, 0, -1):
            # With a stride of 2 the last two levels have as many rows and columns.
            if self.stride == 1 or level < self.depth - 1:
                up = F.interpolate(up, scale_factor=2, mode="nearest")
            up = F.silu(self.get_submodule(f"dec_{level}")(torch.cat([up, levels.pop()], dim=1)))
        out: Tensor = self.head(up)
        return out if self.stride == 1 else F.pixel_shuffle(out, self.stride)

    def corrected(
        self, correction: Tensor, mean: Tensor, variance: Tensor, calibrated: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Mean (B, P) and factor on the standard deviation (B, P) after a correction (B, 2, H, W).

        ``calibrated``: the covariance holds variability that the training fields lack. Then the mean is not corrected,
        and half of the learned correction of the spread holds.
        """
        flat = correction.flatten(2)
        of_spread = _bounded(flat[:, 1])
        if calibrated:
            return mean, (CALIBRATED_SHARE * of_spread).exp()
        factor = of_spread.exp() * self.spread_factor
        spread = variance.sqrt()
        shift = _bounded(flat[:, 0]) * spread
        if not self.keeps_mean:
            return mean + shift, factor
        # Take the global mean out where the posterior is unsure, not where cells were observed. In proportion to its
        # standard deviation no cell changes by more than twice the bound, however few unsure cells there are.
        share = spread / (spread * self.area).sum(1, keepdim=True)
        shift = shift - share * (shift * self.area).sum(1, keepdim=True)
        return mean + shift, factor

    def forward(
        self,
        values: Tensor,
        mask: Tensor,
        error_sd: Tensor,
        month: Tensor,
        index: Tensor,
        prior: FullPrior | None = None,
        auxiliary: Tensor | None = None,
    ) -> UNetOutput:
        """Estimate B months.

        Parameters
        ----------
        values, mask, error_sd:
            (B, P) K, bool, K.
        month, index:
            (B,) calendar months 1..12, and months since 0000-01, strictly increasing. A month whose
            neighbour is not among them is estimated without it.
        prior:
            A covariance calibrated to the data set; the network's own if None.
        auxiliary:
            See :meth:`inputs`.
        """
        prior = prior or self.prior
        spread = prior.prior_sd(month)
        values = torch.where(mask, values, torch.zeros_like(values))
        posterior = prior.posterior(values, mask, error_sd, month)
        mean, left = analysis_channels(posterior, spread)
        neighbours = [
            shifted(channel, index, step, fill)
            for step in neighbour_steps(self.neighbour_months)
            for channel, fill in ((mean, 0.0), (left, 1.0))
        ]
        inputs = self.inputs(values, mask, error_sd, month, posterior, spread, neighbours, auxiliary)
        calibrated = prior.local is not None
        mean, factor = self.corrected(self.correct(*inputs), posterior.mean, posterior.variance, calibrated)
        # Both calibrations were made on fields that hold no such variability.
        parts = posterior.parts_of(factor, 1.0 if calibrated else float(self.shared_factor))
        return UNetOutput(mean, parts.variance.sqrt(), factor, posterior, parts)


def _bounded(x: Tensor) -> Tensor:
    """``x`` where it is small, never beyond :data:`BOUND`: a network may be given what it has not seen."""
    bounded: Tensor = BOUND * torch.tanh(x / BOUND)
    return bounded
