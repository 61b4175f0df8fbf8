"""Other climates: the forced responses of the training runs and of models, how far they go, and samples taken there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.errors import InputDataError
from climrecon.frequency import MONTH, Frequency
from climrecon.grid import Grid
from climrecon.methods.priors.forced import ForcedResponses, none_on, response_of
from climrecon.training.amplitudes import Amplitudes, Climates, fit_amplitudes
from climrecon.training.fields import TrainingFields
from climrecon.training.rarely_known import with_neighbours
from climrecon.training.recipe_settings import UNetRecipe
from climrecon.training.source_weights import month_weights, spread_over_sets

#: Runs from which on they count as models among models.
FEWEST_MODELS = 4
#: Standard deviation, K of the global mean, of a warming along a record's own response. Not by likelihood: thirds of a
#: record determine no response. It costs 0.0004 K in the climate that was learned from, and is what carries into a colder
#: one (lab log 19).
OWN_AMPLITUDE = 1.0
#: Months of a record count as well observed where it knows this share of the area; its own response is theirs, if they
#: are of so many years. GISTEMP knows 93-98 % until 1955, and its response since 1930 is as far from that since 1956 as
#: the models' mean is.
WELL_OBSERVED, FEWEST_WELL_OBSERVED_YEARS = 0.98, 15
#: What tells the random stream of a sample's climate from that of its gaps and errors.
STREAM = 2


@dataclass(frozen=True)
class Forcing:
    """Forced responses, their amplitudes, and the climates that samples are taken to.

    Attributes
    ----------
    runs, models:
        Responses of the runs that are trained on, and of models. Few runs together with models are records of
        observations or reanalyses, and the own response of each is a further direction. Many runs are models among
        models.
    """

    runs: ForcedResponses
    models: ForcedResponses
    amplitudes: Amplitudes
    climates: Climates

    @property
    def responses(self) -> ForcedResponses:
        """All of them."""
        return self.runs + self.models

    def directions(self) -> NDArray[np.float64]:
        """(F, 12, P) K, for :func:`climrecon.methods.priors.covariance.learn_patterns`."""
        sources = compared(self.runs, self.models)
        found = sources.directions(self.amplitudes.mean, self.amplitudes.differences)
        if sources is not self.models:
            return found
        own = [self.runs.without([other for other in self.runs.names if other != name]) for name in self.runs.names]
        return np.concatenate([found, *(one.directions(self.amplitudes.own, 0.0) for one in own)])

    def change(self, seed: int, number: int, index: IntArray) -> FloatArray:
        """(T, P) K: how the months ``index`` since 0000-01 of a sample differ in the climate that it is taken to."""
        rng = np.random.default_rng([seed, number, STREAM])
        warming, which = self.climates.draw(rng, 1, self.responses)
        if not warming[0]:
            return np.zeros((len(index), self.responses.area.size), np.float32)
        return np.asarray(warming[0] * self.responses.patterns[which[0], np.asarray(index) % 12], np.float32)

    def card(self) -> dict[str, Any]:
        """For a card."""
        return {
            "sources": list(self.responses.names),
            "amplitude_of_mean_K": self.amplitudes.mean,
            "amplitude_of_differences_K": self.amplitudes.differences,
            "amplitude_of_own_K": self.amplitudes.own,
            "share_of_samples_in_other_climates": self.climates.share,
            "climates_K": [self.climates.coldest, self.climates.warmest],
        }


def compared(runs: ForcedResponses, models: ForcedResponses) -> ForcedResponses:
    """The sources whose mean and differences are directions: the models where the runs are few, else all."""
    return models if len(models) and len(runs) < FEWEST_MODELS else runs + models


def forces(recipe: UNetRecipe, frequency: Frequency) -> bool:
    """Whether a network has forced responses: patterns of the twelve calendar months of its variable."""
    return recipe.forced and frequency == MONTH


def no_forcing(grid: Grid) -> Forcing:
    """Nothing is known of other climates."""
    return Forcing(none_on(grid), none_on(grid), Amplitudes(), Climates(0.0))


def forcing_of(
    recipe: UNetRecipe,
    fields: TrainingFields,
    models: ForcedResponses | None,
    masks: MaskSource,
    seed: int,
    *,
    continues: bool = False,
) -> Forcing:
    """The forcing of a training: responses of its runs and of ``models``, amplitudes as the recipe wants them.

    ``continues``: a network is gone on from, whose covariance stays; there are no amplitudes then.
    """
    if not forces(recipe, fields.frequency):
        return no_forcing(fields.grid)
    models = models or none_on(fields.grid)
    climates = Climates(recipe.climates, recipe.coldest, recipe.warmest)
    runs = responses_of_runs(fields)
    if continues or not len(runs + models):
        return Forcing(runs, models, Amplitudes(), climates)
    own = OWN_AMPLITUDE if len(runs) and compared(runs, models) is models else 0.0
    if recipe.amplitudes:
        mean, differences = recipe.amplitudes
        return Forcing(runs, models, Amplitudes(mean, differences, own), climates)
    rows = spread_over_sets(fields, np.arange(len(fields)), recipe.covariance_months)

    def known(keep: BoolArray) -> ForcedResponses:
        return compared(responses_of_runs(fields, rows[keep]), models)

    index = np.asarray(fields.index)[rows]
    fitted = fit_amplitudes(
        fields.known(rows), index, fields.grid, known, masks, climates, seed,
        judging=fields.source(rows) == 0, weights=month_weights(fields, rows),
    )  # fmt: skip
    return Forcing(runs, models, replace(fitted, own=own), climates)


def responses_of_runs(fields: TrainingFields, rows: IntArray | None = None) -> ForcedResponses:
    """The forced response of each model among the runs, a mean over its runs; of runs that determine one.

    Rarely known cells take their neighbours' response, as in covariances; a run with too many has none. Where months of a
    run have gaps, the well observed ones are used if they determine a response.

    Parameters
    ----------
    rows:
        Months that are used; None: all.
    """
    chosen = np.arange(len(fields)) if rows is None else rows
    member = np.asarray(fields.member)[chosen]
    found: dict[str, list[NDArray[np.float64]]] = {}
    for number, name in enumerate(fields.names):
        months = chosen[member == number]
        if not len(months):
            continue
        try:
            values = with_neighbours(fields.known(months), fields.grid)
        except InputDataError:
            continue
        index = np.asarray(fields.index)[months]
        well = np.isfinite(values).reshape(len(values), -1) @ fields.grid.area.reshape(-1) >= WELL_OBSERVED
        pattern = response_of(values[well], index[well], fields.grid, FEWEST_WELL_OBSERVED_YEARS)
        if pattern is None:
            pattern = response_of(values, index, fields.grid)
        if pattern is not None:
            found.setdefault(name.split()[0], []).append(pattern)
    none = none_on(fields.grid)
    if not found:
        return none
    return ForcedResponses(tuple(found), np.stack([np.mean(runs, axis=0) for runs in found.values()]), none.area)
