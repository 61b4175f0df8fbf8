"""Our own network: a partial-convolution U-Net that corrects optimal interpolation.

The low-rank posterior (:mod:`climrecon.methods.priors.low_rank`) knows how far-away cells vary together; what it
cannot know is anything that is not linear or that its K patterns leave out. The U-Net sees what was
observed (value, innovation, error) through partial convolutions, and what is known everywhere (the
posterior, geography, season) through ordinary ones, and gives a correction to the mean and a factor on
the standard deviation. The correction has no global mean: the month's mean stays the generalised
least-squares estimate, so that a network trained on anomalies cannot pull it towards the climatology.

Shapes: B months, H x W cells, P = H * W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.grid import Grid
from climrecon.methods.priors.low_rank import LowRankPrior, Posterior
from climrecon.methods.unet.partial import PartialConv, pad, window_sum

OBSERVED_CHANNELS = ("value", "innovation", "obs_sd")
#: Levels where a card or a recipe states no depth: as many as 36 x 72 cells allow.
DEPTH = 3
#: Largest correction of the mean, in standard deviations, and of the logarithm of the standard deviation.
BOUND = 1.5
#: Share of the learned correction of the spread (its logarithm) that holds where a data set has variability which the
#: training fields lack; lab log 8.
CALIBRATED_SHARE = 0.5
#: Months at a time where gradients are not wanted, to bound memory.
BATCH = 44
COMPLETE_CHANNELS = ("mask", "oi_mean", "oi_sd", "land", "sin_lat", "cos_month", "sin_month")
#: Channels that change their sign when all anomalies do; those of :mod:`climrecon.methods.unet.network` are among them.
ODD_CHANNELS = frozenset({"value", "innovation", "oi_mean", "neighbour-1", "neighbour+1"})


class SphereConv(nn.Module):
    """Ordinary 2-D convolution with the padding of the sphere."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)
        self.reach = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        out: Tensor = self.conv(pad(x, self.reach, self.reach, "sphere"))
        return out


