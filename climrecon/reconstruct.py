"""Applying a network to observations, chunk by chunk, without reading or writing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from climrecon.fields import Context, Estimate, Months, Observations, Reconstructor
from climrecon.members import reconstruct_members

#: A cell has no skill where the observations left more than this share of the prior variance.
NO_SKILL = 0.75
#: Months a chunk: large enough for full matrix products, small enough for 1 GB.
CHUNK = 64


def cuda_available() -> bool:
    """Whether torch can use a GPU here."""
    return torch.cuda.is_available()


def choose_device(wanted: str) -> str:
    """``auto``, ``cpu`` or ``cuda`` as a torch device name."""
    if wanted == "auto":
        return "cuda" if cuda_available() else "cpu"
    return wanted


def reconstruct(
    reconstructor: Reconstructor,
    observations: Observations,
    *,
    chunk: int = CHUNK,
    progress: Callable[[int, int], None] | None = None,
    block: slice | None = None,
    members: Sequence[NDArray[np.floating[Any]]] = (),
) -> Iterator[tuple[slice, Estimate]]:
    """Apply ``reconstructor`` to all months, or to those of ``block``, which begins where a chunk does.

    A reconstructor that looks at neighbouring months says in ``months_beside`` at how many; so many are given
    with each chunk, and what is said of them is dropped.

    Parameters
    ----------
    members:
        (T, H, W) anomalies of each member of the observations' ensemble, memory-mapped or in memory; each is
        reconstructed too, see :mod:`climrecon.members`. Progress counts their months as well.

    Yields
    ------
    The months (a slice of the time axis) and their estimate, in order.
    """
    total = len(observations.time)
    beside = int(getattr(reconstructor, "months_beside", 0))
    first, last = (0, total) if block is None else (block.start, block.stop)
    fields = 1 + len(members)
    for start in range(first, last, chunk):
        part = slice(start, min(start + chunk, last))
        wide = slice(max(start - beside, 0), min(part.stop + beside, total))
        seen = replace(
            observations,
            values=observations.values[wide],
            mask=observations.mask[wide],
            obs_sd=None if observations.obs_sd is None else observations.obs_sd[wide],
            time=Months(observations.time.index[wide]),
        )
        done, length = (part.start - first) * fields, part.stop - part.start

        def step(finished: int, done: int = done, length: int = length) -> None:
            if progress and finished < fields:
                progress(done + finished * length, (last - first) * fields)

        if members:
            estimate = reconstruct_members(reconstructor, seen, (one[wide] for one in members), step)
        else:
            estimate = reconstructor.reconstruct(
                seen.values, seen.mask, seen.obs_sd, seen.time.month, Context(seen.grid, seen.time)
            )
        yield part, estimate.months(slice(part.start - wide.start, part.stop - wide.start))
        if progress:
            progress((part.stop - first) * fields, (last - first) * fields)


def no_skill(stddev: NDArray[np.floating[Any]], prior: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Cells whose posterior variance exceeds :data:`NO_SKILL` of the prior variance about the month's mean."""
    return np.asarray(stddev**2 > NO_SKILL * prior**2)
