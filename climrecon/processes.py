"""Which process of which machine did something, and whether it still runs. Standard library alone."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

#: Number of the first namespace of process ids of a Linux kernel; containers have others.
_FIRST_NAMESPACE = "pid:[4026531836]"


def host() -> str:
    """Name of this machine; in a container, whose process ids are its own, with the number of their namespace."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - the target is no path
    except OSError:
        namespace = _FIRST_NAMESPACE
    name = socket.gethostname()
    return name if namespace == _FIRST_NAMESPACE else f"{name}-{namespace[5:-1]}"


def boot() -> str:
    """Identifier of this machine's current boot, "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def started(pid: int) -> str:
    """When a process started, in the system's own count, "" if it does not run: ids are used again."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    after = text.rpartition(")")[2].split()
    return "" if after[0] == "Z" else after[19]


def identity(pid: int) -> dict[str, Any]:
    """Host, boot, id and start of a process of this machine."""
    return {"host": host(), "boot": boot(), "pid": pid, "started": started(pid)}


def runs(process: dict[str, Any]) -> bool | None:
    """Whether a process runs; None if it is on another host."""
    if process["host"] != host():
        return None
    if process["boot"] != boot():
        return False
    if process["started"]:
        return bool(started(process["pid"]) == process["started"])
    try:  # no /proc: the id alone has to do
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
