"""The members that trainings and evaluations share: preparing them, and splitting them by use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from climrecon.array_types import BoolArray
from climrecon.errors import InputDataError
from climrecon.files import why_unreadable
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.preprocess import PrepareRequest
from climrecon.preprocess.field import asked_grid, grid_within
from climrecon.settings import RunSettings
from climrecon.tasks.training_data.members import Member
from climrecon.tasks.training_data.preparation import Preparation, prepare_all, workers
from climrecon.training.calendar import NO_YEARS, Calendar
from climrecon.training.fields import TrainingFields
from climrecon.training.sets import Split, fields_of, one_history, shared_history, split, twins, with_auxiliary
from climrecon.training.store import Rows, StoredMember
from climrecon.workflow.progress import Reporter
from climrecon.workflow.stage import Stage

#: The grid of prepared members of the globe: that of the observational data sets.
GRID = FIVE_DEGREES
#: Members left out that the last lines name.
SHOWN = 12
#: Months that are looked at together.
_AT_ONCE = 2000


@dataclass(frozen=True)
class Material:
    """Prepared members by use, and those left out.

    ``split`` numbers ``stored``; ``left_out`` holds (member, reason); ``grid`` has the variable's domain; ``auxiliary``
    holds the auxiliary variables of each of ``stored`` by name.
    """

    stored: tuple[StoredMember, ...]
    split: Split
    left_out: tuple[tuple[str, str], ...]
    grid: Grid
    auxiliary: tuple[Mapping[str, StoredMember], ...] = ()

    def fields(self, chosen: Sequence[tuple[int, Rows]], folder: Path) -> TrainingFields:
        """The chosen members as one array, with their auxiliary variables."""
        fields = fields_of(self.stored, chosen, self.grid, folder)
        return with_auxiliary(fields, self.stored, self.auxiliary, chosen, folder)

    @property
    def files(self) -> list[tuple[str, str]]:
        """All files of the members, with their hashes."""
        members = [*self.stored, *(one for variables in self.auxiliary for one in variables.values())]
        return [(str(path), str(digest)) for member in members for path, digest in member.about["files"]]

    @property
    def keys(self) -> list[str]:
        """The members' fingerprints in order, for the fingerprint of a training."""
        members = [f"{n:05d} {member.key}" for n, member in enumerate(self.stored)]
        return members + [
            f"{name} {n:05d} {one.key}" for n, variables in enumerate(self.auxiliary) for name, one in variables.items()
        ]

    def auxiliary_card(self, how: str) -> str:
        """The card's text on auxiliary variables; "" where there are none."""
        names = list(self.auxiliary[0]) if self.auxiliary else []
        return f"{', '.join(names)} of the same members, anomalies to the same years; {how}" if names else ""


@dataclass(frozen=True)
class TrainingData:
    """Members, their preparation in the cache, and the years that are held out of them."""

    members: tuple[Member, ...]
    preparation: Preparation
    calendar: Calendar = NO_YEARS

    @classmethod
    def of(
        cls,
        members: tuple[Member, ...],
        settings: RunSettings,
        cache: Path,
        auxiliary: tuple[str, ...] = (),
        calendar: Calendar = NO_YEARS,
    ) -> TrainingData:
        """``members`` as ``settings`` want them prepared, in the ``cache`` of trainings."""
        period, variable, target = settings.reference_period.years, settings.variable, settings.training_target
        grid, asked = grid_of(members, settings), settings.grid or ""
        preparation = Preparation(
            cache / "members", grid, period, variable, target, auxiliary, asked=asked, frequency=settings.frequency
        )
        return cls(members, preparation, calendar)

    @property
    def grid(self) -> Grid:
        """The grid of the members, all of it."""
        return self.preparation.grid

    @property
    def stage(self) -> Stage:
        """The stage that prepares the members, one a part."""
        return Stage("prepare", self.prepare, len(self.members), self.is_prepared, at_once=self.prepare_many)

    def lines(self) -> list[str]:
        """The members, one a line, for dry runs."""
        return [f"    {member.set}: {member.name} ({member.family})" for member in self.members]

    def split_lines(self) -> list[str]:
        """What is held out, for dry runs: as it is where all members are prepared, else as far as can be known.

        Raises
        ------
        InputDataError
            If no member can be used, or too little is left.
        """
        if self.all_prepared:
            return [f"  held out: {self.material.split.how}"]
        sets = {name: [m for m in self.members if m.set == name] for name in dict.fromkeys(m.set for m in self.members)}
        single = {name: members[0] for name, members in sets.items() if len(members) == 1}
        try:
            of, frequency = self.preparation.variable, self.preparation.frequency
            common = self.calendar.completed([one.steps(of, frequency) for one in single.values()])
        except InputDataError as error:
            return [f"  held out: not known yet: {error.message}"]
        lines = [f"  held out of {', '.join(single)}, whole years: {common}"] if single else []
        others = ", ".join(name for name in sets if name not in single)
        given = f"; besides, of all, {self.calendar}" if str(self.calendar) else ""
        if others:
            lines.append(f"  held out of {others}: whole members, or years if all are one history{given}")
        return lines

    def is_prepared(self, part: int) -> bool:
        """Whether a member is in the store, or known to be unusable."""
        return self.preparation.is_done(self.members[part])

    @property
    def all_prepared(self) -> bool:
        """Whether no member waits for its preparation."""
        return all(self.is_prepared(part) for part in range(len(self.members)))

    @property
    def input_bytes(self) -> int:
        """Size of all input files."""
        paths = [path for member in self.members for paths in member.files.values() for path in paths]
        return sum(path.stat().st_size for path in paths if why_unreadable(path) is None)

    def prepare(self, part: int, reporter: Reporter) -> None:
        """Prepare one member."""
        member = self.members[part]
        reporter.stage(f"Preparing {member.name}, member {part + 1} of {len(self.members)}")
        _warn(member, self.preparation.prepare(member), reporter)

    def prepare_many(self, parts: Sequence[int], reporter: Reporter) -> None:
        """Prepare several members in parallel."""
        chosen = [self.members[part] for part in parts]
        ready = len(self.members) - len(chosen)
        reporter.stage(
            f"Preparing {len(chosen)} members, {workers(len(chosen))} at a time"
            + (f"; {ready} are there already" if ready else "")
        )

        def notify(done: int, member: Member, reason: str | None) -> None:
            _warn(member, reason, reporter)
            reporter.step(done, len(chosen))

        prepare_all(self.preparation, chosen, notify)

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
            prepared = self.preparation.open(member)
            if prepared is None:
                waiting.append(member.name)
            elif isinstance(prepared, str):
                left_out.append((member.name, prepared))
            else:
                stored.append(prepared)
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
            raise InputDataError(
                f"No member can be used:\n{listed}", "Mend or exchange the files as each reason suggests."
            )
        uses = _split_by_set(kept, self.calendar)
        caveats = (*uses.caveats, *shared_history(kept, uses))
        auxiliary: tuple[Mapping[str, StoredMember], ...] = ()
        if self.preparation.auxiliary:
            by_key = {self.preparation.key(member): member for member in self.members}
            auxiliary = tuple(self.preparation.open_auxiliary(by_key[one.key]) for one in kept)
        grid = self.preparation.within(known_cells(kept))
        return Material(kept, replace(uses, caveats=caveats), tuple(left_out), grid, auxiliary)

    def mend(self, reporter: Reporter) -> None:
        """Prepare anew what the cache has lost or damaged since its preparation; every byte is read once."""
        store = self.preparation.store
        for member in self.members:
            for one in (self.preparation, *self.preparation.of_auxiliary):
                key = one.key(member)
                assert key is not None
                if store.check(key):
                    continue
                if store.why_left_out(key) is None:
                    reporter.warning(f"{member.name} is not in the cache as it was prepared; it is prepared anew")
                    one.prepare(member)
                if store.why_left_out(key) is not None:
                    break  # auxiliary variables of a member left out are not prepared


