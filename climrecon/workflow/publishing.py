"""Results move into a folder together, one run at a time, and replace nothing but earlier results.

Ours is what the manifest of the folder lists. While files move there is no manifest, so a run first writes both lists to
a record; what a killed run leaves half done is ours by the record.

The lock is a file in the folder (:mod:`climrecon.locks`), held for the renames alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from climrecon.errors import OutputError
from climrecon.files import parse_json, read_text, remove_remains, write_text
from climrecon.interruption import commit_point, end_if_stopped, signals_wait
from climrecon.locks import locked
from climrecon.workflow.manifest import FILE_NAME as MANIFEST

LOCK = ".climrecon-publishing.lock"
RECORD = ".climrecon-publishing.json"
#: Seconds in which another run should have moved its files.
LONGEST_WAIT = 50.0


def listed(path: Path) -> set[str]:
    """The files that a manifest (or a record) of ours lists, itself among them; nothing for other files."""
    try:
        content = parse_json(read_text(path))
        outputs = [entry["path"] for entry in content["outputs"]]
        if not isinstance(content["schema"], int) or not all(isinstance(name, str) for name in outputs):
            return set()
        return {path.name, *outputs, *map(str, content.get("earlier", ()))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()


def refuse_foreign(folder: Path, names: Iterable[str]) -> None:
    """Refuse to write results into ``folder`` where that would replace files of others.

    Parameters
    ----------
    names:
        Names of the results at the top of the folder, as patterns; of a folder among them all files count.

    Raises
    ------
    OutputError
        If a file of such a name is there and no manifest of ours lists it.
    """
    ours, patterns = listed(folder / MANIFEST) | listed(folder / RECORD), {MANIFEST, *names}
    try:
        here = sorted(folder.iterdir()) if folder.exists() else []
        found = [path for path in here if any(fnmatchcase(path.name, pattern) for pattern in patterns)]
        # A link to a folder is itself what is found: it leads out of the folder.
        files = [file for path in found for file in (_files_in(path) if _is_folder(path) else [path])]
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be read: {error}", "Choose another outputdir.") from error
    foreign = [file for file in files if str(file.relative_to(folder)) not in ours]
    if foreign:
        raise OutputError(
            f"{foreign[0]} is there already and is no earlier result: no manifest.json of climrecon lists it. This run "
            "would replace the file.",
            "Choose another outputdir, or move the file away.",
        )


def publish(stage: Path, folder: Path) -> None:
    """Move what is in ``stage`` up to ``folder``, the manifest last: a folder with a manifest is whole.

    Files of earlier runs stay where the new run has none of their name; the manifest lists them under ``earlier``.

    Raises
    ------
    OutputError
        If a file of others is in the way, or another run does not stop publishing.
    OSError
        If a file cannot be moved.
    """
    with _alone_in(folder):
        files = sorted((path.relative_to(stage) for path in _files_in(stage)), key=lambda path: path.name == MANIFEST)
        refuse_foreign(folder, {escape(path.parts[0]) for path in files})
        before, new = listed(folder / MANIFEST) | listed(folder / RECORD), set(map(str, files))
        others = (before | new) - listed(stage / MANIFEST) - {MANIFEST, RECORD}
        earlier = sorted(name for name in others if name in new or (folder / name).is_file())
        if earlier and (stage / MANIFEST).exists():
            content = {**json.loads((stage / MANIFEST).read_text(encoding="utf-8")), "earlier": earlier}
            write_text(stage / MANIFEST, json.dumps(content, indent=1) + "\n")
        both = [{"path": name} for name in sorted(before | new)]
        end_if_stopped()
        with signals_wait():  # else the results of before would be gone, and those of now not there
            commit_point("before the results")
            remove_remains(folder / RECORD)
            write_text(folder / RECORD, json.dumps({"schema": 1, "outputs": both}) + "\n")
            (folder / MANIFEST).unlink(missing_ok=True)
            for path in files:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (stage / path).replace(folder / path)
                commit_point(f"with {path} in place")
            (folder / RECORD).unlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not _is_folder(path)]


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of ``folder``.

    Raises
    ------
    OutputError
        If another run holds it for too long, or the file system cannot lock.
    """
    with locked(folder / LOCK, LONGEST_WAIT) as held:
        if not held:
            raise OutputError(
                f"Another run has been moving its results to {folder} for {LONGEST_WAIT:g} s.",
                "Choose another outputdir.",
            )
        try:
            yield
        finally:
            # Removed while it is held: who waits for it sees that, and makes a new one.
            (folder / LOCK).unlink(missing_ok=True)
