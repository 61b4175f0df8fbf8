"""Applying a network to observations, chunk by chunk, without reading or writing anything."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from climrecon.methods import checked
from climrecon.methods.contract import Context, Estimate, Method, Observations
from climrecon.methods.observation_ensemble import reconstruct_members
from climrecon.methods.threads import one_thread_each

#: A cell has no skill where the observations left more than this share of the prior variance.
NO_SKILL = 0.75
#: Months a chunk: large enough for full matrix products, small enough for 1 GB.
CHUNK = 96
#: Most chunks at a time: each takes memory of its own. More than two have not been measured.
MOST_WORKERS = 8


def cuda_available() -> bool:
    """Whether torch can use a GPU here."""
    return torch.cuda.is_available()


def choose_device(wanted: str) -> str:
    """``auto``, ``cpu`` or ``cuda`` as a torch device name."""
    if wanted == "auto":
        return "cuda" if cuda_available() else "cpu"
    return wanted


def reconstruct(
    method: Method,
    observations: Observations,
    *,
    chunk: int = CHUNK,
    progress: Callable[[int, int], None] | None = None,
    block: slice | None = None,
    members: Sequence[NDArray[np.floating[Any]]] = (),
    mean_alone: bool = False,
) -> Iterator[tuple[slice, Estimate]]:
    """Apply ``method`` to all months, or to those of ``block``, which begins where a chunk does.

    Neighbouring months that the method needs are given with each chunk; their estimates are dropped.

    Parameters
    ----------
    members:
        (T, H, W) anomalies of each member of the observations' ensemble, memory-mapped or in memory; each is
        reconstructed too, see :mod:`climrecon.methods.observation_ensemble`. Progress counts their months as well.
    mean_alone:
        The estimates have no spread, which takes kriging most of its time.

    Yields
    ------
    The months (a slice of the time axis) and their estimate, in order.
    """
    total = len(observations.time)
    margin = method.capabilities.neighbour_months
    first, last = (0, total) if block is None else (block.start, block.stop)
    fields = 1 + len(members)
    progressed = _Progress(progress, (last - first) * fields)

    def one(start: int) -> tuple[slice, Estimate]:
        part = slice(start, min(start + chunk, last))
        wide = slice(max(start - margin, 0), min(part.stop + margin, total))
        seen = replace(
            observations,
            values=observations.values[wide],
            mask=observations.mask[wide],
            obs_sd=None if observations.obs_sd is None else observations.obs_sd[wide],
            time=observations.time[wide],
        )
        months = part.stop - part.start
        if members:
            estimate = reconstruct_members(
                method,
                seen,
                (member[wide] for member in members),
                lambda finished: progressed.report(start, finished * months),
            )
        else:
            about = (seen.mask, seen.obs_sd, seen.time.month, Context(seen.grid, seen.time))
            if mean_alone:
                estimate = Estimate(checked.same_mask_means(method, seen.values[None], *about)[0])
            else:
                estimate = checked.reconstruct(method, seen.values, *about)
            progressed.report(start, months)
        return part, estimate.months(slice(part.start - wide.start, part.stop - wide.start))

    starts = range(first, last, chunk)
    if method.capabilities.parallel_chunks:
        yield from _side_by_side(one, starts, progressed)
    else:
        yield from map(one, starts)


class _Progress:
    """Sums the progress of chunks over all threads; stops those that are still busy when asked to."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._total = progress, total
        self._done: dict[int, int] = {}
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def report(self, start: int, done: int) -> None:
        """``done`` months of fields are finished of the chunk that begins at ``start``."""
        if self.stopped.is_set():
            raise RuntimeError("stopped")
        with self._lock:
            self._done[start] = done
            if self._progress:
                self._progress(sum(self._done.values()), self._total)


def _side_by_side(
    one: Callable[[int], tuple[slice, Estimate]], starts: Sequence[int], progressed: _Progress
) -> Iterator[tuple[slice, Estimate]]:
    """The results of ``one``, in order, of as many chunks at a time as torch has threads, one thread each."""
    with one_thread_each(min(MOST_WORKERS, len(starts))) as (pool, workers):
        waiting: deque[Future[tuple[slice, Estimate]]] = deque()
        try:
            for start in starts:
                waiting.append(pool.submit(one, start))
                # One more than are busy, so that none waits while the caller looks at a result.
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            progressed.stopped.set()
            for future in waiting:
                future.cancel()


def no_skill(stddev: NDArray[np.floating[Any]], prior: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Cells whose posterior variance exceeds :data:`NO_SKILL` of the prior variance about the month's mean."""
    return np.asarray(stddev > np.float32(NO_SKILL**0.5) * prior)
