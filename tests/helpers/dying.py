"""Stands for the preparation of members, in processes of their own: one that is killed, or one that goes on for long."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Dying:
    """``prepare`` kills its process for the member ``killed``; for others it starts a program and waits."""

    folder: Path

    def prepare(self, member: str) -> str | None:
        (self.folder / f"{os.getpid()}.pid").touch()
        if member == "killed":
            time.sleep(1.0)
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            subprocess.run(["sleep", "300"], check=False)
        finally:
            (self.folder / f"{member}.cleaned").touch()
        return None
