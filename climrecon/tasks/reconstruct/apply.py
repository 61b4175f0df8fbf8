"""The numerical part of a run: from observations to complete fields on the observations' grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from climrecon import indices
from climrecon.array_types import FloatArray
from climrecon.errors import NetworkError
from climrecon.fields import Context, Estimate, Observations
from climrecon.geography import with_domain
from climrecon.grid import NINO34, Grid
from climrecon.memory import blocks_of, new_array, release
from climrecon.methods import checked
from climrecon.methods.contract import Method
from climrecon.preprocess import FileGrid
from climrecon.variables import VARIABLES, Variable
from climrecon.workflow.progress import Reporter

#: The (T, H, W) fields of :class:`CompleteFields`.
FIELDS = ("mean", "stddev", "prior_stddev", "observational")


@dataclass(frozen=True)
class CompleteFields:
    """Complete fields of all months or of a block of them, on the method's grid or on that of the observations.

    Attributes
    ----------
    mean, stddev, prior_stddev:
        (T, H, W); the latter two None where the method gives none.
    region_sd:
        Region name -> (T,) standard deviation of the region's mean.
    observational:
        (T, H, W) part of ``stddev`` that is the spread over an ensemble of the observations; None without one.
    realisations:
        (T, H, W) of each; can be iterated over more than once. None if there are none.
    """

    mean: FloatArray
    stddev: FloatArray | None = None
    prior_stddev: FloatArray | None = None
    observational: FloatArray | None = None
    region_sd: Mapping[str, FloatArray] = field(default_factory=dict)
    realisations: Iterable[FloatArray] | None = None

    def arrays(self) -> dict[str, FloatArray]:
        """(T, H, W) fields by name, without those that are None."""
        every = {name: getattr(self, name) for name in FIELDS}
        return {name: values for name, values in every.items() if values is not None}


@dataclass(frozen=True)
class Realisations:
    """Realisations that are made anew whenever they are iterated over."""

    make: Callable[[], Iterator[FloatArray]]

    def __iter__(self) -> Iterator[FloatArray]:
        return self.make()


def to_native_grid(fields: CompleteFields, back: FileGrid, at_once: int = 1) -> CompleteFields:
    """Fields of the method's grid on the observations' grid, float32; ``at_once`` realisations in one call of cdo."""

    def moved(field: FloatArray) -> FloatArray:
        return back.to_native_grid(field).astype(np.float32, copy=False)

    drawn = None if fields.realisations is None else np.asanyarray(fields.realisations)

    def moved_realisations() -> Iterator[FloatArray]:
        assert drawn is not None
        for first in range(0, len(drawn), at_once):
            some = drawn[first : first + at_once]
            there = moved(some.reshape(-1, *some.shape[2:]))
            yield from there.reshape(*some.shape[:2], *there.shape[1:])

    return CompleteFields(
        **{name: moved(values) for name, values in fields.arrays().items()},
        region_sd=fields.region_sd,
        realisations=None if drawn is None else Realisations(moved_realisations),
    )


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
    domain: str = "auto",
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
    domain:
        As asked for, see :func:`climrecon.geography.with_domain`.
    """
    from climrecon.methods.by_chunks import reconstruct

    first, last = (0, len(observations.time)) if block is None else (block.start, block.stop)
    shape = (last - first, *observations.grid.shape)
    arrays: dict[str, FloatArray] = {"mean": new_array(shape, np.float32, scratch)}
    region_sd: dict[str, FloatArray] = {}
    drawn: NDArray[np.float32] | None = None
    if members:
        drawn = np.lib.format.open_memmap(
            scratch / "realisations.npy", mode="w+", dtype=np.float32, shape=(members, *shape)
        )
    variable = VARIABLES[observations.variable]
    # All months decide on the domain, so that parts agree.
    over = with_domain(observations.grid, variable.exists, observations.mask, domain)
    weights = {region.name: over.mean_weights(region) for region in over.regions if region is not NINO34}
    weights |= {index.title: indices.weights(over, index) for index in indices.held(over, variable.indices)}
    for months_of_all, estimate in reconstruct(
        method, observations, progress=reporter.step, block=block, members=ensemble
    ):
        months = slice(months_of_all.start - first, months_of_all.stop - first)
        for name, values in (
            ("mean", estimate.mean),
            ("stddev", estimate.stddev),
            ("prior_stddev", estimate.prior_stddev),
            ("observational", estimate.observational_stddev),
        ):
            if values is not None:
                if name not in arrays:
                    arrays[name] = new_array(shape, np.float32, scratch)
                arrays[name][months] = values
                release(arrays[name])
        if estimate.area_mean_sd is not None:
            for name, weight in weights.items():
                series = region_sd.setdefault(name, np.full(shape[0], np.nan))
                series[months] = estimate.area_mean_sd(weight)
        if drawn is not None:
            if estimate.sample is None:
                raise NetworkError(
                    f"{method.name} gives no realisations.",
                    "Use realisations=0, or a network that gives them, e.g. punet6 or kriging.",
                )
            drawn[:, months] = estimate.sample(members, method.capabilities.seed_at(seed, months_of_all.start))
    return CompleteFields(**arrays, region_sd=region_sd, realisations=drawn)


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
    context = Context(month.grid, month.time)
    return checked.reconstruct(method, month.values, month.mask, month.obs_sd, month.time.month, context)


def largest_event(field: FloatArray, grid: Grid, variable: Variable) -> int:
    """Position of the month with the largest event of complete (T, H, W) fields, of El Nino for temperatures.

    By the variable's first index; the last month where the variable has no index, or the record no event.
    """
    if not (held := indices.held(grid, variable.indices)):
        return len(field) - 1
    index = held[0]
    weights = indices.event_weights(grid, index)
    size = np.concatenate([(np.nan_to_num(field[p]) * weights).sum(axis=(1, 2)) for p in blocks_of(field)])
    month = int(np.argmax(size))
    return month if size[month] >= index.event_from else len(field) - 1
