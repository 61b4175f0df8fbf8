"""What coverage measured in processes that tests kill, or whose disk they fill, can be damaged."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from coverage import CoverageData
from coverage.exceptions import CoverageException


def remove_damaged(folder: Path) -> list[Path]:
    """Remove coverage's data files that it could not combine, so that the rest is reported; they are returned.

    Coverage leaves out a file that it cannot open, but one damaged further inside ends the whole combination, and
    with it a run in which every test passed. Each is tried alone here, in memory.
    """
    damaged = []
    for path in sorted(folder.glob(".coverage.*")):
        try:
            CoverageData(no_disk=True).update(CoverageData(str(path), read_only=True), map_path=os.path.normcase)
        except (CoverageException, sqlite3.Error):  # coverage lets some of the latter through
            path.unlink(missing_ok=True)
            damaged.append(path)
    return damaged
