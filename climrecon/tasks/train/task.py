"""``task=train``: prepare members one by one, train, collect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from climrecon.errors import NetworkError, UsageError
from climrecon.files import write_text
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.store import CARD, LoadedNetwork, load_network, network_of
from climrecon.preprocess.field import dimensions
from climrecon.settings import RunSettings, Site
from climrecon.tasks.network_store import cache_folder, check_free_name, store_places, writable_store
from climrecon.tasks.train.fit import check_start, recipe_for, recipe_of, run_training
from climrecon.tasks.train.plan import TrainingPlan
from climrecon.tasks.train.results import collect
from climrecon.tasks.training_data.coverage import Coverage, mask_inputs, read_coverage
from climrecon.tasks.training_data.material import GRID, TrainingData
from climrecon.tasks.training_data.members import Member, training_members
from climrecon.tasks.training_data.preparation import workers
from climrecon.training.distributed import Workers
from climrecon.training.distributed import workers as workers_of_torch
from climrecon.training.native_network import check_grid
from climrecon.training.recipes import NativeRecipe, parse, renamed
from climrecon.training.sizes import checkpoint_bytes, weights_bytes
from climrecon.training.store import JOINED_IN_MEMORY
from climrecon.workflow.disk_space import file_system_lines, megabytes
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet, Reporter
from climrecon.workflow.run_folder import output_folder
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage


class Training:
    """One training: its plan, and its stages.

    Raises
    ------
    UsageError, NoDataError, InputDataError, OutputError
        For whatever can be known before anything long begins.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        self.settings, self.site, self.run = settings, site, run
        if settings.variable != "tas":
            raise UsageError(
                f"Networks are trained for tas; variable={settings.variable} was asked for.", "Use variable=tas."
            )
        start = self._start()
        #: As ``recipe=`` has it; a network to start from without a recipe brings its own.
        self.recipe_text = settings.recipe if "recipe" in settings.given or start is None else recipe_of(start)
        recipe = recipe_for(self.recipe_text, settings.iterations, settings.auxiliary_variables)
        if recipe.auxiliary != settings.auxiliary_variables:
            raise UsageError(
                f"recipe={settings.recipe} names the auxiliary variables {', '.join(recipe.auxiliary)}; they are "
                "named by auxiliary, so that their files are looked for.",
                f"Use auxiliary={','.join(recipe.auxiliary)}.",
            )
        if isinstance(recipe, NativeRecipe):
            check_grid(recipe, GRID)
        if start is not None:
            check_start(recipe, GRID, start)
        if settings.network_name:
            self._check_name(settings.network_name)
        self.store = writable_store(site)
        cache = cache_folder(settings.cachedir) / "training"
        sets = training_members(settings, site)
        self.data = TrainingData.of(sets.members, settings, cache, settings.auxiliary_variables)
        inputs = mask_inputs(settings, site, Quiet())
        self.plan = TrainingPlan(settings, site, recipe, start, self.data, sets.left_out, inputs, cache)

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.settings.dryrun:
            return (Stage("dryrun", lambda part, reporter: self.dry_run(reporter)),)
        data = self.data
        return (
            Stage("prepare", data.prepare, len(data.members), data.is_prepared, at_once=data.prepare_many),
            Stage("train", self.train, is_done=self.is_trained, gpu=True, continues=True, distributed=True),
            Stage("collect", self.collect),
        )

    def _check_name(self, name: str) -> None:
        """Refuse names of shipped networks and baselines; the user's own are looked at when more is known."""
        if not any((place / name / CARD).is_file() for place in store_places(self.site)):
            check_free_name(name, self.site)

    def _check_not_taken(self) -> None:
        """Refuse a name that another training's network has; the same training may write its own again."""
        for place in store_places(self.site):
            path = place / self.plan.name / CARD
            if (
                path.is_file()
                and load_network(str(path.parent)).card.training.get("fingerprint") != self.plan.fingerprint
            ):
                raise UsageError(
                    f"There is a network {self.plan.name} already, in {path.parent}, and it was trained otherwise.",
                    f"Choose another network_name, or remove it with 'climrecon networks remove {self.plan.name}'.",
                )

    def _start(self) -> LoadedNetwork | None:
        """The network to start from: ``network``, if it was given."""
        if "network" not in self.settings.given:
            return None
        return load_network(self.settings.network, store=store_places(self.site))

    def is_trained(self, part: int = 0) -> bool:
        """Whether the network is there."""
        if not self.data.all_prepared:
            return False
        try:
            load_network(str(self.plan.folder / "network"))
        except NetworkError:  # not there, or a scratch has lost one of its two files
            return False
        return True

    def train(self, part: int, reporter: Reporter) -> None:
        """Train; a call after a stop goes on from the last checkpoint. Started by torchrun, all processes together."""
        with workers_of_torch(choose_device(self.settings.device)) as processes:
            self._train(processes, reporter)

    def _train(self, processes: Workers, reporter: Reporter) -> None:
        plan = self.plan
        processes.first(lambda: self.data.mend(reporter) if not processes.rank else None)
        self._check_not_taken()
        for note in renamed(parse(self.recipe_text)[1])[1]:
            reporter.note(note)
        material = plan.material
        for name, reason in material.left_out:
            reporter.warning(f"{name} is left out: {reason}")
        plan.folder.mkdir(parents=True, exist_ok=True)
        self._note_start()
        gaps = self._coverage(reporter)
        uses, joined = material.split, plan.cache / "joined"
        fields = processes.first(lambda: material.fields(uses.train, joined))
        validation = processes.first(lambda: material.fields(uses.validation, joined))
        for caveat in (*uses.caveats, *gaps.caveats):
            reporter.note(caveat)
        run_training(plan, fields, validation, gaps, reporter)

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Score the network, store it under its name, and write the results."""
        self.data.mend(reporter)
        self._check_not_taken()
        run = replace(self.run, started=self._started())
        return collect(self.plan, self.plan.material, self._coverage(reporter), run, reporter)

    def _coverage(self, reporter: Reporter) -> Coverage:
        with self.data.preparation.store.scratch() as scratch:
            return read_coverage(self.settings, self.plan.coverage_inputs, GRID, scratch, reporter)

    def _started(self) -> datetime:
        try:
            text = json.loads((self.plan.folder / "started.json").read_text(encoding="utf-8"))["started"]
            return datetime.fromisoformat(text)
        except (OSError, ValueError, KeyError):
            return datetime.now(UTC)

    def _note_start(self) -> None:
        """Remember when this training began, for its provenance; a resumed one keeps it."""
        path = self.plan.folder / "started.json"
        if not path.exists():
            write_text(path, json.dumps({"started": datetime.now(UTC).isoformat()}) + "\n")

    def dry_run(self, reporter: Reporter) -> Outcome:
        """A summary of the preparation and the training; writes nothing."""
        waiting = [member for member in self.data.members if not self.data.preparation.is_done(member)]
        lines = [
            "Would train, and write nothing now (dryrun):",
            f"  training data: {self.settings.training_data}: {len(self.data.members)} members of "
            f"{len({m.family for m in self.data.members})} model families, {megabytes(self.data.input_bytes)}",
            f"  prepared already: {len(self.data.members) - len(waiting)}; to prepare: {len(waiting)}, "
            f"{workers(max(len(waiting), 1))} at a time",
            f"  target: {self.settings.training_target}; can be blended: "
            f"{sum(self.data.preparation.can_blend(m) for m in self.data.members)}",
            *(
                [f"  auxiliary variables: {', '.join(self.plan.recipe.auxiliary)}"]
                if self.plan.recipe.auxiliary
                else []
            ),
            f"  gaps and errors of: {', '.join(path.name for path in self.plan.coverage_inputs.main)}",
            f"  recipe {self.recipe_text}, {self.plan.recipe.iterations} steps, "
            f"starting from {self.plan.start.name if self.plan.start else 'scratch'}",
            f"  cache: {self.plan.cache}; network store: {self.store}",
            *file_system_lines(self._needs(waiting)),
        ]
        lines += [f"    {member.set}: {member.name} ({member.family})" for member in self.data.members]
        lines += [f"  left out: {path}: {reason}" for path, reason in self.plan.left_out]
        lines += [f"  note: {note}" for note in renamed(parse(self.recipe_text)[1])[1]]
        return Outcome(None, {"status": "dryrun", "outputs": []}, lines)

    def _needs(self, waiting: Sequence[Member]) -> list[tuple[Path, float, int]]:
        """(folder, bytes, files) of what will be written where."""
        month = 4 * GRID.area.size * len(self.plan.recipe.variables)
        months = {
            member.name: sum(dimensions(path)[0] for path in member.files[self.settings.variable])
            for member in self.data.members
        }
        everything = month * sum(months.values())
        weights = weights_bytes(self.plan.recipe, GRID, network_of(self.plan.start) if self.plan.start else None)
        folder = output_folder(self.settings)
        figures = 4 if self.settings.plots else 0
        return [
            # A member has a file; each of its input files a small one with its hash.
            (
                self.plan.cache,
                month * sum(months[member.name] for member in waiting),
                len(waiting) + sum(len(paths) for member in waiting for paths in member.files.values()),
            ),
            (
                self.plan.cache,
                everything if everything > JOINED_IN_MEMORY else 0,
                2 * int(everything > JOINED_IN_MEMORY),
            ),
            (self.plan.cache, checkpoint_bytes(weights) + weights, 6),
            (self.store, weights, 2),
            (folder, weights, 7 + figures),
        ]
