"""What samples are drawn from: fields, and masks and errors drawn beforehand; and which sample a step takes.

Which field meets which mask and which errors is drawn from a stream of its own for every thousand steps: it depends
on the seed and the step's number alone, so that a resumed training and one shared by several processes see the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.errors import UsageError
from climrecon.training.distributed import Workers
from climrecon.training.fields import TrainingFields

#: Steps whose samples are drawn at once.
CHUNK = 1000
#: Months that are read at once.
PART = 2000
#: Share of a GPU's free memory that fields may take to be kept there.
RESIDENT = 0.5

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
        self._on_host: NDArray[np.int64] = np.empty((0, 0, 0), np.int64)
        if batch < workers.world:
            raise UsageError(
                f"A batch of {batch} cannot be shared by {workers.world} processes.",
                f"Use a batch of {workers.world} or more (recipe=NAME,batch={workers.world}), or fewer processes.",
            )
        own = workers.share(batch)
        #: What the mean over this process's samples counts, so that the mean over processes is that over the batch.
        self.weight = (own.stop - own.start) * workers.world / batch

    def at(self, step: int) -> Tensor:
        """(kinds, B) int64 numbers on this process's device."""
        chunk = step // CHUNK
        if chunk != self._chunk:
            rng = np.random.default_rng([self.seed, SAMPLES, chunk])
            drawn = np.stack([rng.integers(size, size=(CHUNK, self.batch)) for size in self.sizes], axis=1)
            own = np.ascontiguousarray(drawn[:, :, self.workers.share(self.batch)])
            self._chunk, self._on_host = chunk, own
            self._drawn = torch.as_tensor(own).to(self.workers.device)
        return self._drawn[step % CHUNK]

    def fields_at(self, step: int) -> NDArray[np.int64] | None:
        """(B,) numbers of the first kind, in the host's memory; None where they are not drawn yet."""
        return self._on_host[step % CHUNK, 0] if step // CHUNK == self._chunk else None


class FieldBank:
    """(N, H, W) complete fields; on the GPU where they fit, else fetched through pinned memory, a step ahead.

    Parameters
    ----------
    prepare:
        (n, H, W) float32 fields to what the network takes, e.g. another first longitude.
    """

    def __init__(
        self, fields: TrainingFields, workers: Workers, prepare: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> None:
        self.source, self.prepare, self.device = fields, prepare, workers.device
        self.gaps = fields.scored is not None
        self.resident: tuple[Tensor, Tensor | None] | None = None
        self._ahead: tuple[NDArray[np.integer[Any]], Future[tuple[Tensor, Tensor | None]]] | None = None
        self._pool: ThreadPoolExecutor | None = None
        size = int(np.prod(fields.values.shape)) * (5 if self.gaps else 4)
        if self.device.type == "cuda" and size > RESIDENT * torch.cuda.mem_get_info(self.device)[0]:
            return
        if self.device.type == "cpu" and isinstance(fields.values, np.memmap):
            return
        shape = fields.values.shape
        values = torch.empty(shape, dtype=torch.float32, device=self.device)
        scored = torch.empty(shape, dtype=torch.bool, device=self.device) if self.gaps else None
        # In parts: a whole archive at once would be in memory three times over.
        for start in range(0, len(fields), PART):
            rows = slice(start, min(start + PART, len(fields)))
            own, known = self._fetch(np.arange(rows.start, rows.stop))
            values[rows] = own.to(self.device)
            if scored is not None and known is not None:
                scored[rows] = known.to(self.device)
        self.resident = values, scored

    def _fetch(self, rows: NDArray[np.integer[Any]]) -> tuple[Tensor, Tensor | None]:
        """In the host's memory, pinned where a GPU will copy it."""
        values = np.asarray(self.source.values[rows], dtype=np.float32)
        if self.source.scored is None:
            return self._pinned(values), None
        scored = np.asarray(self.source.scored[rows])
        return self._pinned(np.where(scored, values, np.float32(0.0))), self._pinned(scored)

    def _pinned(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.as_tensor(np.ascontiguousarray(self.prepare(array)))
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def _there(self, fetched: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        values, scored = fetched
        return values.to(self.device, non_blocking=True), None if scored is None else scored.to(
            self.device, non_blocking=True
        )

    def prefetch(self, rows: NDArray[np.integer[Any]]) -> None:
        """Begin to fetch the (B,) months that :meth:`take` will be asked for next; nothing where all are there."""
        if self.resident is not None:
            return
        self._pool = self._pool or ThreadPoolExecutor(1, "fields")
        self._ahead = rows, self._pool.submit(self._fetch, rows)

    def take(self, rows: Tensor, on_host: NDArray[np.integer[Any]] | None = None) -> tuple[Tensor, Tensor | None]:
        """(B, H, W) fields, 0 where not scored, and (B, H, W) bool ``scored``, or None where all are.

        ``on_host`` are the same numbers where they are known without asking the device, which would wait for it.
        """
        if self.resident is None:
            wanted = rows.cpu().numpy() if on_host is None else on_host
            ahead, self._ahead = self._ahead, None
            if ahead is not None and np.array_equal(ahead[0], wanted):
                return self._there(ahead[1].result())
            return self._there(self._fetch(wanted))
        values, scored = self.resident
        return values.index_select(0, rows), None if scored is None else scored.index_select(0, rows)


def draw_masks(source: MaskSource, count: int, seed: int, cells: int) -> NDArray[np.bool_]:
    """(count, P) masks, each from its own stream; once each of them differs from the others."""
    found = np.zeros((count, cells), dtype=bool)
    for number in range(count):
        found[number] = source.draw(np.random.default_rng([seed, MASKS, number]))
    return found


def draw_errors(source: NoiseSource, count: int, seed: int, cells: int) -> NDArray[np.float32]:
    """(count, P) errors, K, each from its own stream."""
    found = np.zeros((count, cells), dtype=np.float32)
    for number in range(count):
        found[number] = source.draw(np.random.default_rng([seed, NOISE, number]))[0]
    return found
