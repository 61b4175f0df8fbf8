"""The ensemble of the observations: which members are used, each brought to both grids once, into files.

A member is the observations with another sample of their systematic errors (HadCRUT's member files) and, where the data
set has error covariances, a draw of the partly correlated ones. Its uncorrelated errors are those of all members: they
are what the method's weights are made for, and no part of the members' spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from climrecon.array_types import Array, FloatArray
from climrecon.arrays import on_disk, open_arrays
from climrecon.errors import ClimReconError
from climrecon.fields import Observations
from climrecon.methods.contract import Capabilities
from climrecon.methods.observation_ensemble import FEWEST
from climrecon.output.error_budget import ErrorBudget
from climrecon.preprocess import read_member
from climrecon.preprocess.error_covariance import month_in_name, read_error_covariance
from climrecon.preprocess.field import members_within
from climrecon.preprocess.plausibility import check_member
from climrecon.settings import RunSettings
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import LoadedMethod, on_method_grid
from climrecon.variables import VARIABLES
from climrecon.workflow.progress import Reporter

Write = Callable[[Path, Mapping[str, Array], Mapping[str, Any]], None]

#: A member that lacks more than this share of the observed cells is cut short, or of another release.
MOST_LACKING = 0.01
#: Months whose spread is worked out together.
_AT_ONCE = 240
#: Separates the stream of partly correlated errors from all others of the same seed.
_STREAM = 7


@dataclass(frozen=True)
class EnsembleRecord:
    """The members that are used, their files and errors.

    Attributes
    ----------
    count:
        Members that are used; 0 where there are too few.
    files, sha256:
        Files other than the observations' own.
    errors:
        Errors of the observations that are in the result.
    """

    count: int
    files: tuple[str, ...]
    sha256: tuple[str, ...]
    notes: tuple[str, ...]
    errors: ErrorBudget

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> EnsembleRecord:
        """From the JSON of ``asdict``."""
        return TypeAdapter(cls).validate_python(content)


@dataclass(frozen=True)
class Ensemble:
    """Members of the observations, on the observations' grid and on the method's.

    Attributes
    ----------
    own, on_network:
        (T, H, W) float32 of each member, memory-mapped; the observations' own values where a member has none.
    mean:
        (T, H, W) mean of the members as they were read, where it is to stand for the observations; else None.
    """

    own: tuple[FloatArray, ...]
    on_network: tuple[FloatArray, ...]
    mean: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.own)

    def spread(self) -> FloatArray:
        """(T, H, W) standard deviation of the members about their mean. Source: Welford (1962)."""
        spread = np.empty(self.own[0].shape, np.float32)
        for start in range(0, len(spread), _AT_ONCE):
            months = slice(start, start + _AT_ONCE)
            mean = np.zeros(spread[months].shape)
            squares = np.zeros_like(mean)
            for count, own in enumerate(self.own, 1):
                change = own[months] - mean
                mean += change / count
                squares += change * (own[months] - mean)
            spread[months] = np.sqrt(squares / (len(self.own) - 1))
        return spread


def applied(observations: Observations, record: EnsembleRecord, ensemble: Ensemble | None) -> Observations:
    """The observations with the ensemble's files among their sources.

    Where a data set has members and no mean of them, the observations as read are one member: the members' mean takes its
    place, and their spread is its error.
    """
    source, values = observations.source, observations.values
    if ensemble is not None and ensemble.mean is not None:
        values = np.asarray(ensemble.mean, dtype=values.dtype)
    return replace(
        observations,
        values=values,
        source=replace(
            source,
            files=(*source.files, *record.files),
            sha256=(*source.sha256, *record.sha256),
            notes=(*source.notes, *record.notes),
        ),
    )


@dataclass(frozen=True)
class MemberFile:
    """Where a member stands: in a file of its own, or at a place, from 0, in one that holds several."""

    path: Path
    realisation: int | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return self.path.name if self.realisation is None else f"member {self.realisation + 1} of {self.path.name}"


def all_members(inputs: Inputs, settings: RunSettings) -> list[MemberFile]:
    """The members there are: files of their own, else those within the file of the observations."""
    if inputs.members:
        return [MemberFile(path) for path in inputs.members]
    if len(inputs.main) > 1:
        return []
    try:
        count = members_within(inputs.main[0], settings.variable, settings.obs_variable or "")
    except ClimReconError:
        return []  # reading the file raises its error
    return [MemberFile(inputs.main[0], number) for number in range(count if count > 1 else 0)]


def chosen_members(inputs: Inputs, settings: RunSettings) -> list[MemberFile]:
    """At most ``obs_members`` of the members, spread evenly over them; none where there are too few for a spread."""
    members = all_members(inputs, settings)
    count = min(settings.obs_members, len(members))
    if count < FEWEST:
        return []
    places = np.unique(np.linspace(0, len(members) - 1, count).round().astype(int))
    return [members[place] for place in places]


def chosen_covariances(inputs: Inputs, settings: RunSettings) -> tuple[Path, ...]:
    """The error covariances of the months of ``period``, and those whose names hold no month."""
    if settings.obs_members < FEWEST:
        return ()
    months, period = {path: month_in_name(path) for path in inputs.error_covariance}, settings.period
    return tuple(path for path, month in months.items() if month is None or period is None or period.holds(month))


def count_of(inputs: Inputs, settings: RunSettings) -> int:
    """Members that will be reconstructed, by names and headers."""
    wanted = settings.obs_members
    return len(chosen_members(inputs, settings)) or (wanted if wanted >= FEWEST and inputs.error_covariance else 0)


def files_of(inputs: Inputs, settings: RunSettings) -> tuple[Path, ...]:
    """The files of an ensemble, other than those of the observations."""
    members = [one.path for one in chosen_members(inputs, settings)]
    return (*(path for path in members if path not in inputs.main), *chosen_covariances(inputs, settings))


def prepare_ensemble(
    inputs: Inputs,
    settings: RunSettings,
    observations: Observations,
    method: LoadedMethod,
    folder: Path,
    sha256: Callable[[Path], str],
    write: Write,
    reporter: Reporter,
) -> EnsembleRecord:
    """Write at most ``obs_members`` members as ``member-NNN.safetensors`` to ``folder``.

    Parameters
    ----------
    sha256, write:
        Hash of an input file; writer of a file of arrays.

    Raises
    ------
    InputDataError
        If a file cannot be used, or does not go with the observations.
    """
    chosen, covariances = chosen_members(inputs, settings), chosen_covariances(inputs, settings)
    total, request = len(all_members(inputs, settings)), inputs.request(settings)
    errors = _uncorrelated(inputs, observations, method.reconstructor.capabilities, settings.keep_observed)
    notes: list[str] = []
    used: list[MemberFile] = []
    seen = np.maximum(observations.mask.sum(), 1)
    if chosen:
        reporter.stage(f"Reading {len(chosen)} of {total} members")
    for number, one in enumerate(chosen, 1):
        values = read_member(one.path, request, observations, one.realisation)
        lacking = float((observations.mask & ~np.isfinite(values)).sum() / seen)
        reason, doubt = check_member(values, observations, VARIABLES[observations.variable])
        if lacking > MOST_LACKING:
            reason = f"lacks {100 * lacking:.0f} % of the observed cells"
        if reason or doubt:
            notes.append(f"{one.name} {reason} and is not used" if reason else f"{one.name} {doubt}")
            reporter.warning(notes[-1])
        if not reason:
            there = np.isfinite(values) & observations.mask
            filled = np.where(there, values, observations.values).astype(np.float32)
            write(_read(folder, len(used)), {"own": filled}, {"file": one.name})
            used.append(one)
        reporter.step(number, len(chosen))
    if chosen and len(used) < FEWEST:
        notes.append("too few members are left for a spread: no systematic errors are in")
        reporter.warning(notes[-1])
        used = []
    count = len(used) or (settings.obs_members if covariances else 0)
    partly, months = None, 0
    if covariances:
        partly, months = _partly_correlated(covariances, observations, count, settings.seed, folder, reporter)
    if months == 0:
        count, partly = len(used), None
    errors = replace(
        errors, members=len(used), of=total, drawn=count, covariances=months, months=len(observations.time)
    )
    mean_taken = bool(used) and inputs.main[0] in inputs.members
    if mean_taken:
        mean = np.zeros(observations.values.shape)
        notes.append(f"the mean of the {count} members that are used stands for that of the ensemble")
        for number in range(count):
            mean += open_arrays(_read(folder, number), check=False)[0]["own"]
    if count:
        reporter.stage(f"Bringing {count} members to the network's grid")
    for number in range(count):
        own = observations.values.astype(np.float32)
        if used:
            own = np.array(open_arrays(_read(folder, number), check=True)[0]["own"])
        if partly is not None:
            own = own + partly[number]
        arrays: dict[str, Array] = {"own": own}
        if mean_taken and number == 0:
            arrays["mean"] = mean / count
        moved = on_method_grid(replace(observations, values=own, obs_sd=None), method, folder)
        if moved.values is not own:
            arrays["on_network"] = moved.values.astype(np.float32)
        write(_file(folder, number), arrays, {"member": number})
        reporter.step(number + 1, count)
    for left in folder.glob("read-*.safetensors"):
        left.unlink(missing_ok=True)
    member_files = dict.fromkeys(one.path for one in used if one.path not in inputs.main)
    files = [*member_files, *(covariances if months else ())]
    hashes = tuple(sha256(path) for path in files)
    return EnsembleRecord(count, tuple(map(str, files)), hashes, tuple(notes), errors)


def _uncorrelated(inputs: Inputs, observations: Observations, method: Capabilities, keep_observed: bool) -> ErrorBudget:
    """Where the uncorrelated errors that a file states are in the result's standard deviations."""
    if inputs.uncorrelated is None:
        return ErrorBudget()
    left_out, stated = "", observations.obs_sd
    if stated is None:
        left_out = "the file states none of an observed cell"
    elif not method.gives_spread:
        used = method.uses_observation_errors
        left_out = "the method gives no standard deviation" if used else "the method does not use them"
    elif not (method.uses_observation_errors or keep_observed):
        left_out = "the method estimates its own"
    share = 0.0 if stated is None else float(np.mean(stated[observations.mask] > 0))
    return ErrorBudget(inputs.uncorrelated.name, not method.uses_observation_errors, left_out, share=share)


