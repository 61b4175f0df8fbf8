"""What the steps of a release need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from climrecon.settings import Site
from climrecon.settings.watch import Watch
from climrecon.watch.state import State
from climrecon.workflow.progress import Reporter


@dataclass(frozen=True)
class Work:
    """What the steps need."""

    raw: Mapping[str, Any]
    site: Site
    watch: Watch
    reporter: Reporter
    output: Path
    state: State
    through: str
    freva: str
