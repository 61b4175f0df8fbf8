"""How the watch looks, and what a look comes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from climrecon.settings.watch import Watch
from climrecon.watch import codes

LOCAL, FREVA = "local", "freva"


@dataclass(frozen=True)
class Options:
    """How to look.

    Attributes
    ----------
    watch:
        The site's settings, with what the command line says.
    rebuild:
        Folder over which the catalogue is written anew when its files changed; None: never.
    through:
        ``freva``: runs are started by the program ``freva`` and so are in its history; ``local``: here.
    """

    watch: Watch
    rebuild: Path | None = None
    through: str = LOCAL
    freva: str = ""


@dataclass(frozen=True)
class Look:
    """What a look came to; ``code`` is the exit code, ``ran`` whether a run was started."""

    code: int
    message: str
    release: str | None = None
    ran: bool = False
    final: bool = True

    @property
    def again(self) -> str:
        """What a look says that finds nothing changed since this one."""
        return (
            f"Nothing to do: {self.release} is the current release."
            if self.code == codes.DONE
            else self.message
        )

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"code": self.code, "message": self.message, "release": self.release, "ran": self.ran}
