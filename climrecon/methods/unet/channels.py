"""Channels of our U-Net: their names, and what they hold besides observations and geography.

Shapes: B months in order of time, P cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from climrecon.methods.priors.low_rank import Posterior

OBSERVED_CHANNELS = ("value", "innovation", "obs_sd")
COMPLETE_CHANNELS = ("mask", "oi_mean", "oi_sd", "land", "sin_lat", "cos_month", "sin_month")
#: Last of the complete channels, where a network has it; see :func:`misfit`.
MISFIT_CHANNEL = "misfit"
#: Bounds of it, as a ratio.
MISFIT_BOUNDS = (0.03, 30.0)
#: The month's mean, K, where a network sees it: how warm the climate is.
LEVEL_CHANNEL = "level"
#: Channels that change their sign when all anomalies do, besides the analyses of neighbouring months.
_ODD_CHANNELS = frozenset({"value", "innovation", "oi_mean", LEVEL_CHANNEL})


def neighbour_steps(count: int) -> tuple[int, ...]:
    """Steps from a month to ``count`` neighbours on either side, the nearest first: -1, 1, -2, 2."""
    return tuple(sign * step for step in range(1, count + 1) for sign in (-1, 1))


def neighbour_channels(count: int) -> tuple[str, ...]:
    """Names of the channels of :func:`neighbour_steps`: each analysis and its standard deviation."""
    return tuple(f"neighbour{step:+d}{what}" for step in neighbour_steps(count) for what in ("", "_sd"))


def is_odd(channel: str) -> bool:
    """Whether a channel changes its sign when all anomalies do."""
    return channel in _ODD_CHANNELS or (channel.startswith("neighbour") and not channel.endswith("_sd"))


def analysis_channels(posterior: Posterior, spread: Tensor) -> tuple[Tensor, Tensor]:
    """(B, P) analysis about the month's mean and its standard deviation, in units of ``spread``."""
    return (posterior.mean - posterior.level[:, None]) / spread, posterior.variance.sqrt() / spread


def misfit(observed: Tensor, mask: Tensor) -> Tensor:
    """(B,) logarithm of how far the analysis stays from the observations, in units of their stated errors.

    Root mean square over the observed cells; 0 where there are none. A value below the usual one means that observations
    are better than stated, one above that they are worse.

    Parameters
    ----------
    observed:
        (B, 3, P) in the order of :data:`OBSERVED_CHANNELS`.
    mask:
        (B, P) bool.
    """
    ratio = torch.where(mask, observed[:, 1] / observed[:, 2], torch.zeros_like(observed[:, 1]))
    count = mask.sum(1)
    logarithm = ((ratio**2).sum(1) / count.clamp_min(1)).sqrt().clamp(*MISFIT_BOUNDS).log()
    return torch.where(count > 0, logarithm, torch.zeros_like(logarithm))


def shifted(channel: Tensor, index: Tensor, step: int, fill: float) -> Tensor:
    """(B, P) values of the month ``step`` later; ``fill`` where that month is not among the B."""
    moved = torch.full_like(channel, fill)
    positions = torch.searchsorted(index, index + step)
    at = positions.clamp_max(len(index) - 1)
    there = (positions < len(index)) & (index[at] == index + step)
    moved[there] = channel[at[there]]
    return moved
