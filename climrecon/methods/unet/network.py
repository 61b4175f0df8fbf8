"""Optimal interpolation with all patterns, corrected by a U-Net that sees the neighbouring months.

As :mod:`climrecon.methods.unet.correcting`, with three differences: the mean it starts from is solved for with the whole
covariance (:mod:`climrecon.methods.priors.full_rank`); the analyses of the month before and after are channels: three
months determine a persistent anomaly better than one; and the misfit of the month's observations, in units of
their stated errors, is a channel, so that intervals hold where these are wrong.

Shapes: T months in order of time, H x W cells, P = H * W, M members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.low_rank import SpreadScaling
from climrecon.methods.unet.correcting import COMPLETE_CHANNELS, DEPTH, CorrectingUNet, UNetOutput, analysis_channels

NEIGHBOUR_CHANNELS = ("neighbour-1", "neighbour-1_sd", "neighbour+1", "neighbour+1_sd")
#: Last of the complete channels, where a network has it; see :func:`misfit`.
MISFIT_CHANNEL = "misfit"
#: Bounds of it, as a ratio.
MISFIT_BOUNDS = (0.03, 30.0)


def complete_channels(misfit: bool) -> tuple[str, ...]:
    """Names of the channels that are known everywhere, in their order."""
    return (*COMPLETE_CHANNELS, *NEIGHBOUR_CHANNELS, *((MISFIT_CHANNEL,) if misfit else ()))


@dataclass(frozen=True)
class AnalysisOutput(UNetOutput):
    """As :class:`UNetOutput`, and how the posterior is widened or narrowed for its spread."""

    parts: SpreadScaling


class AnalysisUNet(CorrectingUNet):
    """Full-rank optimal interpolation with a U-Net of partial convolutions on top.

    Parameters
    ----------
    prior:
        The learned covariance.
    land, sin_lat, area, width, stride, depth:
        See :class:`CorrectingUNet`.
    misfit:
        Whether :func:`misfit` is a channel.
    """

    def __init__(
        self,
        prior: FullPrior,
        land: Tensor,
        sin_lat: Tensor,
        area: Tensor,
        width: int = 16,
        stride: int = 1,
        misfit: bool = False,
        depth: int = DEPTH,
    ) -> None:
        super().__init__(land, sin_lat, area, width, len(complete_channels(misfit)), stride, depth)
        self.prior = prior
        self.misfit = misfit
        # See :meth:`Posterior.parts_of`; a calibration after training, 1 until then.
        self.register_buffer("shared_factor", torch.ones(()))
        self.shared_factor: Tensor

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        state_dict.setdefault(f"{prefix}shared_factor", torch.ones(()))  # weights from before there was one
        super()._load_from_state_dict(state_dict, prefix, *others)

    def gridded(
        self, observed: Tensor, mask: Tensor, complete: Tensor, neighbours: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of :meth:`CorrectingUNet.correct`, (T, C, H, W) each.

        Parameters
        ----------
        observed, mask, complete:
            (T, 3, P), (T, P) bool and (T, 7, P), see :meth:`month_channels`.
        neighbours:
            (T, P) each, in the order of :data:`NEIGHBOUR_CHANNELS`.
        """
        channels = [complete, torch.stack(neighbours, dim=1)]
        if self.misfit:
            channels.append(misfit(observed, mask)[:, None, None].expand(-1, 1, mask.shape[1]))
        return self.on_grid(observed, mask, torch.cat(channels, dim=1))

    def forward(
        self,
        values: Tensor,
        mask: Tensor,
        error_sd: Tensor,
        month: Tensor,
        index: Tensor,
        prior: FullPrior | None = None,
    ) -> AnalysisOutput:
        """Estimate T months.

        Parameters
        ----------
        values, mask, error_sd:
            (T, P) K, bool, K.
        month, index:
            (T,) calendar months 1..12, and months since 0000-01, strictly increasing. A month whose
            neighbour is not among them is estimated without it.
        prior:
            A covariance calibrated to the data set; the network's own if None.
        """
        prior = prior or self.prior
        spread = prior.prior_sd(month)
        values = torch.where(mask, values, torch.zeros_like(values))
        posterior = prior.posterior(values, mask, error_sd, month)
        observed, complete = self.month_channels(values, mask, error_sd, month, posterior, spread)
        mean, left = analysis_channels(posterior, spread)
        neighbours = [
            shifted(channel, index, step, fill) for step in (-1, 1) for channel, fill in ((mean, 0.0), (left, 1.0))
        ]
        correction = self.correct(*self.gridded(observed, mask, complete, neighbours))
        calibrated = prior.local is not None
        mean, factor = self.corrected(correction, posterior.mean, posterior.variance, calibrated)
        # Both calibrations were made on fields that hold no such variability.
        parts = posterior.parts_of(factor, 1.0 if calibrated else float(self.shared_factor))
        return AnalysisOutput(mean, parts.variance.sqrt(), factor, posterior, parts)


def misfit(observed: Tensor, mask: Tensor) -> Tensor:
    """(T,) logarithm of how far the analysis stays from the observations, in units of their stated errors.

    Root mean square over the observed cells; 0 where there are none. A value below the usual one means that observations
    are better than stated, one above that they are worse.

    Parameters
    ----------
    observed:
        (T, 3, P) as :meth:`AnalysisUNet.month_channels` gives them.
    mask:
        (T, P) bool.
    """
    ratio = torch.where(mask, observed[:, 1] / observed[:, 2], torch.zeros_like(observed[:, 1]))
    count = mask.sum(1)
    logarithm = ((ratio**2).sum(1) / count.clamp_min(1)).sqrt().clamp(*MISFIT_BOUNDS).log()
    return torch.where(count > 0, logarithm, torch.zeros_like(logarithm))


def shifted(channel: Tensor, index: Tensor, step: int, fill: float) -> Tensor:
    """(T, P) values of the month ``step`` later; ``fill`` where that month is not among the T."""
    moved = torch.full_like(channel, fill)
    positions = torch.searchsorted(index, index + step)
    at = positions.clamp_max(len(index) - 1)
    there = (positions < len(index)) & (index[at] == index + step)
    moved[there] = channel[at[there]]
    return moved
