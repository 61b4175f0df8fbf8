"""One watcher at a time, and whether a process that an earlier watcher started still runs.

The lock is ``flock`` on ``watch.lock`` (:class:`filelock.FileLock`). The kernel holds it for the open file, so it ends
with its process, by ``kill -9`` too, and no clock decides. On NFS and on Lustre mounted with ``flock`` the file
server keeps it, so it holds between hosts, and the server releases it when it drops a dead client. The state's SQLite
file needs locks of the same file system anyway: where there are none, the state cannot be opened. A soft lock, a file
that exists while someone works, would survive ``kill -9`` and need a person to remove it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from climrecon.errors import OutputError
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
        state.put("watcher", f"process {os.getpid()} on {socket.gethostname()}, since {now()}")
        yield None
    finally:
        lock.release()


def _boot() -> str:
    """Identifier of this machine's current boot, "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, in the system's own count, "" if it does not run: ids are used again."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    after = text.rpartition(")")[2].split()
    return "" if after[0] == "Z" else after[19]


def identity(pid: int) -> dict[str, Any]:
    """Host, boot, id and start of a process of this machine."""
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "started": _started(pid)}


def runs(process: dict[str, Any]) -> bool | None:
    """Whether a process runs; None if it is on another host."""
    if process["host"] != socket.gethostname():
        return None
    if process["boot"] != _boot():
        return False
    if process["started"]:
        return bool(_started(process["pid"]) == process["started"])
    try:  # no /proc: the id alone has to do
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
