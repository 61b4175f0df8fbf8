"""Training samples: a complete month seen through a mask with errors, and its low-rank posterior.

The posterior that a sample is given comes from covariances learned *without* the years around it
(cross-fitting): covariances learned from a month know that month, and a network trained on top would
trust them more than they deserve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from climrecon.array_types import FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.methods.priors.low_rank import LowRankPrior
from climrecon.methods.unet.correcting import OBSERVED_CHANNELS, ODD_CHANNELS, PartialUNet
from climrecon.methods.unet.network import complete_channels
from climrecon.training.auxiliary import seen_of

Prior = TypeVar("Prior")
#: A sample and its mirror image, see :meth:`SamplePool.at`.
IMAGES = 2


@dataclass(frozen=True)
class Fields:
    """Complete months to draw from: (N, P) values in K, (N, P) bool ``scored``, (N,) month 1..12.

    ``fold`` (N,) says which prior of the cross-fit has not seen the month. ``auxiliary`` (N, V, P): auxiliary variables,
    NaN where missing; None where there are none.
    """

    values: FloatArray
    scored: NDArray[np.bool_]
    month: NDArray[np.integer[Any]]
    fold: NDArray[np.integer[Any]]
    auxiliary: FloatArray | None = None


@dataclass(frozen=True)
class SamplePool:
    """Prepared samples, ready for the U-Net: N samples on (H, W).

    ``observed`` (N, 3, H, W), ``mask`` (N, 1, H, W), ``complete`` (N, C, H, W) of 7, 11 or 12 channels, ``mean`` and
    ``variance`` (N, P) of the posterior, ``truth`` (N, P) and ``scored`` (N, P). With V auxiliary variables there are V
    more observed channels and masks.
    """

    observed: Tensor
    mask: Tensor
    complete: Tensor
    mean: Tensor
    variance: Tensor
    truth: Tensor
    scored: Tensor

    def __len__(self) -> int:
        return len(self.truth)

    def at(self, numbers: Tensor) -> SamplePool:
        """Chosen samples: ``n`` below N is sample n, ``N + n`` its mirror image: all anomalies with the other sign.

        Under a covariance one is as likely as the other, and a network that is shown both learns less of its months by
        heart. Not for auxiliary variables, whose anomalies may be skewed.

        Raises
        ------
        ValueError
            If there are complete channels of which it is not known whether they change their sign.
        """
        names = complete_channels(misfit=True)
        if self.complete.shape[1] > len(names):
            raise ValueError(f"{self.complete.shape[1]} complete channels; which are odd is not known")
        rows = numbers % len(self)
        sign = torch.where(numbers < len(self), 1.0, -1.0).to(self.truth.dtype)
        observed = (*OBSERVED_CHANNELS, *[""] * (self.observed.shape[1] - len(OBSERVED_CHANNELS)))
        return SamplePool(
            self.observed[rows] * _signs(sign, observed),
            self.mask[rows],
            self.complete[rows] * _signs(sign, names[: self.complete.shape[1]]),
            self.mean[rows] * sign[:, None],
            self.variance[rows],
            self.truth[rows] * sign[:, None],
            self.scored[rows],
        )


def _signs(sign: Tensor, names: tuple[str, ...]) -> Tensor:
    """(B, C, 1, 1): the (B,) sign for channels that are anomalies, else 1."""
    return torch.where(_odd(names, sign.device), sign[:, None], 1.0)[..., None, None]


@cache
def _odd(names: tuple[str, ...], device: torch.device) -> Tensor:
    """(C,) which channels change their sign; made once, since each step wants it."""
    return torch.tensor([name in ODD_CHANNELS for name in names], device=device)


@torch.no_grad()
def draw_sample_pool(
    network: PartialUNet,
    priors: Sequence[LowRankPrior],
    fields: Fields,
    masks: MaskSource,
    noise: NoiseSource,
    count: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    chunk: int = 32,
) -> SamplePool:
    """Draw ``count`` samples. Every sample has its own random stream, so the pool does not depend on ``chunk``."""
    size = fields.values.shape[1]
    which = np.random.default_rng(seed).integers(len(fields.values), size=count)

    def make(prior: LowRankPrior, numbers: IntArray) -> tuple[Tensor, ...]:
        values, mask, stated = (np.zeros((len(numbers), size)) for _ in range(3))
        more: list[NDArray[np.float32]] = []
        for row, number in enumerate(numbers):
            rng = np.random.default_rng([seed, int(number)])
            seen = masks.draw(rng)
            error, stated[row] = noise.draw(rng)
            values[row] = (fields.values[which[number]] + error) * seen
            mask[row] = seen
            if fields.auxiliary is not None:
                # A stream of its own, so that temperature is seen as it is without auxiliary variables.
                stream = np.random.default_rng([seed, int(number), 1])
                shown = fields.auxiliary[which[number]], network.further_sd.cpu().numpy()
                more.append(seen_of(*shown, masks, stream))
        month = torch.as_tensor(fields.month[which[numbers]])
        tensors = [torch.as_tensor(a, dtype=torch.float32) for a in (values, stated)]
        seen_t = torch.as_tensor(mask > 0)
        posterior = prior.posterior(tensors[0], seen_t, tensors[1], month)
        auxiliary = (torch.as_tensor(np.stack(more)),) if more else ()
        channels = network.channels(tensors[0], seen_t, tensors[1], month, posterior, *auxiliary)
        truth = torch.as_tensor(fields.values[which[numbers]], dtype=torch.float32)
        scored = torch.as_tensor(fields.scored[which[numbers]])
        return (*channels, posterior.mean, posterior.variance, truth, scored)

    return draw_by_fold(fields.fold[which], priors, make, chunk, progress)


def draw_by_fold(
    fold: IntArray,
    priors: Sequence[Prior],
    make: Callable[[Prior, IntArray], tuple[Tensor, ...]],
    chunk: int,
    progress: Callable[[int, int], None] | None,
) -> SamplePool:
    """Samples in the order of their numbers, made in parts that share a prior.

    Parameters
    ----------
    fold:
        (N,) number of each sample's prior.
    make:
        From a prior and numbers of samples to the columns of their pool.
    """
    parts: list[tuple[Tensor, ...]] = []
    order: list[IntArray] = []
    for number, prior in enumerate(priors):
        wanted = np.flatnonzero(fold == number)
        for start in range(0, len(wanted), chunk):
            order.append(wanted[start : start + chunk])
            parts.append(make(prior, order[-1]))
            if progress:
                progress(sum(map(len, order)), len(fold))
    back = torch.as_tensor(np.argsort(np.concatenate(order)))
    return SamplePool(*(torch.cat(columns)[back] for columns in zip(*parts, strict=True)))
