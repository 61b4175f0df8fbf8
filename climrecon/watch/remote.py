"""What is outside: archives beside the files, and a catalogue on a server."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from climrecon.errors import NoDataError

#: Members of an ensemble are handed out in such files.
ARCHIVES = (".zip",)
#: Seconds after which a server counts as unreachable.
TIMEOUT = 20.0


def archives_in(folders: Iterable[Path]) -> list[str]:
    """Paths of all archives in ``folders``, sorted; those of a folder that is gone are none."""
    found = []
    for folder in folders:
        try:
            names = os.listdir(folder)  # noqa: PTH208 - one system call; folders may hold thousands
        except OSError:
            continue
        found += [str(folder / name) for name in names if name.lower().endswith(ARCHIVES)]
    return sorted(found)


def remote_digest(url: str) -> str:
    """sha256 of what a catalogue server answers.

    Raises
    ------
    NoDataError
        If it cannot be reached.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return hashlib.sha256(answer.read()).hexdigest()
    except (OSError, http.client.HTTPException) as error:
        raise NoDataError(
            f"The catalogue {url} cannot be reached: {error}",
            "It is tried again at the next look; what is published stays.",
        ) from error
