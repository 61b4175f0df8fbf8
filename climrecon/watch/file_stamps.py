"""Whether files, folders and a catalogue on a server changed, without reading data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from climrecon.errors import NoDataError
from climrecon.netcdf.names import NETCDF
from climrecon.servers import fetch
from climrecon.workflow.fingerprint import digest_of

#: Size, mtime and ctime in nanoseconds; the latter cannot be set back by whoever copied a file.
Stamp = tuple[int, int, int]
#: Members of an ensemble are handed out in such files.
ARCHIVES = (".zip",)


def stamp_of(path: Path | str) -> Stamp | None:
    """Size and dates of a file or folder, None where there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamps_of(paths: Iterable[Path]) -> dict[str, Stamp | None]:
    """Stamps by path."""
    return {str(path): stamp_of(path) for path in paths}


def signature(stamps: Mapping[str, Stamp | None]) -> str:
    """One hash of many stamps."""
    return digest_of(sorted(stamps.items()))


def youngest(stamps: Iterable[Stamp | None]) -> float:
    """Seconds since the epoch at which the last of the files was written to or renamed, 0 of none."""
    return max((max(stamp[1:]) for stamp in stamps if stamp), default=0) / 1e9


def unchanged(stamps: Mapping[str, Sequence[int] | None]) -> bool:
    """Whether all files are what they were; stamps may come from JSON."""
    return all(stamp_of(path) == (tuple(before) if before else None) for path, before in stamps.items())


def tree(folder: Path) -> dict[str, Stamp | None]:
    """Stamps of all netCDF files below ``folder`` that a catalogue over it would list."""
    files = (path for path in folder.rglob("*") if path.name.endswith(NETCDF) and not path.name.startswith("."))
    return stamps_of(sorted(files))


def archives_in(folders: Iterable[Path]) -> list[str]:
    """Paths of all archives in ``folders``, sorted; those of a folder that is gone are none."""
    archives = []
    for folder in folders:
        try:
            names = os.listdir(folder)  # noqa: PTH208 - one system call; folders may hold thousands
        except OSError:
            continue
        archives += [str(folder / name) for name in names if name.lower().endswith(ARCHIVES)]
    return sorted(archives)


def remote_digest(url: str) -> str:
    """sha256 of a catalogue server's answer.

    Raises
    ------
    NoDataError
        If the server cannot be reached.
    """
    try:
        return hashlib.sha256(fetch(url)).hexdigest()
    except OSError as error:
        raise NoDataError(
            f"The catalogue {url} cannot be reached: {error}", "The next look tries again; published releases stay."
        ) from error
