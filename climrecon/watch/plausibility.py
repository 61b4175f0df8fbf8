"""Events that stop a watch: the release was withdrawn, renamed, shortened, regridded or mislabelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from climrecon.catalogue.versions import version_key
from climrecon.watch.detection import Header, ReleaseFiles, bare_name
from climrecon.watch.file_stamps import signature, stamp_of
from climrecon.watch.state import Release


@dataclass(frozen=True)
class Stop:
    """Why a person has to decide; ``signature`` distinguishes one such event from another."""

    kind: str
    message: str
    signature: str


def withdrawn(previous: Release, reason: str) -> Stop:
    """No file of the release that was run before is found any more."""
    files = previous.content["files"]["main"]
    text = (
        f"the files of {previous.name}, the current release, are gone: {', '.join(files)}. The release was withdrawn, "
        f"or its disk is not mounted. ({reason.splitlines()[0].rstrip('.:')}.)"
    )
    return Stop("withdrawn", text, signature({f"withdrawn {previous.digest}": None}))


def implausible(
    previous: Release | None,
    files: ReleaseFiles,
    header: Header,
    digest: str,
    older: Release | None,
    copies: Sequence[Path] = (),
) -> Stop | None:
    """Compare the files with the current release; None if a run may follow.

    Parameters
    ----------
    older:
        A release run before on the same content.
    copies:
        Every path at which the current release's files were found.
    """
    path = files.main[0]

    def stop(kind: str, text: str) -> Stop:
        return Stop(kind, text, signature({f"{kind} {digest} {path.name}": None}))

    stated = header.stated_version
    if stated and header.version and stated != header.version:
        return stop("mislabelled", f"{path} is version {header.version} by its name, {stated} by its attribute.")
    if previous is None:
        return None
    was: Mapping[str, Any] = previous.content["header"]
    before = [Path(text) for text in previous.content["files"]["main"]]
    if version_key(header.version) < version_key(was["version"]):
        return stop(
            "withdrawn",
            f"{previous.name} was withdrawn: the newest version found is {header.version} ({path.name}), after "
            f"{was['version']} was run.",
        )
    names = {bare_name(old) for old in before}
    gone = not any(stamp_of(p) for p in (*before, *copies) if bare_name(p) in names)
    if gone and bare_name(path) != bare_name(before[0]):
        same = "the same content" if digest == previous.digest else "other content"
        return stop("renamed", f"{before[0]} is gone, and {path} is found instead, with {same}.")
    if digest == previous.digest:
        return None
    if older is not None and older.id < previous.id:
        return stop(
            "withdrawn",
            f"{path} has the content of {older.name} again: the later release {previous.name} was withdrawn.",
        )
    if header.first > was["first"] or header.last < was["last"] or header.months < was["months"]:
        return stop(
            "shortened",
            f"{path} holds {header.months} months, {header.span}; the current release {previous.name} "
            f"holds {was['months']}.",
        )
    if header.grid != was["grid"]:
        return stop(
            "regridded",
            f"{path} is on another grid: {header.grid} instead of {was['grid']} (rows x columns and a "
            "hash of the coordinates).",
        )
    return None
