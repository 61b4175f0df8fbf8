"""One watcher at a time: a row in the state file, with host, process and a heartbeat.

On its own host a dead watcher is told by its process id with the process's start and the boot of the machine;
on another host by a heartbeat that stood still over several looks, so that no clock has to be right.
"""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from climrecon.errors import OutputError
from climrecon.watch.state import State, now

BEAT_SECONDS = 20.0
#: A watcher on another host is dead if its heart stood still for so long, seen by so many looks.
DEAD_SECONDS, DEAD_LOOKS = 600.0, 3


def boot() -> str:
    """What tells one start of this machine from another, "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def started(pid: int) -> str:
    """When a process started, in the system's own count, "" if it does not run: ids are used again."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    after = text.rpartition(")")[2].split()
    return "" if after[0] == "Z" else after[19]


def identity(pid: int | None = None) -> dict[str, Any]:
    """Host, boot, id and start of a process of this machine."""
    pid = pid or os.getpid()
    return {"host": socket.gethostname(), "boot": boot(), "pid": pid, "started": started(pid)}


def runs(process: dict[str, Any]) -> bool | None:
    """Whether a process runs; None if it is on another host."""
    if process["host"] != socket.gethostname():
        return None
    if process["boot"] != boot():
        return False
    if not process["started"]:  # no /proc: the id alone has to do
        try:
            os.kill(process["pid"], 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    return bool(started(process["pid"]) == process["started"])


@contextmanager
def only_watcher(state: State) -> Iterator[str | None]:
    """Hold the lock; gives None, or in words who else holds it."""
    token = secrets.token_hex(8)
    other = _take(state, token)
    if other:
        yield other
        return
    end = threading.Event()
    heart = threading.Thread(target=_beat, args=(state.path, token, end), daemon=True)
    heart.start()
    try:
        yield None
    finally:
        end.set()
        heart.join()
        # Where not even this can be written the next look finds that the process is gone.
        with suppress(OutputError), state.change() as db:
            db.execute("DELETE FROM lock WHERE token = ?", (token,))


def _take(state: State, token: str) -> str | None:
    with state.change() as db:
        row = db.execute("SELECT * FROM lock").fetchone()
        if row and (told := _holds(db, dict(row))):
            return told
        me = identity()
        db.execute(
            "INSERT OR REPLACE INTO lock (id, token, host, boot, pid, started, since, beat) "
            "VALUES (1, ?, ?, ?, ?, ?, ?, 0)",
            (token, me["host"], me["boot"], me["pid"], me["started"], now()),
        )
    return None


def _holds(db: sqlite3.Connection, row: dict[str, Any]) -> str | None:
    """In words who holds the lock, None if that watcher is dead."""
    who = f"another watcher (process {row['pid']} on {row['host']}, since {row['since']}) is at work"
    alive = runs(row)
    if alive is not None:
        return who if alive else None
    at = time.time()
    if row["seen_beat"] != row["beat"] or row["seen_at"] is None or at < row["seen_at"]:
        db.execute("UPDATE lock SET seen_beat = beat, seen_at = ?, seen_times = 0", (at,))
        return who
    db.execute("UPDATE lock SET seen_times = seen_times + 1")
    dead = at - row["seen_at"] > DEAD_SECONDS and row["seen_times"] + 1 >= DEAD_LOOKS
    return None if dead else who


def _beat(path: Path, token: str, end: threading.Event) -> None:
    while not end.wait(BEAT_SECONDS):
        # A heartbeat that cannot be written now is written next time.
        with suppress(sqlite3.Error):
            db = sqlite3.connect(path, timeout=10.0, isolation_level=None)
            with suppress(sqlite3.Error):
                db.execute("UPDATE lock SET beat = beat + 1 WHERE token = ?", (token,))
            db.close()
