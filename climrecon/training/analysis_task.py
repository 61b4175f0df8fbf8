"""The network with neighbouring months (:class:`climrecon.methods.unet.network.AnalysisUNet`), as recipes train it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from climrecon.array_types import FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.errors import InputDataError
from climrecon.fields import Context, Months
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import forced_pattern, learn_patterns
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.unet.network import AnalysisUNet
from climrecon.methods.unet.reconstructor import AnalysisReconstructor
from climrecon.training.fields import TrainingFields
from climrecon.training.recipes import NativeRecipe
from climrecon.training.samples import SamplePool
from climrecon.training.sequences import BANK, MonthMaskErrorBank, draw_sequences
from climrecon.training.validation_set import ValidationSet

#: Fewest months for patterns.
FEWEST = 24


def learn_full_prior(fields: TrainingFields, rows: IntArray, recipe: NativeRecipe) -> FullPrior:
    """The covariance of ``rows``, or of so many of them as the recipe allows; cells may be missing.

    Raises
    ------
    InputDataError
        If there are fewer than two years of months.
    """
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, recipe.covariance_months).astype(int))]
    if len(rows) < FEWEST:
        raise InputDataError(f"There are {len(rows)} training months; {FEWEST} are needed for covariances.")
    values = np.asarray(fields.values[rows], dtype=np.float64)
    if fields.scored is not None:
        known = np.asarray(fields.scored[rows])
        # What is hardly ever known is taken as its producer filled it: no covariance would be worse.
        rare = known.sum(axis=0) < FEWEST
        values = np.where(known | rare, values, np.nan)
    lacking = int((np.isfinite(values).sum(axis=0) < FEWEST).sum())
    if lacking:
        raise InputDataError(
            f"{lacking} cells are known in fewer than {FEWEST} of {len(rows)} training months, too few for covariances.",
            "Train on fields that cover the globe.",
        )
    rank = min(recipe.rank, fields.grid.area.size)
    trailing = min(recipe.trailing, fields.grid.area.size - rank)
    learned = learn_patterns(
        values,
        np.asarray(fields.month)[rows],
        fields.grid,
        rank + trailing,
        forced=(forced_pattern(values, np.asarray(fields.index)[rows], fields.grid),),
        seasons=recipe.seasons,
    )

    def tensor(part: FloatArray) -> torch.Tensor:
        return torch.as_tensor(part.copy(), dtype=torch.float32)

    return FullPrior(
        tensor(learned.vectors[:, :rank]),
        tensor(learned.vectors[:, rank:]),
        tensor(learned.residual),
        tensor(learned.scale),
        None if learned.seasons is None else tensor(learned.seasons),
    )


def draw_pools(
    network: AnalysisUNet,
    priors: Sequence[FullPrior],
    sets: Sequence[tuple[TrainingFields, IntArray, int, str]],
    masks: MaskSource,
    noise: NoiseSource,
    seed: int,
    misstated: float,
    drawing: Callable[[str, int, int], None] | None,
) -> list[SamplePool]:
    """Samples of each of ``sets``: fields, (N,) fold of each month (below zero: not drawn), number, what they are."""
    size = min(BANK, max(count for _, _, count, _ in sets))
    draws = MonthMaskErrorBank(masks, noise, seed, size, misstated)
    pools = []
    for number, (fields, fold, count, what) in enumerate(sets):
        report = None if drawing is None else (lambda done, total, w=what: drawing(w, done, total))
        chosen = priors if number == 0 else [network.prior]
        pools.append(draw_sequences(network, chosen, fields, fold, draws, count, seed + 1 + number, report))
    return pools


def estimate(network: AnalysisUNet, cases: ValidationSet, grid: Grid, years: int = 2) -> FloatArray:
    """(N, H, W) means of the validation's months, so many of its years at once."""
    method = AnalysisReconstructor("", network, 0.3, 0.0, np.zeros((1, 1)), str(network.area.device))
    starts = np.flatnonzero(np.diff(cases.index // 24, prepend=-1) != 0)[::years]
    parts = [
        method.reconstruct(
            cases.values[part],
            cases.mask[part],
            cases.stated[part],
            cases.month[part],
            Context(grid, Months(cases.index[part])),
        ).mean
        for part in (slice(a, b) for a, b in zip(starts, [*starts[1:], len(cases.truth)], strict=True))
    ]
    return np.concatenate(parts)


def persistence_of(network: AnalysisUNet, cases: ValidationSet, grid: Grid) -> float:
    """Correlation of the error of the global mean from month to month, 0 to 0.95; 0 where it cannot be told."""
    error = np.where(cases.scored, estimate(network, cases, grid) - cases.truth, 0.0)
    series = (error * cases.area).sum((1, 2))
    follows = np.diff(cases.index) == 1
    first, second = series[:-1][follows], series[1:][follows]
    if len(first) < 10 or first.std() == 0 or second.std() == 0:
        return 0.0
    return round(float(np.clip(np.corrcoef(first, second)[0, 1], 0.0, 0.95)), 2)
