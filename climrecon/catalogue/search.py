"""From facets to the files of one data set, and why others were left out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from climrecon.catalogue.dialects import frequency
from climrecon.catalogue.opening import Catalogue, Row
from climrecon.catalogue.roles import COVARIANCE, MAIN, MEMBER, UNCORRELATED, member_number, role_of
from climrecon.errors import NoDataError
from climrecon.variables import infilled_product

#: Facets that tell data sets apart.
_DATASET = ("project", "product", "institute", "model", "experiment", "ensemble")
#: Products that a search takes only if they are named: our own output, and the demo's hidden truth.
_NEVER_BY_DEFAULT = ("reconstruction", "truth")
_RANGE = re.compile(r"(\d{4})-?(\d{2})\d{0,2}\s*-\s*(\d{4})-?(\d{2})\d{0,2}")
_SHOWN = 12


class LeftOut(NamedTuple):
    """A file that matched and was not taken, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class SearchResult:
    """The files of one data set.

    ``main`` is the field, in order of time; ``members`` its realisations by number.
    """

    main: tuple[Path, ...]
    members: tuple[Path, ...] = ()
    uncorrelated: Path | None = None
    error_covariance: tuple[Path, ...] = ()
    facets: dict[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def search(
    catalogue: Catalogue,
    facets: Mapping[str, str],
    *,
    explicit: Collection[str] = (),
    preferred: Mapping[str, str] | None = None,
) -> SearchResult:
    """Find the one data set that ``facets`` ask for.

    Parameters
    ----------
    facets:
        Freva facet -> value; compared without regard to case.
    explicit:
        Facets the user gave: one that the catalogue has no column for is then an error.
    preferred:
        Facets of the site's default data set: they decide where several match.

    Raises
    ------
    NoDataError
        If nothing matches (with the search, the values there are, and the closest), or several data
        sets do (with all of them).
    """
    unknown = [name for name in facets if name not in catalogue.facets]
    given = [name for name in unknown if name in explicit]
    if given:
        raise NoDataError(
            f"The catalogue {catalogue.origin} has no column for {', '.join(given)}.",
            f"It can be searched by {', '.join(sorted(catalogue.facets))}.",
        )
    wanted = {name: value for name, value in facets.items() if name not in unknown}
    matching = [
        row for row in catalogue.rows if all(_matches(row, name, value) for name, value in wanted.items())
    ]
    if not matching:
        raise _nothing(catalogue, wanted)
    left_out: list[LeftOut] = []
    usable = [row for row in matching if _usable(row, facets, left_out)]
    if not any(role_of(row.path) in (MAIN, MEMBER) for row in usable):
        listed = "\n".join(f"  {item.path}: {item.reason}" for item in left_out[:_SHOWN])
        more = f"\n  and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        raise NoDataError(
            f"The search {_shown(wanted)} in {catalogue.origin} matches {len(matching)} files, but none can be used:\n"
            f"{listed}{more}",
            "Use another data set, or fetch the files.",
        )
    notes: list[str] = []
    rows = _one_dataset(usable, wanted, explicit, preferred or {}, left_out)
    rows = _newest(rows, left_out, notes)
    main = _in_time([row for row in rows if role_of(row.path) == MAIN], left_out, notes)
    members = sorted(
        (row for row in rows if role_of(row.path) == MEMBER), key=lambda row: member_number(row.path)
    )
    if not main:
        main, members = members[:1], members
        notes.append(f"there is no ensemble mean; {Path(main[0].path).name} is taken")
    errors = [row for row in rows if role_of(row.path) == UNCORRELATED]
    return SearchResult(
        main=tuple(Path(row.path) for row in main),
        members=tuple(Path(row.path) for row in members),
        uncorrelated=Path(errors[0].path) if errors else None,
        error_covariance=tuple(Path(row.path) for row in rows if role_of(row.path) == COVARIANCE),
        facets={name: value for name, value in main[0].facets.items() if value},
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _values(row: Row, name: str) -> tuple[str, ...]:
    return row.variables if name == "variable" else (row.facets[name],)


def _matches(row: Row, name: str, value: str) -> bool:
    have = [text.casefold() for text in _values(row, name)]
    if name == "time_frequency":
        return frequency(value) in have
    return value.casefold() in have


def _shown(wanted: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in wanted.items()) or "(everything)"


def _nothing(catalogue: Catalogue, wanted: Mapping[str, str]) -> NoDataError:
    """The search that was tried and, facet by facet, what there is given the other facets."""
    lines = []
    for name, value in wanted.items():
        others = {key: text for key, text in wanted.items() if key != name}
        there = {
            text
            for row in catalogue.rows
            if all(_matches(row, key, other) for key, other in others.items())
            for text in _values(row, name)
            if text
        }
        if there and value.casefold() not in {text.casefold() for text in there}:
            near = difflib.get_close_matches(value.casefold(), [text.casefold() for text in there], 1)
            hint = f"; the closest is {near[0]}" if near else ""
            shown = ", ".join(sorted(there)[:_SHOWN]) + (" …" if len(there) > _SHOWN else "")
            lines.append(f"  {name}={value}: with the other facets there is {shown}{hint}")
    if not lines:
        for name, value in wanted.items():
            there = {text for row in catalogue.rows for text in _values(row, name) if text}
            known = any(value.casefold() == text.casefold() for text in there)
            shown = ", ".join(sorted(there)[:_SHOWN]) + (" …" if len(there) > _SHOWN else "")
            lines.append(
                f"  {name}={value}: {'is there, but not with the others' if known else 'there is ' + (shown or 'none')}"
            )
    detail = "\n".join(lines)
    return NoDataError(
        f"Nothing in {catalogue.origin} ({len(catalogue.rows)} files) matches {_shown(wanted)}.\n{detail}",
        "Change or leave out a facet; 'climrecon catalogue search' tries without running.",
    )


def _usable(row: Row, facets: Mapping[str, str], left_out: list[LeftOut]) -> bool:
    reason = None
    product = row.facets["product"].casefold()
    if product in _NEVER_BY_DEFAULT and "product" not in facets:
        reason = f"product={product} is taken only if asked for"
    elif row.path.startswith("slk://"):
        reason = "it is on tape; retrieve it first"
    elif "://" in row.path:
        reason = "only files are read, no remote services"
    elif infilled := infilled_product(Path(row.path).name):
        reason = infilled
    elif not Path(row.path).is_file():
        reason = "the file does not exist"
    if reason:
        left_out.append(LeftOut(row.path, reason))
    return reason is None


def _key(row: Row) -> tuple[str, ...]:
    # Realisations and error files differ in `ensemble` and belong to their mean all the same.
    names = _DATASET if role_of(row.path) == MAIN else _DATASET[:-1]
    return tuple(row.facets[name].casefold() for name in names)


def _one_dataset(
    rows: Sequence[Row],
    wanted: Mapping[str, str],
    explicit: Collection[str],
    preferred: Mapping[str, str],
    left_out: list[LeftOut],
) -> list[Row]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if role_of(row.path) == MAIN:
            groups.setdefault(_key(row), []).append(row)
    if not groups:  # members without a mean
        for row in rows:
            groups.setdefault(_key(row), []).append(row)
    if len(groups) > 1 and not any(name in explicit for name in ("product", "institute", "model")):
        default = {
            key: group
            for key, group in groups.items()
            if all(_matches(group[0], n, v) for n, v in preferred.items())
        }
        groups = default or groups
    if len(groups) > 1:
        raise _several(groups, wanted, preferred)
    (key,) = groups
    chosen = [row for row in rows if _key(row) in (key, key[:-1])]
    left_out += [LeftOut(row.path, "another data set") for row in rows if row not in chosen]
    return chosen


def _several(
    groups: Mapping[tuple[str, ...], list[Row]], wanted: Mapping[str, str], preferred: Mapping[str, str]
) -> NoDataError:
    differing = [name for i, name in enumerate(_DATASET) if len({key[i : i + 1] for key in groups}) > 1]
    listed = "\n".join(
        "  " + " ".join(f"{name}={group[0].facets[name] or '(empty)'}" for name in differing)
        for group in groups.values()
    )
    default = f" The site's default, {_shown(preferred)}, is not among them." if preferred else ""
    return NoDataError(
        f"{len(groups)} data sets match {_shown(wanted)}:\n{listed}\n{default}".rstrip(),
        f"Say which: {', '.join(f'{name}=…' for name in differing)}.",
    )


def version_key(version: str) -> tuple[int, ...]:
    """Order of versions: numbers compare as numbers, ``v20120101`` and ``5.0.10.0`` alike."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _newest(rows: Sequence[Row], left_out: list[LeftOut], notes: list[str]) -> list[Row]:
    versions = {
        row.facets["version"] for row in rows if row.facets["version"] and role_of(row.path) in (MAIN, MEMBER)
    }
    if len(versions) < 2:
        return list(rows)
    newest = max(versions, key=version_key)
    notes.append(f"version {newest} is taken, the newest of {', '.join(sorted(versions, key=version_key))}")
    left_out += [
        LeftOut(row.path, f"version {row.facets['version']} is older than {newest}")
        for row in rows
        if row.facets["version"] not in ("", newest)
    ]
    return [row for row in rows if row.facets["version"] in ("", newest)]


def _months(row: Row) -> tuple[int, int] | None:
    match = _RANGE.search(row.facets["time_range"]) or _RANGE.search(Path(row.path).stem)
    if match is None:
        return None
    first, last = int(match[1]) * 12 + int(match[2]) - 1, int(match[3]) * 12 + int(match[4]) - 1
    return (first, last) if first <= last else None


def _label(index: int) -> str:
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def _in_time(rows: Sequence[Row], left_out: list[LeftOut], notes: list[str]) -> list[Row]:
    """Chunks in order of time; what lies wholly within another is left out, overlaps and holes are noted."""
    spans = {row.path: _months(row) for row in rows}
    ordered = sorted(rows, key=lambda row: (spans[row.path] or (0, 0), row.path))
    kept: list[Row] = []
    for row in ordered:
        now, before = spans[row.path], spans[kept[-1].path] if kept else None
        if kept and (now is None or before is None):
            if Path(row.path).name == Path(kept[-1].path).name:
                left_out.append(LeftOut(row.path, f"the same file as {kept[-1].path}"))
                continue
        elif now and before and now[1] <= before[1]:
            left_out.append(LeftOut(row.path, f"its months are in {Path(kept[-1].path).name} already"))
            continue
        elif now and before and now[0] <= before[1]:
            notes.append(
                f"{Path(kept[-1].path).name} and {Path(row.path).name} overlap in {_label(now[0])} to {_label(before[1])}"
            )
        elif now and before and now[0] > before[1] + 1:
            notes.append(
                f"a hole of {now[0] - before[1] - 1} months, from {_label(before[1] + 1)}, "
                f"lies before {Path(row.path).name}"
            )
        kept.append(row)
    return kept
