"""A small benchmark set, and submissions to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.benchmark_set.card import MEMBERS, STDDEV, VALUES, SetCard
from climrecon.benchmark_set.files import write_fields
from climrecon.fields import Steps
from climrecon.scores.masked_truth import MaskedTruth

ATTRIBUTES = {"method": "made", "authors": "A. Author", "training_data": "none", "cpu_hours": "0.5"}
#: (known truth, observed values) -> fields of a submission.
Maker = Callable[[MaskedTruth, np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class SmallSet:
    """A set of 36 months a case, as many as the grid has rows: swapped axes must not be found by their lengths alone."""

    folder: Path
    card: SetCard
    known: dict[str, MaskedTruth]
    values: dict[str, np.ndarray]

    @property
    def time(self) -> Steps:
        return next(iter(self.known.values())).time

    def submit(self, folder: Path, make: Maker, **attributes: Any) -> Path:
        """Write a submission of the fields that ``make`` gives."""
        for name, known in self.known.items():
            fields = make(known, self.values[name])
            write_fields(folder / f"{name}.nc", known.time, fields, {**ATTRIBUTES, **attributes})
        return folder


def truth(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
    """A copied truth."""
    return {VALUES: known.truth, STDDEV: np.full(known.truth.shape, 0.1, np.float32)}


def zeros(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
    """The climatology, with its standard deviation."""
    return {VALUES: np.zeros(known.truth.shape, np.float32), STDDEV: np.full(known.truth.shape, 0.8, np.float32)}


def fair(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
    """An estimate with errors of 0.4 K in waves around the globe, and the standard deviation of these errors."""
    rng = np.random.default_rng(known.time.index[0])
    phase, months = np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False), len(known.truth)
    shift = rng.uniform(0, 2.0 * np.pi, (months, 36, 1))
    error = 0.4 * np.sqrt(2.0) * np.sin(3.0 * phase + shift)
    return {VALUES: (known.truth + error).astype(np.float32), STDDEV: np.full(known.truth.shape, 0.4, np.float32)}


def with_members(known: MaskedTruth, values: np.ndarray, count: int = 12) -> dict[str, np.ndarray]:
    """As :func:`fair`, with draws whose errors are those of its standard deviation."""
    fields = fair(known, values)
    draws = fields[VALUES] + 0.4 * np.random.default_rng(8).standard_normal((count, *known.truth.shape))
    return {**fields, MEMBERS: draws.astype(np.float32)}
