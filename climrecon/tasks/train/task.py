"""``task=train``: prepare members one by one, train, collect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from climrecon.errors import NetworkError, UsageError
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.card import check_frequency, check_variable
from climrecon.methods.store import CARD, load_network, network_of
from climrecon.preprocess.field import dimensions
from climrecon.settings import RunSettings, Site
from climrecon.tasks.network_store import cache_folder, check_free_name, store_places, writable_store
from climrecon.tasks.train.fit import SCORED, check_start, recipe_for, recipe_of, run_training
from climrecon.tasks.train.plan import TrainingPlan
from climrecon.tasks.train.results import collect
from climrecon.tasks.training_data.coverage import Coverage, mask_inputs, read_coverage
from climrecon.tasks.training_data.material import TrainingData
from climrecon.tasks.training_data.members import Member, training_members
from climrecon.tasks.training_data.preparation import workers
from climrecon.training.distributed import Workers
from climrecon.training.distributed import workers as workers_of_torch
from climrecon.training.recipe_settings import RESPONSES_OF, UNetRecipe
from climrecon.training.recipes import parse, renamed
from climrecon.training.sizes import checkpoint_bytes, weights_bytes
from climrecon.training.store import JOINED_IN_MEMORY
from climrecon.training.unet_network import check_grid
from climrecon.workflow.disk_space import file_system_lines, megabytes
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet, Reporter
from climrecon.workflow.run_folder import output_folder
from climrecon.workflow.run_info import RunInfo, note_start, start_noted
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
        start = load_network(settings.network, store=store_places(site)) if "network" in settings.given else None
        #: As ``recipe=`` has it; a network to start from without a recipe brings its own.
        self.recipe_text = settings.recipe if "recipe" in settings.given or start is None else recipe_of(start)
        recipe = recipe_for(self.recipe_text, settings.iterations, settings.auxiliary_variables, settings.variable)
        if recipe.auxiliary != settings.auxiliary_variables:
            raise UsageError(
                f"recipe={settings.recipe} names the auxiliary variables {', '.join(recipe.auxiliary)}; they are "
                "named by auxiliary, so that their files are looked for.",
                f"Use auxiliary={','.join(recipe.auxiliary)}.",
            )
        if settings.forced_patterns and isinstance(recipe, UNetRecipe) and not recipe.forced:
            raise UsageError(
                f"forced_patterns holds responses of {RESPONSES_OF}; a network for {settings.variable} has none.",
                "Leave out forced_patterns.",
            )
        # The user's own networks are looked at when more is known.
        name = settings.network_name
        if name and not any((place / name / CARD).is_file() for place in store_places(site)):
            check_free_name(name, site)
        self.store = writable_store(site)
        cache = cache_folder(settings.cachedir) / "training"
        members, left_out, files = training_members(settings, site)
        self.data = TrainingData.of(members, settings, cache, settings.auxiliary_variables, recipe.calendar)
        if isinstance(recipe, UNetRecipe):
            check_grid(recipe, self.data.grid)
        if start is not None:
            check_variable(f"The network {start.name}", start.card.variable, settings.variable)
            check_frequency(f"The network {start.name}", start.card.frequency, settings.frequency)
            check_start(recipe, self.data.grid, start)
        inputs = mask_inputs(settings, site, Quiet())
        self.plan = TrainingPlan(settings, site, recipe, start, self.data, left_out, files, inputs, cache)
        #: Read now, so that a file that cannot be used is refused before members are prepared.
        self.models = self.plan.models

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.settings.dryrun:
            return (Stage("dryrun", self.dry_run),)
        return (
            self.data.stage,
            Stage("train", self.train, is_done=self.is_trained, gpu=True, continues=True, distributed=True),
            Stage("collect", self.collect),
        )

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

    def is_trained(self, part: int = 0) -> bool:
        """Whether the network is there."""
        if not self.data.all_prepared:
            return False
        try:
            load_network(str(self.plan.folder / SCORED))
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
        for note in renamed(*parse(self.recipe_text))[2]:
            reporter.note(note)
        material = plan.material
        for name, reason in (*plan.left_out, *material.left_out):
            reporter.warning(f"{name} is left out: {reason}")
        plan.folder.mkdir(parents=True, exist_ok=True)
        note_start(plan.folder)
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
        run = replace(self.run, started=start_noted(self.plan.folder))
        return collect(self.plan, self._coverage(reporter), run, reporter)

    def _coverage(self, reporter: Reporter) -> Coverage:
        with self.data.preparation.store.scratch() as scratch:
            return read_coverage(self.settings, self.plan.coverage_inputs, self.data.grid, scratch, reporter)

    def dry_run(self, part: int, reporter: Reporter) -> Outcome:
        """A summary of the preparation and the training; writes nothing."""
        plan, data, settings = self.plan, self.data, self.settings
        waiting = [member for member in data.members if not data.preparation.is_done(member)]
        notes = renamed(*parse(self.recipe_text))[2]
        lines = [
            "Would train, and write nothing now (dryrun):",
            f"  training data: {settings.training_data}: {len(data.members)} members of "
            f"{len({m.family for m in data.members})} model families, {megabytes(data.input_bytes)}",
            f"  prepared already: {len(data.members) - len(waiting)}; to prepare: {len(waiting)}, "
            f"{workers(max(len(waiting), 1))} at a time",
            f"  target: {settings.training_target}; can be blended: "
            f"{sum(data.preparation.can_blend(m) for m in data.members)}",
            *([f"  auxiliary variables: {', '.join(plan.recipe.auxiliary)}"] if plan.recipe.auxiliary else []),
            f"  gaps and errors of: {plan.coverage_inputs.label}",
            *(
                [f"  forced responses of: {len(self.models)} models in {', '.join(map(str, plan.patterns))}"]
                if self.models
                else []
            ),
            f"  recipe {self.recipe_text}, {plan.recipe.iterations} steps, "
            f"starting from {plan.start.name if plan.start else 'scratch'}",
            f"  cache: {plan.cache}; network store: {self.store}",
            *file_system_lines(self._needs(waiting)),
            *data.split_lines(),
            *data.lines(),
            *(f"  left out: {path}: {reason}" for path, reason in (*plan.left_out, *plan.files_left_out)),
            *(f"  note: {note}" for note in notes),
        ]
        return Outcome.of_dry_run(lines)

    def _needs(self, waiting: Sequence[Member]) -> list[tuple[Path, float, int]]:
        """(folder, bytes, files) of what will be written where."""
        plan, settings = self.plan, self.settings
        month = 4 * self.data.grid.area.size * len(plan.recipe.variables)

        def size(members: Sequence[Member]) -> int:
            return month * sum(dimensions(path)[0] for one in members for path in one.files[settings.variable])

        everything = size(self.data.members)
        joined = everything > JOINED_IN_MEMORY
        weights = weights_bytes(plan.recipe, self.data.grid, network_of(plan.start) if plan.start else None)
        # A member has a file; each of its input files a small one with its hash.
        files = len(waiting) + sum(len(paths) for member in waiting for paths in member.files.values())
        return [
            (plan.cache, size(waiting), files),
            (plan.cache, everything * joined, 2 * joined),
            (plan.cache, checkpoint_bytes(weights) + weights, 6),
            (self.store, weights, 2),
            (output_folder(settings), weights, 7 + (4 if settings.plots else 0)),
        ]
