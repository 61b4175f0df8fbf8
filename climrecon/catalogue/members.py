"""From a query to all members of all models or reanalyses, each with the files of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from climrecon.catalogue import search_errors
from climrecon.catalogue.chunks import in_time
from climrecon.catalogue.opening import Catalogue, LeftOut, Row
from climrecon.catalogue.search import ANY, NEVER_BY_DEFAULT, grouped, matches, of_version, why_not
from climrecon.catalogue.versions import newest, version_key
from climrecon.errors import ClimReconError, NoDataError

#: Facets that distinguish members. Not the product: one member's variables stand in output1 and output2.
_KEY = ("project", "institute", "model", "experiment", "ensemble")
_FIXED = "fx"


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
        Holes and overlaps, versions chosen.
    """

    files: Mapping[str, tuple[Path, ...]]
    facets: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundMembers:
    """All members that a query gives, by model and ensemble, and what was left out and why."""

    members: tuple[MemberFiles, ...]
    left_out: tuple[LeftOut, ...] = field(default=())


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
        Variables of the same model without a time axis (``sftlf``).

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
    main = _members(_rows(catalogue, {**asked, "variable": variable}, left_out), left_out)
    if not main:
        wanted = {**asked, "variable": variable}
        if left_out:
            raise search_errors.none_usable(catalogue, wanted, len(left_out), left_out)
        raise NoDataError(
            f"No member in {catalogue.origin} matches {' '.join(f'{k}={v}' for k, v in wanted.items())}.",
            "Check the training set's query in the site file ('climrecon settings' shows it), and catalogue=.",
        )
    quiet: list[LeftOut] = []  # reported of the member
    of_others = {name: _members(_rows(catalogue, _loose(asked, name), quiet), quiet) for name in others}
    constant = {name: _rows(catalogue, {**_loose(asked, name), "time_frequency": _FIXED}, quiet) for name in fixed}
    members = []
    for key, (paths, facets, notes) in main.items():
        files: dict[str, tuple[Path, ...]] = {variable: paths}
        for name, of_name in of_others.items():
            if key in of_name:
                files[name] = of_name[key][0]
        for name, rows in constant.items():
            of_model = [row for row in rows if _of(row)[:4] == key[:4]] or [
                row for row in rows if _of(row)[:3] == key[:3]
            ]
            if of_model:
                best = max(of_model, key=lambda row: version_key(row.version))
                files[name] = (Path(best.path),)
        members.append(MemberFiles(files, facets, tuple(notes)))
    members.sort(key=lambda m: (m.facets["model"].casefold(), version_key(m.facets["ensemble"])))
    return FoundMembers(tuple(members), tuple(left_out))


def _loose(asked: Mapping[str, str], variable: str) -> dict[str, str]:
    """The query for another variable: realm and product differ from variable to variable."""
    return {**{n: v for n, v in asked.items() if n not in ("realm", "product")}, "variable": variable}


def _rows(catalogue: Catalogue, wanted: Mapping[str, str], left_out: list[LeftOut]) -> list[Row]:
    """Usable entries that match; others are noted with the reason."""
    import numpy as np

    matching = np.ones(len(catalogue), dtype=bool)
    for name, value in wanted.items():
        if name not in catalogue.columns:
            continue
        choices = [part.strip() for part in value.split(",") if part.strip()]
        matching &= catalogue.columns[name].where(
            lambda text, n=name, c=choices: any(matches(n, text, one) for one in c)  # type: ignore[misc]
        )
    usable = []
    for row in catalogue.take(np.flatnonzero(matching)):
        excluded = () if "product" in wanted else NEVER_BY_DEFAULT
        reason, _ = why_not(row, excluded, allow_infilled=True)
        if reason is None:
            usable.append(row)
        else:
            left_out.append(LeftOut(row.path, reason))
    return usable


def _of(row: Row) -> tuple[str, ...]:
    return tuple(row.facets[name].casefold() for name in _KEY)


def _members(
    rows: list[Row], left_out: list[LeftOut]
) -> dict[tuple[str, ...], tuple[tuple[Path, ...], dict[str, str], list[str]]]:
    """Files of the newest version of each member, in order of time; unclear members are left out."""
    members = {}
    for key, group in grouped(rows, _of).items():
        notes: list[str] = []
        best = newest({row.version for row in group} - {""})
        chosen, others = of_version(group, best)
        left_out += [
            LeftOut(row.path, f"version {row.version} is not {best}, the newest of this member") for row in others
        ]
        try:
            ordered, within = in_time(chosen, notes)
        except ClimReconError as error:
            left_out += [LeftOut(row.path, error.message.splitlines()[0]) for row in chosen]
            continue
        left_out += within
        members[key] = (tuple(Path(row.path) for row in ordered), dict(ordered[0].facets), notes)
    return members
