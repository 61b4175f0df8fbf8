"""Figures of samples: a few held-out months that stay the same from the first validation to the last."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import IntArray
from climrecon.fields import Auxiliary, Context
from climrecon.grid import Grid
from climrecon.methods.contract import Method
from climrecon.methods.store import as_network, as_reconstructor
from climrecon.output.samples import Sample
from climrecon.tasks.training_data.coverage import Coverage
from climrecon.training.fields import TrainingFields
from climrecon.variables import VARIABLES

#: Months shown.
COUNT = 4
#: While training, drawing takes at most this share of the time.
SHARE = 0.02
#: Of the random streams, so that these errors are nobody else's.
_SHOWN = 77
FILE = "samples.png"


class Samples:
    """``COUNT`` months spread over the validation members, each with adjacent months, seen through masks that score.

    Masks and errors are fixed by the seed, so that figures of one training can be compared. A month's neighbours are
    given too, through the same mask, and auxiliary variables whole: networks that take them are shown as they are used.
    """

    def __init__(self, fields: TrainingFields, gaps: Coverage, seed: int, variable: str = "tas") -> None:
        self.fields, self.gaps, self.seed, self.grid = fields, gaps, seed, fields.grid
        self.variable = VARIABLES[variable]
        spread = np.linspace(0, len(fields) - 1, COUNT + 2).astype(int)[1:-1]
        self.rows = np.unique([_of_season(fields, row, 1 + 3 * n) for n, row in enumerate(spread)])

    def estimated(self, network: Method) -> list[Sample]:
        """The samples as ``network`` estimates them."""
        return [self._sample(number, int(row), network) for number, row in enumerate(self.rows)]

    def _sample(self, number: int, row: int, network: Method) -> Sample:
        fields, grid = self.fields, self.grid
        near = _window(fields, row)
        label = list(self.gaps.scoring)[number % len(self.gaps.scoring)]
        truth = np.asarray(fields.values[near], np.float32)
        scored = np.isfinite(truth)
        if fields.scored is not None:
            scored &= np.asarray(fields.scored[near])
        mask = self.gaps.scoring[label] & scored
        values, stated = np.zeros_like(truth), np.zeros_like(truth)
        for position, at in enumerate(near):
            drawn = self.gaps.noise.draw(np.random.default_rng([self.seed, _SHOWN, number, int(at)]))
            error, sizes = (np.asarray(part).reshape(grid.shape) for part in drawn)
            observed, stated[position] = self.variable.to_methods.observed(truth[position], error, sizes)
            values[position] = np.where(mask[position], observed, np.nan)
        months = fields.time(near)
        auxiliary = fields.auxiliary_at(near)
        if auxiliary is not None:
            network = network.with_auxiliary(Auxiliary(tuple(fields.auxiliary), months.stamps, auxiliary))
        estimate = network.reconstruct(values, mask, stated, months.month, Context(grid, months))
        here = int(np.flatnonzero(near == row)[0])
        return Sample(
            member=fields.names[int(fields.member[row])],
            month=months.labels()[here],
            gaps=label,
            truth=np.where(scored[here], truth[here], np.nan),
            seen=values[here],
            mean=estimate.mean[here],
            rmse=_rmse(estimate.mean[here] - truth[here], grid, scored[here] & ~mask[here]),
        )


def _of_season(fields: TrainingFields, row: int, month: int) -> int:
    """The first row from ``row`` on of a calendar month, so that not all samples are of one season; else ``row``."""
    found = np.flatnonzero(np.asarray(fields.month)[row:] == month)
    return int(row + found[0]) if len(found) else int(row)


def _window(fields: TrainingFields, row: int) -> IntArray:
    """``row`` and those of the months before and after it of the same member, as far as they are there."""
    around = np.arange(max(row - 1, 0), min(row + 2, len(fields)))
    index, member = np.asarray(fields.index), np.asarray(fields.member)
    adjacent = np.abs(index[around] - index[row]) == np.abs(around - row)
    return np.asarray(around[adjacent & (member[around] == member[row])])


def _rmse(error: NDArray[Any], grid: Grid, where: NDArray[np.bool_]) -> float:
    weight = grid.area * where
    return float(np.sqrt((np.where(where, error, 0.0) ** 2 * weight).sum() / max(weight.sum(), 1e-12)))


def shown_while_training(
    samples: Samples, folder: Path, name: str, rows: int, note: Callable[[str], None], variable: str = "tas"
) -> Callable[[int, object], None]:
    """Draws ``samples.png`` in ``folder`` anew after a validation, in at most :data:`SHARE` of the time.

    Parameters
    ----------
    rows:
        Inside a published network.
    """
    from climrecon.plots.training import draw_samples

    began, spent, noted = time.monotonic(), 0.0, False

    def draw(step: int, module: object) -> None:
        nonlocal spent, noted
        now = time.monotonic()
        if noted and spent > SHARE * (now - began):
            return
        obs_sd = VARIABLES[variable].default_obs_sd or 0.0
        network = as_reconstructor(as_network(module), samples.grid, rows, variable=variable, obs_sd=obs_sd)
        draw_samples(samples.grid, samples.estimated(network), f"{name}, step {step}", variable).save(folder / FILE)
        spent += time.monotonic() - now
        if not noted:
            noted = True
            note(f"{len(samples.rows)} validation fields are drawn anew as it learns: {folder / FILE}")

    return draw
