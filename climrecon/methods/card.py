"""The card of a network: what it is, what it was trained on, how good it is, and what it can be applied to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from climrecon.errors import NetworkError
from climrecon.frequency import DAY, MONTH, YEAR, Frequency
from climrecon.grid import Grid
from climrecon.methods.kadow2020.network import PublishedUNet
from climrecon.methods.registry import taking_any
from climrecon.methods.unet.build import unet_arguments
from climrecon.methods.unet.channels import OBSERVED_CHANNELS
from climrecon.methods.unet.network import UNet
from climrecon.variables import VARIABLES

Network = UNet | PublishedUNet


def _rising(edges: list[float]) -> list[float]:
    if not (len(edges) > 1 and np.all(np.isfinite(edges)) and np.all(np.diff(edges) > 0)):
        raise ValueError("edges of cells are finite numbers that rise")
    return edges


_Edges = Annotated[list[float], AfterValidator(_rising)]


class GridCard(BaseModel):
    """The grid a network works on: cell edges in degrees; and its domain.

    ``exists`` has a text for each row from the south, with a 1 for each cell of the domain; None: all cells.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lat_edges: _Edges
    lon_edges: _Edges
    exists: list[Annotated[str, Field(pattern="^[01]+$")]] | None = None

    @model_validator(mode="after")
    def _a_mark_for_each_cell(self) -> Self:
        rows, columns = len(self.lat_edges) - 1, len(self.lon_edges) - 1
        if self.exists is not None and [len(row) for row in self.exists] != [columns] * rows:
            raise ValueError(f"exists has no mark for each of {rows} x {columns} cells")
        return self

    @classmethod
    def of(cls, grid: Grid) -> GridCard:
        """Of ``grid``."""
        marks = None if grid.exists is None else ["".join("01"[int(cell)] for cell in row) for row in grid.exists]
        return cls(lat_edges=grid.lat_edges.tolist(), lon_edges=grid.lon_edges.tolist(), exists=marks)

    @property
    def grid(self) -> Grid:
        """As a grid."""
        exists = None if self.exists is None else np.array([[mark == "1" for mark in row] for row in self.exists])
        return Grid(np.array(self.lat_edges), np.array(self.lon_edges), exists)


class _Row(BaseModel):
    rmse: float | None = None
    crps: float | None = None
    covers_90: float | None = None
    annual_mean_bias: float | None = None
    annual_mean_r_detrended: float | None = None
    annual_mean_trend_ratio: float | None = None


class _Scores(BaseModel):
    n_months: int | None = None
    n_years: int | None = None
    n_seasons: int | None = None
    n_days: int | None = None
    seeds: Any
    cases: dict[str, dict[str, _Row]]
    members: list[str] | None = None
    response: dict[str, dict[str, float | None]] = {}

    @model_validator(mode="after")
    def _counts_its_steps(self) -> Self:
        if all(count is None for count in (self.n_months, self.n_years, self.n_seasons, self.n_days)):
            raise ValueError("there is no number of months (n_months) that were scored")
        return self


class _Architecture(BaseModel):
    auxiliary: list[str] = []


def _read_as(model: type[BaseModel]) -> AfterValidator:
    """Refuse a part of a card that cannot be shown; what is kept stays as the card has it."""

    def check(part: dict[str, Any]) -> dict[str, Any]:
        if part:
            model.model_validate(part, strict=True)
        return part

    return AfterValidator(check)


class Card(BaseModel):
    """What a network is, what it was trained on, and how good it is.

    ``scores`` hold the figures of this very network and of the baselines of the same run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    # Results have files of this name.
    name: str = Field(pattern=r"^[^/.\x00][^/\x00]*$")
    kind: Literal["analysis_unet", "published"]
    title: str
    variable: str = "tas"
    frequency: str = MONTH.name
    units: str = VARIABLES["tas"].units
    reference_period: tuple[int, int] | None = None
    grid: GridCard
    wraps: bool = True
    inputs: list[str]
    outputs: list[str]
    normalisation: str
    architecture: Annotated[dict[str, Any], _read_as(_Architecture)]
    default_obs_sd: float | None = None
    weights_sha256: str = ""
    range_sha256: str | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    scores: Annotated[dict[str, Any], _read_as(_Scores)] = Field(default_factory=dict)
    caveats: list[str] = Field(default_factory=list)

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """The network's auxiliary variables."""
        return tuple(self.architecture.get("auxiliary", ()))


