"""One watcher at a time.

The lock is ``watch.lock`` (:mod:`climrecon.locks`). The state's SQLite file needs locks of the same file system anyway:
where there are none, the state cannot be opened. A soft lock, a file that exists while someone works, would survive
``kill -9`` and need a person to remove it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from climrecon.locks import locked
from climrecon.processes import host
from climrecon.watch.state import State, now

LOCK_NAME = "watch.lock"


@contextmanager
def only_watcher(state: State) -> Iterator[str | None]:
    """Hold the lock; gives None, or a description of the watcher that holds it.

    Raises
    ------
    OutputError
        If the file system cannot lock.
    """
    with locked(state.path.with_name(LOCK_NAME)) as held:
        if held:
            state.put("watcher", f"process {os.getpid()} on {host()}, since {now()}")
        yield None if held else f"another watcher ({state.get('watcher', 'just started')}) is at work"
