"""Where the watch can be scheduled: cron, Slurm's scrontab, or a systemd user timer."""

from __future__ import annotations

from climrecon.watch.schedule import systemd, tables
from climrecon.watch.schedule.job import SYSTEMD, Change, Job


def installing(kind: str, job: Job, batch_options: str) -> Change:
    """What installing would do."""
    return systemd.installing(job) if kind == SYSTEMD else tables.installing(kind, job, batch_options)


def removing(kind: str, name: str) -> Change | None:
    """What removing would do; None if there is nothing to remove."""
    return systemd.removing(name) if kind == SYSTEMD else tables.removing(kind, name)


def installed(kind: str) -> str:
    """All that is scheduled there."""
    return systemd.installed() if kind == SYSTEMD else tables.installed(kind)
