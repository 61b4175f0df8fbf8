"""Progress messages of a run; the command line shows them."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Shows stages, steps within a stage, notes and warnings."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def step(self, done: int, total: int) -> None:
        """``done`` of ``total`` pieces of the current stage are finished."""

    def state(self, text: str) -> None:
        """The state of what the run waits for; replaces the state shown before."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def warning(self, text: str) -> None:
        """Something the user should look at."""


class Quiet:
    """Shows nothing."""

    def _ignore(self, *args: object, **named: object) -> None:
        pass

    stage = step = state = note = warning = _ignore
