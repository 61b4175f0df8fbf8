"""The plan of one training: its members, its gaps and its recipe, with the fingerprint that follows from them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from climrecon.methods.priors.forced import ForcedResponses
from climrecon.methods.store import LoadedNetwork
from climrecon.preprocess.patterns import read_patterns
from climrecon.settings import RunSettings, Site
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.training_data.coverage import coverage_files, fingerprint_of_gaps
from climrecon.tasks.training_data.material import Material, TrainingData
from climrecon.training.recipe_settings import Recipe, UNetRecipe
from climrecon.training.store import rows_text
from climrecon.workflow.fingerprint import fingerprint

#: Version of the training stage: raised whenever equal members and settings give another network.
VERSION = 6


@dataclass(frozen=True)
class TrainingPlan:
    """One training, before it begins.

    Attributes
    ----------
    start:
        The network to go on from; None: fresh weights.
    left_out:
        (member, reason) left out before preparation.
    files_left_out:
        (file, reason) left out of members.
    coverage_inputs:
        Files whose gaps and errors are trained with.
    cache:
        Folder of all trainings.
    """

    settings: RunSettings
    site: Site
    recipe: Recipe
    start: LoadedNetwork | None
    data: TrainingData
    left_out: tuple[tuple[str, str], ...]
    files_left_out: tuple[tuple[str, str], ...]
    coverage_inputs: Inputs
    cache: Path

    @property
    def material(self) -> Material:
        """The prepared members; see :attr:`TrainingData.material`."""
        return self.data.material

    def coverage_hashes(self) -> list[tuple[str, str]]:
        """Files of gaps, errors and forced responses, with their hashes."""
        store = self.data.preparation.store
        files = [*(path for _, path in coverage_files(self.coverage_inputs)), *self.patterns]
        return [(str(path), store.sha256(path)) for path in files]

    @property
    def patterns(self) -> tuple[Path, ...]:
        """The file of forced responses; none where none is given, or the recipe's network knows of none."""
        given = self.settings.forced_patterns
        return (Path(given),) if given and isinstance(self.recipe, UNetRecipe) else ()

    @cached_property
    def models(self) -> ForcedResponses | None:
        """The forced responses of the file; None where there is none."""
        grid = self.data.grid
        for path in self.patterns:
            with tempfile.TemporaryDirectory() as scratch:
                return ForcedResponses(*read_patterns(path, grid, Path(scratch)), grid.area.reshape(-1))
        return None

    @cached_property
    def fingerprint(self) -> str:
        """Equal for trainings of equal members, gaps, settings and start."""
        split, store = self.material.split, self.data.preparation.store
        uses = {
            use: [[n, rows_text(rows)] for n, rows in members]
            for use, members in (("train", split.train), ("validation", split.validation), ("test", split.test))
        }
        sets = [str(member.about["set"]) for member in self.material.stored]
        inputs = [
            *self.material.keys,
            *fingerprint_of_gaps(self.coverage_inputs, store.sha256),
            *(f"patterns {store.sha256(path)}" for path in self.patterns),
        ]
        settings = {
            **self.settings.fingerprinted("train"),
            "uses": uses,
            # Several sets are weighted, and the first judges.
            **({"sets": sets} if len(set(sets)) > 1 else {}),
            "recipe": self.recipe.model_dump(mode="json", exclude={"checkpoint_seconds"}),
        }
        return fingerprint("train", VERSION, inputs, settings, self.start.sha256 if self.start else None)

    @property
    def folder(self) -> Path:
        """Folder of the training's checkpoints and, at its end, its network."""
        return self.cache / "runs" / self.fingerprint[:32]

    @property
    def name(self) -> str:
        """The network's name: as given, else made of recipe, data and fingerprint."""
        if self.settings.network_name:
            return str(self.settings.network_name)
        data = self.settings.training_data.replace("+", "-")
        return f"{self.recipe.name}-{data}-{self.fingerprint[:8]}"
