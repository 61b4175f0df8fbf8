"""Applying a network to observations, chunk by chunk, without reading or writing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from climrecon.fields import Context, Estimate, Months, Observations, Reconstructor

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
) -> Iterator[tuple[slice, Estimate]]:
    """Apply ``reconstructor`` to all months, or to those of ``block``, which begins where a chunk does.

    A reconstructor that looks at neighbouring months says in ``months_beside`` at how many; so many are given
    with each chunk, and what is said of them is dropped.

    Yields
    ------
    The months (a slice of the time axis) and their estimate, in order.
    """
    total = len(observations.time)
    beside = int(getattr(reconstructor, "months_beside", 0))
    first, last = (0, total) if block is None else (block.start, block.stop)
    for start in range(first, last, chunk):
        part = slice(start, min(start + chunk, last))
        wide = slice(max(start - beside, 0), min(part.stop + beside, total))
        time = Months(observations.time.index[wide])
        estimate = reconstructor.reconstruct(
            observations.values[wide],
            observations.mask[wide],
            None if observations.obs_sd is None else observations.obs_sd[wide],
            time.month,
            Context(observations.grid, time),
        )
        yield part, estimate.months(slice(part.start - wide.start, part.stop - wide.start))
        if progress:
            progress(part.stop - first, last - first)


def no_skill(stddev: NDArray[np.floating[Any]], prior: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Cells whose posterior variance exceeds :data:`NO_SKILL` of the prior variance about the month's mean."""
    return np.asarray(stddev**2 > NO_SKILL * prior**2)
