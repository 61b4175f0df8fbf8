"""Training samples: complete months seen through masks with errors, and their posteriors.

A network that sees the months before and after is given these months through alike gaps. The posteriors come from
covariances learned *without* the years around a sample (cross-fitting): covariances learned from a month know that month,
and a network trained on top would trust them more than they deserve.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor

from climrecon.array_types import FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.errors import OutputError
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.unet.channels import (
    LEVEL_CHANNEL,
    MISFIT_CHANNEL,
    OBSERVED_CHANNELS,
    analysis_channels,
    is_odd,
    neighbour_steps,
)
from climrecon.methods.unet.network import UNet
from climrecon.training.auxiliary import seen_of
from climrecon.training.banks import MaskErrorBank
from climrecon.training.fields import TrainingFields
from climrecon.training.forcing import Forcing

#: A sample and its mirror image, see :meth:`SamplePool.at`.
IMAGES = 2
#: Channels that are the same in all cells, and in all samples; the mask stands among the samples itself.
_UNIFORM, _SHARED = ("cos_month", "sin_month", MISFIT_CHANNEL, LEVEL_CHANNEL), ("land", "sin_lat")
_KEPT_ONCE = (*_UNIFORM, *_SHARED, "mask")


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


class PackedSamples:
    """Samples as they are kept for a training: :meth:`at` gives them as :class:`SamplePool` does.

    Channels are in half precision: they are in units of the prior's spread. Those that are the same in all cells, or in
    all samples, are kept once. 15,000 samples on 36 x 72 take 1.3 GB, not 3.2.

    Parameters
    ----------
    count:
        Of samples.
    parts:
        Numbers of samples, and these; together all.
    folder:
        Where they are kept, in files without a name that end with the process: memory holds what it has room for.
        None: in memory.

    Raises
    ------
    OutputError
        If there is no room for them in ``folder``.
    """

    def __init__(self, count: int, parts: Iterable[tuple[IntArray, SamplePool]], folder: Path | None = None) -> None:
        self.count, self.kept = count, dict[str, Tensor]()
        empty = _in_memory if folder is None else partial(_in_file, folder)
        for numbers, part in parts:
            if not self.kept:
                self.channels = part.channels
                self.varying = [n for n, name in enumerate(part.channels) if name not in _KEPT_ONCE]
                self.uniform = [n for n, name in enumerate(part.channels) if name in _UNIFORM]
                self.shared = {
                    n: part.complete[0, n].clone() for n, name in enumerate(part.channels) if name in _SHARED
                }
            _put(self.kept, count, numbers, self._packed(part), empty)

    def _packed(self, part: SamplePool) -> dict[str, Tensor]:
        return {
            "observed": part.observed.half(),
            "mask": part.mask.bool(),
            "varying": part.complete[:, self.varying].half(),
            "uniform": part.complete[:, self.uniform, 0, 0],
            **{name: getattr(part, name) for name in ("mean", "variance", "truth", "scored")},
        }

    def __len__(self) -> int:
        return self.count

    def to(self, device: torch.device) -> PackedSamples:
        """On another device."""
        moved = copy(self)
        moved.kept = {name: part.to(device) for name, part in self.kept.items()}
        moved.shared = {number: part.to(device) for number, part in self.shared.items()}
        return moved

    def at(self, numbers: Tensor) -> SamplePool:
        """Chosen samples and mirror images, in single precision; see :meth:`SamplePool.at`."""
        rows = numbers % self.count
        part = {name: values[rows] for name, values in self.kept.items()}
        mask = part["mask"].float()
        complete = mask.new_empty(len(rows), len(self.channels), *mask.shape[2:])
        complete[:, self.varying] = part.pop("varying").float()
        complete[:, self.uniform] = part.pop("uniform")[..., None, None]
        for number, values in self.shared.items():
            complete[:, number] = values
        complete[:, self.channels.index("mask")] = mask[:, 0]
        part |= {"observed": part["observed"].float(), "mask": mask}
        chosen = torch.arange(len(rows), device=rows.device)
        return SamplePool(self.channels, complete=complete, **part).at(chosen + len(rows) * (numbers >= self.count))


#: A tensor of the type of the first and of the shape of the second argument, to be filled.
Empty = Callable[[Tensor, tuple[int, ...]], Tensor]


def _in_memory(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return like.new_empty(shape)


def _in_file(folder: Path, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    size = math.prod(shape) * like.element_size()
    try:
        with TemporaryFile(dir=folder) as file:
            # Reserved now: where the disk is full later on, a write to mapped memory would kill the process.
            os.posix_fallocate(file.fileno(), 0, size)
            memory = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise OutputError(
            f"Training samples need {size / 1e6:.0f} MB in {folder}: {error.strerror}.",
            "Make room or choose another folder, or draw fewer samples (pool=…).",
        ) from error
    return torch.frombuffer(memory, dtype=like.dtype).view(shape)


def _put(
    whole: dict[str, Tensor], count: int, numbers: IntArray, part: Mapping[str, Tensor], empty: Empty = _in_memory
) -> None:
    """Write samples into their places of ``count``: joined afterwards, the parts would be in memory three times."""
    for name, values in part.items():
        if name not in whole:
            whole[name] = empty(values, (count, *values.shape[1:]))
        whole[name][torch.as_tensor(numbers)] = values


def _signs(sign: Tensor, names: tuple[str, ...]) -> Tensor:
    """(B, C, 1, 1): the (B,) sign for channels that are anomalies, else 1."""
    return torch.where(_odd(names, sign.device), sign[:, None], 1.0)[..., None, None]


@cache
def _odd(names: tuple[str, ...], device: torch.device) -> Tensor:
    """(C,) which channels change their sign; made once, since each step wants it."""
    return torch.tensor([is_odd(name) for name in names], device=device)


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
    columns: dict[str, Tensor] = {}
    for numbers, part in sample_parts(network, priors, fields, fold, draws, count, seed, forcing, progress, chunk):
        _put(columns, count, numbers, {name: values for name, values in vars(part).items() if name != "channels"})
    return SamplePool(network.complete_channels, **columns)


@torch.no_grad()
def sample_parts(
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
) -> Iterator[tuple[IntArray, SamplePool]]:
    """The samples of :func:`draw_samples` part by part, each with the numbers of its samples."""
    which = np.random.default_rng(seed).choice(np.flatnonzero(fold >= 0), count)
    done = 0
    for position, prior in enumerate(priors):
        wanted = np.flatnonzero(fold[which] == position)
        for start in range(0, len(wanted), chunk):
            numbers = wanted[start : start + chunk]
            parts = _samples(network, prior, fields, which[numbers], numbers, draws, seed, forcing)
            yield numbers, SamplePool(network.complete_channels, *parts)
            done += len(numbers)
            if progress:
                progress(done, count)


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
    size, steps = network.area.numel(), (0, *neighbour_steps(network.neighbour_months))
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
        # Steps of minutes have no calendar months, and all of them one number.
        at = (rows + shift).clip(0, len(fields) - 1)
        other = torch.as_tensor(np.where(there[step], np.asarray(fields.month)[at], (month - 1 + shift) % 12 + 1))
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
