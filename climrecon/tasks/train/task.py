"""``task=train``: prepare members one by one, train, collect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from climrecon.errors import InputDataError, NetworkError, UsageError
from climrecon.files import write_text
from climrecon.grid import FIVE_DEGREES
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.store import CARD, LoadedNetwork, load_network, network_of
from climrecon.preprocess.header import dimensions
from climrecon.settings import RunSettings, Site
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.network_store import cache_folder, check_free_name, store_places, writable_store
from climrecon.tasks.train.fit import check_start, recipe_for, recipe_of, run_training
from climrecon.tasks.train.results import collect
from climrecon.tasks.training_data.coverage import coverage_files, mask_inputs, read_coverage
from climrecon.tasks.training_data.members import Member, TrainingSets, training_members
from climrecon.tasks.training_data.preparation import Preparation, prepare_all, workers
from climrecon.training.distributed import Workers
from climrecon.training.distributed import workers as workers_of_torch
from climrecon.training.fields import TrainingFields
from climrecon.training.native_task import check_grid
from climrecon.training.recipes import NativeRecipe
from climrecon.training.sets import Split, fields_of, shared_history, split, twins, with_auxiliary
from climrecon.training.sizes import checkpoint_bytes, weights_bytes
from climrecon.training.store import JOINED_IN_MEMORY, StoredMember
from climrecon.workflow.disk_space import file_system_lines, megabytes
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Quiet, Reporter
from climrecon.workflow.run_folder import output_folder
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage

#: Version of the training stage: raised whenever equal members and settings give another network.
VERSION = 2
#: The grid that members are brought to: that of the observational data sets.
GRID = FIVE_DEGREES
_SETTINGS = ("variable", "values", "max_hours", "seed", "reference_period", "training_target")


@dataclass(frozen=True)
class Material:
    """What a network is made from: members by use, and what was left out.

    ``split`` numbers ``stored``; ``left_out`` holds (member, reason); ``auxiliary`` the further variables of each of
    ``stored`` by name.
    """

    stored: tuple[StoredMember, ...]
    split: Split
    left_out: tuple[tuple[str, str], ...]
    auxiliary: tuple[Mapping[str, StoredMember], ...] = ()

    def fields(self, chosen: Sequence[tuple[int, slice]], folder: Path) -> TrainingFields:
        """The chosen members as one array, with their further variables."""
        fields = fields_of(self.stored, chosen, GRID, folder)
        return with_auxiliary(fields, self.stored, self.auxiliary, chosen, folder)

    @property
    def files(self) -> list[tuple[str, str]]:
        """All files that members were made of, with their hashes."""
        members = [*self.stored, *(one for own in self.auxiliary for one in own.values())]
        return [(str(path), str(digest)) for member in members for path, digest in member.about["files"]]

    def auxiliary_card(self, how: str) -> str:
        """What a card says of the further variables; "" where there are none."""
        names = list(self.auxiliary[0]) if self.auxiliary else []
        return f"{', '.join(names)} of the same members, anomalies to the same years; {how}" if names else ""


class Training:
    """One training: which members, which gaps, and where it stands.

    Raises
    ------
    UsageError, NoDataError, InputDataError, OutputError
        For whatever can be known before anything long begins.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        self.settings, self.site, self.run = settings, site, run
        if settings.variable != "tas":
            raise UsageError(
                f"Networks are trained for tas; variable={settings.variable} was asked for.",
                "Use variable=tas.",
            )
        #: As ``recipe=`` has it; who gives a network to start from and no recipe gets that network's.
        self.recipe_text = (
            settings.recipe if "recipe" in settings.given or self.start is None else recipe_of(self.start)
        )
        self.recipe = recipe_for(self.recipe_text, settings.iterations, settings.auxiliary_variables)
        if self.recipe.auxiliary != settings.auxiliary_variables:
            raise UsageError(
                f"recipe={settings.recipe} names the further variables {', '.join(self.recipe.auxiliary)}; they are "
                "named by channels, so that their files are looked for.",
                f"Use channels={','.join(self.recipe.auxiliary)}.",
            )
        if isinstance(self.recipe, NativeRecipe):
            check_grid(self.recipe, GRID)
        if self.start is not None:
            check_start(self.recipe, GRID, self.start)
        if settings.network_name:
            self._check_name(settings.network_name)
        self.store = writable_store(site)
        self.cache = cache_folder(settings.cachedir) / "training"
        self.sets: TrainingSets = training_members(settings, site)
        self.coverage_inputs: Inputs = mask_inputs(settings, site, Quiet())
        self.preparation = Preparation(
            self.cache / "members", GRID, settings.reference_period.years, settings.variable,
            settings.training_target, settings.auxiliary_variables,
        )  # fmt: skip

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.settings.dryrun:
            return (Stage("dryrun", lambda part, reporter: self.dry_run(reporter)),)
        count = len(self.members)
        return (
            Stage("prepare", self.prepare, count, self.is_prepared, at_once=self.prepare_many),
            Stage("train", self.train, is_done=self.is_trained, gpu=True, continues=True, distributed=True),
            Stage("collect", self.collect),
        )

    @property
    def members(self) -> tuple[Member, ...]:
        """All members asked for."""
        return self.sets.members

    def _check_name(self, name: str) -> None:
        """Refuse names of shipped networks and baselines; the user's own are looked at when more is known."""
        if not any((place / name / CARD).is_file() for place in store_places(self.site)):
            check_free_name(name, self.site)

    def _check_not_taken(self) -> None:
        """Refuse a name that another training's network has; the same training may write its own again."""
        for place in store_places(self.site):
            path = place / self.name / CARD
            if (
                path.is_file()
                and load_network(str(path.parent)).card.training.get("fingerprint") != self.fingerprint
            ):
                raise UsageError(
                    f"There is a network {self.name} already, in {path.parent}, and it was trained otherwise.",
                    f"Choose another network_name, or remove it with 'climrecon networks remove {self.name}'.",
                )

    @cached_property
    def start(self) -> LoadedNetwork | None:
        """The network that training starts from: ``network``, only if it was given; an evaluation scores it instead."""
        if self.settings.task != "train" or "network" not in self.settings.given:
            return None
        places = store_places(self.site)
        return load_network(self.settings.network, store=places)

    # prepare

    def is_prepared(self, part: int) -> bool:
        """Whether a member is in the store, or known to be unusable."""
        return self.preparation.is_done(self.members[part])

    def prepare(self, part: int, reporter: Reporter) -> None:
        """Prepare one member."""
        member = self.members[part]
        reporter.stage(f"Preparing {member.name}, member {part + 1} of {len(self.members)}")
        reason = self.preparation.prepare(member)
        if reason:
            reporter.warning(f"{member.name} is left out: {reason}")

    def prepare_many(self, parts: Sequence[int], reporter: Reporter) -> None:
        """Prepare several members in parallel."""
        chosen = [self.members[part] for part in parts]
        ready = len(self.members) - len(chosen)
        reporter.stage(
            f"Preparing {len(chosen)} members, {workers(len(chosen))} at a time"
            + (f"; {ready} are there already" if ready else "")
        )

        def told(done: int, member: Member, reason: str | None) -> None:
            if reason:
                reporter.warning(f"{member.name} is left out: {reason}")
            reporter.step(done, len(chosen))

        prepare_all(self.preparation, chosen, told)

    # train

    @cached_property
    def material(self) -> Material:
        """The prepared members, split by use.

        Raises
        ------
        InputDataError
            If members have not been prepared, or none is left.
        """
        stored: list[StoredMember] = []
        left_out: list[tuple[str, str]] = []
        waiting = []
        for member in self.members:
            found = self.preparation.open(member)
            if found is None:
                waiting.append(member.name)
            elif isinstance(found, str):
                left_out.append((member.name, found))
            else:
                stored.append(found)
        if waiting:
            raise InputDataError(
                f"{len(waiting)} of {len(self.members)} members are not prepared: {', '.join(waiting[:6])}"
                + (" …" if len(waiting) > 6 else ""),
                "Run the stage prepare first, all its parts; 'climrecon train' does it by itself.",
            )
        same = twins(stored)
        left_out += [
            (str(stored[i].about["name"]), f"it holds the same fields as {stored[k].about['name']}")
            for i, k in same.items()
        ]
        kept = tuple(member for number, member in enumerate(stored) if number not in same)
        if not kept:
            listed = "\n".join(f"  {name}: {reason}" for name, reason in left_out[:12])
            raise InputDataError(f"No member can be used:\n{listed}", "Mend or exchange the files.")
        uses = _split_by_set(kept)
        caveats = (*uses.caveats, *shared_history(kept, uses))
        auxiliary: tuple[Mapping[str, StoredMember], ...] = ()
        if self.preparation.auxiliary:
            by_key = {self.preparation.key(member): member for member in self.members}
            auxiliary = tuple(self.preparation.open_auxiliary(by_key[one.key]) for one in kept)
        return Material(kept, replace(uses, caveats=caveats), tuple(left_out), auxiliary)

    @cached_property
    def fingerprint(self) -> str:
        """What makes two trainings the same."""
        material = self.material
        uses = {
            use: [[n, str(rows)] for n, rows in getattr(material.split, use)]
            for use in ("train", "validation")
        }
        inputs = [f"{n:05d} {member.key}" for n, member in enumerate(material.stored)]
        inputs += [
            f"{name} {n:05d} {one.key}"
            for n, own in enumerate(material.auxiliary)
            for name, one in own.items()
        ]
        store = self.preparation.store
        inputs += [f"gaps {role} {store.sha256(path)}" for role, path in coverage_files(self.coverage_inputs)]
        plain = self.settings.plain()
        settings = {name: plain[name] for name in _SETTINGS}
        settings |= {
            **{"uses": uses, "period": plain["period"]},
            "recipe": self.recipe.model_dump(mode="json", exclude={"checkpoint_seconds"}),
        }
        return fingerprint("train", VERSION, inputs, settings, self.start.sha256 if self.start else None)

    @property
    def folder(self) -> Path:
        """Where this training keeps its checkpoints and, when done, its network."""
        return self.cache / "runs" / self.fingerprint[:32]

    def is_trained(self, part: int = 0) -> bool:
        """Whether the network is there."""
        if not all(self.is_prepared(number) for number in range(len(self.members))):
            return False
        try:
            load_network(str(self.folder / "network"))
        except NetworkError:  # not there, or a scratch has lost one of its two files
            return False
        return True

    def train(self, part: int, reporter: Reporter) -> None:
        """Train; a call after a stop goes on from the last checkpoint. Started by torchrun, all processes together."""
        with workers_of_torch(choose_device(self.settings.device)) as own:
            self._train(own, reporter)

    def mend(self, reporter: Reporter) -> None:
        """Prepare anew what the cache has lost or damaged since it was prepared; every byte is read once."""
        for member in self.members:
            store = self.preparation.store
            for one in (self.preparation, *self.preparation.beside):
                key = one.key(member)
                assert key is not None
                if store.check(key):
                    continue
                if store.why_left_out(key) is None:
                    reporter.warning(
                        f"{member.name} is not in the cache as it was prepared; it is prepared anew"
                    )
                    one.prepare(member)
                if store.why_left_out(key) is not None:
                    break  # further variables of what is left out are not prepared

    def _train(self, own: Workers, reporter: Reporter) -> None:
        own.first(lambda: self.mend(reporter) if not own.rank else None)
        self._check_not_taken()
        material = self.material
        for name, reason in material.left_out:
            reporter.warning(f"{name} is left out: {reason}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._note_start()
        with self.preparation.store.scratch() as scratch:
            gaps = read_coverage(self.settings, self.coverage_inputs, GRID, scratch, reporter)
        joined = self.cache / "joined"
        uses = material.split
        fields = own.first(lambda: material.fields(uses.train, joined))
        validation = own.first(lambda: material.fields(uses.validation, joined))
        for caveat in (*uses.caveats, *gaps.caveats):
            reporter.note(caveat)
        run_training(self, material, fields, validation, gaps, reporter)

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Score the network, store it under its name, and write what the run hands back."""
        self.mend(reporter)
        self._check_not_taken()
        run = replace(self.run, started=self._started())
        with self.preparation.store.scratch() as scratch:
            gaps = read_coverage(self.settings, self.coverage_inputs, GRID, scratch, reporter)
        return collect(self, self.material, gaps, run, reporter)

    def _started(self) -> datetime:
        try:
            text = json.loads((self.folder / "started.json").read_text(encoding="utf-8"))["started"]
            return datetime.fromisoformat(text)
        except (OSError, ValueError, KeyError):
            return datetime.now(UTC)

    def _note_start(self) -> None:
        """Remember when this training began, for its provenance; a resumed one keeps it."""
        path = self.folder / "started.json"
        if not path.exists():
            write_text(path, json.dumps({"started": datetime.now(UTC).isoformat()}) + "\n")

    @property
    def name(self) -> str:
        """The network's name: as given, else made of recipe, data and fingerprint."""
        given = self.settings.network_name
        return (
            str(given)
            if given
            else f"{self.recipe.name}-{self.settings.training_data.replace('+', '-')}-"
            + (self.fingerprint[:8])
        )

    def dry_run(self, reporter: Reporter) -> Outcome:
        """Say what would be prepared and trained; write nothing."""
        waiting = [member for member in self.members if not self.preparation.is_done(member)]
        size = sum(path.stat().st_size for m in self.members for paths in m.files.values() for path in paths)
        lines = [
            "Would train, and write nothing now (dryrun):",
            f"  training data: {self.settings.training_data}: {len(self.members)} members of "
            f"{len({m.family for m in self.members})} model families, {megabytes(size)}",
            f"  prepared already: {len(self.members) - len(waiting)}; to prepare: {len(waiting)}, "
            f"{workers(max(len(waiting), 1))} at a time",
            f"  target: {self.settings.training_target}; can be blended: "
            f"{sum(self.preparation.can_blend(m) for m in self.members)}",
            *([f"  further variables: {', '.join(self.recipe.auxiliary)}"] if self.recipe.auxiliary else []),
            f"  gaps and errors of: {', '.join(path.name for path in self.coverage_inputs.main)}",
            f"  recipe {self.recipe_text}, {self.recipe.iterations} steps, "
            f"starting from {self.start.name if self.start else 'scratch'}",
            f"  cache: {self.cache}; network store: {self.store}",
            *file_system_lines(self._needs(waiting)),
        ]
        lines += [f"    {member.set}: {member.name} ({member.family})" for member in self.members]
        lines += [f"  left out: {path}: {reason}" for path, reason in self.sets.left_out]
        return Outcome(None, {"status": "dryrun", "outputs": []}, lines)

    def _needs(self, waiting: Sequence[Member]) -> list[tuple[Path, float, int]]:
        """(folder, bytes, files) of what will be written where."""
        own = 4 * GRID.area.size * len(self.recipe.variables)
        months = {
            member.name: sum(dimensions(path)[0] for path in member.files[self.settings.variable])
            for member in self.members
        }
        everything = own * sum(months.values())
        weights = weights_bytes(self.recipe, GRID, network_of(self.start) if self.start else None)
        folder = output_folder(self.settings)
        figures = 4 if self.settings.plots else 0
        return [
            # A member has a file; each of its input files a small one with its hash.
            (
                self.cache,
                own * sum(months[member.name] for member in waiting),
                len(waiting) + sum(len(paths) for member in waiting for paths in member.files.values()),
            ),
            (
                self.cache,
                everything if everything > JOINED_IN_MEMORY else 0,
                2 * int(everything > JOINED_IN_MEMORY),
            ),
            (self.cache, checkpoint_bytes(weights) + weights, 6),
            (self.store, weights, 2),
            (folder, weights, 7 + figures),
        ]


def _split_by_set(stored: Sequence[StoredMember]) -> Split:
    """Each training set is split by itself, so that each has held-out members."""
    uses: dict[str, list[tuple[int, slice]]] = {"train": [], "validation": [], "test": []}
    how, caveats = [], []
    for name in dict.fromkeys(str(member.about["set"]) for member in stored):
        numbers = [i for i, member in enumerate(stored) if member.about["set"] == name]
        chosen = split(
            [str(stored[i].about["name"]) for i in numbers],
            [str(stored[i].about["family"]) for i in numbers],
            [len(stored[i].index) for i in numbers],
        )
        for use, found in uses.items():
            found += [(numbers[position], rows) for position, rows in getattr(chosen, use)]
        how.append(f"{name}: {chosen.how}")
        caveats += [f"{name}: {caveat}" for caveat in chosen.caveats]
    train, validation, test = (tuple(uses[use]) for use in ("train", "validation", "test"))
    return Split(train, validation, test, "; ".join(how), tuple(caveats))