def open_ensemble(folder: Path, record: EnsembleRecord, *, check: bool = True) -> Ensemble | None:
    """The ensemble that :func:`prepare_ensemble` wrote, memory-mapped; None if it has no members.

    Raises
    ------
    Damaged
        If a file is lost or not as it was written.
    """
    if not record.count:
        return None
    members = [open_arrays(_file(folder, number), check=check)[0] for number in range(record.count)]
    return Ensemble(
        tuple(one["own"] for one in members),
        tuple(one.get("on_network", one["own"]) for one in members),
        members[0].get("mean"),
    )


def ensemble_files(folder: Path, record: EnsembleRecord) -> list[Path]:
    """The files of an ensemble's members."""
    return [_file(folder, number) for number in range(record.count)]


def _file(folder: Path, number: int) -> Path:
    return folder / f"member-{number:03d}.safetensors"


def _read(folder: Path, number: int) -> Path:
    return folder / f"read-{number:03d}.safetensors"


def _partly_correlated(
    paths: Sequence[Path], observations: Observations, count: int, seed: int, folder: Path, reporter: Reporter
) -> tuple[FloatArray, int]:
    """(M, T, H, W) draws of the partly correlated errors, 0 where none are stated; and the months that have some.

    A draw depends on seed, month and member alone. Successive months are drawn independently of each other: no file
    says how they go together.
    """
    shape = (count, *observations.values.shape)
    drawn: FloatArray = on_disk(folder, np.float32, shape)
    place = {int(month): position for position, month in enumerate(observations.time.index)}
    reporter.stage(f"Drawing partly correlated errors from {len(paths)} error covariances")
    months = set()
    for number, path in enumerate(paths, 1):
        named_month = month_in_name(path)
        if named_month is None or named_month in place:
            month, square = read_error_covariance(path, observations)
            if month in place and month not in months:
                months.add(month)
                seen = observations.mask[place[month]].reshape(-1)
                cells = np.flatnonzero(seen & (np.diagonal(square) > 0))
                root = _root(np.nan_to_num(square[np.ix_(cells, cells)].astype(np.float64)))
                generators = (np.random.default_rng([seed, _STREAM, month, member]) for member in range(count))
                white = np.stack([one.standard_normal(len(cells)) for one in generators])
                drawn.reshape(count, len(place), -1)[:, place[month], cells] = white @ root.T
        reporter.step(number, len(paths))
    return drawn, len(months)


def _root(square: FloatArray) -> FloatArray:
    """A matrix whose product with its transpose is ``square`` (symmetric, but for rounding no negative eigenvalue)."""
    if not len(square):
        return square
    try:
        return np.linalg.cholesky(square + 1e-6 * np.diagonal(square).mean() * np.eye(len(square)))
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(0.5 * (square + square.T))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
