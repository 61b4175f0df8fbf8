"""Training samples of a network that sees the months before and after: three months through alike gaps.

As :mod:`climrecon.training.samples`, for :class:`climrecon.model.analysis.AnalysisUNet`: the posterior of a
sample's three months comes from covariances learned without the years around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.model.analysis import AnalysisUNet, analysis_channels
from climrecon.model.interpolation import FullPrior
from climrecon.training.fields import TrainingFields
from climrecon.training.samples import Pool

FloatArray = NDArray[np.floating[Any]]

#: Masks and errors drawn beforehand: each takes products with matrices of cells by cells.
BANK = 1500
#: Correlation of the errors of successive months: those of instruments last, those of sampling do not.
ERROR_PERSISTENCE = 0.5
#: Months before and after the one that is estimated.
STEPS = (0, -1, 1)


class Draws:
    """Gaps and errors of three successive months, from banks drawn once.

    Parameters
    ----------
    masks, noise:
        What the banks are drawn from.
    """

    def __init__(self, masks: MaskSource, noise: NoiseSource, seed: int, size: int = BANK) -> None:
        rng = np.random.default_rng(seed)
        self.masks = np.stack([masks.draw(rng) for _ in range(size)])
        drawn = [noise.draw(rng) for _ in range(size)]
        self.errors = np.stack([error for error, _ in drawn]).astype(np.float32)
        self.stated = np.stack([stated for _, stated in drawn]).astype(np.float32)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
        """(3, P) masks, (3, P) errors and (P,) stated errors; the first month is the one that is estimated.

        In half of the samples the neighbours have the same gaps, in the others up to four tenths fewer cells.
        """
        masks = self._masks(rng)
        number = rng.integers(len(self.errors))
        stated, sign = self.stated[number], rng.choice([-1.0, 1.0])
        error = sign * self.errors[number]
        beside = []
        for _ in STEPS[1:]:
            other = rng.integers(len(self.errors))
            own = self.errors[other] * (stated / self.stated[other]) * rng.choice([-1.0, 1.0])
            beside.append(ERROR_PERSISTENCE * error + np.sqrt(1.0 - ERROR_PERSISTENCE**2) * own)
        return masks, np.stack([error, *beside]), stated

    def _masks(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        mask = self.masks[rng.integers(len(self.masks))]
        keep = 1.0 if rng.random() < 0.5 else rng.uniform(0.6, 1.0)
        return np.stack([mask, *(mask & (rng.random(mask.size) < keep) for _ in STEPS[1:])])


class MonthDraws(Draws):
    """As :class:`Draws`, with errors of three consecutive months: what lasts of an error lasts as the source says."""

    def __init__(self, masks: MaskSource, noise: NoiseSource, seed: int, size: int = BANK) -> None:
        rng = np.random.default_rng(seed)
        self.masks = np.stack([masks.draw(rng) for _ in range(size)])
        drawn = [noise.draw_months(rng, len(STEPS)) for _ in range(size)]
        self.errors = np.stack([error for error, _ in drawn]).astype(np.float32)
        self.stated = np.stack([stated for _, stated in drawn]).astype(np.float32)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
        """See :meth:`Draws.draw`."""
        masks = self._masks(rng)
        number = rng.integers(len(self.errors))
        # The month that is estimated comes first, then the one before and the one after.
        errors = rng.choice([-1.0, 1.0]) * self.errors[number][[1, 0, 2]]
        return masks, errors, self.stated[number]


@torch.no_grad()
def draw_sequences(
    network: AnalysisUNet,
    priors: Sequence[FullPrior],
    fields: TrainingFields,
    fold: NDArray[np.integer[Any]],
    draws: Draws,
    count: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    chunk: int = 64,
) -> Pool:
    """Draw ``count`` samples, each with its own random stream.

    Parameters
    ----------
    fields:
        Months, which may be mapped from disk; cells that are NaN or not ``scored`` are neither observed nor scored.
    fold:
        (N,) which of ``priors`` has not seen the month; below zero: the month is not drawn.
    """
    candidates = np.flatnonzero(fold >= 0)
    which = np.random.default_rng(seed).choice(candidates, count)
    parts: list[tuple[torch.Tensor, ...]] = []
    order: list[NDArray[np.integer[Any]]] = []
    for number, prior in enumerate(priors):
        wanted = np.flatnonzero(fold[which] == number)
        for start in range(0, len(wanted), chunk):
            chosen = wanted[start : start + chunk]
            parts.append(_samples(network, prior, fields, which[chosen], chosen, draws, seed))
            order.append(chosen)
            if progress:
                progress(sum(map(len, order)), count)
    back = torch.as_tensor(np.argsort(np.concatenate(order)))
    return Pool(*(torch.cat(columns)[back] for columns in zip(*parts, strict=True)))


def _samples(
    network: AnalysisUNet,
    prior: FullPrior,
    fields: TrainingFields,
    rows: NDArray[np.integer[Any]],
    numbers: NDArray[np.integer[Any]],
    draws: Draws,
    seed: int,
) -> tuple[torch.Tensor, ...]:
    size = int(np.prod(network.shape))
    observed = np.zeros((3, len(rows), size), np.float32)
    seen = np.zeros((3, len(rows), size), bool)
    there = np.zeros((3, len(rows)), bool)
    stated = np.empty((len(rows), size), np.float32)
    for position, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        masks, errors, stated[position] = draws.draw(np.random.default_rng([seed, int(number)]))
        for step, (shift, mask, error) in enumerate(zip(STEPS, masks, errors, strict=True)):
            other = row + shift
            if not _follows(fields, row, shift):
                continue
            values = _known(fields, other)
            known = mask & np.isfinite(values)
            there[step, position] = True
            seen[step, position] = known
            observed[step, position] = np.where(known, np.nan_to_num(values) + error, 0.0)
    month = torch.as_tensor(np.asarray(fields.month)[rows])
    error_sd = torch.as_tensor(stated)
    months = [(month - 1 + shift) % 12 + 1 for shift in STEPS]
    tensors = [(torch.as_tensor(observed[step]), torch.as_tensor(seen[step])) for step in range(3)]
    posteriors = [prior.posterior(v, m, error_sd, k) for (v, m), k in zip(tensors, months, strict=True)]
    own, complete = network.own_channels(*tensors[0], error_sd, month, posteriors[0], prior.prior_sd(month))
    beside = []
    for step in (1, 2):
        mean, left = analysis_channels(posteriors[step], prior.prior_sd(months[step]))
        known = torch.as_tensor(there[step])[:, None]
        beside += [torch.where(known, mean, 0.0), torch.where(known, left, 1.0)]
    complete = torch.cat([complete, torch.stack(beside, dim=1)], dim=1)
    grid = (len(rows), -1, *network.shape)
    mask = tensors[0][1].to(error_sd.dtype).reshape(grid)
    truth = np.stack([_known(fields, row) for row in rows])
    return (
        own.reshape(grid) * mask,
        mask,
        complete.reshape(grid),
        posteriors[0].mean,
        posteriors[0].variance,
        torch.as_tensor(np.nan_to_num(truth)),
        torch.as_tensor(np.isfinite(truth)),
    )


def _known(fields: TrainingFields, row: int) -> FloatArray:
    """(P,) one month; NaN where it may not be learned from."""
    values = np.asarray(fields.values[row], np.float32).reshape(-1)
    if fields.scored is None:
        return values
    return np.where(np.asarray(fields.scored[row]).reshape(-1), values, np.float32(np.nan))


def _follows(fields: TrainingFields, row: int, shift: int) -> bool:
    """Whether the entry ``shift`` further is the month ``shift`` later of the same member."""
    other = row + shift
    if not 0 <= other < len(fields):
        return False
    same = fields.member[other] == fields.member[row]
    return bool(same and fields.index[other] - fields.index[row] == shift)
