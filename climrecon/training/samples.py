"""Training samples: complete months seen through masks with errors, and their posteriors.

A network that sees the months before and after is given three months through alike gaps. The posteriors come from
covariances learned *without* the years around a sample (cross-fitting): covariances learned from a month know that month,
and a network trained on top would trust them more than they deserve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from climrecon.array_types import FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.unet.network import OBSERVED_CHANNELS, ODD_CHANNELS, UNet, analysis_channels
from climrecon.training.auxiliary import seen_of
from climrecon.training.banks import STEPS, MaskErrorBank
from climrecon.training.fields import TrainingFields
from climrecon.training.forcing import Forcing

#: A sample and its mirror image, see :meth:`SamplePool.at`.
IMAGES = 2


@dataclass(frozen=True)
class SamplePool:
    """Prepared samples, ready for the U-Net: N samples on (H, W).

    ``observed`` (N, 3, H, W), ``mask`` (N, 1, H, W), ``complete`` (N, C, H, W) of the C names ``channels``, ``mean`` and
    ``variance`` (N, P) of the posterior, ``truth`` (N, P) and ``scored`` (N, P). With V auxiliary variables there are V
    more observed channels and masks.
    """

    channels: tuple[str, ...]
    observed: Tensor
    mask: Tensor
    complete: Tensor
    mean: Tensor
    variance: Tensor
    truth: Tensor
    scored: Tensor

    def __len__(self) -> int:
        return len(self.truth)

    def to(self, device: torch.device) -> SamplePool:
        """On another device."""
        return replace(self, **{name: part.to(device) for name, part in vars(self).items() if name != "channels"})

    def at(self, numbers: Tensor) -> SamplePool:
        """Chosen samples: ``n`` below N is sample n, ``N + n`` its mirror image: all anomalies with the other sign.

        Under a covariance one is as likely as the other, and a network that is shown both learns less of its months by
        heart. Not for auxiliary variables, whose anomalies may be skewed.
        """
        rows = numbers % len(self)
        sign = torch.where(numbers < len(self), 1.0, -1.0).to(self.truth.dtype)
        observed = (*OBSERVED_CHANNELS, *[""] * (self.observed.shape[1] - len(OBSERVED_CHANNELS)))
        return SamplePool(
            self.channels,
            self.observed[rows] * _signs(sign, observed),
            self.mask[rows],
            self.complete[rows] * _signs(sign, self.channels),
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
def draw_samples(
    network: UNet,
    priors: Sequence[FullPrior],
    fields: TrainingFields,
    fold: IntArray,
    draws: MaskErrorBank,
    count: int,
    seed: int,
    forcing: Forcing | None = None,
    progress: Callable[[int, int], None] | None = None,
    chunk: int = 64,
) -> SamplePool:
    """``count`` samples of months drawn at random, made in parts that share a prior.

    Every sample has its own random stream, so that the pool does not depend on ``chunk``. Cells that are NaN or not
    ``scored`` are neither observed nor scored.

    Parameters
    ----------
    fold:
        (N,) which of ``priors`` has not seen the month; below zero: the month is not drawn.
    forcing:
        Of the other climates that a share of the samples is taken to; None: all stay as they are.
    """
    which = np.random.default_rng(seed).choice(np.flatnonzero(fold >= 0), count)
    columns: list[Tensor] = []
    done = 0
    for position, prior in enumerate(priors):
        wanted = np.flatnonzero(fold[which] == position)
        for start in range(0, len(wanted), chunk):
            numbers = wanted[start : start + chunk]
            parts = _samples(network, prior, fields, which[numbers], numbers, draws, seed, forcing)
            # In place: joined afterwards, the parts would be in memory three times.
            columns = columns or [part.new_empty(count, *part.shape[1:]) for part in parts]
            for column, part in zip(columns, parts, strict=True):
                column[torch.as_tensor(numbers)] = part
            done += len(numbers)
            if progress:
                progress(done, count)
    return SamplePool(network.complete_channels, *columns)


def _samples(
    network: UNet,
    prior: FullPrior,
    fields: TrainingFields,
    rows: IntArray,
    numbers: IntArray,
    draws: MaskErrorBank,
    seed: int,
    forcing: Forcing | None,
) -> tuple[Tensor, ...]:
    size, steps = network.area.numel(), STEPS if network.neighbour_months else STEPS[:1]
    observed = np.zeros((len(steps), len(rows), size), np.float32)
    seen = np.zeros((len(steps), len(rows), size), bool)
    there = np.zeros((len(steps), len(rows)), bool)
    stated, change = np.empty((len(rows), size), np.float32), np.zeros((len(rows), size), np.float32)
    for position, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        masks, errors, stated[position] = draws.draw(np.random.default_rng([seed, int(number)]))
        changes = np.zeros((len(steps), size), np.float32)
        if forcing is not None:
            changes = forcing.change(seed, int(number), int(fields.index[row]) + np.array(steps))
        change[position] = changes[0]
        for step, shift in enumerate(steps):
            if not follows(fields, row, shift):
                continue
            truth = known_cells(fields, row + shift) + changes[step]
            known = masks[step] & np.isfinite(truth)
            there[step, position] = True
            seen[step, position] = known
            observed[step, position] = np.where(known, np.nan_to_num(truth) + errors[step], 0.0)
    month = torch.as_tensor(np.asarray(fields.month)[rows])
    error_sd = torch.as_tensor(stated)
    values, mask = torch.as_tensor(observed), torch.as_tensor(seen)
    posterior = prior.posterior(values[0], mask[0], error_sd, month)
    neighbours = []
    for step, shift in enumerate(steps[1:], 1):
        other = (month - 1 + shift) % 12 + 1
        found = prior.posterior(values[step], mask[step], error_sd, other)
        mean, left = analysis_channels(found, prior.prior_sd(other))
        known_month = torch.as_tensor(there[step])[:, None]
        neighbours += [torch.where(known_month, mean, 0.0), torch.where(known_month, left, 1.0)]
    auxiliary = _auxiliary(network, fields, rows, numbers, draws.source, seed) if network.auxiliary else None
    truth = np.stack([known_cells(fields, row) for row in rows]) + change
    return (
        *network.inputs(values[0], mask[0], error_sd, month, posterior, prior.prior_sd(month), neighbours, auxiliary),
        posterior.mean,
        posterior.variance,
        torch.as_tensor(np.nan_to_num(truth)),
        torch.as_tensor(np.isfinite(truth)),
    )


def _auxiliary(
    network: UNet, fields: TrainingFields, rows: IntArray, numbers: IntArray, masks: MaskSource, seed: int
) -> Tensor:
    """(B, V, P) auxiliary variables as samples see them, NaN elsewhere."""
    given, spread = fields.auxiliary_at(rows), network.auxiliary_sd.cpu().numpy()
    assert given is not None
    # A stream of its own, so that temperature is seen as it is without auxiliary variables.
    streams = (np.random.default_rng([seed, int(number), 1]) for number in numbers)
    shown = [
        seen_of(values.reshape(len(values), -1), spread, masks, stream)
        for values, stream in zip(given, streams, strict=True)
    ]
    return torch.as_tensor(np.stack(shown))


def known_cells(fields: TrainingFields, row: int) -> FloatArray:
    """(P,) one month; NaN where it may not be learned from."""
    values = np.asarray(fields.values[row], np.float32).reshape(-1)
    if fields.scored is None:
        return values
    return np.where(np.asarray(fields.scored[row]).reshape(-1), values, np.float32(np.nan))


def follows(fields: TrainingFields, row: int, shift: int) -> bool:
    """Whether the entry ``shift`` further is the month ``shift`` later of the same member."""
    other = row + shift
    if not 0 <= other < len(fields):
        return False
    same = fields.member[other] == fields.member[row]
    return bool(same and fields.index[other] - fields.index[row] == shift)