def grid_of(members: Sequence[Member], settings: RunSettings) -> Grid:
    """The grid that members are prepared on.

    The one that is asked for; else that of the first member's files where it is one of a region, else 5 degrees.

    Raises
    ------
    InputDataError
        If the grid that is asked for cannot be used.
    """
    files = members[0].files.get(settings.variable) if members else None
    request = PrepareRequest(variable=settings.variable, grid=settings.grid or "")
    if files and request.grid:
        return asked_grid(files[0], request)
    # A file that cannot be read is reported when it is prepared.
    grid = grid_within(files[0], request) if files else None
    return GRID if grid is None or grid.wraps else grid


def known_cells(members: Sequence[StoredMember]) -> BoolArray:
    """(H, W) cells that are known in any month of any member; all where a member has no gaps."""
    known = np.zeros(members[0].values.shape[1:], bool)
    for member in members:
        for start in range(0, 1 if not member.about.get("missing", 0) else len(member.index), _AT_ONCE):
            known |= np.isfinite(member.values[start : start + _AT_ONCE]).any(axis=0)
    return known


def lines_of(left_out: Sequence[tuple[str, str]]) -> list[str]:
    """The last lines of a run on members left out; of many the first are named."""
    more = [f"  left out: {len(left_out) - SHOWN} more"] if len(left_out) > SHOWN else []
    return [*(f"  left out: {name}: {reason}" for name, reason in left_out[:SHOWN]), *more]


def _warn(member: Member, reason: str | None, reporter: Reporter) -> None:
    if reason:
        reporter.warning(f"{member.name} is left out: {reason}")


def _split_by_set(stored: Sequence[StoredMember], given: Calendar) -> Split:
    """Each training set is split by itself, so that each has held-out members.

    Sets whose years are held out share one calendar: what one of them holds out is not learned from another.
    """
    sets = {
        name: [i for i, member in enumerate(stored) if member.about["set"] == name]
        for name in dict.fromkeys(str(member.about["set"]) for member in stored)
    }
    histories = {name: one_history([stored[i] for i in numbers]) for name, numbers in sets.items()}
    dated = [stored[i].time for name, numbers in sets.items() if histories[name] for i in numbers]
    common = given.completed(dated) if dated else given
    uses: dict[str, list[tuple[int, Rows]]] = {"train": [], "validation": [], "test": []}
    how, caveats = [], []
    for name, numbers in sets.items():
        chosen = split(
            [str(stored[i].about["family"]) for i in numbers],
            [stored[i].time for i in numbers],
            given,
            common,
            one_history=histories[name],
        )
        for use, members in (("train", chosen.train), ("validation", chosen.validation), ("test", chosen.test)):
            uses[use] += [(numbers[position], rows) for position, rows in members]
        how.append(f"{name}: {chosen.how}")
        caveats += [f"{name}: {caveat}" for caveat in chosen.caveats]
    train, validation, test = (tuple(uses[use]) for use in ("train", "validation", "test"))
    return Split(train, validation, test, "; ".join(how), tuple(caveats))
