"""A finished reconstruction, before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.fields import Observations
from climrecon.frequency import DAY
from climrecon.grid import Grid
from climrecon.memory import blocks_of
from climrecon.output.error_budget import ErrorBudget
from climrecon.preprocess.climatology import Climatology
from climrecon.variables import VARIABLES

OBSERVED, RECONSTRUCTED, NO_SKILL, OUTSIDE, NO_DOMAIN = 1, 2, 3, 4, 5
#: The last one only in results of variables that do not exist everywhere.
STATUS_MEANINGS = ("observed", "reconstructed", "no_skill", "outside_training_range", "outside_domain")


@dataclass(frozen=True)
class NetworkInfo:
    """The network or other method that filled the gaps; ``sha256`` of its weights, None where it has none.

    ``inputs`` are the files of its auxiliary variables, with their hashes; ``package`` with version is that of a method
    which another package brings, else "".
    """

    name: str
    title: str
    sha256: str | None
    card: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[tuple[str, str], ...] = ()
    package: str = ""


@dataclass(frozen=True)
class Structural:
    """Reconstructions of the same observations with other networks.

    Attributes
    ----------
    infilled:
        Network -> (T, H, W), made and re-based as a run of its own would.
    learned_from:
        Network -> what it was trained on, in words.
    sha256:
        Network -> hash of its weights.
    """

    infilled: Mapping[str, FloatArray]
    learned_from: Mapping[str, str]
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Product:
    """Complete fields on the observations' own grid, in the package's order, NaN where the variable does not exist.

    Attributes
    ----------
    observations:
        As read.
    infilled, analysis:
        (T, H, W): observed cells kept and the rest filled; the network's estimate everywhere.
    stddev:
        (T, H, W) of ``infilled``: at kept cells the observation's error; None if the method has none.
    status:
        (T, H, W) int8, see :data:`STATUS_MEANINGS`.
    reference_period:
        What the anomalies refer to.
    region_sd:
        Region name -> (T,) standard deviation of the region's mean of ``analysis``.
    realisations:
        Gives the realisations one by one, (T, H, W) each; None if none were asked for.
    shift:
        The climatology that was taken off to reach ``reference_period``; None if none.
    structural:
        Reconstructions with other networks; None if none were asked for.
    baselines:
        Baseline -> (T, H, W), made and re-based as a run of its own would; none unless asked for.
    observational:
        (T, H, W), the part of ``stddev`` that is the spread over an ensemble's members, of their reconstructions or, at
        kept cells, of their own values; None without an ensemble.
    errors:
        Which errors of the observations are in.
    kept_sd:
        (T, H, W) error of a cell if it were observed, without that of members; None where it is not needed.
    """

    observations: Observations
    infilled: FloatArray
    analysis: FloatArray
    stddev: FloatArray | None
    status: NDArray[np.int8]
    reference_period: tuple[int, int]
    network: NetworkInfo
    region_sd: dict[str, FloatArray] = field(default_factory=dict)
    realisations: Callable[[], Iterator[FloatArray]] | None = None
    n_realisations: int = 0
    shift: Climatology | None = None
    keep_observed: bool = True
    notes: tuple[str, ...] = ()
    structural: Structural | None = None
    baselines: Mapping[str, FloatArray] = field(default_factory=dict)
    observational: FloatArray | None = None
    errors: ErrorBudget = field(default_factory=ErrorBudget)
    kept_sd: FloatArray | None = None

    def observed_field(self, part: slice = slice(None)) -> FloatArray:
        """(T, H, W) observations of some steps on the product's reference period, NaN where missing."""
        observations = self.observations
        values = np.where(observations.mask[part], observations.values[part], np.nan)
        return values if self.shift is None else values - self.shift.at(observations.time[part])

    def blocks(self) -> Iterator[slice]:
        """Blocks of steps in turn: all fields of a long record at once would not fit into memory."""
        return blocks_of(self.infilled, self.analysis, self.stddev, self.status, self.observations.values)

    @property
    def units(self) -> str:
        """Units as figures and tables state them."""
        return VARIABLES[self.observations.variable].held(
            self.reference_period, self.observations.time.frequency.adjective
        )

    @property
    def where(self) -> str:
        """What the domain is, see :func:`where_of`."""
        return where_of(self.observations.grid, self.observations.variable)

    @property
    def whole_in_words(self) -> str:
        """The area of all cells: ``the globe`` or ``the region``."""
        return _whole_in_words(self.observations.grid)

    @property
    def place_in_words(self) -> str:
        """As :attr:`whole_in_words`, a region with its ends; for the report's template."""
        grid = self.observations.grid
        return self.whole_in_words if grid.is_global else f"{self.whole_in_words} {grid.extent()}"

    @property
    def area_in_words(self) -> str:
        """The area that means are over, see :func:`area_in_words`."""
        return area_in_words(self.observations.grid, self.observations.variable)

    @property
    def mean_in_words(self) -> str:
        """The mean over it, see :func:`mean_in_words`."""
        return mean_in_words(self.observations.grid, self.observations.variable)

    @property
    def cell_methods(self) -> str:
        """CF: means over the part of a cell where the variable exists (section 7.3.3)."""
        variable = VARIABLES[self.observations.variable]
        where = f" where {self.where}" if self.where in ("sea", "land") else ""
        over = variable.time_cell_methods
        if self.observations.time.frequency == DAY:  # a daily maximum is no mean over days
            over = over.split(" within days")[0]
        return f"{over} area: mean{where}"

    @property
    def outside_in_words(self) -> str:
        """Why cells lie outside the domain."""
        label = VARIABLES[self.observations.variable].label
        return {
            "observed": "no month of the input holds them, and they lie beyond the observed cells or in water",
            "everywhere": "",
        }.get(self.where, f"they are not {self.where}, over which {label} is estimated")

    @property
    def stem(self) -> str:
        """``tas_mon_climrecon-NETWORK_HadCRUT.5.0.2.0_185001-202510``."""
        source, time = self.observations.source, self.observations.time
        parts = (
            self.observations.variable,
            time.frequency.name,
            f"climrecon-{self.network.name}",
            source.label,
            time.span(),
        )
        return "_".join("".join(c if c.isalnum() or c in ".-" else "-" for c in part) for part in parts)


