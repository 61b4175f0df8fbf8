"""Which processes coverage measures, and what it left of those that tests kill or whose disk they fill."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from coverage import CoverageData
from coverage.exceptions import CoverageException


def unmeasured(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that coverage leaves alone.

    Measuring ``climrecon jobs list`` took 0.46 s of CPU time instead of 0.27 s, a reconstruction of a year 5.9 s instead
    of 4.9 s. What only calls from batch jobs and from the host reach counts as not covered: at most 330 statements of
    ``jobs`` and ``workflow.dispatch``, 2 % of the package.
    """
    return {name: value for name, value in environment.items() if name != "COVERAGE_PROCESS_CONFIG"}


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
