"""The description of a variable: names, units, where it exists, plausible values, colours of maps."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from climrecon.variables.transform import Transform
from climrecon.variables.units import Conversion, conversion

#: South, north, west, east, degrees; west > east crosses the date line.
Box = tuple[float, float, float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AcceptedUnits(_Frozen):
    """A scale on which files state a variable, and how its numbers distinguish absolute values from anomalies.

    Attributes
    ----------
    name:
        As messages name them.
    absolute_above:
        Lower bounds of the 1 % quantile, the median of sizes and the 99 % quantile; data above all three are absolute.
    largest_anomaly_range:
        Data whose 1 % and 99 % quantiles lie further apart are no anomalies.
    """

    name: str
    absolute_above: tuple[float, float, float] = (math.inf, math.inf, math.inf)
    largest_anomaly_range: float = math.inf


class Flag(_Frozen):
    """A number that files of some producer hold in place of a value, in their own units, and what it stands for."""

    value: float
    meaning: str


class Index(_Frozen):
    """A series worth a figure of its own: the mean over a box, the difference of the means over two, or a mean over land.

    Attributes
    ----------
    name:
        Of its figure's file.
    title:
        In words.
    box, less:
        Where the mean is taken, and where the one that is taken off, if any. Without a box: all cells of the grid.
    surface:
        ``land`` or ``sea``: the means are over cells at least half of which is land, or over the others.
    event_relative_to, event_from:
        Maps show the month of the largest value, less the mean over this box if one is named; the last month where that
        value is smaller than ``event_from``.
    events:
        Name and months (``1877-12:1878-02``) of events that comparisons of products list.
    """

    name: str
    title: str
    box: Box | None = None
    less: Box | None = None
    surface: Literal["land", "sea"] | None = None
    event_relative_to: Box | None = None
    event_from: float = -math.inf
    events: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="after")
    def _of_some_cells(self) -> Index:
        if self.box is None and self.surface is None:
            raise ValueError(
                f'the index {self.name!r} states no cells: give box = [south, north, west, east], surface = "land" or '
                '"sea", or both'
            )
        if self.box is None and self.less is not None:
            raise ValueError(f"the index {self.name!r} states less without box: give box = [south, north, west, east]")
        return self

    @property
    def boxes(self) -> tuple[Box, ...]:
        """:attr:`box`, and :attr:`less` if there is one; () for all cells of the surface."""
        return tuple(box for box in (self.box, self.less) if box)

    @property
    def cells(self) -> str:
        """The cells of a mean in words: ``the box``, ``the land``, ``the land of each box``."""
        boxes = ("", "the box", "each box")[len(self.boxes)]
        return " of ".join(filter(None, [self.surface and f"the {self.surface}", boxes]))


class Maps(_Frozen):
    """Colours of maps (names of matplotlib), and limits and steps of their classes in the variable's units.

    ``spread_levels`` are finer where most standard deviations are.
    """

    colours: str = "RdBu_r"
    limit: float
    step: float
    ticks: float
    difference_colours: str = "PuOr_r"
    difference_limit: float
    difference_step: float
    difference_ticks: float
    spread_colours: str = "YlGnBu"
    spread_levels: tuple[float, ...]
    rmse_colours: str = "viridis"
    rmse_limit: float
    rmse_step: float


#: Assumed error of an observed cell of air temperature, K.
_USUAL_ERROR = 0.3


class Variable(_Frozen):
    """All that the package knows of one variable.

    Attributes
    ----------
    name, realm:
        Of CMOR.
    label, quantity:
        In words: the variable itself, and the kind of quantity ("temperature").
    standard_name, anomaly_standard_name:
        CF standard names of absolute values and of anomalies; the latter may be "".
    standard_names:
        Standard names by which a variable of a file is recognised.
    names, shared_names:
        Names in files, lower case, of this variable alone, and those that other quantities bear too; names of single data
        sets stand in :mod:`climrecon.datasets`.
    anomaly_names:
        Those of ``names`` that anomalies bear, beside all that hold "anom".
    described:
        Regular expression of words in long names, for files that call it by a shared name.
    kind:
        How the package holds values: ``anomaly``, less the climatology; ``ratio``, in per cent of the climatology;
        ``absolute``, as they are. Files of a ratio or of absolute values must not hold anomalies.
    units, units_metadata:
        As the package holds values, and CF's ``units_metadata`` of anomalies.
    units_in_files:
        Of values in files, where ``units`` are those of a ratio.
    least_climatology:
        Of a ratio, in the units of files: cells and calendar months with less have no ratio, and are left out.
    accepted:
        Scales of files, where they distinguish absolute values from anomalies; all units that convert to ``units`` are
        taken.
    exists:
        Where the variable exists; elsewhere it is neither estimated nor counted in means.
    auxiliary:
        Position among the variables that a network may take as auxiliary input; None: it may not.
    observable:
        Whether observations of it can be reconstructed: ``anomaly_within`` and the units distinguish anomalies from
        absolute values.
    anomaly_within:
        Bounds of the 1 % and 99 % quantiles and of the median of sizes of anomalies.
    largest_anomaly, absolute_range:
        Monthly means stay within these; values outside are errors of the file.
    anomaly_spread:
        Bounds of the standard deviation of anomalies over the cells of a month (the median over months); data outside
        are doubted, and stated errors above are refused.
    flags:
        Numbers in files that stand for the absence of a value.
    default_obs_sd:
        One-sigma error of an observed cell where neither data set nor network states one.
    scale:
        Size of anomalies that methods take for one: their constants are made for temperature anomalies in K.
    transform:
        What methods are given where dividing by ``scale`` does not do.
    network:
        The network that comes with the package for it; None: there is none, and kriging is the default.
    blend:
        What data sets that are blends hold over sea and over land, in words; () where there are no blends of it.
    ranked_years:
        Heading of a table of the years with the highest mean; "" for no table.
    time_cell_methods:
        CF's ``cell_methods`` in time.
    indices:
        Climate indices worked out from it.
    """

    name: str
    label: str
    quantity: str
    realm: str
    standard_name: str
    anomaly_standard_name: str = ""
    standard_names: tuple[str, ...] = ()
    names: tuple[str, ...]
    shared_names: tuple[str, ...] = ()
    anomaly_names: tuple[str, ...] = ()
    described: str = ""
    kind: Literal["anomaly", "ratio", "absolute"] = "anomaly"
    units: str
    units_in_files: str = ""
    least_climatology: float = Field(0.0, ge=0)
    units_metadata: str = ""
    accepted: tuple[AcceptedUnits, ...] = ()
    exists: Literal["everywhere", "sea", "land"] = "everywhere"
    auxiliary: int | None = None
    observable: bool = False
    anomaly_within: tuple[float, float] = (0.0, 0.0)
    largest_anomaly: float = math.inf
    absolute_range: tuple[float, float] = (-math.inf, math.inf)
    anomaly_spread: tuple[float, float] = (0.0, math.inf)
    flags: tuple[Flag, ...] = ()
    default_obs_sd: float | None = Field(None, gt=0)
    scale: float = Field(1.0, gt=0)
    transform: Transform | None = None
    network: str | None = None
    blend: tuple[()] | tuple[str, str] = ()
    ranked_years: str = ""
    time_cell_methods: str = "time: mean"
    indices: tuple[Index, ...] = ()
    maps: Maps | None = None

    def conversion(self, units: str) -> Conversion | None:
        """From a file's ``units`` to the variable's, None if they are those of another quantity."""
        return conversion(units, self.absolute_units)

    @property
    def absolute_units(self) -> str:
        """Units of values in files."""
        return self.units_in_files or self.units

    @property
    def to_methods(self) -> Transform:
        """From values as the package holds them to those that methods are given."""
        return self.transform or Transform(scale=self.scale)

    @property
    def normal(self) -> float:
        """The value of the climatology: 0 of anomalies."""
        return self.to_methods.normal

    def error_like(self, kelvins: float) -> float:
        """The error that is to the variable what one of so many K is to air temperature, by both assumed errors."""
        return kelvins * ((self.default_obs_sd or _USUAL_ERROR) / _USUAL_ERROR)

    @property
    def units_in_methods(self) -> str:
        """Units of values as methods are given them, for texts."""
        if self.to_methods.is_identity:
            return self.units
        return f"of {self.scale:g} {self.units}" if self.to_methods.kind == "linear" else "transformed"

    def in_methods(self, size: float) -> float:
        """A size, such as an error, about the climatology as methods are given it."""
        import numpy as np

        return float(self.to_methods.spread(np.array(self.normal), np.array(size)))

    def held(self, reference_period: tuple[int, int], adjective: str = "monthly") -> str:
        """Units and reference of held values, for figures and tables; ``adjective``: of their frequency."""
        first, last = reference_period
        return {
            "anomaly": f"{self.units}, anomaly relative to {first}-{last}",
            "ratio": f"{self.units} of the {adjective} mean of {first}-{last}",
            "absolute": self.units,
        }[self.kind]

    @property
    def held_standard_name(self) -> str:
        """CF standard name of held values; "" where there is none."""
        return {"anomaly": self.anomaly_standard_name, "ratio": ""}.get(self.kind, self.standard_name)

    @property
    def held_in_words(self) -> str:
        """What held values are, for long names."""
        return {"anomaly": f"{self.label} anomaly", "ratio": f"{self.label} as a share of its climatology"}.get(
            self.kind, self.label
        )

    def accepted_units(self, units: str) -> AcceptedUnits | None:
        """The scale whose zero is nearest to that of a file's ``units``; None if they are those of another quantity."""
        nearest, least = None, math.inf
        for one in self.accepted:
            found = conversion(units, one.name)
            if found and abs(found.offset) < least:
                nearest, least = one, abs(found.offset)
            if least == 0.0:  # the usual units ask the library nothing
                break
        return nearest

    def limits(self, anomaly: bool) -> tuple[float, float]:
        """Bounds of plausible values in the variable's units."""
        return (-self.largest_anomaly, self.largest_anomaly) if anomaly else self.absolute_range

    def plausible(self, units: str) -> tuple[float, float]:
        """Bounds of values in a file's ``units``, whether these are absolute or anomalies."""
        to_ours = self.conversion(units) or Conversion()
        low, high = map(to_ours.back, self.absolute_range)
        if self.kind != "anomaly":
            return low, high
        most = self.largest_anomaly / to_ours.factor
        return min(low, -most), max(high, most)

    @property
    def decimals(self) -> int:
        """Decimals of values in texts: the second digit of the assumed error of an observed cell is the last one."""
        return max(1 - math.floor(math.log10(self.default_obs_sd or 1.0)), 0)

    def in_words(self, number: float) -> str:
        """A size that a method states, see ``scale``, with units."""
        if self.to_methods.kind != "linear":
            return f"{number:.2f} of that of the cell and calendar month ({self.to_methods.kind} of the values)"
        return f"{number * self.scale:.{self.decimals}f} {self.units}"

    @property
    def units_in_words(self) -> str:
        """Units that files state, for messages."""
        return " or ".join([one.name for one in self.accepted] or [self.absolute_units])

    @property
    def area_in_words(self) -> str:
        """The part of the globe where the variable exists, for messages and captions."""
        return "the globe" if self.exists == "everywhere" else f"the {self.exists}"

    @property
    def on_sea(self) -> bool:
        """Whether models give it on the ocean's grid, which may be curvilinear."""
        return self.realm != "atmos"
