"""Changes from one release to the next: new months, input cells, the reconstruction, the global mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray
from climrecon.watch.results import Result, month_labels

#: Cells of the input: as before, of another value, newly observed, no longer observed.
SAME, CORRECTED, APPEARED, GONE = 0, 1, 2, 3
MEANINGS = ("same", "corrected", "appeared", "gone")
#: Values that differ by less, K, are the same in another number of digits.
EQUAL = 1e-5


@dataclass(frozen=True)
class Changes:
    """A release compared with the one before it, on the months they share.

    Attributes
    ----------
    new, previous:
        The two; ``previous`` is None for the first release, or where the grid is another.
    here, there:
        (N,) positions of the N common months in either.
    added, lost:
        Months of one alone.
    input_status:
        (N, H, W) int8, see :data:`MEANINGS`; None if the earlier input is not known.
    input_change, field_change:
        (N, H, W) K; the former NaN where a cell is not observed in both.
    mean_change:
        (N,) change of the global mean, K.
    """

    new: Result
    previous: Result | None
    here: NDArray[np.int64]
    there: NDArray[np.int64]
    added: NDArray[np.int64]
    lost: NDArray[np.int64]
    input_status: NDArray[np.int8] | None
    input_change: FloatArray | None
    field_change: FloatArray
    analysis_change: FloatArray
    mean_change: FloatArray

    @property
    def months(self) -> NDArray[np.int64]:
        """(N,) the common months."""
        return self.new.months[self.here]

    @property
    def touched(self) -> BoolArray | None:
        """(N,) whether a month's input changed anywhere."""
        return None if self.input_status is None else (self.input_status != SAME).any((1, 2))

    @property
    def rms(self) -> FloatArray:
        """(N,) area-weighted RMS change of the reconstruction, K."""
        return np.asarray(np.sqrt((self.field_change.astype(np.float64) ** 2 * self.new.area).sum((1, 2))))

    def counts(self) -> dict[str, int]:
        """Number of cells of each input status."""
        if self.input_status is None:
            return {}
        return {name: int((self.input_status == k).sum()) for k, name in enumerate(MEANINGS)}


def compare(new: Result, previous: Result | None) -> Changes:
    """Compare two releases, month by month."""
    comparable = previous if previous is not None and new.same_grid(previous) else None
    before = comparable.months if comparable is not None else np.empty(0, dtype=np.int64)
    _, here, there = np.intersect1d(new.months, before, return_indices=True)
    shape = (len(here), *new.area.shape)
    status = change = None
    field = analysis = np.zeros(shape, np.float32)
    means = np.zeros(len(here))
    if comparable is not None:
        field = new.field[here] - comparable.field[there]
        analysis = new.analysis[here] - comparable.analysis[there]
        means = new.global_mean[here] - comparable.global_mean[there]
        if new.observed is not None and comparable.observed is not None:
            status, change = _compare_input(new.observed[here], comparable.observed[there])
    added, lost = np.setdiff1d(new.months, before), np.setdiff1d(before, new.months)
    return Changes(new, comparable, here, there, added, lost, status, change, field, analysis, means)


def _compare_input(now: FloatArray, before: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    change = now.astype(np.float64) - before.astype(np.float64)
    observed, was_observed = np.isfinite(now), np.isfinite(before)
    status = np.zeros(now.shape, np.int8)
    status[observed & was_observed & (np.abs(change) > EQUAL)] = CORRECTED
    status[observed & ~was_observed] = APPEARED
    status[~observed & was_observed] = GONE
    return status, change


def summary(changes: Changes) -> dict[str, Any]:
    """The figures of a comparison, for the state, the report and a notification."""
    labels = changes.new.labels
    touched = changes.touched
    largest = int(np.argmax(np.abs(changes.mean_change))) if len(changes.here) else None
    return {
        "previous": changes.previous.name if changes.previous else None,
        "months": len(changes.new.months),
        "first": labels[0],
        "last": labels[-1],
        "new_months": month_labels(changes.added) if changes.previous else [],
        "lost_months": month_labels(changes.lost),
        "common_months": len(changes.here),
        "changed_months": None if touched is None else int(touched.sum()),
        "cells": changes.counts(),
        "largest_input_change": _largest(changes.input_change),
        "largest_field_change": _largest(changes.field_change),
        "mean_rms": float(changes.rms.mean()) if len(changes.here) else None,
        "largest_mean_change": None if largest is None else float(changes.mean_change[largest]),
        "largest_mean_change_month": None if largest is None else labels[int(changes.here[largest])],
    }


def _largest(values: FloatArray | None) -> float | None:
    if values is None or not values.size or not np.isfinite(values).any():
        return None
    return float(np.nanmax(np.abs(values)))