def describe_unet(
    name: str,
    network: UNet,
    *,
    grid: Grid,
    training: dict[str, Any],
    persistence: float = 0.5,
    variable: str = "tas",
    frequency: Frequency = MONTH,
) -> Card:
    """The card of a :class:`UNet` for ``variable``; ``persistence``: of its errors, from step to step."""
    word, steps = frequency.word, frequency.plural
    neighbours = f", with neighbouring {steps}" if network.neighbour_months else ""
    cells = (
        "cell and calendar month" if frequency in (MONTH, DAY) else "cell" if frequency == YEAR else "cell and season"
    )
    return Card(
        name=name,
        kind="analysis_unet",
        title=f"Partial-convolution U-Net on full-rank optimal interpolation{neighbours}",
        variable=variable,
        frequency=frequency.name,
        units=VARIABLES[variable].units,
        reference_period=(1961, 1990),
        grid=GridCard.of(grid),
        wraps=grid.wraps,
        inputs=[*OBSERVED_CHANNELS, *network.complete_channels, *network.auxiliary],
        outputs=["mean", "stddev"],
        normalisation=f"values less the {word}'s generalised least-squares mean, by the prior standard deviation of "
        + cells
        + ("; auxiliary variables by mean and standard deviation of the cell" if network.auxiliary else ""),
        architecture={**unet_arguments(network), "persistence": persistence},
        default_obs_sd=VARIABLES[variable].default_obs_sd,
        training=training,
        caveats=[
            "Where a data set holds variability that the training fields lack, the U-Net corrects the spread alone; the "
            "mean is the interpolation's.",
            f"Realisations let what the leading patterns tell of an error persist from {word} to {word} with one "
            f"correlation; what they leave, up to some thousand kilometres, is drawn anew each {word}.",
        ],
    )


def describe(name: str, network: Network, grid: Grid, training: dict[str, Any], frequency: Frequency = MONTH) -> Card:
    """The card of a network that was trained here, of any kind."""
    if isinstance(network, UNet):
        persistence = float(training.get("persistence", 0.5))
        variable = training.get("recipe", {}).get("variables", ["tas"])[0]
        return describe_unet(
            name, network, grid=grid, training=training, persistence=persistence, variable=variable, frequency=frequency
        )
    rows = int(training.get("recipe", {}).get("rows", 2 * grid.shape[0]))
    card = describe_published(
        name, network, grid, rows, "Partial-convolution U-Net of Kadow et al. (2020), trained here"
    )
    architecture = {**card.architecture, "widths": list(network.widths)}
    return card.model_copy(update={"architecture": architecture, "training": training, "frequency": frequency.name})


def describe_published(name: str, network: PublishedUNet, grid: Grid, rows: int, title: str) -> Card:
    """The card of a :class:`PublishedUNet`, trained by whom ever; ``rows``: inside it."""
    return Card(
        name=name,
        kind="published",
        title=title,
        reference_period=(1961, 1990),
        grid=GridCard.of(grid),
        wraps=network.variant.mode == "circular",
        inputs=["value", "mask"],
        outputs=["mean"],
        normalisation="none",
        architecture={"input_channels": network.variant.channels, "rows": rows, "columns": grid.shape[1]},
        caveats=["It states no uncertainty."],
    )


def error_of_observations(card: Card) -> float:
    """One-sigma error of observations where the data set states none, in the card's units.

    Raises
    ------
    NetworkError
        If neither the card nor the variable's description knows one.
    """
    error = card.default_obs_sd or VARIABLES[card.variable].default_obs_sd
    if error is None:
        raise NetworkError(
            f"Neither the card of {card.name} nor the description of {card.variable} states an error of observations.",
            f"State default_obs_sd in {card.variable}.toml.",
        )
    return error


def check_variable(name: str, learned: str | None, variable: str) -> None:
    """Refuse a variable whose fields are not those that the method ``name`` has ``learned``; None: it takes any.

    Raises
    ------
    NetworkError
        If it is another; with the methods that take any.
    """
    if learned not in (None, variable):
        raise NetworkError(
            f"{name} was made for {learned}; the observations hold {variable}.",
            f"Use network={' or '.join(taking_any())}, which take any variable; a network trained for {variable}; or "
            f"variable={learned}.",
        )


def check_frequency(name: str, learned: str | None, frequency: Frequency) -> None:
    """Refuse a frequency whose fields are not those that the method ``name`` has ``learned``; None: it takes any.

    Raises
    ------
    NetworkError
        If it is another; with the methods that take any.
    """
    if learned not in (None, frequency.name):
        raise NetworkError(
            f"{name} was made for time_frequency={learned}; the observations are {frequency.adjective} means.",
            f"Use network={' or '.join(taking_any())}, which take any frequency, or time_frequency={learned}.",
        )


def check_auxiliary(card: Card, given: Sequence[str]) -> None:
    """Refuse auxiliary variables that the network does not take.

    Raises
    ------
    NetworkError
        If there are some; with those it takes.
    """
    if unknown := [name for name in given if name not in card.auxiliary]:
        takes = f"takes {', '.join(card.auxiliary)}" if card.auxiliary else "takes no auxiliary variable"
        raise NetworkError(
            f"{', '.join(unknown)} is given by auxiliary_files; the network {card.name} {takes} besides {card.variable}.",
            "Leave it out, or use a network trained with channels= of it.",
        )
