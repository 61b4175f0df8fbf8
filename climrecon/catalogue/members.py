"""From a query to all members of all models or reanalyses, each with the files of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from climrecon.catalogue import search_errors
from climrecon.catalogue.chunks import in_time
from climrecon.catalogue.opening import Catalogue, LeftOut, Row
from climrecon.catalogue.search import ANY, grouped, matches, of_version, why_not
from climrecon.catalogue.versions import newest, version_key
from climrecon.errors import ClimReconError, NoDataError

#: Facets that distinguish members. Not the product: one member's variables stand in output1 and output2.
_KEY = ("project", "institute", "model", "experiment", "ensemble")
_FIXED = "fx"
#: Label of a model's own grid in CMIP6: nothing was interpolated.
_NATIVE = "gn"


@dataclass(frozen=True)
class MemberFiles:
    """One member of one model or reanalysis.

    Attributes
    ----------
    files:
        Variable -> its files in order of time.
    facets:
        As the catalogue has them, of the main variable's first file.
    notes:
        Holes and overlaps, grids chosen.
    lacking:
        Further variable -> why the files that there are of it cannot be used.
    """

    files: Mapping[str, tuple[Path, ...]]
    facets: Mapping[str, str]
    notes: tuple[str, ...] = ()
    lacking: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundMembers:
    """All members that a query gives, by model and ensemble, and what was left out and why.

    ``left_out`` are files; ``lost`` (name of a member, reason) members of which no file is left.
    """

    members: tuple[MemberFiles, ...]
    left_out: tuple[LeftOut, ...] = field(default=())
    lost: tuple[tuple[str, str], ...] = field(default=())


@dataclass
class _Found:
    """Members of one variable by key: files, facets and notes; and why other members have no usable files."""

    members: dict[tuple[str, ...], tuple[tuple[Path, ...], dict[str, str], list[str]]] = field(default_factory=dict)
    lost: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)


def find_members(
    catalogue: Catalogue,
    query: Mapping[str, str],
    variable: str,
    others: tuple[str, ...] = (),
    fixed: tuple[str, ...] = (),
) -> FoundMembers:
    """All members that have ``variable``, with the files of further variables where there are some.

    Parameters
    ----------
    query:
        Freva facet -> value; ``*`` and "" stand for any. A value may name several, separated by commas.
    others:
        Variables looked for in the same member, of any realm (``tos``, ``sic``).
    fixed:
        Variables of the same model without a time axis (``sftlf``), of any experiment and ensemble.

    Raises
    ------
    NoDataError
        If no member has usable files of ``variable``.
    """
    asked = {name: value for name, value in query.items() if value and value != ANY}
    if unknown := [name for name in asked if name not in catalogue.facets and name != "time_frequency"]:
        raise search_errors.no_column(catalogue, unknown)
    asked = {name: value for name, value in asked.items() if name in catalogue.facets and name != "variable"}
    left_out: list[LeftOut] = []
    main = _members(catalogue, {**asked, "variable": variable}, left_out)
    if not main.members:
        wanted = {**asked, "variable": variable}
        if left_out:
            raise search_errors.none_usable(catalogue, wanted, len(left_out), left_out)
        raise NoDataError(
            f"No member in {catalogue.origin} matches {' '.join(f'{k}={v}' for k, v in wanted.items())}.",
            "Check the training set's query in the site file ('climrecon settings' shows it), and catalogue=.",
        )
    quiet: list[LeftOut] = []  # reported of the member
    of_others = {name: _members(catalogue, _loose(asked, name), quiet) for name in others}
    constant = {name: _rows(catalogue, _constant(asked, name))[0] for name in fixed}
    members = []
    for key, (paths, facets, notes) in main.members.items():
        files: dict[str, tuple[Path, ...]] = {variable: paths}
        lacking: dict[str, str] = {}
        for name, of_name in of_others.items():
            if key in of_name.members:
                files[name], _, others_notes = of_name.members[key]
                notes += [f"{name}: {note}" for note in others_notes]
            elif key in of_name.lost:
                lacking[name] = of_name.lost[key][1]
        for name, rows in constant.items():
            # The model's own institute first, then its experiment, grid and ensemble, then the newest.
            if of_model := [row for row in rows if (_of(row)[0], _of(row)[2]) == (key[0], key[2])]:
                best = max(of_model, key=lambda row: (_alike(row, key, facets), version_key(row.version)))
                files[name] = (Path(best.path),)
        members.append(MemberFiles(files, facets, tuple(notes), lacking))
    members.sort(key=lambda m: (m.facets["model"].casefold(), version_key(m.facets["ensemble"])))
    return FoundMembers(tuple(members), tuple(left_out), tuple(main.lost.values()))


def _loose(asked: Mapping[str, str], variable: str) -> dict[str, str]:
    """The query for another variable: realm and product differ from variable to variable."""
    return {**{n: v for n, v in asked.items() if n not in ("realm", "product")}, "variable": variable}


def _constant(asked: Mapping[str, str], variable: str) -> dict[str, str]:
    """The query for a variable without a time axis: archives keep it once a model, wherever that may be."""
    kept = {name: value for name, value in _loose(asked, variable).items() if name not in ("experiment", "ensemble")}
    return {**kept, "time_frequency": _FIXED}


def _alike(row: Row, key: tuple[str, ...], facets: Mapping[str, str]) -> tuple[bool, ...]:
    of = _of(row)
    same_grid = row.facets["grid_label"] == facets["grid_label"]
    return of[1] == key[1], of[3] == key[3], same_grid, of[4] == key[4]


def _rows(catalogue: Catalogue, wanted: Mapping[str, str]) -> tuple[list[Row], list[tuple[Row, str]]]:
    """Usable entries that match; others with the reason."""
    import numpy as np

    matching = np.ones(len(catalogue), dtype=bool)
    for name, value in wanted.items():
        if name not in catalogue.columns:
            continue
        choices = [part.strip() for part in value.split(",") if part.strip()]
        matching &= catalogue.columns[name].where(
            lambda text, n=name, c=choices: any(matches(n, text, one) for one in c)  # type: ignore[misc]
        )
    usable, others = [], []
    for row in catalogue.take(np.flatnonzero(matching)):
        reason, _ = why_not(row, wanted, allow_infilled=True)
        if reason is None:
            usable.append(row)
        else:
            others.append((row, reason))
    return usable, others


def _of(row: Row) -> tuple[str, ...]:
    return tuple(row.facets[name].casefold() for name in _KEY)


def _name(row: Row) -> str:
    return " ".join(filter(None, (row.facets["model"], row.facets["ensemble"]))) or row.name


def _members(catalogue: Catalogue, wanted: Mapping[str, str], left_out: list[LeftOut]) -> _Found:
    """Files of one grid and the newest version of each member, in order of time; unclear members are left out."""
    rows, unusable = _rows(catalogue, wanted)
    left_out += [LeftOut(row.path, reason) for row, reason in unusable]
    found = _Found()
    for key, group in grouped(rows, _of).items():
        notes: list[str] = []
        of_grid, others = _of_one_grid(group, notes)
        left_out += [
            LeftOut(
                row.path, f"grid {row.facets['grid_label']} is not {of_grid[0].facets['grid_label']}, which is taken"
            )
            for row in others
        ]
        best = newest({row.version for row in of_grid} - {""})
        chosen, others = of_version(of_grid, best)
        left_out += [
            LeftOut(row.path, f"version {row.version} is not {best}, the newest of this member") for row in others
        ]
        try:
            ordered, within = in_time(chosen, notes)
        except ClimReconError as error:
            reason = " ".join(error.message.split())
            found.lost[key] = (_name(chosen[0]), reason)
            left_out += [LeftOut(row.path, error.message.splitlines()[0]) for row in chosen]
            continue
        left_out += within
        found.members[key] = (tuple(Path(row.path) for row in ordered), dict(ordered[0].facets), notes)
    for row, reason in unusable:
        if _of(row) not in found.members:
            found.lost.setdefault(_of(row), (_name(row), f"{row.name}: {reason}"))
    return found


def _of_one_grid(rows: list[Row], notes: list[str]) -> tuple[list[Row], list[Row]]:
    """The files on one grid, the native one if there is one, and those on others."""
    grids = sorted({row.facets["grid_label"] for row in rows}, key=lambda grid: (grid != _NATIVE, grid == "", grid))
    if len(grids) > 1:
        notes.append(f"of the grids {', '.join(grid or 'without a label' for grid in grids)} the first is taken")
    return ([row for row in rows if row.facets["grid_label"] == grids[0]],
            [row for row in rows if row.facets["grid_label"] != grids[0]])  # fmt: skip