def where_of(grid: Grid, variable: str) -> str:
    """What the domain is: ``everywhere``, ``sea``, ``land``, or ``observed``, see :class:`climrecon.grid.Grid`."""
    return grid.where or VARIABLES[variable].exists


def _whole_in_words(grid: Grid) -> str:
    return "the globe" if grid.is_global else "the region"


def area_in_words(grid: Grid, variable: str) -> str:
    """The area that means are over, e.g. ``the globe``, ``the sea``, ``the region``, ``the domain``."""
    where = where_of(grid, variable)
    if where == "everywhere":
        # Without a name a domain is one of cells that are known.
        return _whole_in_words(grid) if grid.exists is None or grid.exists.all() else "the domain"
    if where == "observed":
        return "the domain"
    return f"the {where}" if grid.is_global else f"the region's {where}"


def mean_in_words(grid: Grid, variable: str) -> str:
    """``global mean``, ``regional mean``, or ``mean over the sea``."""
    area = area_in_words(grid, variable)
    if area == _whole_in_words(grid):
        return "global mean" if grid.is_global else "regional mean"
    return f"mean over {area}"


def status_of(
    mask: NDArray[np.bool_],
    unskilled: NDArray[np.bool_] | None,
    outside: NDArray[np.bool_] | None = None,
    exists: NDArray[np.bool_] | None = None,
) -> NDArray[np.int8]:
    """(T, H, W) status: observed cells are observed whatever the skill there.

    Parameters
    ----------
    unskilled:
        Cells without skill; None if the method states no skill.
    outside:
        Cells whose analysis lies outside what the network's training months reached; a cell without skill stays one.
    exists:
        (H, W) cells where the variable exists; None: everywhere.
    """
    status = np.full(mask.shape, RECONSTRUCTED, np.int8)
    if outside is not None:
        np.copyto(status, OUTSIDE, where=outside)
    if unskilled is not None:
        np.copyto(status, NO_SKILL, where=unskilled)
    np.copyto(status, OBSERVED, where=mask)
    if exists is not None:
        np.copyto(status, NO_DOMAIN, where=~exists)
    return status
