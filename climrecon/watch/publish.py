"""The folder ``releases``, the link ``latest``, and how many old releases stay."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from climrecon.errors import OutputError
from climrecon.interruption import commit_point

FOLDER, LATEST = "releases", "latest"
MANIFEST = "manifest.json"
_GOING = ".removing-"


def folder_of(output: Path, name: str) -> Path:
    """Where a release's results are."""
    return output / FOLDER / name


def whole(folder: Path) -> bool:
    """Whether a run into ``folder`` came to its end."""
    return (folder / MANIFEST).is_file()


def latest(output: Path) -> str | None:
    """Name of the release that ``latest`` points to; None if it points to none."""
    link = output / LATEST
    return link.readlink().name if link.is_symlink() else None


def switch(output: Path, name: str) -> None:
    """Let ``latest`` point to a release, in one step: at no time is there none, or one that is not whole.

    Raises
    ------
    OutputError
        If the link cannot be made.
    """
    target = Path(FOLDER) / name
    link = output / LATEST
    temporary = output / f".{LATEST}.{secrets.token_hex(4)}"
    try:
        if link.is_symlink() and link.readlink() == target:
            return
        if link.exists() and not link.is_symlink():
            raise FileExistsError("it is no link of a watch")
        temporary.symlink_to(target)
        commit_point(f"before {LATEST}")
        temporary.replace(link)
        commit_point(f"after {LATEST}")
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{link} cannot be made to point to {target}: {error}",
            "Nothing else may bear that name, and the folder must be writable.",
        ) from error


def remove(output: Path, name: str) -> None:
    """Remove a release's folder, unless it is the one that ``latest`` points to.

    It vanishes at once, so that nobody meets half of it.
    """
    folder = folder_of(output, name)
    if folder.exists() and name != latest(output):
        folder.replace(folder.with_name(f"{_GOING}{secrets.token_hex(4)}-{name}"))
        commit_point(f"without {name}")
    sweep(output)


def sweep(output: Path) -> None:
    """Remove what a killed watcher left: folders on their way out, links that were never put in place."""
    for folder in (output / FOLDER).glob(f"{_GOING}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for link in output.glob(f".{LATEST}.*"):
        link.unlink(missing_ok=True)
