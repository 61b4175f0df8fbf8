"""The settings of recipes, validated: a class for each kind of network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from climrecon.methods.priors.covariance import LONG_KM, SHORT_KM
from climrecon.training.calendar import Calendar, spans, years_of
from climrecon.variables import VARIABLES

#: The variable that forced responses are patterns of.
RESPONSES_OF = "tas"


class Settings(BaseModel):
    """Unknown names are refused, values checked, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Losses(Settings):
    """Weights of the published loss; see :mod:`climrecon.training.losses`."""

    valid: float = Field(default=1.0, ge=0)
    hole: float = Field(default=6.0, ge=0)
    total_variation: float = Field(default=0.1, ge=0)
    perceptual: float = Field(default=0.05, ge=0)
    style: float = Field(default=120.0, ge=0)


class Recipe(Settings):
    """What all recipes have in common.

    Attributes
    ----------
    variables:
        What the network sees: the one it is for, then auxiliary ones as channels (``punet`` alone).
    iterations:
        Steps of the optimiser; phases and schedules scale with them.
    batch:
        Samples a step, over all processes.
    rate:
        Learning rate.
    averaging:
        Decay of the running average of the weights, which is then the network; 0: none.
    check_every:
        Steps between validations.
    patience:
        Validations without a better score after which training stops; 0: never.
    checkpoint_seconds:
        Time between checkpoints; there is one at every validation too if so long has passed.
    validation_years:
        Whole years validated on, spread over the members held out.
    hold_out:
        Whole years never learned from nor validated on, the test: ``1963-1967 1973-1977``, in a file a list. Of all
        members, with a margin of two months. Empty: a tenth of a single member's years, in blocks; no years where whole
        members are held out.
    validate_on:
        Whole years of validation, given and taken likewise.
    precision:
        Of the network's convolutions: ``single``, ``bfloat16``, or ``auto``: the latter where that was measured to pay.
        A run that goes on on another kind of processor goes on in what pays there.
    compile:
        Whether the network is compiled by torch. Not bit for bit the same as without.
    """

    name: str
    variables: tuple[str, ...] = ("tas",)
    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)
    rate: float = Field(gt=0, le=1)
    averaging: float = Field(0.0, ge=0, lt=1)
    check_every: int = Field(ge=1)
    patience: int = Field(0, ge=0)
    checkpoint_seconds: float = Field(300.0, ge=0)
    validation_years: int = Field(10, ge=1)
    hold_out: tuple[str, ...] = ()
    validate_on: tuple[str, ...] = ()
    precision: Literal["auto", "single", "bfloat16"] = "auto"
    compile: bool = False

    @property
    def variable(self) -> str:
        """The variable that the network is for."""
        return self.variables[0]

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """The variables besides the one that the network is for."""
        return self.variables[1:]

    @field_validator("variables", mode="before")
    @classmethod
    def _one_variable_is_a_list_of_one(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("hold_out", "validate_on", mode="before")
    @classmethod
    def _periods(cls, given: Any) -> Any:
        """One period may stand by itself, and a year is a number to the comma form."""
        periods = given if isinstance(given, list | tuple) else [given]
        texts = tuple(str(period) for period in periods)
        years_of(texts)
        return texts

    @property
    def calendar(self) -> Calendar:
        """The years of ``hold_out`` and ``validate_on``."""
        return Calendar.of(self.hold_out, self.validate_on)

    @model_validator(mode="after")
    def _years_are_used_once(self) -> Self:
        if both := set(years_of(self.hold_out)) & set(years_of(self.validate_on)):
            raise ValueError(f"hold_out and validate_on share the years {spans(sorted(both))}; the test is apart")
        return self

    @model_validator(mode="after")
    def _variables_go_together(self) -> Self:
        known = [name for name, one in VARIABLES.items() if one.observable]
        if not self.variables or self.variables[0] not in known or len(set(self.variables)) < len(self.variables):
            raise ValueError(
                f"variables={' '.join(self.variables)}: first comes the network's variable, one of {', '.join(known)}, "
                "then each auxiliary variable once"
            )
        return self


class PublishedRecipe(Recipe):
    """The network of Kadow et al. (2020).

    Attributes
    ----------
    channels:
        3: the paper's network, three equal inputs and outputs, LeakyReLU 0.2, zero padding.
        1: the later one, LeakyReLU 0.01, circular in longitude.
    widths:
        Channels of the encoder's levels; their number is the depth.
    rows:
        Rows inside the network; each row of the fields is written so often.
    frozen_share:
        Share of the iterations, the last, with ``frozen_rate`` and the encoder's batch norm statistics frozen.
    masks:
        Masks drawn beforehand, with the sums of their windows; a sample takes any of them.
    noise:
        Whether observed cells get errors. The published training has none.
    vgg:
        Weights of VGG16 (torchvision's names, safetensors or .pth). Without them there is no perceptual and style loss.
    """

    channels: Literal[1, 3] = 3
    widths: tuple[int, ...] = Field((18, 36, 72), min_length=1, max_length=6)
    rows: int = Field(72, ge=8)
    losses: Losses = Losses()
    frozen_share: float = Field(0.5, ge=0, le=1)
    frozen_rate: float = Field(5e-5, gt=0, le=1)
    masks: int = Field(4000, ge=1)
    noise: bool = False
    vgg: Path | None = None

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.rows % 2 ** len(self.widths):
            raise ValueError(f"{self.rows} rows cannot be halved {len(self.widths)} times")
        if any(width < 1 for width in self.widths):
            raise ValueError("widths are numbers of channels, 1 or more")
        return self

    @model_validator(mode="after")
    def _of_temperature(self) -> Self:
        if self.variable != RESPONSES_OF:
            raise ValueError(
                f"the published network is one of {RESPONSES_OF} on complete fields; for {self.variable} use recipe=punet"
            )
        return self

    @model_validator(mode="after")
    def _one_mask(self) -> Self:
        if self.auxiliary:
            raise ValueError(
                f"{', '.join(self.auxiliary)} as channels: the published network's equal channels share one mask, and an "
                "auxiliary variable has gaps of its own; use recipe=punet"
            )
        return self


class UNetRecipe(Recipe):
    """Our network on the fields' own grid: optimal interpolation corrected by a U-Net.

    Circular longitude and poles that are crossed (a regional grid ends at its border), an area-weighted score, land,
    latitude and month as channels, Liu's factor, averaged weights, one cycle of the learning rate.

    Attributes
    ----------
    neighbour_months:
        How many months before and after have their analyses as channels too, each with its own gaps and errors; 0: each
        month stands by itself.
    rank:
        Leading patterns of the covariance.
    trailing:
        Further patterns, which the mean is solved for with as well.
    seasons:
        Whether each calendar month has a covariance of its own.
    width:
        Channels of the first level; each further level has twice as many.
    stride:
        2: the first level has half the rows and columns, a quarter of the work; 1: it has all.
    depth:
        Levels. Rows and columns are halved once less: 36 x 72 cells can be halved twice, so that 3 is the most. A
        regional grid is extended where it cannot be halved.
    pool:
        Samples drawn beforehand.
    folds:
        Of the cross-fit, each of several runs of years: a sample's posterior comes from covariances that have not seen
        the years around it.
    covariance_months:
        Months that covariances are learned from, at most; spread evenly over training sets and their months.
    warm_up:
        Steps until the full learning rate.
    decay:
        Weight decay.
    mirror:
        Whether a sample may be taken with the sign of all its anomalies turned. Pays where training months are few;
        differences between El Nino and La Nina other than the sign are not learned then. Never where there
        are auxiliary variables.
    misstated:
        Share of samples whose stated errors are too large, too small, or of none; where it is above zero the network sees
        how well observations agree with what is stated of them. A network that is gone on from and cannot see it is
        trained without.
    climates:
        Share of samples that are taken to other climates, by the forced response of a source drawn at random; 0: none.
        Forced responses are those of air temperature: a network for another variable has none.
    coldest, warmest:
        Bounds of that warming, K of the global mean. The same share of the months by whose likelihood the forced
        responses get their amplitudes is taken to such climates too.
    amplitudes:
        Standard deviations in K of a warming along the mean forced response, and along the differences between sources;
        empty: estimated (:mod:`climrecon.training.amplitudes`).
    sees_level:
        Whether the network sees the month's mean, and so how warm the climate is.
    keeps_mean:
        Whether the correction has no mean over the domain: the month's mean stays that of the observations, and a network
        cannot pull it towards the climatology. Where neighbouring steps determine the mean of a gap better than the
        observations around the gap do, as of rain, use false.
    tapers:
        Lengths in km over which covariances fall off with distance, of the few leading patterns and of all others; those
        of a small region are shorter.
    refit:
        Whether covariances are learned anew at the end: from all months for the network that is stored, from all but the
        test's for the one that is scored.
    loss:
        ``likelihood``, or the continuous ranked probability score, ``crps``.
    checks:
        Samples validated on.
    """

    iterations: int = Field(4500, ge=1)
    batch: int = Field(16, ge=1)
    rate: float = Field(2.4e-3, gt=0, le=1)
    averaging: float = Field(0.998, ge=0, lt=1)
    check_every: int = Field(250, ge=1)
    neighbour_months: int = Field(1, ge=0, le=6)
    rank: int = Field(128, ge=1)
    trailing: int = Field(472, ge=0)
    seasons: bool = True
    width: int = Field(16, ge=1)
    stride: int = Field(2, ge=1, le=2)
    depth: int = Field(3, ge=1, le=6)
    pool: int = Field(15000, ge=1)
    folds: int = Field(4, ge=1)
    covariance_months: int = Field(6000, ge=24)
    warm_up: int = Field(100, ge=0)
    decay: float = Field(0.3, ge=0)
    mirror: bool = True
    misstated: float = Field(0.2, ge=0, le=1)
    climates: float = Field(0.25, ge=0, le=1)
    coldest: float = Field(-1.0, ge=-10, le=0)
    warmest: float = Field(1.5, ge=0, le=10)
    amplitudes: tuple[float, ...] = ()
    sees_level: bool = True
    keeps_mean: bool = True
    tapers: tuple[float, float] = (LONG_KM, SHORT_KM)
    refit: bool = True
    loss: Literal["likelihood", "crps"] = "crps"
    checks: int = Field(480, ge=1)

    @model_validator(mode="after")
    def _two_amplitudes_or_none(self) -> Self:
        if len(self.amplitudes) not in (0, 2) or any(not 0 <= size <= 10 for size in self.amplitudes):
            raise ValueError("amplitudes are two, of the mean response and of the differences, 0 to 10 K, or none")
        return self

    @model_validator(mode="after")
    def _tapers_are_lengths(self) -> Self:
        if min(self.tapers) <= 0:
            raise ValueError(f"tapers are lengths above 0 km, not {self.tapers[0]:g} and {self.tapers[1]:g}")
        return self

    @property
    def forced(self) -> bool:
        """Whether forced responses, which are patterns of air temperature, belong to the network's variable."""
        return self.variable == RESPONSES_OF

    @model_validator(mode="after")
    def _no_climates_of_other_variables(self) -> Self:
        if not self.forced and self.climates:
            if "climates" in self.model_fields_set:
                raise ValueError(
                    f"climates={self.climates:g}: forced responses are those of {RESPONSES_OF}; a network for "
                    f"{self.variable} has climates=0"
                )
            object.__setattr__(self, "climates", 0.0)  # the settings are frozen
        return self

    @property
    def misfit(self) -> bool:
        """Whether a new network sees how well observations agree with their stated errors."""
        return self.misstated > 0

    @model_validator(mode="after")
    def _no_mirror_images_of_auxiliary_variables(self) -> Self:
        if self.auxiliary and self.mirror:
            if "mirror" in self.model_fields_set:
                raise ValueError("mirror=true: anomalies of auxiliary variables may be skewed; use mirror=false")
            object.__setattr__(self, "mirror", False)  # the settings are frozen
        return self
