"""Records of a stage that runs as a batch job, for the waiting caller: progress, exit code and message."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from climrecon.cli.progress import LogReporter
from climrecon.errors import Explained, Unfinished
from climrecon.files import write_text
from climrecon.redaction import redacted

#: A shared file system is spared: progress is written at most this often.
SECONDS_BETWEEN_WRITES = 2.0


class RecordingReporter(LogReporter):
    """Writes progress to a small file too."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._text, self._written, self._first = "", 0.0, (0.0, 0)

    def _write(self, **values: Any) -> None:
        # A job must not fail because its progress cannot be shown.
        with suppress(OSError):
            write_text(self._path, json.dumps({"text": self._text, **values}) + "\n")
        self._written = time.monotonic()

    def stage(self, text: str) -> None:
        """Name the stage."""
        self._text, self._first = redacted(text), (0.0, 0)
        super().stage(text)
        self._write()

    def step(self, done: int, total: int) -> None:
        """Say how far it is, and how fast since the first step of this process."""
        super().step(done, total)
        now = time.monotonic()
        if not self._first[0]:
            self._first = (now, done)
        if now - self._written >= SECONDS_BETWEEN_WRITES:
            since, steps = now - self._first[0], done - self._first[1]
            self._write(done=done, total=total, rate=steps / since if since > 0 else 0.0)


def is_first_process() -> bool:
    """Whether this is the only process of a stage, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def ending_recorded(record: Path | None, stage: str, part: int) -> Iterator[None]:
    """Leave exit code and message of a process that torchrun started: the launcher hides both from the job.

    Processes that have saved their state end as if they were done, since torchrun would end the others at the first
    that does not; the job script knows from what is left here.
    """
    if record is None or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    try:
        yield
    except Explained as error:
        # The first that fails is the cause; that the others lost it is what followed.
        with suppress(OSError), (record / "status" / f"{stage}-{part}.exit").open("x") as file:
            file.write(f"{error.exit_code}\nError: {error}\n")
        if not isinstance(error, Unfinished):
            raise
