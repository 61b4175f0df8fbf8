"""``task=evaluate``: known fields seen through real gaps, reconstructed by several methods, and scored.

Stages: prepare the truth's members (shared with trainings), let each method reconstruct them, collect the scores. The
sums of each method are kept in ``cachedir``, so that a stopped evaluation goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from climrecon.arrays import is_whole, read_arrays, write_arrays
from climrecon.methods.by_chunks import reconstruct
from climrecon.preprocess import to_network_grid
from climrecon.scores.ensembles import draw_sums
from climrecon.scores.masked_truth import RAW, MethodOutput, Sums, raw_mean, sums_of
from climrecon.scores.structure import structure_sums
from climrecon.settings import RunSettings, Site
from climrecon.tasks.evaluate.plan import (
    EvaluationRun,
    PseudoObservations,
    check_grid,
    members_of_file,
    methods_of,
    pseudo_observations_of,
)
from climrecon.tasks.evaluate.results import write_evaluation
from climrecon.tasks.methods import LoadedMethod, with_fitting_network
from climrecon.tasks.network_store import cache_folder
from climrecon.tasks.training_data.coverage import mask_inputs, read_coverage, read_gaps
from climrecon.tasks.training_data.material import TrainingData, grid_of
from climrecon.tasks.training_data.members import training_members
from climrecon.training.calendar import NO_YEARS, Calendar
from climrecon.workflow.disk_space import megabytes
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet, Reporter
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage


class Evaluation:
    """One evaluation: its truth, gaps and methods, and its stages.

    Raises
    ------
    UsageError, NoDataError, InputDataError, NetworkError
        For whatever can be known before anything long begins.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        lost: tuple[tuple[str, str], ...] = ()
        if settings.truth_file:
            members = members_of_file(settings.truth_file, settings.variable)
        else:
            members, lost, _ = training_members(settings, site)
        settings = with_fitting_network(settings, grid_of(members, settings))
        self.settings, self.run = settings, run
        methods, labels = methods_of(settings, site)
        cache = cache_folder(settings.cachedir)
        if settings.truth_file:
            self.data = TrainingData.of(members, settings, cache / "training")
        else:
            calendar = _calendar_of(methods[labels[0]])
            self.data = TrainingData.of(members, settings, cache / "training", settings.auxiliary_variables, calendar)
        for label, method in methods.items():
            check_grid(label, method, self.data.grid)
        self.plan = EvaluationRun(
            settings,
            methods,
            main=labels[0],
            reference=labels[1] if len(labels) > 1 else RAW,
            data=self.data,
            coverage_inputs=mask_inputs(settings, site, Quiet()),
            cache=cache,
            lost=lost,
        )

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.settings.dryrun:
            return (Stage("dryrun", self.dry_run),)
        return (
            self.data.stage,
            Stage("assess", self.assess, len(self.plan.names), self.is_assessed),
            Stage("collect", self.collect),
        )

    def records(self, reporter: Reporter) -> tuple[list[PseudoObservations], list[str]]:
        """All truths seen through the gaps, and the rules by which masks were taken."""
        plan = self.plan
        inputs = plan.coverage_inputs
        # Months of a file stand for others where the dates do not meet; made-up ones are made for those there are.
        every_month = self.settings if inputs.made_up else self.settings.model_copy(update={"period": None})
        with plan.preparation.store.scratch() as scratch:
            reporter.stage(f"Reading the gaps of {inputs.label}")
            gaps = to_network_grid(read_gaps(every_month, inputs, self.data.grid), self.data.grid, scratch)
            noise = None
            if self.settings.noise:
                noise = read_coverage(every_month, inputs, self.data.grid, scratch, reporter).noise
        records, rules = [], []
        for number, (member, rows) in enumerate(plan.truth.members):
            record, rule = pseudo_observations_of(member, rows, gaps, noise, plan.grid, self.settings, number)
            records.append(record)
            rules.append(f"{record.known.name}: {rule}")
        return records, rules

    def is_assessed(self, part: int) -> bool:
        """Whether a method has been applied to all truths."""
        plan = self.plan
        if not self.data.all_prepared:
            return False
        return all(is_whole(plan.sums_path(plan.names[part], n)) for n in range(len(plan.truth.members)))

    def assess(self, part: int, reporter: Reporter) -> None:
        """Let one method reconstruct all truths, and keep the sums."""
        name = self.plan.names[part]
        method = self.plan.methods[name]
        for number, record in enumerate(self.records(reporter)[0]):
            path = self.plan.sums_path(name, number)
            if is_whole(path):
                continue
            if calibration := method.reconstructor.calibrate(record.observations):
                reporter.note(calibration)
            counted = record.known.time.counted()
            reporter.stage(f"Reconstructing {counted} of {record.known.name} with {name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, sums_of(record.known, _applied(method, record, self.settings, reporter)), {})

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Score all methods, and write the results."""
        records, rules = self.records(reporter)
        sums: dict[str, list[Sums]] = {
            RAW: [sums_of(r.known, raw_mean(r.known, r.observations.values)) for r in records]
        }
        for name in self.plan.names:
            sums[name] = [read_arrays(self.plan.sums_path(name, number)) for number in range(len(records))]
        return write_evaluation(self.plan, records, sums, rules, self.run, reporter)

    def dry_run(self, part: int, reporter: Reporter) -> Outcome:
        """A summary of the evaluation; writes nothing."""
        plan, members = self.plan, self.data.members
        ready = sum(map(self.data.is_prepared, range(len(members))))
        what = str(self.settings.truth_file or f"held-out members of {self.settings.training_data}")
        lines = [
            "Would evaluate, and write nothing now (dryrun):",
            f"  truth: {what}: {len(members)} members, {megabytes(self.data.input_bytes)}; prepared already: {ready}",
            f"  gaps of: {plan.coverage_inputs.label}; errors added: "
            + ("as the training draws them" if self.settings.noise else "none"),
            f"  methods: {', '.join(plan.names)}, and {RAW}; differences to {plan.reference}",
            f"  cache: {plan.cache}",
        ]
        split = [] if self.settings.truth_file else self.data.split_lines()
        return Outcome.of_dry_run([*lines, *split, *self.data.lines()])


def _calendar_of(method: LoadedMethod) -> Calendar:
    """The years that a network's training held out by their date: they are the truth's."""
    recipe = method.info.card.get("training", {}).get("recipe")
    if not isinstance(recipe, dict):
        return NO_YEARS
    return Calendar.of(recipe.get("hold_out", ()), recipe.get("validate_on", ()))


def _applied(
    method: LoadedMethod, record: PseudoObservations, settings: RunSettings, reporter: Reporter
) -> MethodOutput:
    """A method's estimates of a record, realisations as regional means and sums alone."""
    shape = record.known.truth.shape
    mean, stddev = np.empty(shape, np.float32), np.empty(shape, np.float32)
    weights = record.known.weights
    sd: dict[str, list[Any]] = {name: [] for name in weights}
    draws: dict[str, list[Any]] = {name: [] for name in weights}
    cells: list[dict[str, Any]] = []
    certain = False
    for months, estimate in reconstruct(method.reconstructor, record.observations, progress=reporter.step):
        mean[months] = estimate.mean
        if estimate.stddev is None:
            certain = True
        else:
            stddev[months] = estimate.stddev
        drawn = None
        if settings.realisations > 1 and estimate.sample is not None:
            seed = method.reconstructor.capabilities.seed_at(settings.seed, months.start)
            drawn = estimate.sample(settings.realisations, seed)
            known = record.known
            cells.append(draw_sums(drawn, known.truth[months], known.scored[months], known.grid.area))
            cells[-1] |= structure_sums(drawn[0], known.known[months], known.grid)
        for name, weight in weights.items():
            if estimate.area_mean_sd is not None:
                sd[name].append(estimate.area_mean_sd(weight))
            if drawn is not None:
                draws[name].append(np.tensordot(drawn, weight, axes=((2, 3), (0, 1))))
    return MethodOutput(
        mean,
        None if certain else stddev,
        {name: np.concatenate(parts) for name, parts in sd.items() if parts},
        {name: np.concatenate(parts, axis=1) for name, parts in draws.items() if parts},
        draws={key: np.concatenate([part[key] for part in cells]) for key in (cells[0] if cells else ())},
    )
