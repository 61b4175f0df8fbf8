"""Messages of a run: progress bars on a terminal, dated lines in a log."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from climrecon.redaction import redacted

#: A log gets a line when this many seconds have passed since the last one, so that it stays readable.
SECONDS_BETWEEN_LINES = 10.0
#: A state that has not changed is repeated after so many seconds: a job may wait for hours.
SECONDS_BETWEEN_REPEATS = 600.0


class TerminalReporter:
    """Stages as lines, steps as a progress bar."""

    def __init__(self) -> None:
        # Imported here: a log needs no bars, and --help neither.
        from tqdm import tqdm

        self._stream, self._tqdm = sys.stderr, tqdm
        self._bar: Any = None

    def stage(self, text: str) -> None:
        """Close the last stage's bar and name the new stage."""
        self.close()
        self._stream.write(f"{redacted(text)}\n")
        self._stream.flush()

    def step(self, done: int, total: int) -> None:
        """Draw or move the bar of the current stage."""
        if self._bar is None or self._bar.total != total:
            self.close()
            self._bar = self._tqdm(total=total, file=self._stream, unit="", leave=False, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def state(self, text: str) -> None:
        """Renew the line below the stage's name."""
        if self._bar is None:
            self._bar = self._tqdm(total=0, file=self._stream, bar_format="  {desc}", leave=False)
        if self._bar.desc != redacted(text):
            self._bar.set_description_str(redacted(text))

    def note(self, text: str) -> None:
        """Write an indented line above the bar."""
        self._tqdm.write(f"  {redacted(text)}", file=self._stream)

    def warning(self, text: str) -> None:
        """Write a marked line above the bar."""
        self._tqdm.write(f"  warning: {redacted(text)}", file=self._stream)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class LogReporter:
    """Dated lines, for batch logs and for the host, which shows them one by one."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._last_line = 0.0
        self._state = ""
        self._begun: tuple[float, int] | None = None

    def _line(self, text: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        self._stream.write(f"{now} {redacted(text)}\n")
        self._stream.flush()

    def stage(self, text: str) -> None:
        """Write the stage's name."""
        self._last_line = time.monotonic()
        self._begun = None
        self._line(text)

    def step(self, done: int, total: int) -> None:
        """Write how far the stage is and how long it will take still, now and then."""
        now = time.monotonic()
        if self._begun is None or done < self._begun[1]:
            self._begun = (now, done)
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            gone, steps = now - self._begun[0], done - self._begun[1]
            left = f", about {_lasting(gone / steps * (total - done))} left" if steps and done < total else ""
            self._line(f"  {done} of {total} ({100 * done // max(total, 1)} %){left}")

    def state(self, text: str) -> None:
        """Write how it fares, now and then."""
        since = time.monotonic() - self._last_line
        if since >= (SECONDS_BETWEEN_LINES if text != self._state else SECONDS_BETWEEN_REPEATS):
            self._last_line, self._state = time.monotonic(), text
            self._line(f"  {text}")

    def note(self, text: str) -> None:
        """Write an indented line."""
        self._line(f"  {text}")

    def warning(self, text: str) -> None:
        """Write a marked line."""
        self._line(f"  warning: {text}")

    def close(self) -> None:
        """Nothing to close."""


def _lasting(seconds: float) -> str:
    """``40 s``, ``12 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def make_reporter() -> TerminalReporter | LogReporter:
    """The implementation that fits standard error."""
    return TerminalReporter() if sys.stderr.isatty() else LogReporter()
