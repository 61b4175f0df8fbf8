"""Training samples of a network that sees the months before and after: three months through alike gaps.

As :mod:`climrecon.training.samples`, for :class:`climrecon.methods.unet.network.AnalysisUNet`: the posterior of a
sample's three months comes from covariances learned without the years around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from climrecon.array_types import FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.unet.correcting import analysis_channels
from climrecon.methods.unet.network import AnalysisUNet
from climrecon.training.fields import TrainingFields
from climrecon.training.samples import SamplePool, draw_by_fold, known_cells

#: Masks and errors drawn beforehand: each takes products with matrices of cells by cells.
BANK = 1500
#: Of samples whose stated errors are not what errors are, half have none at all, and such are stated, K; in the others
#: what is stated is wrong by a factor, whose logarithm is up to so much, and not below or above these, K.
NEARLY_NONE, WRONG_BY, STATED_BOUNDS = (0.05, 0.2), 1.4, (0.05, 2.0)
#: Months before and after the one that is estimated.
STEPS = (0, -1, 1)


class MaskErrorBank:
    """Gaps and errors of three successive months, from banks drawn once; errors persist as the noise source says.

    Parameters
    ----------
    masks, noise:
        What the banks are drawn from.
    misstated:
        Share of samples whose stated errors are not what errors are: too large, too small, or of none.
    """

    def __init__(
        self, masks: MaskSource, noise: NoiseSource, seed: int, size: int = BANK, misstated: float = 0.0
    ) -> None:
        self.misstated = misstated
        rng = np.random.default_rng(seed)
        self.masks = np.stack([masks.draw(rng) for _ in range(size)])
        errors, stated = zip(*(self.drawn(noise, rng) for _ in range(size)), strict=True)
        self.errors, self.stated = np.stack(errors).astype(np.float32), np.stack(stated).astype(np.float32)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
        """(3, P) masks, (3, P) errors and (P,) stated errors; the first month is the one that is estimated.

        In half of the samples the neighbours have the same gaps, in the others up to four tenths fewer cells.
        """
        mask = self.masks[rng.integers(len(self.masks))]
        keep = 1.0 if rng.random() < 0.5 else rng.uniform(0.6, 1.0)
        masks = np.stack([mask, *(mask & (rng.random(mask.size) < keep) for _ in STEPS[1:])])
        return masks, *self._misstated(*self.with_neighbours(rng), rng)

    def drawn(self, noise: NoiseSource, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """An entry of the bank: (3, P) errors of consecutive months and (P,) stated errors."""
        return noise.draw_months(rng, len(STEPS))

    def with_neighbours(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """(3, P) errors of the month that is estimated, the one before and the one after, and (P,) stated errors."""
        number = rng.integers(len(self.errors))
        return rng.choice([-1.0, 1.0]) * self.errors[number][[1, 0, 2]], self.stated[number]

    def _misstated(
        self, errors: FloatArray, stated: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """As they are, or with errors that are not what is stated."""
        if not self.misstated or rng.random() >= self.misstated:
            return errors, stated
        if rng.random() < 0.5:
            level = np.exp(rng.uniform(*np.log(NEARLY_NONE)))
            return np.zeros_like(errors), np.full_like(stated, level)
        return errors, np.clip(stated * np.float32(np.exp(rng.uniform(-WRONG_BY, WRONG_BY))), *STATED_BOUNDS)


@torch.no_grad()
def draw_sequences(
    network: AnalysisUNet,
    priors: Sequence[FullPrior],
    fields: TrainingFields,
    fold: IntArray,
    draws: MaskErrorBank,
    count: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    chunk: int = 64,
) -> SamplePool:
    """Draw ``count`` samples of three months; see :func:`climrecon.training.samples.draw_by_fold`.

    Cells that are NaN or not ``scored`` are neither observed nor scored.
    """

    def make(prior: FullPrior, rows: IntArray, numbers: IntArray) -> tuple[torch.Tensor, ...]:
        return _samples(network, prior, fields, rows, numbers, draws, seed)

    return draw_by_fold(fold, priors, make, count, seed, chunk, progress)


def _samples(
    network: AnalysisUNet,
    prior: FullPrior,
    fields: TrainingFields,
    rows: IntArray,
    numbers: IntArray,
    draws: MaskErrorBank,
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
            values = known_cells(fields, other)
            known = mask & np.isfinite(values)
            there[step, position] = True
            seen[step, position] = known
            observed[step, position] = np.where(known, np.nan_to_num(values) + error, 0.0)
    month = torch.as_tensor(np.asarray(fields.month)[rows])
    error_sd = torch.as_tensor(stated)
    months = [(month - 1 + shift) % 12 + 1 for shift in STEPS]
    tensors = [(torch.as_tensor(observed[step]), torch.as_tensor(seen[step])) for step in range(3)]
    posteriors = [prior.posterior(v, m, error_sd, k) for (v, m), k in zip(tensors, months, strict=True)]
    month_channels, complete = network.month_channels(
        *tensors[0], error_sd, month, posteriors[0], prior.prior_sd(month)
    )
    neighbours = []
    for step in (1, 2):
        mean, left = analysis_channels(posteriors[step], prior.prior_sd(months[step]))
        known = torch.as_tensor(there[step])[:, None]
        neighbours += [torch.where(known, mean, 0.0), torch.where(known, left, 1.0)]
    truth = np.stack([known_cells(fields, row) for row in rows])
    return (
        *network.gridded(month_channels, tensors[0][1], complete, neighbours),
        posteriors[0].mean,
        posteriors[0].variance,
        torch.as_tensor(np.nan_to_num(truth)),
        torch.as_tensor(np.isfinite(truth)),
    )


def _follows(fields: TrainingFields, row: int, shift: int) -> bool:
    """Whether the entry ``shift`` further is the month ``shift`` later of the same member."""
    other = row + shift
    if not 0 <= other < len(fields):
        return False
    same = fields.member[other] == fields.member[row]
    return bool(same and fields.index[other] - fields.index[row] == shift)