class Encoder(nn.Module):
    """One level: partial convolution of observed features plus ordinary convolution of complete ones."""

    def __init__(self, observed: int, complete: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.partial = PartialConv(observed, outputs, kernel, stride)
        self.complete = SphereConv(complete, outputs, kernel, stride)
        self.mix = SphereConv(outputs, outputs)

    def forward(self, observed: Tensor, mask: Tensor, complete: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the observed branch, its new mask, and features of the complete branch."""
        window = window_sum(mask, self.partial.kernel, self.partial.stride, "sphere")
        features = self.partial(observed * mask, window * self.partial.inputs)
        new_mask = (window > 0).to(mask.dtype)
        whole = F.silu(features + self.complete(complete))
        return F.silu(features), new_mask, F.silu(self.mix(whole)) + whole


@dataclass(frozen=True)
class UNetOutput:
    """What the network gives for B months: (B, P) mean and standard deviation in K, and the posterior."""

    mean: Tensor
    stddev: Tensor
    factor: Tensor
    posterior: Posterior


def most_levels(grid: Grid) -> int:
    """How many levels fit: rows and columns are halved once less, and 36 x 72 cells twice."""
    depth = 1
    while not any(size % 2**depth for size in grid.shape):
        depth += 1
    return depth


class CorrectingUNet(nn.Module):
    """The U-Net that corrects an analysis and its spread; the analysis is a matter of the subclasses.

    Parameters
    ----------
    land, sin_lat, area:
        (H, W) land fraction, (H,) sine of latitude, (H, W) share of the globe's area; the last sums to 1.
    width:
        Channels of the first level; each further level has twice as many.
    complete:
        Number of channels that are known everywhere.
    stride:
        1, or 2: then the first level has half the rows and columns, the last as many as the one before, and each
        point of the first level gives the corrections of its four cells. A quarter of the work.
    depth:
        Number of levels, see :func:`most_levels`.
    """

    enc_1: Encoder
    #: Names of the auxiliary variables among the channels.
    auxiliary: tuple[str, ...] = ()

    def __init__(
        self,
        land: Tensor,
        sin_lat: Tensor,
        area: Tensor,
        width: int,
        complete: int,
        stride: int = 1,
        depth: int = DEPTH,
    ) -> None:
        super().__init__()
        self.register_buffer("land", land)
        self.register_buffer("sin_lat", sin_lat)
        self.register_buffer("area", area.reshape(-1))
        self.land: Tensor
        self.sin_lat: Tensor
        self.area: Tensor
        if stride not in (1, 2):
            raise ValueError(f"The stride of the first level is {stride}; 1 or 2 is expected.")
        self.width, self.stride, self.depth = width, stride, depth
        # A calibration of all standard deviations after training, 1 while it lasts.
        self.register_buffer("spread_factor", torch.ones(()))
        self.spread_factor: Tensor
        self.enc_1 = Encoder(len(OBSERVED_CHANNELS), complete, width, 5, stride)
        widths = [width * 2**level for level in range(depth)]
        for level, above in enumerate(widths[:-1], 2):
            step = 2 // stride if level == depth else 2
            self.add_module(f"enc_{level}", Encoder(above, above, 2 * above, 3, step))
        for level in range(depth - 1, 0, -1):
            outputs = widths[level - 1]
            self.add_module(f"dec_{level}", SphereConv(3 * outputs, outputs))
        self.head = nn.Conv2d(width, 2 * stride**2, 1)
        # It starts as optimal interpolation itself.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        state_dict.setdefault(f"{prefix}spread_factor", torch.ones(()))  # weights from before there was one
        super()._load_from_state_dict(state_dict, prefix, *others)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.land.shape[0], self.land.shape[1]

    def month_channels(
        self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor, posterior: Posterior, spread: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, 3, P) observed and (B, 7, P) complete channels of each month by itself.

        Values are relative to the month's estimated mean and in units of ``spread`` (B, P), the prior's
        standard deviation, so that adding a constant to all observations adds it to the result.
        """
        level = posterior.level[:, None]
        observed = torch.stack(
            [(values - level) / spread, (values - posterior.mean) / spread, error_sd / spread], dim=1
        )
        angle = (month.to(values.dtype) - 0.5) * (2.0 * torch.pi / 12.0)
        ones = torch.ones_like(values)
        complete = torch.stack(
            [
                mask.to(values.dtype),
                *analysis_channels(posterior, spread),
                self.land.reshape(1, -1) * ones,
                self.sin_lat.repeat_interleave(self.shape[1])[None] * ones,
                angle.cos()[:, None] * ones,
                angle.sin()[:, None] * ones,
            ],
            dim=1,
        )
        return observed, complete

    def on_grid(self, observed: Tensor, mask: Tensor, complete: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of :meth:`correct`, (B, C, H, W) each, from (B, C, P) channels and a (B, P) mask."""
        shape, seen = (len(mask), -1, *self.shape), mask.to(observed.dtype)
        return (observed * seen[:, None]).reshape(shape), seen.reshape(shape), complete.reshape(shape)

    def correct(self, observed: Tensor, mask: Tensor, complete: Tensor) -> Tensor:
        """(B, 2, H, W): correction in units of the posterior sd, and log of the factor on it."""
        if not torch.is_grad_enabled():
            # Padding copies whole pixels then.
            observed = observed.contiguous(memory_format=torch.channels_last)
            complete = complete.contiguous(memory_format=torch.channels_last)
            if len(mask) > BATCH:
                parts = zip(*(torch.split(x, BATCH) for x in (observed, mask, complete)), strict=True)
                return torch.cat([self.correct(*part) for part in parts])
        return self._apply_levels(observed, mask, complete)

    def _apply_levels(self, observed: Tensor, mask: Tensor, complete: Tensor) -> Tensor:
        seen, whole, levels = observed, complete, []
        for level in range(1, self.depth + 1):
            seen, mask, whole = self.get_submodule(f"enc_{level}")(seen, mask, whole)
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
        # Take the global mean out where the posterior is unsure, not where cells were observed. In proportion to its
        # standard deviation no cell changes by more than twice the bound, however few unsure cells there are.
        share = spread / (spread * self.area).sum(1, keepdim=True)
        shift = shift - share * (shift * self.area).sum(1, keepdim=True)
        return mean + shift, factor


def analysis_channels(posterior: Posterior, spread: Tensor) -> tuple[Tensor, Tensor]:
    """(B, P) analysis about the month's mean and its standard deviation, in units of ``spread``."""
    return (posterior.mean - posterior.level[:, None]) / spread, posterior.variance.sqrt() / spread


def _bounded(x: Tensor) -> Tensor:
    """``x`` where it is small, never beyond :data:`BOUND`: a network may be given what it has not seen."""
    bounded: Tensor = BOUND * torch.tanh(x / BOUND)
    return bounded


class PartialUNet(CorrectingUNet):
    """Low-rank optimal interpolation with a U-Net of partial convolutions on top.

    An auxiliary variable (such as sea-level pressure) has its own gaps: a partial convolution of it, and its mask, are
    complete channels of the first level. Where it is not observed at all both are zero.

    Parameters
    ----------
    prior:
        The learned covariance.
    land, sin_lat, area, width, depth:
        See :class:`CorrectingUNet`.
    auxiliary:
        Names of V auxiliary variables that are channels.
    statistics:
        (V, P) mean and (V, P) standard deviation of their anomalies in the training members, by which they are
        normalised; None where weights will be loaded.
    """

    def __init__(
        self,
        prior: LowRankPrior,
        land: Tensor,
        sin_lat: Tensor,
        area: Tensor,
        width: int = 16,
        depth: int = DEPTH,
        auxiliary: tuple[str, ...] = (),
        statistics: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        complete = len(COMPLETE_CHANNELS) + len(auxiliary) * (width + 1)
        super().__init__(land, sin_lat, area, width, complete, depth=depth)
        self.prior, self.auxiliary = prior, auxiliary
        self.seen_further = nn.ModuleList(PartialConv(1, width, 5) for _ in auxiliary)
        if auxiliary:
            cells = len(auxiliary), self.area.numel()
            mean, spread = statistics or (torch.zeros(cells), torch.ones(cells))
            self.register_buffer("further_mean", mean)
            self.register_buffer("further_sd", spread)
            self.further_mean: Tensor
            self.further_sd: Tensor

    def channels(
        self,
        values: Tensor,
        mask: Tensor,
        error_sd: Tensor,
        month: Tensor,
        posterior: Posterior,
        auxiliary: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Observed channels (B, 3 + V, H, W), masks (B, 1 + V, H, W) and complete channels (B, 7, H, W).

        Parameters
        ----------
        auxiliary:
            (B, V, P) anomalies of the auxiliary variables, NaN where not observed; None: nowhere.
        """
        spread = self.prior.prior_sd(month)
        parts = self.month_channels(values, mask, error_sd, month, posterior, spread)
        observed, seen, complete = self.on_grid(parts[0], mask, parts[1])
        if not self.auxiliary:
            return observed, seen, complete
        shape = len(values), len(self.auxiliary), *self.shape
        if auxiliary is None:
            auxiliary = values.new_full((*shape[:2], values.shape[1]), torch.nan)
        known = torch.isfinite(auxiliary)
        scaled = torch.where(known, (auxiliary - self.further_mean) / self.further_sd, 0.0)
        observed = torch.cat([observed, scaled.reshape(shape)], dim=1)
        return observed, torch.cat([seen, known.to(seen.dtype).reshape(shape)], dim=1), complete

    def _apply_levels(self, observed: Tensor, mask: Tensor, complete: Tensor) -> Tensor:
        first = len(OBSERVED_CHANNELS)
        for number, layer in enumerate(self.seen_further):
            assert isinstance(layer, PartialConv)
            seen, values = (x[:, at : at + 1] for x, at in ((mask, 1 + number), (observed, first + number)))
            complete = torch.cat([complete, F.silu(layer(values * seen, layer.window(seen))), seen], dim=1)
        return super()._apply_levels(observed[:, :first], mask[:, :1], complete)

    def forward(self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor, *auxiliary: Tensor) -> UNetOutput:
        """Estimate B months from (B, P) values, mask, error_sd and (B,) months 1..12; see :meth:`channels`."""
        values = torch.where(mask, values, torch.zeros_like(values))
        posterior = self.prior.posterior(values, mask, error_sd, month)
        correction = self.correct(*self.channels(values, mask, error_sd, month, posterior, *auxiliary))
        mean, factor = self.corrected(correction, posterior.mean, posterior.variance)
        return UNetOutput(mean, factor * posterior.variance.sqrt(), factor, posterior)
