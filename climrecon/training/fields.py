"""Complete fields to train on, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray, IntArray
from climrecon.frequency import DAY, MONTH, YEAR, Frequency
from climrecon.grid import Grid
from climrecon.steps import Steps
from climrecon.variables import Variable


@dataclass(frozen=True)
class TrainingFields:
    """Complete fields of one or several members, of months or of other steps.

    Attributes
    ----------
    values:
        (N, H, W) anomalies in K, float32; may be memory-mapped. Finite where ``scored`` is True.
    month:
        (N,) calendar months 1..12 in the middle of each step.
    index:
        (N,) numbers of the steps (months since 0000-01), to find neighbours in time within a member.
    member:
        (N,) number of the member a step belongs to; steps of a member stand together, in order of time.
    names:
        Names of the members.
    grid:
        The grid of ``values``.
    scored:
        (N, H, W) cells that may be learned from and scored; None: all.
    auxiliary:
        Name -> (N, H, W) anomalies of an auxiliary variable of the same months, NaN where missing; may be memory-mapped.
    sets:
        The training set of each of ``names``; empty: all of one.
    shares:
        Weight of each training set in covariances, see :mod:`climrecon.training.source_weights`; empty: all months count
        alike.
    frequency:
        Of the steps.
    calendars:
        Calendar of the days of each of ``names``; empty: of no interest.
    """

    values: NDArray[np.floating[Any]]
    month: NDArray[np.integer[Any]]
    index: NDArray[np.integer[Any]]
    member: NDArray[np.integer[Any]]
    names: tuple[str, ...]
    grid: Grid
    scored: NDArray[np.bool_] | None = None
    auxiliary: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    frequency: Frequency = MONTH
    calendars: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.month)

    def time(self, rows: Any) -> Steps:
        """The time axis of some steps of one member."""
        index = np.asarray(self.index, np.int64)[rows]
        number = np.asarray(self.member)[rows]
        return Steps(index, self.frequency, self.calendars[number[0]] if self.calendars and len(number) else "standard")

    @cached_property
    def span(self) -> IntArray:
        """(N,) numbers of the spans in which gaps and errors persist: years; of years five, of days calendar months."""
        months = np.empty(len(self), np.int64)
        for number in range(len(self.names)):
            rows = np.flatnonzero(np.asarray(self.member) == number)
            months[rows] = self.time(rows).months
        length = {YEAR: 60, DAY: 1}.get(self.frequency, 12)
        return months // length

    @property
    def span_steps(self) -> int:
        """Steps of a whole span, fewest: of years each one that is there."""
        return {YEAR: 1, DAY: 28}.get(self.frequency, self.frequency.per_year)

    @property
    def set_names(self) -> tuple[str, ...]:
        """The training sets, in the order in which they were named."""
        return tuple(dict.fromkeys(self.sets))

    def source(self, rows: Any = slice(None)) -> IntArray:
        """(n,) numbers in ``set_names`` of the training sets of some months; 0 where there are none."""
        number = [self.set_names.index(name) for name in self.sets] or [0] * len(self.names)
        return np.asarray(np.array(number)[self.member[rows]])

    def in_methods(self, variable: Variable, normal: FloatArray | None) -> TrainingFields:
        """As methods are given values: transformed, and less (12, P) ``normal`` by calendar month; itself if alike."""
        transform = variable.to_methods
        if transform.is_identity:
            return self
        values = transform.forward(np.asarray(self.values, np.float32))
        if normal is not None:
            values -= normal.reshape(12, *self.grid.shape)[np.asarray(self.month) - 1]
        return replace(self, values=values)

    def known(self, rows: Any) -> NDArray[np.float64]:
        """(n, H, W) anomalies of some months, K, NaN where they may not be learned from."""
        values = np.asarray(self.values[rows], dtype=np.float64)
        return values if self.scored is None else np.where(np.asarray(self.scored[rows]), values, np.nan)

    def auxiliary_at(self, rows: Any) -> NDArray[np.float32] | None:
        """(n, V, H, W) of the auxiliary variables in some months; None where there are none."""
        if not self.auxiliary:
            return None
        return np.stack([np.asarray(part[rows], np.float32) for part in self.auxiliary.values()], axis=1)


def normal_of(fields: TrainingFields, variable: Variable) -> NDArray[np.float32] | None:
    """(12, P) mean transformed value of each calendar month; None where the transform is linear.

    The mean of a transformed value is not the transformed mean: a network's patterns are about the former. Cells without
    a value have the mean over all others.
    """
    transform = variable.to_methods
    if transform.kind == "linear":
        return None
    month, normal = np.asarray(fields.month), np.empty((12, fields.grid.area.size), np.float32)
    for number in range(12):
        values = transform.forward(fields.known(np.flatnonzero(month == number + 1))).reshape(-1, normal.shape[1])
        known = np.isfinite(values)
        mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        normal[number] = np.where(known.any(axis=0), mean, values[known].mean() if known.any() else 0.0)
    return normal
