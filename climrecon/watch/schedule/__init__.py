"""Where the watch can be scheduled: cron, Slurm's scrontab, or a systemd user timer."""

from __future__ import annotations

from climrecon.watch.schedule import systemd, tables
from climrecon.watch.schedule.job import SYSTEMD, Change, Job


def printed(kind: str, job: Job, batch_options: str) -> str:
    """The line or the units, for people who install them themselves."""
    return systemd.printed(job) if kind == SYSTEMD else tables.printed(kind, job, batch_options)


def installing(kind: str, job: Job, batch_options: str) -> Change:
    """The change that installs them."""
    return systemd.installing(job) if kind == SYSTEMD else tables.installing(kind, job, batch_options)


def removing(kind: str, name: str) -> Change | None:
    """The change that removes them; None if there is nothing to remove."""
    return systemd.removing(name) if kind == SYSTEMD else tables.removing(kind, name)


def installed(kind: str) -> str:
    """Everything of climrecon that is scheduled there."""
    return systemd.installed() if kind == SYSTEMD else tables.installed(kind)
