"""What an estimated value owes to its observations: contributions, what changes without them, and what each is worth.

Works for any method: exact where it has a Gaussian model, with gradients where it offers them, else by leaving
observations out one after the other (:meth:`climrecon.methods.contract.Method.influence`).

Shapes: N months that the estimate depends on, H x W cells, G groups of observed cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.fields import Context, Estimate, Influence, Observations, Steps
from climrecon.grid import BLOCK_DEGREES, Grid
from climrecon.methods import checked
from climrecon.methods.contract import GaussianMonth, Method

#: Blocks along the longer side of a regional grid, as many as rows of blocks on the globe: their map shows where a value
#: comes from. :func:`climrecon.scores.withheld.block_size` has another rule: a fold makes gaps, in which few withheld
#: cells may have an observed neighbour, so its blocks are as large as leaves several to draw from.
BLOCKS_OF_REGION = 9
#: Observed cells that are left out one by one; of more, whole blocks are.
MOST_ALONE = 1000
#: Months of a method's input at a time, and how far estimates of equal observations may differ, in units of the value's
#: size, where their dates differ.
AT_ONCE, SAME = 96, 1e-3


@dataclass(frozen=True)
class Window:
    """The months that the estimate of one month depends on, on the method's grid; see ``Method.reconstruct``.

    Attributes
    ----------
    position:
        Of the month that is explained.
    """

    values: FloatArray
    mask: BoolArray
    obs_sd: FloatArray | None
    time: Steps
    grid: Grid
    position: int

    @classmethod
    def of(cls, observations: Observations, at: int, method: Method) -> Window:
        """Month ``at`` of the observations, with the neighbours that ``method`` takes."""
        # Neighbours by date: a month may be absent.
        near = np.abs(observations.time.index - observations.time.index[at]) <= method.capabilities.neighbour_months
        some = observations.select(near)
        return cls(some.values, some.mask, some.obs_sd, some.time, some.grid, int(near[:at].sum()))

    @property
    def seen(self) -> BoolArray:
        """(H, W) observed cells of the month."""
        return np.asarray(self.mask[self.position])

    def estimate(self, method: Method) -> Estimate:
        """The estimate of all these months, as a reconstruction has it."""
        context = Context(self.grid, self.time)
        return checked.reconstruct(method, self.values, self.mask, self.obs_sd, self.time.month, context)

    def value_of(self, estimate: Estimate, target: FloatArray) -> float:
        """The sum of (H, W) ``target`` times the month's mean."""
        return float((estimate.mean[self.position] * target).sum(dtype=np.float64))

    def value(self, method: Method, target: FloatArray) -> float:
        """The sum of (H, W) ``target`` times the estimate, as a reconstruction has it."""
        return self.value_of(self.estimate(method), target)

    def influence(self, method: Method, target: FloatArray) -> Influence | None:
        """See :meth:`climrecon.methods.contract.Method.influence`."""
        context = Context(self.grid, self.time)
        return method.influence(self.values, self.mask, self.obs_sd, self.time.month, context, self.position, target)

    def gaussian(self, method: Method) -> GaussianMonth | None:
        """See :meth:`climrecon.methods.contract.Method.gaussian`."""
        obs_sd = None if self.obs_sd is None else self.obs_sd[self.position]
        context = Context(self.grid, self.time)
        return method.gaussian(self.seen, obs_sd, int(self.time.month[self.position]), context)

    def without(
        self,
        method: Method,
        target: FloatArray,
        groups: Sequence[IntArray],
        progress: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """(G,) change of the value that each group of the month's cells makes, by estimating again without the group.

        Several estimates are made in one call, with later dates of the same calendar month. A method whose estimate
        depends on the date itself is called for each with the true one.
        """
        reference = self.value(method, target)
        if not groups:
            return np.empty(0)
        masks = np.repeat(self.mask[None], len(groups), axis=0)
        for number, group in enumerate(groups):
            masks[number, self.position].reshape(-1)[group] = False
        per_call = max(AT_ONCE // len(self.time), 2)
        found: list[float] = []
        dates_count = self.time.frequency.months == 0
        for first in range(0, len(groups), per_call - 1):
            some = masks[first : first + per_call - 1]
            if not dates_count:
                # The last one has all observations: its value shows whether the date matters.
                shifts = np.arange(1, len(some) + 2) * self._apart
                index = (self.time.index[None] + shifts[:, None]).reshape(-1)
                *without, same = self._values(method, target, np.concatenate([some, self.mask[None]]), index)
                dates_count = abs(same - reference) > SAME * max(abs(reference), float(np.abs(target).sum()))
            if dates_count:
                without = [self._values(method, target, one[None], self.time.index)[0] for one in some]
            found += [reference - value for value in without]
            if progress:
                progress(len(found), len(groups))
        return np.array(found)

    @property
    def _apart(self) -> int:
        """Steps to the same calendar month years later, farther than any neighbour."""
        year = self.time.frequency.per_year
        return year * (2 + len(self.time) // year)

    def _values(self, method: Method, target: FloatArray, masks: BoolArray, index: IntArray) -> list[float]:
        """Values for (G, N, H, W) masks of these months, dated ``index`` (G * N,)."""
        count = len(masks)

        def repeated(one: FloatArray) -> FloatArray:
            return np.concatenate([one] * count)

        time = replace(self.time, index=index)
        month = np.concatenate([self.time.month] * count)
        obs_sd = None if self.obs_sd is None else repeated(self.obs_sd)
        mask = masks.reshape(-1, *self.grid.shape)
        estimate = checked.reconstruct(method, repeated(self.values), mask, obs_sd, month, Context(self.grid, time))
        fields = estimate.mean[self.position :: len(self.time)]
        return [float(value) for value in (fields * target).sum(axis=(1, 2), dtype=np.float64)]


def blocks_left_out(grid: Grid) -> list[Grid]:
    """The blocks that cells are left out in, as grids of their cells."""
    height, width = (float(edges[-1] - edges[0]) for edges in (grid.lat_edges, grid.lon_edges))
    size = BLOCK_DEGREES if grid.is_global else max(height, width) / BLOCKS_OF_REGION
    rows, columns = map(_runs, grid.blocks(size))
    return [Grid(grid.lat_edges[r], grid.lon_edges[c]) for r in rows for c in columns]


def _runs(number: IntArray) -> list[slice]:
    """Slices of edges, each with the borders of the cells of one block, by the block of each cell."""
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    return [slice(a, b + 1) for a, b in zip(starts, np.append(starts[1:], len(number)), strict=True)]


def cells_within(grid: Grid, block: Grid) -> IntArray:
    """Flat indices of the cells of ``grid`` in ``block``."""
    row = (grid.lat > block.lat_edges[0]) & (grid.lat < block.lat_edges[-1])
    column = (grid.lon > block.lon_edges[0]) & (grid.lon < block.lon_edges[-1])
    return np.flatnonzero(row[:, None] & column[None, :])


def by_occlusion(
    window: Window, method: Method, target: FloatArray, progress: Callable[[int, int], None] | None = None
) -> Influence:
    """Contributions of a method without gradients: what changes without each observed cell.

    Of more than :data:`MOST_ALONE` observed cells, whole blocks are left out, and the cells of a block share its change.
    """
    cells = np.flatnonzero(window.seen)
    groups: list[IntArray] = [cells[n : n + 1] for n in range(len(cells))]
    if len(cells) > MOST_ALONE:
        groups = [np.intersect1d(cells_within(window.grid, block), cells) for block in blocks_left_out(window.grid)]
        groups = [group for group in groups if len(group)]
    changes = window.without(method, target, groups, progress)
    contributions = np.zeros(window.values.shape)
    for group, change in zip(groups, changes, strict=True):
        contributions[window.position].reshape(-1)[group] = change / len(group)
    return Influence(contributions, None, 0.0, window.value(method, target), "occlusion")
