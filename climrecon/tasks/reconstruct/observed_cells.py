"""Observed cells that are kept: their error, and their values in a realisation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.errors import InputDataError
from climrecon.fields import Observations
from climrecon.methods import checked
from climrecon.preprocess import FileGrid
from climrecon.tasks.methods import LoadedMethod
from climrecon.tasks.reconstruct.ensemble import Ensemble
from climrecon.variables import VARIABLES

#: Separates the stream of kept cells' errors from all others of the same seed.
_STREAM = 11


def observed_cell_sd(
    observations: Observations, on_network: Observations, method: LoadedMethod, back: FileGrid
) -> FloatArray:
    """(T, H, W) uncorrelated error of kept cells, K: as the network uses it, else as stated; never zero.

    Raises
    ------
    InputDataError
        If the data set states no error, and neither the network's card nor the variable's description has a default.
    """
    stated = None if on_network.obs_sd is None else np.where(on_network.mask, on_network.obs_sd, np.nan)
    used = checked.observation_sd(method.reconstructor, stated, on_network.values.shape)
    if used is not None:
        return back.to_native_grid(used).astype(np.float32)
    sd = np.zeros(observations.values.shape) if observations.obs_sd is None else observations.obs_sd
    known = np.isfinite(sd) & (sd > 0)
    default = method.network.card.default_obs_sd if method.network else None
    default = default or VARIABLES[observations.variable].default_obs_sd
    if default is None and not known[observations.mask].all():
        raise InputDataError(
            f"No error of observed cells of {observations.variable} is stated, and none is known to assume.",
            "Use keep_observed=false.",
        )
    return np.where(known, sd, np.float32(default or np.nan)).astype(np.float32)


def with_observed_cells(
    draws: Iterator[FloatArray], observations: Observations, sd: FloatArray, ensemble: Ensemble | None, seed: int
) -> Iterator[FloatArray]:
    """Realisations in which observed cells are kept, each with an error of its own.

    Realisation k has, where cells were observed, the values of member k modulo M (of the observations, without an
    ensemble) and a draw of the uncorrelated error, which depends on seed, realisation and date alone.

    Parameters
    ----------
    draws:
        (T, H, W) of the analysis, K.
    sd:
        (T, H, W) uncorrelated error, K.
    """
    for number, draw in enumerate(draws):
        values = observations.values if ensemble is None else ensemble.own[number % len(ensemble)]
        field = np.array(draw)
        for position, date in enumerate(observations.time.index):
            seen = observations.mask[position]
            rng = np.random.default_rng([seed, _STREAM, number, int(date)])
            error = rng.standard_normal(seen.shape)[seen] * sd[position][seen]
            field[position][seen] = values[position][seen] + error
        yield field
