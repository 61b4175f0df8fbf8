"""The arrays that pass between the layers: observations, and estimates of complete fields.

Words: ``T`` time, ``M`` realisation, ``H`` latitude (south to north), ``W`` longitude (from -180);
``mask`` is True where **observed**; values, errors and spreads are in the units of their
variable. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.grid import Grid
from climrecon.steps import Months, Steps

__all__ = ["Auxiliary", "Context", "Estimate", "Influence", "Months", "Observations", "Source", "Steps"]


@dataclass(frozen=True)
class Source:
    """Origin of observations and form of their file, which the result's file shares.

    ``lat`` and ``lon`` are the file's coordinate values in the file's order; ``dtype`` is
    the unpacked dtype of its variable; ``infilled`` is why its gaps seem to be filled, "" if they do not. ``warnings``
    are those of ``notes`` that the user should look at.
    """

    dataset: str
    version: str
    files: tuple[str, ...]
    sha256: tuple[str, ...]
    variable_in_file: str
    title: str = ""
    institution: str = ""
    references: str = ""
    history: str = ""
    blended: bool = False
    lat: FloatArray = field(default_factory=lambda: np.empty(0))
    lon: FloatArray = field(default_factory=lambda: np.empty(0))
    dtype: str = "float32"
    calendar: str = "standard"
    facets: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    infilled: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Dataset with its version, as in file names: ``HadCRUT.5.0.2.0``."""
        return f"{self.dataset}.{self.version}" if self.version else self.dataset

    def warned(self, *warnings: str) -> Source:
        """With ``warnings`` among its notes; empty ones are left out."""
        new = tuple(filter(None, warnings))
        return replace(self, notes=(*self.notes, *new), warnings=(*self.warnings, *new))


@dataclass(frozen=True)
class Observations:
    """Gappy anomalies on a regular grid.

    Attributes
    ----------
    values:
        (T, H, W) anomalies, NaN where missing, in the unpacked dtype of their file.
    mask:
        (T, H, W) True where observed.
    obs_sd:
        (T, H, W) one-sigma error of the observed cells, or None where the file has none.
    time, grid:
        The axes.
    reference_period:
        First and last year of the climatology the anomalies refer to; None if unknown.
    source:
        Where they came from.
    """

    variable: str
    values: FloatArray
    mask: BoolArray
    obs_sd: FloatArray | None
    time: Steps
    grid: Grid
    reference_period: tuple[int, int] | None
    source: Source

    def select(self, keep: BoolArray) -> Observations:
        """The steps where ``keep`` (T,) is True."""
        return replace(
            self,
            values=self.values[keep],
            mask=self.mask[keep],
            obs_sd=None if self.obs_sd is None else self.obs_sd[keep],
            time=self.time[keep],
        )


@dataclass(frozen=True)
class Auxiliary:
    """Auxiliary variables of a network, as anomalies in the network's units.

    Attributes
    ----------
    variables:
        V names.
    index:
        (T,) :attr:`climrecon.steps.Steps.stamps` (months since 0000-01), strictly increasing: days meet in any calendar.
    values:
        (T, V, H, W) on the network's grid, NaN where not observed.
    """

    variables: tuple[str, ...]
    index: IntArray
    values: FloatArray

    def at(self, index: IntArray, variables: tuple[str, ...]) -> FloatArray:
        """(N, V', H, W) float32 of ``variables`` at the stamps (N,) ``index``; NaN where not observed."""
        values = np.full((len(index), len(variables), *self.values.shape[2:]), np.nan, np.float32)
        position = np.searchsorted(self.index, index).clip(max=max(len(self.index) - 1, 0))
        there = self.index[position] == index if len(self.index) else np.zeros(len(index), bool)
        for number, name in enumerate(variables):
            if name in self.variables:
                values[there, number] = self.values[position[there], self.variables.index(name)]
        return values


@dataclass(frozen=True)
class Context:
    """Grid and time axis of the values that a method is given."""

    grid: Grid
    time: Steps


@dataclass(frozen=True)
class Estimate:
    """Complete fields and their uncertainty.

    Attributes
    ----------
    mean:
        (T, H, W) float32; finite everywhere.
    stddev:
        (T, H, W) posterior standard deviation of the true field; None if the method gives none.
    prior_stddev:
        (T, H, W) or (H, W) or broadcastable: the standard deviation about the month's own mean
        before any observation was seen; cells with ``stddev**2 / prior_stddev**2 > 0.75`` have no skill.
    sample:
        ``sample(n, seed) -> (n, T, H, W)`` realisations with the right spatial correlation, or None.
    area_mean_sd:
        ``area_mean_sd(weights (H, W)) -> (T,)`` standard deviation of the weighted mean, or None. Never
        from summed cell variances: errors are correlated in space.
    observational_stddev:
        (T, H, W) the part of ``stddev`` due to the spread of an ensemble of the observations; None without one,
        see :mod:`climrecon.methods.observation_ensemble`.
    """

    mean: FloatArray
    stddev: FloatArray | None = None
    prior_stddev: FloatArray | None = None
    sample: Callable[[int, int], FloatArray] | None = None
    area_mean_sd: Callable[[FloatArray], FloatArray] | None = None
    observational_stddev: FloatArray | None = None

    def months(self, part: slice) -> Estimate:
        """The estimate of some of its months."""
        sample, area_mean_sd, observational = self.sample, self.area_mean_sd, self.observational_stddev
        return Estimate(
            mean=self.mean[part],
            stddev=None if self.stddev is None else self.stddev[part],
            prior_stddev=None if self.prior_stddev is None else self.prior_stddev[part],
            sample=None if sample is None else lambda count, seed: sample(count, seed)[:, part],
            area_mean_sd=None if area_mean_sd is None else lambda weights: area_mean_sd(weights)[part],
            observational_stddev=None if observational is None else observational[part],
        )


@dataclass(frozen=True)
class Influence:
    """What each observation contributes to the weighted sum of a month's estimated cells.

    Attributes
    ----------
    contributions:
        (N, H, W) of each observed cell in each of N months that the estimate depends on, 0 elsewhere. Their sum and
        ``at_climatology`` are ``value``, except of ``occlusion``.
    weights:
        (N, H, W) contributions by unit of the observed anomaly, without units; None where the method gives none.
    at_climatology:
        Value for the same mask without anomalies: the part that no observation contributes.
    value:
        The value explained, of equations that are solved exactly. A reconstruction solves them as closely as its standard
        deviation asks for.
    how:
        ``exact``: a linear method's weights; ``gradients``: gradients along the path from the climatology to the
        observations (integrated gradients); ``occlusion``: the change without each cell, or block of cells, in turn.
    steps:
        Of the path; 0 where there is none.
    without:
        ``without(groups) -> (G,)`` change of the value that each group of the month's observed cells makes, flat indices:
        with all observations less without the group. None: the method has to estimate again for each.
    """

    contributions: FloatArray
    weights: FloatArray | None
    at_climatology: float
    value: float
    how: str
    steps: int = 0
    without: Callable[[Sequence[IntArray]], FloatArray] | None = None
