"""Who started a run, when, and under which id."""

from __future__ import annotations

import getpass
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from climrecon.files import parse_json, write_text


@dataclass(frozen=True)
class RunInfo:
    """One run.

    Attributes
    ----------
    host:
        Program that started the run (``freva``, ``watch``); "" for the command line.
    started:
        In UTC.
    """

    id: str
    user: str
    host: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_dict(self) -> dict[str, str]:
        """For the configuration of batch jobs; :func:`run_info` reads it. Each job notes its own start."""
        return {"id": self.id, "user": self.user, "host": self.host}


def run_info(given: Mapping[str, object] | None = None) -> RunInfo:
    """Run information from ``id``, ``user`` and ``host``, as far as the caller knows them.

    A missing id is drawn; a missing user is that of this process.
    """
    given = given or {}
    return RunInfo(
        str(given.get("id") or secrets.token_hex(6)), str(given.get("user") or _user()), str(given.get("host") or "")
    )


def note_start(folder: Path) -> None:
    """Note in ``folder`` that a run begins now; a run that goes on keeps its start."""
    path = folder / "started.json"
    if not path.exists():
        write_text(path, json.dumps({"started": datetime.now(UTC).isoformat()}) + "\n")


def start_noted(folder: Path) -> datetime:
    """The start that :func:`note_start` noted in ``folder``; now if there is none."""
    try:
        return datetime.fromisoformat(parse_json((folder / "started.json").read_text(encoding="utf-8"))["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return datetime.now(UTC)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        return ""
