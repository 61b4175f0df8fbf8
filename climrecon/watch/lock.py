"""One watcher at a time.

The lock is ``flock`` on ``watch.lock`` (:class:`filelock.FileLock`). The kernel holds it for the open file, so it ends
with its process, by ``kill -9`` too, and no clock decides. On NFS and on Lustre mounted with ``flock`` the file
server keeps it, so it holds between hosts, and the server releases it when it drops a dead client. The state's SQLite
file needs locks of the same file system anyway: where there are none, the state cannot be opened. A soft lock, a file
that exists while someone works, would survive ``kill -9`` and need a person to remove it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from climrecon.errors import OutputError
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
    from filelock import FileLock, Timeout

    path = state.path.with_name(LOCK_NAME)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield f"another watcher ({state.get('watcher', 'just started')}) is at work"
        return
    except (OSError, NotImplementedError) as error:
        raise OutputError(
            f"{path} cannot be locked: {error}.", "Is the folder writable, and mounted with locks (flock)?"
        ) from error
    try:
        state.put("watcher", f"process {os.getpid()} on {host()}, since {now()}")
        yield None
    finally:
        lock.release()
