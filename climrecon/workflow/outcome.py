"""The result of a task for its caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """Folder and manifest of a run, and the lines to print at its end."""

    folder: Path | None
    manifest: dict[str, Any]
    summary: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The lines to print at the end."""
        return self.summary
