"""Training samples: a complete month seen through a mask with errors, and its low-rank posterior.

The posterior that a sample is given comes from covariances learned *without* the years around it
(cross-fitting): covariances learned from a month know that month, and a network trained on top would
trust them more than they deserve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

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
from climrecon.training.fields import TrainingFields

Prior = TypeVar("Prior")
#: A sample and its mirror image, see :meth:`SamplePool.at`.
IMAGES = 2


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
    fields: TrainingFields,
    fold: IntArray,
    masks: MaskSource,
    noise: NoiseSource,
    count: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    chunk: int = 32,
) -> SamplePool:
    """Draw ``count`` samples of single months; see :func:`draw_by_fold`.

    Cells that are not ``scored`` are observed as they are, a producer's best guess; those that are NaN never.
    """
    size = fields.grid.area.size

    def make(prior: LowRankPrior, rows: IntArray, numbers: IntArray) -> tuple[Tensor, ...]:
        values, mask, stated, truth = (np.zeros((len(numbers), size)) for _ in range(4))
        scored = np.zeros((len(numbers), size), bool)
        more: list[NDArray[np.float32]] = []
        for position, (row, number) in enumerate(zip(rows, numbers, strict=True)):
            rng = np.random.default_rng([seed, int(number)])
            mask[position] = masks.draw(rng)
            error, stated[position] = noise.draw(rng)
            field = np.asarray(fields.values[row], np.float64).reshape(-1)
            mask[position] *= np.isfinite(field)
            truth[position] = np.nan_to_num(field)
            scored[position] = np.isfinite(known_cells(fields, row))
            values[position] = (truth[position] + error) * mask[position]
            auxiliary = fields.auxiliary_at([row])
            if auxiliary is not None:
                # A stream of its own, so that temperature is seen as it is without auxiliary variables.
                stream = np.random.default_rng([seed, int(number), 1])
                shown = auxiliary[0].reshape(len(auxiliary[0]), -1), network.further_sd.cpu().numpy()
                more.append(seen_of(*shown, masks, stream))
        month = torch.as_tensor(np.asarray(fields.month)[rows])
        observed, error_sd, true = (torch.as_tensor(a, dtype=torch.float32) for a in (values, stated, truth))
        seen = torch.as_tensor(mask > 0)
        posterior = prior.posterior(observed, seen, error_sd, month)
        given = (torch.as_tensor(np.stack(more)),) if more else ()
        channels = network.channels(observed, seen, error_sd, month, posterior, *given)
        return (*channels, posterior.mean, posterior.variance, true, torch.as_tensor(scored))

    return draw_by_fold(fold, priors, make, count, seed, chunk, progress)


def known_cells(fields: TrainingFields, row: int) -> FloatArray:
    """(P,) one month; NaN where it may not be learned from."""
    values = np.asarray(fields.values[row], np.float32).reshape(-1)
    if fields.scored is None:
        return values
    return np.where(np.asarray(fields.scored[row]).reshape(-1), values, np.float32(np.nan))


def draw_by_fold(
    fold: IntArray,
    priors: Sequence[Prior],
    make: Callable[[Prior, IntArray, IntArray], tuple[Tensor, ...]],
    count: int,
    seed: int,
    chunk: int,
    progress: Callable[[int, int], None] | None,
) -> SamplePool:
    """``count`` samples of months drawn at random, made in parts that share a prior.

    Every sample has its own random stream, so that the pool does not depend on ``chunk``.

    Parameters
    ----------
    fold:
        (N,) which of ``priors`` has not seen the month; below zero: the month is not drawn.
    make:
        From a prior, rows of the fields and numbers of samples to the columns of their pool.
    """
    which = np.random.default_rng(seed).choice(np.flatnonzero(fold >= 0), count)
    parts: list[tuple[Tensor, ...]] = []
    order: list[IntArray] = []
    for position, prior in enumerate(priors):
        wanted = np.flatnonzero(fold[which] == position)
        for start in range(0, len(wanted), chunk):
            numbers = wanted[start : start + chunk]
            order.append(numbers)
            parts.append(make(prior, which[numbers], numbers))
            if progress:
                progress(sum(map(len, order)), count)
    back = torch.as_tensor(np.argsort(np.concatenate(order)))
    return SamplePool(*(torch.cat(columns)[back] for columns in zip(*parts, strict=True)))
