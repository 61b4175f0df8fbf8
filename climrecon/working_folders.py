"""Hidden folders for files in the making: for their owner alone, and removed when their process is gone.

The name holds host, boot, process and its start. A process of another host cannot be asked whether it runs, so its
folders stay until nobody has written to them for a day.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from climrecon.processes import identity, runs

PREFIX = ".climrecon-work."
#: Seconds after which a folder of another host counts as left behind.
OTHERS_STAY = 86400.0
_NAME = re.compile(rf"^{re.escape(PREFIX)}(?P<host>.+)\.(?P<boot>[0-9a-f-]*)\.(?P<pid>\d+)\.(?P<started>\d*)\.\w+$")


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder in ``parent`` that only its owner may enter; it is removed at the end.

    Nobody else can plant a link in such a folder, so files in it are safe under names that others can guess.

    Raises
    ------
    OSError
        If the folder cannot be made.
    """
    sweep(parent)
    here = identity(os.getpid())
    mark = f"{here['host']}.{here['boot']}.{here['pid']}.{here['started']}"
    # In full: what joins a path in the folder to the folder gets the path again.
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{mark}.", dir=parent.absolute()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove the working folders of this user whose process is gone; nothing else."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if (match := _NAME.match(folder.name)) and folder.lstat().st_uid == os.geteuid() and _left(folder, match):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # removed meanwhile
            continue


def _left(folder: Path, match: re.Match[str]) -> bool:
    alive = runs({**match.groupdict(), "pid": int(match["pid"])})
    if alive is not None:
        return not alive
    last = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    return time.time() - last > OTHERS_STAY
