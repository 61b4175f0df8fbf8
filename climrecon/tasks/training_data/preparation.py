"""Preparing members: each once, by itself, from its files to the store in ``cachedir``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.datasets import Stated, release_of
from climrecon.errors import InputChanged, InputDataError, OutputError
from climrecon.fields import Steps
from climrecon.files import unchanged_inputs
from climrecon.frequency import DAY, MONTH, Frequency
from climrecon.geography import with_domain
from climrecon.grid import Grid, weighted_mean
from climrecon.interruption import signals_wait
from climrecon.preprocess.auxiliary import prepare_auxiliary
from climrecon.preprocess.blend import NEEDED, prepare_blended
from climrecon.preprocess.cdo import cdo_program, cdo_version
from climrecon.preprocess.chunks import some
from climrecon.preprocess.models import prepare_member
from climrecon.settings.periods import Period
from climrecon.tasks.training_data.members import Member
from climrecon.training.store import MemberStore, StoredMember
from climrecon.variables import VARIABLES
from climrecon.version import __version__
from climrecon.workflow.fingerprint import fingerprint

#: Version of this stage: raised whenever equal input gives another member.
VERSION = 3
#: What a member holds that was neither blended here nor is air temperature alone.
OBSERVED = "as observed"
#: More workers than this gain nothing on a disk.
MOST_WORKERS = 16
#: Seconds that a process has to end its cdo and to remove its scratch.
GRACE = 5.0
_ASKED_TO_END = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Preparation:
    """How members are prepared, in the store of ``folder``.

    Attributes
    ----------
    target:
        ``auto``, ``blended`` or ``tas``.
    auxiliary:
        Auxiliary variables of each member, each prepared into a file of its own.
    is_auxiliary:
        Whether the variable is an auxiliary one: anomalies with gaps anywhere, whatever its description holds.
    asked:
        The grid that was asked for; "": files must have latitude and longitude axes.
    frequency:
        Of the fields. Other means than monthly ones are not blended: the share of ice changes within a year.
    """

    folder: Path
    grid: Grid
    reference_period: tuple[int, int]
    variable: str
    target: str
    auxiliary: tuple[str, ...] = ()
    is_auxiliary: bool = False
    asked: str = ""
    frequency: Frequency = MONTH

    @property
    def of_auxiliary(self) -> tuple[Preparation, ...]:
        """The preparations of the auxiliary variables."""
        return tuple(
            replace(self, variable=name, target="tas", auxiliary=(), is_auxiliary=True) for name in self.auxiliary
        )

    def within(self, known: BoolArray) -> Grid:
        """The grid with the variable's domain, to which cells belong that are ``known`` (H, W) in any month.

        Auxiliary variables have none: they may have gaps anywhere.
        """
        if self.is_auxiliary:
            return self.grid
        where = VARIABLES[self.variable].exists
        if where == "everywhere" and not self.grid.is_global and not known.all():
            # A product of a region ends at its cells: of others nothing can be learned.
            return replace(self.grid, exists=known, where="observed")
        return with_domain(self.grid, where, known[None])

    @property
    def store(self) -> MemberStore:
        """The store."""
        return MemberStore(self.folder)

    def wanted(self, member: Member) -> str:
        """``blended`` or ``tas``: what will be tried of a member."""
        if self.target == "tas" or self.variable != "tas" or is_blended_product(member):
            return self.variable
        return "blended" if self.target == "blended" or self.can_blend(member) else "tas"

    def can_blend(self, member: Member) -> bool:
        """Whether a member has what blending needs, as files of its own."""
        of_temperature = self.target != "tas" and self.variable == "tas" and self.frequency == MONTH
        return of_temperature and member.realisation is None and all(member.files.get(name) for name in NEEDED)

    def why_not_blended(self, member: Member) -> str:
        """Which of the fields that blending needs a member lacks, and why."""
        if self.frequency != MONTH:
            return f"monthly means are blended, not {self.frequency.adjective} ones"
        lacking = [name for name in NEEDED if not member.files.get(name)]
        absent = ", ".join(name for name in lacking if name not in member.lacking)
        unusable = [f"{name} cannot be used: {member.lacking[name]}" for name in lacking if name in member.lacking]
        texts = [*([f"the archive has no {absent} of it"] if absent else []), *unusable]
        return "; ".join(texts) or "its files hold several members"

    def _used(self, member: Member) -> dict[str, tuple[Path, ...]]:
        names = NEEDED if self.wanted(member) == "blended" else (self.variable,)
        return {name: member.files[name] for name in names if member.files.get(name)}

    def key(self, member: Member, *, read: bool = True) -> str | None:
        """Fingerprint of a prepared member: file hashes, settings, versions; never paths.

        Parameters
        ----------
        read:
            Whether files whose hash is not known may be read; else None is returned where that is needed.
        """
        inputs: list[str] = []
        for name, paths in self._used(member).items():
            for number, path in enumerate(paths):
                try:
                    digest = self.store.sha256(path) if read else self.store.known_sha256(path)
                except OSError as error:
                    digest = f"unreadable {path}: {error.strerror}"
                if digest is None:
                    return None
                inputs.append(f"{name} {number:04d} {digest}")
        settings = {
            "grid": [np.round(edges, 9).tolist() for edges in (self.grid.lat_edges, self.grid.lon_edges)],
            "reference_period": self.reference_period,
            "variable": self.variable,
            "target": self.target if self.wanted(member) == "blended" else "tas",
            "realisation": member.realisation,
            "observed": is_blended_product(member),
            "join": member.join,
            "period": str(member.period or ""),
            "cdo": cdo_version(),
            # Of an auxiliary variable and of tas the key is what it was.
            **({"held": VARIABLES[self.variable].kind} if self.variable != "tas" and not self.is_auxiliary else {}),
            **({"frequency": self.frequency.name} if self.frequency != MONTH else {}),
        }
        return fingerprint("prepare", VERSION, inputs, settings, None)[:40]

    def is_done(self, member: Member) -> bool:
        """Whether a member stands in the store, with its auxiliary variables, or was found to be unusable."""
        key = self.key(member, read=False)
        if key is None or not self.store.is_done(key):
            return False
        return self.store.why_left_out(key) is not None or all(one.is_done(member) for one in self.of_auxiliary)

    def prepare(self, member: Member) -> str | None:
        """Prepare one member; a second call does nothing.

        Returns
        -------
        Why the member was left out, None if it is in the store.

        Raises
        ------
        DependencyError, OutputError
            Whatever is not the member's fault: no cdo, no space. Nothing is noted then.
        """
        reason = self._prepare(member)
        for one in self.of_auxiliary:
            if reason is None:
                found = one._prepare(member)
                reason = found and f"{one.variable}: {found}"
        return reason

    @unchanged_inputs()
    def _prepare(self, member: Member) -> str | None:
        cdo_program()
        store = self.store
        with store.scratch() as scratch:
            key = self.key(member)
            if key is None:
                raise AssertionError("a key that may read its files is never None")
            if not store.is_done(key):
                try:
                    self._make(member, key, scratch)
                except InputChanged:
                    raise
                except InputDataError as error:
                    store.leave_out(key, member.name, " ".join(filter(None, (error.message, error.hint))))
        return store.why_left_out(key)

    def _make(self, member: Member, key: str, scratch: Path) -> None:
        target, notes = self.wanted(member), list(member.notes)
        used = self._used(member)
        if target == "blended" and not self.can_blend(member):
            raise InputDataError(
                f"It cannot be blended: {self.why_not_blended(member)}.", "Use training_target=auto or tas."
            )
        if target == "blended":
            try:
                values, time = prepare_blended(used, self.grid, self.reference_period, scratch, notes)
            except InputDataError as error:
                if self.target == "blended" or isinstance(error, InputChanged):
                    raise
                notes.append(f"not blended, air temperature alone: {error.message}")
                target, used = "tas", {"tas": used["tas"]}
        elif self.variable == "tas" and is_blended_product(member):
            target = OBSERVED
        elif self.target == "auto" and self.variable == "tas":
            notes.append(f"not blended, air temperature alone: {self.why_not_blended(member)}")
        if self.is_auxiliary:
            values, time = prepare_auxiliary(
                used[self.variable],
                self.grid,
                self.reference_period,
                scratch,
                self.variable,
                member.realisation,
                self.frequency,
            )
        elif target != "blended":
            values, time = prepare_member(
                used[self.variable],
                self.grid,
                self.reference_period,
                scratch,
                self.variable,
                realisation=member.realisation,
                last_counts=member.join,
                notes=notes,
                as_held=True,
                asked=self.asked,
                frequency=self.frequency,
            )
        if member.join:
            named = ", ".join(path.name for path in used[self.variable])
            notes.append(
                f"joined from {named}; of {time.plural} that stand in several, the last of these files has them"
            )
        if member.period is not None:
            values, time = _within(member.period, values, time)
        if len(absent := time.absent()):
            notes.append(f"{len(absent)} {time.plural} are absent: {some(absent.labels())}")
        known = np.isfinite(values)
        inside = self.within(np.asarray(known.any(axis=0))).exists
        missing = int((~known).sum())
        lacking = missing if inside is None else int((~known[:, inside]).sum())
        if lacking:
            size = values.size if inside is None else len(values) * int(inside.sum())
            notes.append(
                f"{lacking} values ({100 * lacking / size:.1f} %) are missing or were filled by the producer: "
                "neither learned from nor scored"
            )
        about = {
            "target": target,
            "files": [[str(path), self.store.sha256(path)] for paths in used.values() for path in paths],
            time.plural: time.span(),
            **({"frequency": time.frequency.name} if time.frequency != MONTH else {}),
            **({"calendar": time.calendar} if time.frequency == DAY else {}),
            "missing": missing,
            "global_mean": [round(float(v), 6) for v in weighted_mean(values, self.grid.area)],
            "reference_period": list(self.reference_period),
            "versions": {"climrecon": __version__, "cdo": cdo_version()},
            "notes": notes,
        }
        self.store.put(key, values, time.index, about)

    def open(self, member: Member) -> StoredMember | str | None:
        """The prepared member; why it, or one of its auxiliary variables, was left out; None if it is not prepared."""
        found = self._open(member)
        for one in self.of_auxiliary if isinstance(found, StoredMember) else ():
            other = one._open(member)
            if not isinstance(other, StoredMember):
                return other and f"{one.variable}: {other}"
        return found

    def open_auxiliary(self, member: Member) -> dict[str, StoredMember]:
        """The prepared auxiliary variables of a member that :meth:`open` gives."""
        found = {one.variable: one._open(member) for one in self.of_auxiliary}
        return {name: one for name, one in found.items() if isinstance(one, StoredMember)}

    def _open(self, member: Member) -> StoredMember | str | None:
        key = self.key(member)
        if key is None or not self.store.is_done(key):
            return None
        reason = self.store.why_left_out(key)
        if reason is not None:
            return reason
        found = self.store.get(key)
        named: dict[str, Any] = {"name": member.name, "set": member.set, "family": member.family}
        return replace(found, about={**found.about, **named})


def is_blended_product(member: Member) -> bool:
    """Whether a member is of data sets that blend air temperature with that of the sea surface, by its files' names."""
    releases = [release_of(Stated(path.name)) for path in member.files.get("tas", ())]
    return bool(releases) and all(release and release.data_set.blended for release in releases)


