"""The numerical part of a run: from observations to complete fields on the observations' grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.errors import NetworkError
from climrecon.fields import Context, Estimate, Observations
from climrecon.grid import GLOBE, NINO34, NORTHERN_HEMISPHERE, SOUTHERN_HEMISPHERE, TROPICS, Grid, Region
from climrecon.methods.contract import Method
from climrecon.preprocess import FileGrid
from climrecon.workflow.progress import Reporter

#: Nino 3.4 above the tropics, K, from which on an event is called El Nino, as in NOAA's definition.
EL_NINO = 0.5
#: Regions whose mean's spread is worked out from the joint distribution of the cells.
REGIONS: tuple[Region, ...] = (GLOBE, NORTHERN_HEMISPHERE, SOUTHERN_HEMISPHERE, NINO34)


@dataclass(frozen=True)
class CompleteFields:
    """Complete fields of all months or of a block of them, on the method's grid or on that of the observations.

    Attributes
    ----------
    mean, stddev, prior_stddev:
        (T, H, W), K; the latter two None where the method gives none.
    region_sd:
        Region name -> (T,) standard deviation of the region's mean, K.
    realisations:
        (T, H, W) of each, K; can be iterated over more than once. None if there are none.
    observational:
        (T, H, W) part of ``stddev`` that is the spread over an ensemble of the observations, K; None without one.
    """

    mean: FloatArray
    stddev: FloatArray | None
    prior_stddev: FloatArray | None
    region_sd: dict[str, FloatArray]
    realisations: Iterable[FloatArray] | None
    observational: FloatArray | None = None


def to_native_grid(fields: CompleteFields, back: FileGrid, at_once: int = 1) -> CompleteFields:
    """Bring fields of the method's grid to the observations' grid, float32.

    Parameters
    ----------
    at_once:
        Realisations in one call of cdo. They are brought over whenever they are iterated over.
    """

    def moved(field: FloatArray) -> FloatArray:
        return back.to_native_grid(field).astype(np.float32, copy=False)

    def optional(field: FloatArray | None) -> FloatArray | None:
        return None if field is None else moved(field)

    drawn = fields.realisations
    return CompleteFields(
        moved(fields.mean),
        optional(fields.stddev),
        optional(fields.prior_stddev),
        fields.region_sd,
        None if drawn is None else _Moved(np.asanyarray(drawn), moved, at_once),
        optional(fields.observational),
    )


@dataclass(frozen=True)
class _Moved:
    """Realisations on another grid: ``drawn`` (M, T, H, W) moved ``at_once`` at a time."""

    drawn: FloatArray
    move: Callable[[FloatArray], FloatArray]
    at_once: int

    def __iter__(self) -> Iterator[FloatArray]:
        for first in range(0, len(self.drawn), self.at_once):
            some = self.drawn[first : first + self.at_once]
            moved = self.move(some.reshape(-1, *some.shape[2:]))
            yield from moved.reshape(*some.shape[:2], *moved.shape[1:])


def complete_fields(
    method: Method,
    observations: Observations,
    *,
    members: int,
    seed: int,
    scratch: Path,
    reporter: Reporter,
    block: slice | None = None,
    ensemble: Sequence[FloatArray] = (),
) -> CompleteFields:
    """Apply ``method`` to all months, or to those of ``block``, and collect its estimates.

    Realisations go chunk by chunk into a memory-mapped file in ``scratch``: 200 of them over 2,100
    months are 4.4 GB, more than a login node should hold.

    Parameters
    ----------
    block:
        Months of one of :func:`blocks`. They come out as they do with all months: chunks begin at the same months,
        see the same neighbours and draw from the same streams.
    ensemble:
        (T, H, W) of each member of the observations, on the method's grid: all months, whatever ``block`` is.
    """
    from climrecon.methods.by_chunks import reconstruct

    first, last = (0, len(observations.time)) if block is None else (block.start, block.stop)
    shape = (last - first, *observations.grid.shape)
    mean = np.empty(shape, np.float32)
    stddev: FloatArray | None = None
    prior: FloatArray | None = None
    observational: FloatArray | None = None
    region_sd: dict[str, FloatArray] = {}
    drawn: NDArray[np.float32] | None = None
    if members:
        drawn = np.lib.format.open_memmap(
            scratch / "realisations.npy", mode="w+", dtype=np.float32, shape=(members, *shape)
        )
    weights = {region.name: observations.grid.region_weights(region) for region in REGIONS}
    # Noise that belongs to a date goes on from chunk to chunk; other streams must not begin anew with each.
    dated = method.capabilities.draws_depend_on_date_only
    for months_of_all, estimate in reconstruct(
        method, observations, progress=reporter.step, block=block, members=ensemble
    ):
        months = slice(months_of_all.start - first, months_of_all.stop - first)
        mean[months] = estimate.mean
        if estimate.stddev is not None:
            stddev = np.empty(shape, np.float32) if stddev is None else stddev
            stddev[months] = estimate.stddev
        if estimate.prior_stddev is not None:
            prior = np.empty(shape, np.float32) if prior is None else prior
            prior[months] = estimate.prior_stddev
        if estimate.observational_stddev is not None:
            observational = np.empty(shape, np.float32) if observational is None else observational
            observational[months] = estimate.observational_stddev
        if estimate.area_mean_sd is not None:
            for name, weight in weights.items():
                series = region_sd.setdefault(name, np.full(shape[0], np.nan))
                series[months] = estimate.area_mean_sd(weight / weight.sum())
        if drawn is not None:
            if estimate.sample is None:
                raise NetworkError(
                    f"{method.name} gives no realisations.",
                    "Use realisations=0, or a network that gives them, e.g. punet5 or kriging.",
                )
            # Each chunk has its own stream, so that a longer record begins with the same fields.
            drawn[:, months] = estimate.sample(members, seed + (0 if dated else months_of_all.start))
    return CompleteFields(mean, stddev, prior, region_sd, drawn, observational)


def blocks(months: int, count: int, chunk: int) -> list[slice]:
    """``count`` blocks of months, each of whole chunks; some are empty where there are fewer chunks."""
    chunks = -(-months // chunk)
    borders = [min(chunk * (chunks * number // count), months) for number in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(borders)]


def single_month(method: Method, observations: Observations, index: int) -> Estimate:
    """The estimate of one month, for comparison in figures."""
    keep = np.zeros(len(observations.time), dtype=bool)
    keep[index] = True
    month = observations.select(keep)
    return method.reconstruct(month.values, month.mask, month.obs_sd, month.time.month, Context(month.grid, month.time))


def largest_el_nino(field: FloatArray, grid: Grid) -> int:
    """Index of the month with the largest El Nino of complete (T, H, W) fields; of the last one if there is none.

    The Nino 3.4 mean relative to that of the tropics: in a warming climate the plain mean would find
    the latest event, not the largest (van Oldenborgh et al. 2021, Environ. Res. Lett. 16:044003).
    """
    box, tropics = grid.region_weights(NINO34), grid.region_weights(TROPICS)
    relative = (field * (box / box.sum() - tropics / tropics.sum())).sum(axis=(1, 2))
    month = int(np.argmax(relative))
    return month if relative[month] >= EL_NINO else len(field) - 1
