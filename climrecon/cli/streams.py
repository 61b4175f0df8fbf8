"""Standard output and error that never end a run: a disk may be full, a reader may have gone, a shell may close them."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO


class _Lenient(io.FileIO):
    """Drops what the system does not take, and remembers why."""

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:
        """What the system does not take counts as written."""
        try:
            written = super().write(data)
        except OSError as error:
            self.lost, written = error, None
        return memoryview(data).nbytes if written is None else written


def never_fail() -> None:
    """Replace both streams of this process.

    What is closed is opened on nothing: else the next file would get the number of standard error, and the messages of
    libraries would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _stream(sys.stdout, 1), _stream(sys.stderr, 2)


def _stream(before: TextIO | None, number: int) -> TextIO:
    encoding = before.encoding if before is not None else "utf-8"
    # A name that the terminal cannot show is shown as it can be.
    errors = before.errors if before is not None and before.errors not in (None, "strict") else "backslashreplace"
    file = _Lenient(number, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(file), encoding, errors, line_buffering=number == 2 or file.isatty())


def output_lost() -> OSError | None:
    """Why standard output did not take all that was printed; None if it did, or if its reader went away."""
    sys.stdout.flush()
    stream = sys.stdout.buffer
    lost = stream.raw.lost if isinstance(stream, io.BufferedWriter) and isinstance(stream.raw, _Lenient) else None
    return None if lost is None or lost.errno == errno.EPIPE else lost