def _within(period: Period, values: FloatArray, time: Steps) -> tuple[FloatArray, Steps]:
    """The steps in ``period``, and their values; refuses to give none."""
    inside = period.holds(time.months)
    if not inside.any():
        raise InputDataError(f"No {time.word} ({time.span()}) lies in period={period}.", "Mend the site file.")
    return values[inside], time[inside]


def workers(parts: int) -> int:
    """Processes to prepare with: the cores this process may use, no more than there is to do."""
    return max(1, min(parts, len(os.sched_getaffinity(0)), MOST_WORKERS))


def prepare_all(
    preparation: Preparation, members: Sequence[Member], notify: Callable[[int, Member, str | None], None]
) -> None:
    """Prepare members in parallel; ``notify(done, member, reason left out)`` is called after each.

    In processes, not threads: the netCDF library takes no threads.
    """
    count = workers(len(members))
    if count == 1:
        for done, member in enumerate(members, 1):
            notify(done, member, preparation.prepare(member))
        return
    cdo_program()
    with _several(count) as pool:
        with signals_wait():  # a process that has begun is one that can be ended
            waiting = {pool.submit(_prepare, preparation, member): member for member in members}
        for done, future in enumerate(as_completed(waiting), 1):
            notify(done, waiting[future], future.result())


@contextmanager
def _several(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``count`` processes; none is left, however the work in it ends, and one that was killed is an error."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    # Ctrl-C goes to all processes of a terminal; this one alone acts on it, and ends the others.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    pool = ProcessPoolExecutor(count, context, _begin_process)
    try:
        yield pool
        pool.shutdown()
    except BaseException as error:
        processes = list((pool._processes or {}).values())  # the pool forgets them when it is shut down
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(GRACE)
            process.kill()
        if isinstance(error, BrokenProcessPool):
            raise OutputError(
                f"A process that prepared members was killed ({count} ran at a time); most often memory ran out.",
                "Give the run more memory, or fewer cores, since each prepares a member. What is prepared stays; the "
                "same command continues.",
            ) from error
        raise


def _begin_process() -> None:
    """A process of the pool ends when it is asked to, and when the process that asked for it is gone."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(_ASKED_TO_END)

    def follow() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=follow, daemon=True).start()


def _prepare(preparation: Preparation, member: Member) -> str | None:
    try:
        return preparation.prepare(member)
    except SystemExit:  # cdo has ended; the pool would take the exception for a result, and go on
        os._exit(_ASKED_TO_END)
