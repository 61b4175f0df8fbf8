"""Where the watch can be scheduled: cron, Slurm's scrontab, or a systemd user timer, each with the same functions."""

from __future__ import annotations

from types import ModuleType

from climrecon.watch.schedule import systemd, tables
from climrecon.watch.schedule.job import SYSTEMD


def back_end(kind: str) -> ModuleType:
    """``printed``, ``installing``, ``removing`` and ``installed`` of a kind of schedule."""
    return systemd if kind == SYSTEMD else tables
