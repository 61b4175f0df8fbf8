"""The description of a variable: names, units with conversions, plausible values, colours of maps."""

from __future__ import annotations

import math
import re

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AcceptedUnits(_Frozen):
    """Units that files may state for a variable, and the conversion to the variable's units.

    Attributes
    ----------
    name:
        As messages name them.
    pattern:
        Regular expression of all spellings, matched as a whole; None: ``name`` alone.
    factor, offset:
        Absolute values are multiplied and shifted; anomalies, being differences, are multiplied only.
    absolute_above:
        Lower bounds of the 1 % quantile, the median of sizes and the 99 % quantile; data above all three are absolute.
    largest_anomaly_range:
        Data whose 1 % and 99 % quantiles lie further apart are no anomalies.
    """

    name: str
    pattern: str | None = None
    factor: float = 1.0
    offset: float = 0.0
    absolute_above: tuple[float, float, float] = (math.inf, math.inf, math.inf)
    largest_anomaly_range: float = math.inf

    def spells(self, units: str) -> bool:
        """Whether a file's ``units`` are these."""
        text = " ".join(units.split())
        return text == self.name if self.pattern is None else bool(re.fullmatch(self.pattern, text))


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
    units, units_metadata:
        As the package holds values, and CF's ``units_metadata`` of anomalies.
    accepted:
        Units of files; none: any are taken as they are.
    auxiliary:
        Position among the variables that a network may take as auxiliary input; None: it may not.
    observable:
        Whether observations of it can be reconstructed: ``anomaly_within`` and the units distinguish anomalies from
        absolute values.
    anomaly_within:
        Bounds of the 1 % and 99 % quantiles and of the median of sizes of anomalies.
    largest_anomaly, absolute_range:
        Monthly means stay within these; values outside are errors of the file.
    default_obs_sd:
        One-sigma error of an observed cell where neither data set nor network states one.
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
    units: str
    units_metadata: str = ""
    accepted: tuple[AcceptedUnits, ...] = ()
    auxiliary: int | None = None
    observable: bool = False
    anomaly_within: tuple[float, float] = (0.0, 0.0)
    largest_anomaly: float = math.inf
    absolute_range: tuple[float, float] = (-math.inf, math.inf)
    default_obs_sd: float | None = Field(None, gt=0)
    indices: tuple[str, ...] = ()
    maps: Maps | None = None

    def accepted_units(self, units: str) -> AcceptedUnits | None:
        """The accepted units that a file's ``units`` spell, None if there are none."""
        return next((one for one in self.accepted if one.spells(units)), None)

    @property
    def units_in_words(self) -> str:
        """All accepted units, for messages."""
        return " or ".join(one.name for one in self.accepted)

    @property
    def on_sea(self) -> bool:
        """Whether models give it on the ocean's grid, which may be curvilinear."""
        return self.realm != "atmos"
