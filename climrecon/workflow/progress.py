"""Progress messages of a run; the command line shows them."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Told of stages, steps within a stage, notes and warnings."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def step(self, done: int, total: int) -> None:
        """``done`` of ``total`` pieces of the current stage are finished."""

    def state(self, text: str) -> None:
        """How something that is waited for fares; renews what it said before."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def warning(self, text: str) -> None:
        """Something the user should look at."""


class Quiet:
    """Says nothing."""

    def stage(self, text: str) -> None:
        """Ignore."""

    def step(self, done: int, total: int) -> None:
        """Ignore."""

    def state(self, text: str) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def warning(self, text: str) -> None:
        """Ignore."""
