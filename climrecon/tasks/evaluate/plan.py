"""One evaluation: its truth, its gaps and its methods, with the fingerprint that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from climrecon.array_types import IntArray
from climrecon.errors import InputDataError
from climrecon.settings import RunSettings
from climrecon.settings.periods import parse_period
from climrecon.tasks.evaluate.truth import Truth
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import LoadedMethod
from climrecon.tasks.training_data.material import TrainingData
from climrecon.tasks.training_data.preparation import Preparation
from climrecon.training.store import StoredMember, rows_text
from climrecon.workflow.fingerprint import fingerprint

#: Version of this stage: raised whenever equal inputs and settings give other scores.
VERSION = 2
#: Of more held-out members than this, the first are taken.
MOST_MEMBERS = 4


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
            members = method.info.card.get("training", {}).get("members")
            learned = members.get("train", []) if isinstance(members, dict) else []
            caveats += [
                f"{name} learned from {stored.about['name']}: its scores here are flattered."
                for stored, rows in self.truth.members
                if any(_holds(entry, stored, stored.index[rows]) for entry in learned)
            ]
        return caveats

    @cached_property
    def fingerprint(self) -> str:
        """Equal for evaluations of equal truth, gaps and settings, whatever the methods."""
        store = self.preparation.store
        inputs = [f"{member.key} {rows_text(rows)}" for member, rows in self.truth.members]
        inputs += [f"gaps {store.sha256(path)}" for path in self.coverage_inputs.observations]
        settings = self.settings.fingerprinted("evaluate")
        settings["gap_members"] = len(self.coverage_inputs.members) if self.settings.noise else 0
        return fingerprint("evaluate", VERSION, inputs, settings, None)

    def sums_path(self, name: str, number: int) -> Path:
        """File of the sums of a method and a member."""
        method = self.methods[name]
        digest = fingerprint("assess", VERSION, [self.fingerprint], {}, method.identity)
        return self.cache / "evaluation" / digest[:32] / f"{number}.npz"


def _holds(entry: Mapping[str, Any], stored: StoredMember, index: IntArray) -> bool:
    """Whether a card's entry on a member is of ``stored`` and of one of the months ``index``."""
    if (str(entry.get("set")), str(entry.get("name"))) != (str(stored.about["set"]), str(stored.about["name"])):
        return False
    # Cards of earlier versions do not say which months.
    periods = [parse_period(text) for text in entry.get("periods", ["0000-9999"])]
    return any(bool(period.holds(index).any()) for period in periods)
