"""``task=evaluate``: known fields seen through real gaps, reconstructed by several methods, and scored.

Stages: prepare the truth's members (shared with trainings), let each method make what it can of them, collect the
scores. What a method made is kept as sums in ``cachedir``, so that a stopped evaluation goes on.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.errors import InputDataError, NetworkError, UsageError
from climrecon.evaluate.masked_truth import RAW, REGIONS, MethodOutput, Sums, raw_mean, sums_of
from climrecon.files import atomic_path
from climrecon.grid import FIVE_DEGREES
from climrecon.preprocess import PrepareRequest, read_observations, to_network_grid
from climrecon.settings import RunSettings, Site
from climrecon.tasks.evaluate.truth import PseudoObservations, members_of_file, pseudo_observations_of
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import Method, adapt, load_method
from climrecon.tasks.network_store import cache_folder
from climrecon.tasks.train.task import Training
from climrecon.tasks.training_data.coverage import mask_inputs, read_coverage
from climrecon.tasks.training_data.members import Member
from climrecon.tasks.training_data.preparation import Preparation, prepare_all
from climrecon.training.store import StoredMember
from climrecon.workflow.disk_space import megabytes
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet, Reporter
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage

#: Version of this stage: raised whenever equal inputs and settings give other scores.
VERSION = 2
#: The grid everything is brought to and scored on.
GRID = FIVE_DEGREES
#: Of more held-out members than this, the first are taken.
MOST_MEMBERS = 4
_SETTINGS = (
    "variable",
    "values",
    "period",
    "reference_period",
    "realisations",
    "seed",
    "noise",
    "training_target",
)


@dataclass(frozen=True)
class Truth:
    """Members taken as the truth with the months that count, and what must be said of them."""

    members: tuple[tuple[StoredMember, slice], ...]
    notes: tuple[str, ...]


class Evaluation:
    """One evaluation: which truth, which gaps, which methods.

    Raises
    ------
    UsageError, NoDataError, InputDataError, NetworkError
        For whatever can be known before anything long begins.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        self.settings, self.site, self.run = settings, site, run
        if settings.variable != "tas":
            raise UsageError(
                f"Networks are evaluated for tas; variable={settings.variable} was asked for.", ""
            )
        asked = list(dict.fromkeys([settings.network, *settings.networks_beside]))
        self.methods: dict[str, Method] = {}
        labels: dict[str, str] = {}
        for name in asked:
            method = load_method(name, settings, site)
            # A network given by its path goes by its own name, unless another has it.
            labels[name] = name if method.info.name in self.methods else method.info.name
            self.methods[labels[name]] = method
            self._check_grid(labels[name])
        self.names = tuple(self.methods)
        self.main = labels[settings.network]
        self.reference = labels[settings.networks_beside[0]] if settings.networks_beside else RAW
        self.cache = cache_folder(settings.cachedir)
        self.training: Training | None = None
        if settings.truth_file:
            self.members: tuple[Member, ...] = members_of_file(settings.truth_file, settings.variable)
            self.preparation = Preparation(
                self.cache / "training" / "members", GRID, settings.reference_period.years, settings.variable,
                settings.training_target,
            )  # fmt: skip
        else:
            self.training = Training(settings, site, run)
            self.members, self.preparation = self.training.members, self.training.preparation
        self.coverage_inputs: Inputs = mask_inputs(settings, site, Quiet())

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.settings.dryrun:
            return (Stage("dryrun", lambda part, reporter: self.dry_run(reporter)),)
        count = len(self.members)
        return (
            Stage("prepare", self.prepare, count, self.is_prepared, at_once=self.prepare_many),
            Stage("assess", self.assess, len(self.names), self.is_assessed),
            Stage("collect", self.collect),
        )

    def _check_grid(self, name: str) -> None:
        loaded = self.methods[name].loaded
        if loaded is not None and not loaded.card.grid.grid.same_as(GRID):
            raise NetworkError(
                f"{name} works on {loaded.card.grid.grid.describe()}; evaluations are made on {GRID.describe()}.",
                "Choose a network of that grid.",
            )

    # prepare

    def is_prepared(self, part: int) -> bool:
        """Whether a member has been prepared, or found to be unusable."""
        return self.preparation.is_done(self.members[part])

    def prepare(self, part: int, reporter: Reporter) -> None:
        """Prepare one member of the truth."""
        member = self.members[part]
        reporter.stage(f"Preparing {member.name}, member {part + 1} of {len(self.members)}")
        reason = self.preparation.prepare(member)
        if reason:
            reporter.warning(f"{member.name} is left out: {reason}")

    def prepare_many(self, parts: Sequence[int], reporter: Reporter) -> None:
        """Prepare several members in parallel."""
        if self.training is not None:
            self.training.prepare_many(parts, reporter)
            return
        reporter.stage(f"Preparing {len(parts)} members")
        prepare_all(
            self.preparation,
            [self.members[part] for part in parts],
            lambda done, member, reason: reporter.step(done, len(parts)),
        )

    # what is known

    @cached_property
    def truth(self) -> Truth:
        """The members taken as the truth.

        Raises
        ------
        InputDataError
            If members have not been prepared, or none can be used.
        """
        if self.training is not None:
            material = self.training.material
            test = material.split.test
            chosen = tuple((material.stored[number], rows) for number, rows in test[:MOST_MEMBERS])
            notes = [
                f"held out of {self.settings.training_data}: {material.split.how}",
                *material.split.caveats,
            ]
            if len(test) > len(chosen):
                notes.append(f"{len(chosen)} of {len(test)} held-out members are taken")
            return Truth(chosen, tuple(notes))
        found = []
        for member in self.members[:MOST_MEMBERS]:
            stored = self.preparation.open(member)
            if stored is None:
                raise InputDataError(f"{member.name} is not prepared.", "Run the stage prepare first.")
            if isinstance(stored, str):
                raise InputDataError(f"{member.name} cannot be the truth: {stored}", "Give complete fields.")
            found.append((stored, slice(None)))
        notes = [note for stored, _ in found for note in stored.about["notes"]]
        return Truth(tuple(found), tuple(dict.fromkeys(map(str, notes))))

    def learned_from(self) -> list[str]:
        """Methods that say of themselves that they learned from a member which is the truth here, in words."""
        found = []
        for name, method in self.methods.items():
            members = method.info.card.get("training", {}).get("members")
            learned = members.get("train", []) if isinstance(members, dict) else []
            names = {(str(one.get("set")), str(one.get("name"))) for one in learned}
            for stored, _ in self.truth.members:
                if (str(stored.about["set"]), str(stored.about["name"])) in names:
                    found.append(
                        f"{name} learned from {stored.about['name']}: its scores here are flattered."
                    )
        return found

    @cached_property
    def fingerprint(self) -> str:
        """What makes two evaluations the same, whatever the methods."""
        store = self.preparation.store
        inputs = [f"{member.key} {rows}" for member, rows in self.truth.members]
        extra = [self.coverage_inputs.uncorrelated] if self.coverage_inputs.uncorrelated else []
        inputs += [f"gaps {store.sha256(path)}" for path in (*self.coverage_inputs.main, *extra)]
        plain = self.settings.plain()
        settings = {name: plain[name] for name in _SETTINGS}
        settings["gap_members"] = len(self.coverage_inputs.members) if plain["noise"] else 0
        return fingerprint("evaluate", VERSION, inputs, settings, None)

    def _place(self, name: str, number: int) -> Path:
        """Where the sums of a method and a member are kept."""
        method = self.methods[name]
        digest = fingerprint("assess", VERSION, [self.fingerprint], {}, method.info.sha256 or name)
        return self.cache / "evaluation" / digest[:32] / f"{number}.npz"

    def records(self, reporter: Reporter) -> tuple[list[PseudoObservations], list[str]]:
        """All truths seen through the gaps, and the rules by which masks were taken."""
        request = PrepareRequest(
            variable=self.settings.variable,
            values=self.settings.values,
            reference_period=self.settings.reference_period.years,
            facets=self.coverage_inputs.facets,
        )
        with self.preparation.store.scratch() as scratch:
            reporter.stage(
                f"Reading the gaps of {', '.join(path.name for path in self.coverage_inputs.main)}"
            )
            gaps = to_network_grid(read_observations(self.coverage_inputs.main, request), GRID, scratch)
            noise = None
            if self.settings.noise:
                everything = self.settings.model_copy(update={"period": None})
                noise = read_coverage(everything, self.coverage_inputs, GRID, scratch, reporter).noise
        records, rules = [], []
        for number, (member, rows) in enumerate(self.truth.members):
            record, rule = pseudo_observations_of(member, rows, gaps, noise, GRID, self.settings, number)
            records.append(record)
            rules.append(f"{record.known.name}: {rule}")
        return records, rules

    # assess

    def is_assessed(self, part: int) -> bool:
        """Whether a method has been applied to all truths."""
        if not all(self.is_prepared(number) for number in range(len(self.members))):
            return False
        return all(self._place(self.names[part], n).is_file() for n in range(len(self.truth.members)))

    def assess(self, part: int, reporter: Reporter) -> None:
        """Let one method reconstruct all truths, and keep the sums."""
        name = self.names[part]
        method = self.methods[name]
        for number, record in enumerate(self.records(reporter)[0]):
            path = self._place(name, number)
            if path.is_file():
                continue
            said = adapt(method, record.observations)
            if said:
                reporter.note(said)
            months = len(record.known.time)
            reporter.stage(f"Reconstructing {months} months of {record.known.name} with {name}")
            made = _made(method, record, self.settings, reporter)
            _keep(sums_of(record.known, made), path)

    # collect

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Score all methods, and write what the run hands back."""
        from climrecon.tasks.evaluate.results import write_evaluation

        records, rules = self.records(reporter)
        sums: dict[str, list[Sums]] = {
            RAW: [sums_of(r.known, raw_mean(r.known, r.observations.values)) for r in records]
        }
        for name in self.names:
            sums[name] = [_kept(self._place(name, number)) for number in range(len(records))]
        return write_evaluation(self, records, sums, rules, self.run, reporter)

    def dry_run(self, reporter: Reporter) -> Outcome:
        """Say what would be evaluated; write nothing."""
        size = sum(path.stat().st_size for m in self.members for paths in m.files.values() for path in paths)
        ready = sum(self.preparation.is_done(member) for member in self.members)
        what = str(self.settings.truth_file or f"held-out members of {self.settings.training_data}")
        lines = [
            "Would evaluate, and write nothing now (dryrun):",
            f"  truth: {what}: {len(self.members)} members, {megabytes(size)}; prepared already: {ready}",
            f"  gaps of: {', '.join(path.name for path in self.coverage_inputs.main)}; errors added: "
            + ("as the training draws them" if self.settings.noise else "none"),
            f"  methods: {', '.join(self.names)}, and {RAW}; differences to {self.reference}",
            f"  cache: {self.cache}",
        ]
        lines += [f"    {member.set}: {member.name} ({member.family})" for member in self.members]
        return Outcome(None, {"status": "dryrun", "outputs": []}, lines)


def _made(
    method: Method, record: PseudoObservations, settings: RunSettings, reporter: Reporter
) -> MethodOutput:
    """What a method makes of a record, realisations as regional means alone."""
    from climrecon.methods.by_chunks import reconstruct

    shape = record.known.truth.shape
    mean, stddev = np.empty(shape, np.float32), np.empty(shape, np.float32)
    weights = {region.name: GRID.region_weights(region) for region in REGIONS}
    weights = {name: weight / weight.sum() for name, weight in weights.items()}
    sd: dict[str, list[Any]] = {name: [] for name in weights}
    draws: dict[str, list[Any]] = {name: [] for name in weights}
    certain = False
    # As the pipeline draws them: noise that belongs to a date goes on from chunk to chunk.
    dated = bool(getattr(method.reconstructor, "draws_by_date", False))
    for months, estimate in reconstruct(method.reconstructor, record.observations, progress=reporter.step):
        mean[months] = estimate.mean
        if estimate.stddev is None:
            certain = True
        else:
            stddev[months] = estimate.stddev
        drawn = None
        if settings.realisations > 1 and estimate.sample is not None:
            drawn = estimate.sample(settings.realisations, settings.seed + (0 if dated else months.start))
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
    )


def _keep(sums: Sums, path: Path) -> None:
    """Write sums; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez(content, **{key.replace("/", "|"): value for key, value in sums.items()})  # type: ignore[arg-type]
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())


def _kept(path: Path) -> Sums:
    """Sums that :func:`_keep` wrote.

    Raises
    ------
    InputDataError
        If they are not there.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return {key.replace("|", "/"): content[key] for key in content.files}
    except OSError as error:
        raise InputDataError(
            f"What a method made is not there: {path}.", "Run the stage assess first, all its parts."
        ) from error
