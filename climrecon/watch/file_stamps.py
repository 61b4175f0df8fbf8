"""Size and dates of files: what tells, without reading them, whether they are what they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

#: Size, mtime and ctime in nanoseconds; the latter cannot be set back by whoever copied a file.
Stamp = tuple[int, int, int]


def stamp_of(path: Path | str) -> Stamp | None:
    """Size and dates of a file or folder, None where there is none."""
    try:
        about = Path(path).stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def stamps_of(paths: Iterable[Path]) -> dict[str, Stamp | None]:
    """Stamps by path."""
    return {str(path): stamp_of(path) for path in paths}


def signature(stamps: Mapping[str, Stamp | None]) -> str:
    """One hash of many stamps."""
    return hashlib.sha256(json.dumps(sorted(stamps.items())).encode()).hexdigest()


def youngest(stamps: Iterable[Stamp | None]) -> float:
    """Seconds since the epoch at which the last of the files was written to or renamed, 0 of none."""
    return max((max(stamp[1:]) for stamp in stamps if stamp), default=0) / 1e9


def unchanged(stamps: Mapping[str, Sequence[int] | None]) -> bool:
    """Whether all files are what they were; stamps may come from JSON."""
    return all(stamp_of(path) == (tuple(was) if was else None) for path, was in stamps.items())


def tree(folder: Path, endings: tuple[str, ...] = (".nc", ".nc4")) -> dict[str, Stamp | None]:
    """Stamps of all netCDF files below ``folder`` that a catalogue over it would list."""
    found = (path for path in folder.rglob("*") if path.suffix in endings and not path.name.startswith("."))
    return stamps_of(sorted(found))
