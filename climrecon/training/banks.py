"""What samples are drawn from: fields, and masks and errors drawn beforehand; and which sample a step takes.

Which field meets which mask and which errors is drawn from a stream of its own for every thousand steps: it depends
on the seed and the step's number alone, so that a resumed training and one shared by several processes see the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from climrecon.array_types import FloatArray
from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.errors import UsageError
from climrecon.methods.unet.channels import neighbour_steps
from climrecon.training.distributed import Workers
from climrecon.training.fields import TrainingFields

#: Steps whose samples are drawn at once.
CHUNK = 1000
#: Months that are read at once.
PART = 2000
#: Share of a GPU's free memory that fields may take to be kept there.
RESIDENT = 0.5

#: Masks and errors drawn beforehand: each takes products with matrices of cells by cells.
BANK = 1500
#: Of samples whose stated errors are not what errors are, half have none at all, and such are stated, K; in the others
#: what is stated is wrong by a factor, whose logarithm is up to so much, and not below or above these, K.
NEARLY_NONE, WRONG_BY, STATED_BOUNDS = (0.05, 0.2), 1.4, (0.05, 2.0)
#: Months before and after the one that is estimated, where a bank is for no network that wants more.
NEIGHBOURS = 1

#: Purposes of random streams.
MASKS, NOISE, SAMPLES, VALIDATION = range(4)


class Choices:
    """Numbers of the samples of every step.

    Parameters
    ----------
    seed:
        Of the training.
    batch:
        Samples a step, over all processes.
    sizes:
        How many there are to choose from, of each kind.
    workers:
        This process takes its share of the batch.

    Raises
    ------
    UsageError
        If there are fewer samples than processes.
    """

    def __init__(self, seed: int, batch: int, sizes: tuple[int, ...], workers: Workers) -> None:
        self.seed, self.batch, self.sizes, self.workers = seed, batch, sizes, workers
        self._chunk, self._drawn = -1, torch.empty(0)
        if batch < workers.world:
            raise UsageError(
                f"A batch of {batch} cannot be shared by {workers.world} processes.",
                f"Use a batch of {workers.world} or more (recipe=NAME,batch={workers.world}), or fewer processes.",
            )
        part = workers.share(batch)
        #: Weight of the mean over this process's samples, so that the mean over processes is that over the batch.
        self.weight = (part.stop - part.start) * workers.world / batch

    def at(self, step: int) -> Tensor:
        """(kinds, B) int64 numbers on this process's device."""
        chunk = step // CHUNK
        if chunk != self._chunk:
            rng = np.random.default_rng([self.seed, SAMPLES, chunk])
            drawn = np.stack([rng.integers(size, size=(CHUNK, self.batch)) for size in self.sizes], axis=1)
            part = np.ascontiguousarray(drawn[:, :, self.workers.share(self.batch)])
            self._chunk, self._drawn = chunk, torch.as_tensor(part).to(self.workers.device)
        return self._drawn[step % CHUNK]


class FieldBank:
    """(N, H, W) complete fields; on the device where they fit and are in memory, else read as they are wanted.

    Parameters
    ----------
    prepare:
        (n, H, W) float32 fields to what the network takes, e.g. another first longitude.
    """

    def __init__(
        self, fields: TrainingFields, workers: Workers, prepare: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> None:
        self.source, self.prepare, self.device = fields, prepare, workers.device
        self.resident: tuple[Tensor, Tensor | None] | None = None
        shape, gaps = fields.values.shape, fields.scored is not None
        size = int(np.prod(shape)) * (5 if gaps else 4)
        if self.device.type == "cuda" and size > RESIDENT * torch.cuda.mem_get_info(self.device)[0]:
            return
        if self.device.type == "cpu" and isinstance(fields.values, np.memmap):
            return
        values = torch.empty(shape, dtype=torch.float32, device=self.device)
        scored = torch.empty(shape, dtype=torch.bool, device=self.device) if gaps else None
        # In parts: a whole archive at once would be in memory three times over.
        for start in range(0, len(fields), PART):
            rows = slice(start, min(start + PART, len(fields)))
            part, known = self._read(np.arange(rows.start, rows.stop))
            values[rows] = part
            if scored is not None and known is not None:
                scored[rows] = known
        self.resident = values, scored

    def _read(self, rows: NDArray[np.integer[Any]]) -> tuple[Tensor, Tensor | None]:
        values = np.asarray(self.source.values[rows], dtype=np.float32)
        if self.source.scored is None:
            return self._tensor(values), None
        scored = np.asarray(self.source.scored[rows])
        return self._tensor(np.where(scored, values, np.float32(0.0))), self._tensor(scored)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(self.prepare(array))).to(self.device)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, H, W) fields, 0 where not scored, and (B, H, W) bool ``scored``, or None where all are."""
        if self.resident is None:
            return self._read(rows.cpu().numpy())
        values, scored = self.resident
        return values.index_select(0, rows), None if scored is None else scored.index_select(0, rows)


def draw_masks(source: MaskSource, count: int, seed: int, cells: int) -> NDArray[np.bool_]:
    """(count, P) masks, each from its own stream; once each of them differs from the others."""
    drawn = np.zeros((count, cells), dtype=bool)
    for number in range(count):
        drawn[number] = source.draw(np.random.default_rng([seed, MASKS, number]))
    return drawn


def draw_errors(source: NoiseSource, count: int, seed: int, cells: int) -> NDArray[np.float32]:
    """(count, P) errors, K, each from its own stream."""
    drawn = np.zeros((count, cells), dtype=np.float32)
    for number in range(count):
        drawn[number] = source.draw(np.random.default_rng([seed, NOISE, number]))[0]
    return drawn


class MaskErrorBank:
    """Gaps and errors of S successive months, from banks drawn once; errors persist as the noise source says.

    Parameters
    ----------
    masks, noise:
        What the banks are drawn from.
    misstated:
        Share of samples whose stated errors are not what errors are: too large, too small, or of none.
    neighbours:
        Steps (months) on either side of the one that is estimated.
    step:
        Length of a step, months.
    """

    def __init__(
        self,
        masks: MaskSource,
        noise: NoiseSource,
        seed: int,
        size: int = BANK,
        misstated: float = 0.0,
        neighbours: int = NEIGHBOURS,
        step: float = 1.0,
    ) -> None:
        self.source, self.misstated, self.neighbours, self.step = masks, misstated, neighbours, step
        #: The month that is estimated, and its neighbours.
        self.steps = (0, *neighbour_steps(neighbours))
        rng = np.random.default_rng(seed)
        self.masks = np.stack([masks.draw(rng) for _ in range(size)])
        errors, stated = zip(*(self.drawn(noise, rng) for _ in range(size)), strict=True)
        self.errors, self.stated = np.stack(errors).astype(np.float32), np.stack(stated).astype(np.float32)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
        """(S, P) masks, (S, P) errors and (P,) stated errors of ``steps``."""
        mask = self.masks[rng.integers(len(self.masks))]
        masks = np.stack([mask, *self.source.neighbours(mask, self.steps[1:], rng)])
        return masks, *self._misstated(*self.with_neighbours(rng), rng)

    def drawn(self, noise: NoiseSource, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """An entry of the bank: (S, P) errors of consecutive months and (P,) stated errors."""
        return noise.draw_months(rng, len(self.steps), self.step)

    def with_neighbours(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """(S, P) errors of the month that is estimated and of its neighbours, and (P,) stated errors."""
        number = rng.integers(len(self.errors))
        order = [self.neighbours + step for step in self.steps]
        return rng.choice([-1.0, 1.0]) * self.errors[number][order], self.stated[number]

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
