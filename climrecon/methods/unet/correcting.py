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

from climrecon.methods.priors.low_rank import LowRankPrior, Posterior
from climrecon.methods.unet.partial import PartialConv, pad, window_sum

OBSERVED_CHANNELS = ("value", "innovation", "obs_sd")
#: Largest correction of the mean, in standard deviations, and of the logarithm of the standard deviation.
BOUND = 1.5
#: Share of what was learned of the spread (its logarithm) that holds where a data set has variability which the training
#: fields lack; the calibration on them does not. Chosen on CRUTEM4's land months, lab log 8.
CALIBRATED_SHARE = 0.5
#: Months at a time where gradients are not wanted: spares 50 of the 1,000 MB of a reconstruction for a tenth of this
#: network's time (96 against 88 ms for 98 months, one thread).
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


class CorrectingUNet(nn.Module):
    """The U-Net that corrects an analysis and its spread; what it starts from is a matter of its subclasses.

    Parameters
    ----------
    land, sin_lat, area:
        (H, W) land fraction, (H,) sine of latitude, (H, W) share of the globe's area; the last sums to 1.
    width:
        Channels of the first level; doubled at each of the two further levels.
    complete:
        Number of channels that are known everywhere.
    stride:
        1, or 2: then the first level has half the rows and columns, the third as many as the second, and each
        point of the first level gives the corrections of its four cells. A quarter of the work.
    """

    def __init__(self, land: Tensor, sin_lat: Tensor, area: Tensor, width: int, complete: int, stride: int = 1) -> None:
        super().__init__()
        self.register_buffer("land", land)
        self.register_buffer("sin_lat", sin_lat)
        self.register_buffer("area", area.reshape(-1))
        self.land: Tensor
        self.sin_lat: Tensor
        self.area: Tensor
        observed = len(OBSERVED_CHANNELS)
        if stride not in (1, 2):
            raise ValueError(f"The stride of the first level is {stride}; 1 or 2 is expected.")
        self.stride = stride
        # What all standard deviations are multiplied by: a calibration after training, 1 while it lasts.
        self.register_buffer("spread_factor", torch.ones(()))
        self.spread_factor: Tensor
        self.enc_1 = Encoder(observed, complete, width, 5, stride)
        self.enc_2 = Encoder(width, width, 2 * width, 3, 2)
        self.enc_3 = Encoder(2 * width, 2 * width, 4 * width, 3, 2 // stride)
        self.dec_2 = SphereConv(6 * width, 2 * width)
        self.dec_1 = SphereConv(3 * width, width)
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
            # A fifth faster in all, padding being copies of whole pixels then.
            observed = observed.contiguous(memory_format=torch.channels_last)
            complete = complete.contiguous(memory_format=torch.channels_last)
            if len(mask) > BATCH:
                parts = zip(*(torch.split(x, BATCH) for x in (observed, mask, complete)), strict=True)
                return torch.cat([self.correct(*part) for part in parts])
        seen_1, mask_1, whole_1 = self.enc_1(observed, mask, complete)
        seen_2, mask_2, whole_2 = self.enc_2(seen_1, mask_1, whole_1)
        _, _, whole_3 = self.enc_3(seen_2, mask_2, whole_2)
        up = F.interpolate(whole_3, scale_factor=2, mode="nearest") if self.stride == 1 else whole_3
        up = F.silu(self.dec_2(torch.cat([up, whole_2], dim=1)))
        up = F.interpolate(up, scale_factor=2, mode="nearest")
        up = F.silu(self.dec_1(torch.cat([up, whole_1], dim=1)))
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

    Parameters
    ----------
    prior:
        The learned covariance.
    land:
        (H, W) land fraction.
    sin_lat:
        (H,) sine of latitude.
    area:
        (H, W) share of the globe's area; sums to 1.
    width:
        Channels of the first level; doubled at each of the two further levels.
    """

    def __init__(self, prior: LowRankPrior, land: Tensor, sin_lat: Tensor, area: Tensor, width: int = 16) -> None:
        super().__init__(land, sin_lat, area, width, len(COMPLETE_CHANNELS))
        self.prior = prior

    def channels(
        self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor, posterior: Posterior
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Observed channels (B, 3, H, W), mask (B, 1, H, W) and complete channels (B, 7, H, W)."""
        spread = self.prior.prior_sd(month)
        observed, complete = self.month_channels(values, mask, error_sd, month, posterior, spread)
        return self.on_grid(observed, mask, complete)

    def forward(self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor, *auxiliary: Tensor) -> UNetOutput:
        """Estimate B months from (B, P) values, mask, error_sd and (B,) months 1..12; see :meth:`channels`."""
        values = torch.where(mask, values, torch.zeros_like(values))
        posterior = self.prior.posterior(values, mask, error_sd, month)
        correction = self.correct(*self.channels(values, mask, error_sd, month, posterior, *auxiliary))
        mean, factor = self.corrected(correction, posterior.mean, posterior.variance)
        return UNetOutput(mean, factor * posterior.variance.sqrt(), factor, posterior)
