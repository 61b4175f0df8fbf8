"""How the watch looks, what its steps work with, and the outcome of a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from climrecon.settings import RunSettings, Site
from climrecon.settings.watch import Watch
from climrecon.watch.state import State
from climrecon.workflow.progress import Reporter

LOCAL, FREVA = "local", "freva"


@dataclass(frozen=True)
class Options:
    """How to look.

    Attributes
    ----------
    watch:
        The site's settings, overridden by the command line.
    rebuild:
        Folder over which the catalogue is written anew when its files changed; None: never.
    through:
        ``freva``: the program ``freva`` starts each run, so that the run is in Freva's history; ``local``: this
        process runs it.
    freva:
        The program; "" if there is none.
    """

    watch: Watch
    rebuild: Path | None = None
    through: str = LOCAL
    freva: str = ""


@dataclass(frozen=True)
class Context:
    """What each step works with; ``raw`` are the parameters as given, ``settings`` the same validated."""

    raw: Mapping[str, Any]
    settings: RunSettings
    site: Site
    options: Options
    reporter: Reporter
    output: Path
    state: State


@dataclass(frozen=True)
class Look:
    """The outcome of a look: exit code, message, and whether a run was started.

    ``final`` is False if the next look has something to do even if no file changes.
    """

    code: int
    message: str
    release: str | None = None
    ran: bool = False
    final: bool = True

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {key: value for key, value in asdict(self).items() if key != "final"}
