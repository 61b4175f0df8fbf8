"""What stops a watch: a release that was withdrawn, renamed, shortened, or is not what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from climrecon.catalogue.versions import version_key
from climrecon.watch.detection import Found, Header, bare_name
from climrecon.watch.file_stamps import signature
from climrecon.watch.state import Release


@dataclass(frozen=True)
class Stop:
    """Why a person has to decide; ``signature`` tells one such event from another."""

    kind: str
    message: str
    signature: str


def withdrawn(previous: Release, reason: str) -> Stop:
    """Nothing is found any more of what was run before."""
    files = previous.content["files"]["main"]
    text = (
        f"{previous.name}, the current release, is not there any more: {', '.join(files)}. {reason} "
        "It was withdrawn, or its disk is not mounted."
    )
    return Stop("withdrawn", text, signature({f"withdrawn {previous.digest}": None}))


def judge(
    previous: Release | None,
    found: Found,
    header: Header,
    digest: str,
    older: Release | None,
    copies: Sequence[Path] = (),
) -> Stop | None:
    """Compare what was found with the current release; None if a run may follow.

    Parameters
    ----------
    older:
        A release run before with the content found now.
    copies:
        Every path at which the current release's files were found.
    """
    told = _told(previous, found, header, digest, older, copies)
    if told is None:
        return None
    kind, text = told
    return Stop(kind, text, signature({f"{kind} {digest} {found.main[0].name}": None}))


def _told(
    previous: Release | None,
    found: Found,
    header: Header,
    digest: str,
    older: Release | None,
    copies: Sequence[Path],
) -> tuple[str, str] | None:
    name = found.main[0].name
    if header.said and header.version and header.said != header.version:
        return "mislabelled", (
            f"The name of {found.main[0]} says version {header.version}, its attribute says {header.said}: "
            "one of them is wrong."
        )
    if previous is None:
        return None
    was: Mapping[str, Any] = previous.content["header"]
    before = [Path(path) for path in previous.content["files"]["main"]]
    if version_key(header.version) < version_key(was["version"]):
        return "withdrawn", (
            f"{previous.name} was withdrawn: the newest version found is {header.version} ({name}), after "
            f"{was['version']} was run."
        )
    names = {bare_name(path) for path in before}
    gone = not any(p.exists() for p in (*before, *copies) if bare_name(p) in names)
    if gone and bare_name(name) != bare_name(before[0]):
        same = "the same content" if digest == previous.digest else "other content"
        return "renamed", f"{before[0]} is gone, and {found.main[0]} is found instead, with {same}."
    if digest == previous.digest:
        return None
    if older is not None and older.id < previous.id:
        return "withdrawn", (
            f"{found.main[0]} holds again what {older.name} was made from: {previous.name}, which came later, "
            "was withdrawn."
        )
    if header.first > was["first"] or header.last < was["last"] or header.months < was["months"]:
        return "shortened", (
            f"{found.main[0]} holds {header.months} months, {header.span}; the current release {previous.name} "
            f"holds {was['months']}."
        )
    if header.grid != was["grid"]:
        return "regridded", (
            f"{found.main[0]} is on another grid: {header.grid} instead of {was['grid']} (rows x columns and a "
            "hash of the coordinates)."
        )
    return None
