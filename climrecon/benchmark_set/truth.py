"""The truth of a benchmark set for its scorer: made again from its seed, or read again from its file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.benchmark_set.card import GENERATED, CaseCard, SetCard, digest, read_card
from climrecon.benchmark_set.cases import Files, generated_truth, read_fields
from climrecon.benchmark_set.files import CaseInput, read_input
from climrecon.errors import InputDataError, UsageError
from climrecon.fields import Observations
from climrecon.files import parse_json, read_text, require_file
from climrecon.grid import FIVE_DEGREES
from climrecon.scores.masked_truth import MaskedTruth


@dataclass(frozen=True)
class ScoredSet:
    """A benchmark set with what its scorer needs: the folder, the card, and the seed or the file of the truth."""

    folder: Path
    card: SetCard
    seed: int | None
    truth_files: Files | None

    @classmethod
    def of(cls, folder: Path, truth: Files | None = None, key: Path | None = None) -> ScoredSet:
        """The set in ``folder``, with its truth from a file, or from the seed in the ``key``.

        Raises
        ------
        UsageError
            If the truth or the key is not given.
        InputDataError
            If a file cannot be used.
        """
        card = read_card(folder)
        if card.truth.kind != GENERATED:
            if truth is None:
                raise UsageError(
                    f"The truth of this set is {', '.join(card.truth.files)}, which is not in {folder}.",
                    "Name the file with --truth; in task=benchmark with truth_file, or its set with training_data.",
                )
            return cls(folder, card, None, truth)
        if truth is not None:
            raise UsageError(
                f"The truth of the set in {folder} is generated.", "Leave out --truth (truth_file, training_data)."
            )
        if card.truth.seed is not None:
            return cls(folder, card, card.truth.seed, None)
        if key is None:
            raise UsageError("The seed of this set is hidden.", "Name its key file with key; its scorer has it.")
        return cls(folder, card, _seed_of(key), None)

    def input(self, case: CaseCard) -> CaseInput:
        """The input of a case, see :func:`climrecon.benchmark_set.files.read_input`."""
        return read_input(self.folder, self.card, case)

    def known(self, given: CaseInput) -> MaskedTruth:
        """The truth of a case and its mask.

        Raises
        ------
        InputDataError
            If it is not the truth that the set was exported with.
        """
        truth = self._truth_of(given)
        if digest(truth) != given.card.truth_sha256:
            which = "key" if self.truth_files is None and self.card.truth.seed is None else "truth"
            raise InputDataError(
                f"The {which} is not the one that the set was exported with: the fields of {given.card.name} differ.",
                "Is it of another set, another version of the file, or another version of climrecon?",
            )
        return MaskedTruth(given.card.name, truth, given.mask, given.time, FIVE_DEGREES)

    def _truth_of(self, given: CaseInput) -> FloatArray:
        if self.seed is not None:
            return generated_truth(self.seed, given.card.name, given.time)
        rows = np.isin(self._file.time.index, given.time.index)
        return np.asarray(self._file.values[rows], np.float32)

    @cached_property
    def _file(self) -> Observations:
        assert self.truth_files is not None
        return read_fields(self.truth_files)


def _seed_of(key: Path) -> int:
    hint = "A key is written by 'climrecon benchmark export --hidden FILE'."
    require_file(key, hint)
    try:
        content = parse_json(read_text(key))
        if content["kind"] == "climrecon benchmark key" and isinstance(content["seed"], int):
            return int(content["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputDataError(f"{key} is no key of a benchmark set.", hint)
