"""One evaluation: its truth, the gaps and errors of its observations, its methods, and the fingerprint that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.data.noise import NoiseSource
from climrecon.errors import InputDataError, NetworkError
from climrecon.fields import Observations, Source, Steps
from climrecon.grid import Grid
from climrecon.netcdf.forms import readable
from climrecon.netcdf.names import plain_name
from climrecon.preprocess.field import members_within
from climrecon.scores.gaps import masks_for
from climrecon.scores.masked_truth import MaskedTruth
from climrecon.scores.suite import CLEAN
from climrecon.settings import RunSettings, Site
from climrecon.settings.periods import parse_period
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import LoadedMethod, load_method
from climrecon.tasks.training_data.material import TrainingData, known_cells
from climrecon.tasks.training_data.members import Member
from climrecon.tasks.training_data.preparation import Preparation
from climrecon.training.sets import family_of
from climrecon.training.store import Rows, StoredMember, rows_text
from climrecon.variables import VARIABLES
from climrecon.workflow.fingerprint import fingerprint

#: Years after which sizes of errors are drawn anew.
DECADE = 10
_NOISE = 31


def members_of_file(path: Path, variable: str) -> tuple[Member, ...]:
    """The members that a file of complete fields holds.

    Raises
    ------
    InputDataError
        If there is no such file, or it cannot be read.
    """
    path, _ = readable(path, "truth_file")
    model = Path(plain_name(path.name)).name.removesuffix(".nc").removesuffix(".nc4")
    count = members_within(path, variable)
    names = [model] if count == 1 else [f"{model} {number + 1}" for number in range(count)]
    return tuple(
        Member(
            set="truth_file",
            name=name,
            model=model,
            family=family_of(model),
            files={variable: (path,)},
            realisation=None if count == 1 else number,
        )
        for number, name in enumerate(names)
    )


@dataclass(frozen=True)
class Truth:
    """Members taken as the truth with the months that count, and notes on them."""

    members: tuple[tuple[StoredMember, Rows], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PseudoObservations:
    """One truth, and the observations it becomes when it is seen through gaps."""

    known: MaskedTruth
    observations: Observations


def pseudo_observations_of(
    member: StoredMember,
    rows: Rows,
    gaps: Observations,
    noise: NoiseSource | None,
    grid: Grid,
    settings: RunSettings,
    number: int,
) -> tuple[PseudoObservations, str]:
    """A member seen through the gaps of observations, and the rule by which masks were taken.

    Parameters
    ----------
    gaps:
        Observations on ``grid``; their masks alone count.
    grid:
        With the variable's domain, outside of which nothing is seen and nothing counts.
    noise:
        Where errors are drawn from; None: none are added.
    number:
        Of the member: each has random numbers of its own.

    Raises
    ------
    InputDataError
        If no step is left.
    """
    whole = member.time[rows]
    inside = settings.period.holds(whole.months) if settings.period else np.ones(len(whole), dtype=bool)
    name = str(member.about["name"])
    if not inside.any():
        raise InputDataError(
            f"No {whole.word} of {name} ({whole.span()}) lies in period={settings.period}.", "Choose another period."
        )
    position, has, rule = masks_for(whole[inside], gaps.time)
    time = whole[inside][has]
    truth = grid.known(np.asarray(member.values[rows][inside][has], dtype=np.float32))
    mask = gaps.mask[position[has]] & np.isfinite(truth)
    variable, seen = VARIABLES[settings.variable], truth
    stated: FloatArray = np.full(truth.shape, variable.error_like(CLEAN), np.float32)
    if noise is not None:
        seed = np.random.SeedSequence(settings.seed, spawn_key=(_NOISE, number, 0))
        errors = _errors(noise, time, grid, np.random.default_rng(seed))
        seen, stated = variable.to_methods.observed(truth, *errors)
    observations = Observations(
        variable=settings.variable,
        values=np.where(mask, seen, np.nan).astype(np.float32),
        mask=mask,
        obs_sd=stated,
        time=time,
        grid=replace(grid, exists=None),  # methods estimate complete fields
        reference_period=settings.reference_period.years,
        source=Source(name, "", (), (), settings.variable),
    )
    known = MaskedTruth(name, truth, mask, time, grid, variable)
    return PseudoObservations(known, observations), rule


def _errors(noise: NoiseSource, time: Steps, grid: Grid, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """(T, H, W) errors and the sizes stated for them, K; sizes and the slow part are drawn anew each decade."""
    errors, sizes = [], []
    decade = round(DECADE / time.frequency.years)
    for start in range(0, len(time), decade):
        count = min(decade, len(time) - start)
        error, stated = noise.draw_months(rng, count, 12.0 * time.frequency.years)
        errors.append(error.reshape(count, *grid.shape).astype(np.float32))
        sizes.append(np.broadcast_to(stated.reshape(grid.shape), (count, *grid.shape)))
    return np.concatenate(errors), np.concatenate(sizes).astype(np.float32)


#: Version of this stage: raised whenever equal inputs and settings give other scores.
VERSION = 3
#: Version of the sums that are kept in the cache.
SUMS = 4
#: Of more held-out members than this, the first are taken.
MOST_MEMBERS = 4


def methods_of(settings: RunSettings, site: Site) -> tuple[dict[str, LoadedMethod], list[str]]:
    """The methods to score by their names in all tables, and these names in the order of ``network``, ``compare_with``.

    Raises
    ------
    NetworkError
        If one cannot be used.
    """
    methods: dict[str, LoadedMethod] = {}
    labels = {}
    for name in dict.fromkeys([settings.network, *settings.other_networks]):
        method = load_method(name, settings, site)
        # A network given by its path goes by the name in its card, unless another has it.
        labels[name] = name if method.info.name in methods else method.info.name
        methods[labels[name]] = method
    return methods, [labels[name] for name in (settings.network, *settings.other_networks)]


def check_grid(name: str, method: LoadedMethod, grid: Grid) -> None:
    """Refuse a method that works on another grid than the evaluation.

    Raises
    ------
    NetworkError
        If it does.
    """
    if method.native_grid is not None and not method.native_grid.same_as(grid):
        raise NetworkError(
            f"{name} works on {method.native_grid.describe()}; this evaluation is made on {grid.describe()}.",
            "Choose a network of that grid, or a truth on the grid of the network.",
        )


@dataclass(frozen=True)
class EvaluationRun:
    """One evaluation.

    Attributes
    ----------
    methods:
        The methods by their names in all tables.
    main, reference:
        Names of the method that ``network`` names, and of the one that scores are compared with.
    data:
        The members of the truth.
    coverage_inputs:
        Files of the gaps and errors that the truth is seen with.
    cache:
        Folder of intermediate sums.
    lost:
        (member, reason) left out before preparation.
    """

    settings: RunSettings
    methods: Mapping[str, LoadedMethod]
    main: str
    reference: str
    data: TrainingData
    coverage_inputs: Inputs
    cache: Path
    lost: tuple[tuple[str, str], ...] = ()

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """(member, reason) left out of the training sets that the truth is held out of."""
        return () if self.settings.truth_file else (*self.lost, *self.data.material.left_out)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self.methods)

    @property
    def preparation(self) -> Preparation:
        """How the members are prepared."""
        return self.data.preparation

    @cached_property
    def grid(self) -> Grid:
        """The truth's grid with the variable's domain."""
        return self.preparation.within(known_cells([stored for stored, _ in self.truth.members]))

    @cached_property
    def truth(self) -> Truth:
        """The members taken as the truth.

        Raises
        ------
        InputDataError
            If members have not been prepared, or none can be used.
        """
        if self.settings.truth_file:
            return self._truth_of_file()
        material = self.data.material
        test = material.split.test
        chosen = tuple((material.stored[number], rows) for number, rows in test[:MOST_MEMBERS])
        notes = [f"held out of {self.settings.training_data}: {material.split.how}", *material.split.caveats]
        if len(test) > len(chosen):
            notes.append(f"{len(chosen)} of {len(test)} held-out members are taken")
        notes += [f"{name} is left out: {reason}" for name, reason in self.left_out]
        return Truth(chosen, tuple(notes))

    def _truth_of_file(self) -> Truth:
        members = []
        for member in self.data.members[:MOST_MEMBERS]:
            stored = self.preparation.open(member)
            if stored is None:
                raise InputDataError(f"{member.name} is not prepared.", "Run the stage prepare first.")
            if isinstance(stored, str):
                raise InputDataError(f"{member.name} cannot be the truth: {stored}", "Give complete fields.")
            members.append((stored, slice(None)))
        notes = [str(note) for stored, _ in members for note in stored.about["notes"]]
        if len(self.data.members) > len(members):
            notes.append(f"{len(members)} of the {len(self.data.members)} members of the file are taken")
        return Truth(tuple(members), tuple(dict.fromkeys(notes)))

    def learned_from(self) -> list[str]:
        """Caveats for methods whose card names months of the truth among those of their training."""
        caveats = []
        for name, method in self.methods.items():
            caveats += [
                f"{name} learned from {stored.about['name']}: its scores here are flattered."
                for stored, rows in self.truth.members
                if any(_holds(entry, stored, stored.time[rows].months) for entry in trained_on(method))
            ]
        return caveats

    @cached_property
    def fingerprint(self) -> str:
        """Equal for evaluations of equal truth, gaps and settings, whatever the methods."""
        store = self.preparation.store
        inputs = [f"{member.key} {rows_text(rows)}" for member, rows in self.truth.members]
        inputs += [f"gaps {store.sha256(path)}" for path in self.coverage_inputs.observations]
        inputs += [f"gaps {name}" for name in [self.coverage_inputs.made_up] if name]
        settings = self.settings.fingerprinted("evaluate")
        settings["gap_members"] = len(self.coverage_inputs.members) if self.settings.noise else 0
        return fingerprint("evaluate", VERSION, inputs, settings, None)

    def sums_path(self, name: str, number: int) -> Path:
        """File of the sums of a method and a member."""
        method = self.methods[name]
        digest = fingerprint("assess", SUMS, [self.fingerprint], {}, method.identity)
        return self.cache / "evaluation" / digest[:32] / f"{number}.safetensors"


def trained_on(method: LoadedMethod) -> Sequence[Mapping[str, Any]]:
    """The entries of a card on the members of its training; none where it lists none."""
    members = method.info.card.get("training", {}).get("members")
    return members.get("train", []) if isinstance(members, dict) else []


def in_months(entry: Mapping[str, Any], index: IntArray) -> bool:
    """Whether a card's entry on a member is of one of the months ``index``, those of its steps."""
    # Cards of earlier versions do not say which months.
    periods = [parse_period(text) for text in entry.get("periods", ["0000-9999"])]
    return any(bool(period.holds(index).any()) for period in periods)


def _holds(entry: Mapping[str, Any], stored: StoredMember, index: IntArray) -> bool:
    """Whether a card's entry on a member is of ``stored`` and of one of the months ``index``."""
    same = (str(entry.get("set")), str(entry.get("name"))) == (str(stored.about["set"]), str(stored.about["name"]))
    return same and in_months(entry, index)
