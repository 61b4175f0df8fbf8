"""The contract of a method: whatever turns observations into an estimate of complete fields.

A method of another package needs three things:

1. a class derived from :class:`Method` with ``name``, ``capabilities`` and :meth:`Method.reconstruct`; the other methods
   have defaults that do nothing, and are overridden where there is something to do;
2. a callable without arguments that makes one (the class itself, say), named in the entry-point group
   ``climrecon.methods`` of the package's metadata::

       [project.entry-points."climrecon.methods"]
       nearest = "my_package:Nearest"

3. a docstring of that callable, whose first line stands for the method in lists and reports.

``climrecon reconstruct --network nearest`` and ``climrecon evaluate --network nearest`` then use it by its name::

    class Nearest(Method):
        "Value of the nearest observed cell."

        name = "nearest"
        capabilities = Capabilities(uses_observation_errors=False, gives_spread=False)

        def reconstruct(self, values, mask, obs_sd, month, context):
            return Estimate(mean=...)

Shapes: T months, M members, H x W cells; ``mask`` is True where observed. Anomalies of temperatures are in K, those of
another variable transformed to the same size (:mod:`climrecon.methods.transformed`), so that constants hold for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.fields import Auxiliary, Context, Estimate, Influence, Observations
from climrecon.grid import Grid
from climrecon.methods.gaussian import GaussianMonth

__all__ = ["Auxiliary", "Capabilities", "Context", "Estimate", "GaussianMonth", "Influence", "Method", "Observations"]


@dataclass(frozen=True)
class Capabilities:
    """Properties of a method that decide how it is applied and how its results are described.

    Attributes
    ----------
    uses_observation_errors:
        Whether the estimate depends on the errors of the observations that a data set states (``obs_sd``).
    gives_spread:
        Whether the estimate has a standard deviation.
    neighbour_months:
        Steps (months) before and after a month that its estimate depends on; they are given with each chunk.
    draws_depend_on_date_only:
        Whether the noise of a realisation depends on seed and date alone; else each chunk has a seed of its own.
    parallel_chunks:
        Whether several threads may estimate chunks of months at the same time.
    members_at_once:
        Members of an ensemble of the observations that :meth:`Method.same_mask_means` is given together.
    native_grid:
        The grid the method works on; None: that of the observations, unless it is too fine.
    variable:
        The variable whose fields the method learned; None: it takes any.
    frequency:
        The time frequency of these fields, e.g. ``mon``; None: it takes any.
    most_cells:
        Cells of a regional grid that the method can work on; finer grids are coarsened.
    """

    uses_observation_errors: bool
    gives_spread: bool
    neighbour_months: int = 0
    draws_depend_on_date_only: bool = False
    parallel_chunks: bool = False
    members_at_once: int = 1
    native_grid: Grid | None = None
    variable: str | None = None
    frequency: str | None = None
    most_cells: int = 5000

    def seed_at(self, seed: int, start: int) -> int:
        """Seed of the chunk from position ``start`` on: a longer record begins with the same fields."""
        return seed if self.draws_depend_on_date_only else seed + start


class Method(ABC):
    """A trained network or a baseline: both are applied in the same way.

    Attributes
    ----------
    name:
        For messages and file names.
    """

    name: str

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the method can do; a class attribute does."""

    @abstractmethod
    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Estimate the complete fields.

        Parameters
        ----------
        values:
            (T, H, W) anomalies; values where ``mask`` is False are ignored, and may be NaN.
        mask:
            (T, H, W) True where observed.
        obs_sd:
            (T, H, W) one-sigma errors of the observations, NaN where none is stated; None: none is stated at all.
        month:
            (T,) calendar months 1..12.
        context:
            Grid and time axis.
        """

    def calibrate(self, observations: Observations) -> str:
        """Fit the method's own numbers to all months of a data set, before any is estimated.

        Returns
        -------
        A sentence on the fit for notes and reports; "" where nothing was fitted.
        """
        return ""

    def observation_sd(self, obs_sd: FloatArray | None, shape: tuple[int, ...]) -> FloatArray | None:
        """(T, H, W) one-sigma errors of observed cells that the method works with; None: the stated ones.

        Parameters
        ----------
        obs_sd:
            As of :meth:`reconstruct`.
        shape:
            (T, H, W).
        """
        return None

    def with_auxiliary(self, auxiliary: Auxiliary | None) -> Method:
        """A method with these auxiliary variables; the method itself where it takes none."""
        return self

    def same_mask_means(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> FloatArray:
        """(M, T, H, W) means of M members (M, T, H, W) of the observations with one (T, H, W) mask.

        Overridden by methods that estimate several members in less time than one after the other; see
        ``members_at_once`` of :class:`Capabilities`.
        """
        return np.stack([self.reconstruct(one, mask, obs_sd, month, context).mean for one in values])

    def gaussian(
        self, mask: BoolArray, obs_sd: FloatArray | None, month: int, context: Context
    ) -> GaussianMonth | None:
        """The Gaussian model of one month whose best linear estimate this method is, or begins with; None: there is none.

        Parameters
        ----------
        mask, obs_sd:
            (H, W), as of :meth:`reconstruct`; at least one cell is observed.
        month:
            Calendar month, 1..12.
        """
        return None

    def influence(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
        position: int,
        target: FloatArray,
    ) -> Influence | None:
        """What each observation contributes to a weighted sum of estimated cells; None: the method offers no gradients.

        Exact weights where :meth:`gaussian` gives the whole method. Overridden by methods that are not linear.

        Parameters
        ----------
        values, mask, obs_sd, month, context:
            The months that the estimate depends on, as of :meth:`reconstruct`.
        position:
            Of the month whose estimate is explained.
        target:
            (H, W) weights of its cells.
        """
        stated = None if obs_sd is None else obs_sd[position]
        model = self.gaussian(mask[position], stated, int(month[position]), context)
        if model is None:
            return None
        flat = target.reshape(-1).astype(np.float64)
        weights = np.zeros(values.shape)
        weights[position].reshape(-1)[model.cells] = model.weights(flat)
        contributions = weights * np.where(mask, values, 0.0)
        return Influence(
            contributions,
            weights,
            0.0,
            float(contributions.sum()),
            "exact",
            without=lambda groups: model.without(flat, values[position].reshape(-1), groups)[0],
        )
