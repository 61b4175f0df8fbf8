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

    @classmethod
    def of_dry_run(cls, summary: list[str]) -> Outcome:
        """The outcome of a dry run, which writes nothing."""
        return cls(None, {"status": "dryrun", "outputs": []}, summary)
