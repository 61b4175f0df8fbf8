"""Training sets by name: the members they stand for, each with its files."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from climrecon.errors import ClimReconError, NoDataError, UsageError
from climrecon.fields import Steps
from climrecon.files import ABSENT, why_unreadable
from climrecon.frequency import MONTH, Frequency
from climrecon.netcdf.forms import files_at
from climrecon.netcdf.names import plain_name
from climrecon.preprocess.field import members_within, steps_within
from climrecon.settings import RunSettings, Site
from climrecon.settings.periods import Period
from climrecon.settings.site import TrainingSet
from climrecon.training.sets import family_of

_CMOR_NAME = re.compile(r"^[A-Za-z0-9]+_[A-Za-z0-9]+_([A-Za-z0-9.-]+)_[A-Za-z0-9-]+_(r\d+i\d+p\d+(?:f\d+)?)(?:_|\.)")
_TIME = re.compile(r"[._-]?\d{4,8}[-_]\d{4,8}(?=\.nc4?$)")


@dataclass(frozen=True)
class Member:
    """One member of a training set.

    Attributes
    ----------
    files:
        Variable -> its files in order of time.
    realisation:
        Which, from 0, of several members in the same files; None where files hold one.
    join:
        Whether months that stand in several files are taken from the last.
    period:
        Months that are used; None: all.
    lacking:
        Variable -> why the archive's files of it cannot be used.
    """

    set: str
    name: str
    model: str
    family: str
    files: Mapping[str, tuple[Path, ...]]
    realisation: int | None = None
    notes: tuple[str, ...] = ()
    join: bool = False
    period: Period | None = None
    lacking: Mapping[str, str] = field(default_factory=dict)

    def steps(self, variable: str, frequency: Frequency) -> Steps:
        """The steps that its files hold, within its period, by their headers alone.

        Raises
        ------
        InputDataError
            If a file cannot be read.
        """
        parts = [steps_within(path, variable, frequency) for path in self.files[variable]]
        time = replace(parts[0], index=np.unique(np.concatenate([part.index for part in parts])))
        return time if self.period is None else time[self.period.holds(time.months)]


class TrainingMembers(NamedTuple):
    """Members; (member, reason) of members left out; (file, reason) of files left out of members."""

    members: tuple[Member, ...]
    left_out: tuple[tuple[str, str], ...]
    files_left_out: tuple[tuple[str, str], ...]


def training_members(settings: RunSettings, site: Site) -> TrainingMembers:
    """The members of all sets in ``training_data``, in order, and what is left out.

    Raises
    ------
    UsageError
        If a set has neither a query nor files.
    NoDataError
        If a set has no members.
    """
    names = list(dict.fromkeys(part.strip() for part in settings.training_data.split("+") if part.strip()))
    known = site.file.training_data
    auxiliary = settings.auxiliary_variables
    members: list[Member] = []
    left_out: list[tuple[str, str]] = []
    files_left_out: list[tuple[str, str]] = []
    for name in names:
        chosen = known[name]
        if chosen.files:
            found = _of_files(name, chosen, settings.variable, auxiliary)
        else:
            found, lost, without = _of_query(name, chosen, settings)
            left_out += lost
            files_left_out += without
        members += [replace(member, period=chosen.period) for member in found]
    for member in members:
        lacking = [variable for variable in auxiliary if not member.files.get(variable)]
        if lacking:
            why = "; ".join(f"{one} cannot be used: {member.lacking[one]}" for one in lacking if one in member.lacking)
            left_out.append((member.name, why or f"the training set has no {', '.join(lacking)} of it"))
    members = [member for member in members if all(member.files.get(variable) for variable in auxiliary)]
    if not members:
        raise NoDataError(
            f"No member of {settings.training_data} has {', '.join((settings.variable, *auxiliary))}.",
            "Choose another auxiliary=, or training sets that have these variables.",
        )
    return TrainingMembers(
        tuple(_unique(_expanded(members, settings.variable))), tuple(left_out), tuple(files_left_out)
    )


def _of_query(
    name: str, chosen: TrainingSet, settings: RunSettings
) -> tuple[list[Member], list[tuple[str, str]], list[tuple[str, str]]]:
    """Members, members left out, and files left out."""
    if not chosen.query:
        raise UsageError(
            f"The training set {name} has neither a query nor files.", "Mend [training_data] in the site file."
        )
    if not settings.catalogue:
        raise NoDataError(
            f"No catalogue is known to search the training set {name} in.",
            "Give catalogue=PATH, set it in the site file, or list files there.",
        )
    from climrecon.catalogue import find_members, open_catalogue

    blended = () if settings.training_target == "tas" or settings.frequency != MONTH else ("tos", "sic")
    needed = tuple(dict.fromkeys((*blended, *settings.auxiliary_variables)))
    fixed = ("sftlf",) if blended else ()
    try:
        # A set's query is of monthly fields; those of another frequency stand in tables of their own.
        query = {**chosen.query, **({} if settings.frequency == MONTH else {"time_frequency": settings.frequency.name})}
        found = find_members(open_catalogue(settings.catalogue), query, settings.variable, others=needed, fixed=fixed)
    except NoDataError as error:
        raise NoDataError(f"Training set {name}: {error.message}", error.hint) from error
    members = []
    for one in found.members:
        model = one.facets.get("model", "") or name
        ensemble = one.facets.get("ensemble", "")
        members.append(
            Member(
                set=name,
                name=" ".join(filter(None, (model, ensemble))),
                model=model,
                family=family_of(model),
                files={variable: tuple(f for p in paths for f in files_at(p)) for variable, paths in one.files.items()},
                notes=one.notes,
                lacking=one.lacking,
            )
        )
    return members, list(found.lost), list(found.left_out)


def _of_files(name: str, chosen: TrainingSet, variable: str, auxiliary: Sequence[str] = ()) -> list[Member]:
    """Members of a list of files; names that differ in their months alone are one member, split in time.

    Where they are to be joined they are one member, whatever their names.

    Files of ``auxiliary`` variables are known by CMOR's names (``psl_Amon_MODEL_...``), as members by model and ensemble.
    """
    paths: list[Path] = []
    for pattern in chosen.files:
        expanded = str(Path(pattern).expanduser())
        hits = sorted(glob.glob(expanded, recursive=True)) if glob.has_magic(expanded) else [expanded]  # noqa: PTH207
        if not hits:
            raise NoDataError(f"Training set {name}: no file matches {pattern}.", "Mend the site file.")
        paths += [path for hit in hits for path in files_at(Path(hit))]
    if absent := [path for path in paths if why_unreadable(path) == ABSENT]:
        raise NoDataError(
            f"Training set {name}: {len(absent)} of its files do not exist, e.g. {absent[0]}.", "Mend the site file."
        )
    if chosen.join:
        one = {variable: tuple(dict.fromkeys(paths))}
        return [Member(set=name, name=name, model=name, family=family_of(name), files=one, join=True)]
    others: dict[tuple[str, str], dict[str, list[Path]]] = {}
    groups: dict[str, list[Path]] = {}
    for path in dict.fromkeys(paths):
        name_parts = _CMOR_NAME.match(path.name)
        if name_parts and path.name.split("_")[0] in auxiliary:
            by_variable = others.setdefault((name_parts[1], name_parts[2]), {})
            by_variable.setdefault(path.name.split("_")[0], []).append(path)
            continue
        groups.setdefault(str(path.parent / _TIME.sub("", plain_name(path.name))), []).append(path)
    members = []
    for key, group in groups.items():
        match = _CMOR_NAME.match(group[0].name)
        stem = Path(key).name.removesuffix(".nc").removesuffix(".nc4")
        # Names of all kinds: the folder tells models apart more often than the file.
        model = match[1] if match else group[0].absolute().parent.name
        members.append(
            Member(
                set=name,
                name=f"{match[1]} {match[2]}" if match else stem,
                model=model,
                family=family_of(model),
                files={
                    variable: tuple(sorted(group)),
                    **{
                        other: tuple(sorted(found, key=lambda path: path.name))
                        for other, found in (others.get((match[1], match[2]), {}) if match else {}).items()
                    },
                },
            )
        )
    return members


def _expanded(members: Sequence[Member], variable: str) -> list[Member]:
    """Files that hold several members along a dimension become so many members."""
    found: list[Member] = []
    for member in members:
        try:
            count = members_within(member.files[variable][0], variable)
        except ClimReconError:
            count = 1  # its preparation raises the error of the file
        several = [replace(member, name=f"{member.name} {n + 1}", realisation=n) for n in range(count)]
        found += [member] if count == 1 else several
    return found


def _unique(members: Sequence[Member]) -> list[Member]:
    """Members whose names are used once: the set is added where two have one name, then a number."""
    found: list[Member] = []
    taken: set[str] = set()
    names = [member.name for member in members]
    for member in members:
        name = member.name if names.count(member.name) == 1 else f"{member.name} ({member.set})"
        number = 1
        while name in taken:
            number += 1
            name = f"{member.name} ({member.set} {number})"
        taken.add(name)
        found.append(replace(member, name=name))
    return found
