"""A run's results appear together or not at all.

Everything is written to a hidden folder inside the output folder and moved into place at the end,
the manifest last. Whatever ends a run early, the folder is removed; what a killed run leaves behind
is hidden, and removed by the next run into the same folder.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from climrecon.errors import OutputError

PREFIX = ".climrecon-"
MANIFEST = "manifest.json"


def _alive(folder: Path) -> bool:
    """Whether the process that made a staging folder still runs (on this machine)."""
    try:
        os.kill(int(folder.name.removeprefix(PREFIX).split("-")[0]), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _problem(error: OSError, folder: Path) -> OutputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"The disk is full: {folder} took no more data.", "Free some space or choose another outputdir."
        )
    return OutputError(f"Results cannot be written to {folder}: {error}", "Choose another outputdir.")


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a folder to write to; on success move its files to ``folder``, on failure remove it.

    Raises
    ------
    OutputError
        If ``folder`` cannot be made or written to, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{PREFIX}*"):
            if not _alive(old):
                shutil.rmtree(old, ignore_errors=True)
        stage = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=folder))
        # mkdtemp gives 0700; colleagues and the host's web server must be able to read what moves up.
        stage.chmod(folder.stat().st_mode & 0o7777)
    except OSError as error:
        raise _problem(error, folder) from error
    try:
        yield stage
        _publish(stage, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise _problem(error, folder) from error
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _publish(stage: Path, folder: Path) -> None:
    """Move everything up, the manifest last: a folder with a manifest is whole."""
    (folder / MANIFEST).unlink(missing_ok=True)
    entries = sorted(stage.iterdir(), key=lambda path: path.name == MANIFEST)
    for path in entries:
        target = folder / path.name
        if path.is_dir() and target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
