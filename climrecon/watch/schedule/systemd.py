"""A systemd user timer: two files, and the calls that load them into the user's manager."""

from __future__ import annotations

import os
from pathlib import Path

from climrecon.errors import OutputError, UsageError
from climrecon.files import write_text
from climrecon.watch import commands
from climrecon.watch.schedule.job import DEFAULT_AT, SYSTEMD, Change, Job, is_ours, markers, rendered


def folder() -> Path:
    """Where a user's own units are."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "systemd" / "user"


def unit_name(name: str) -> str:
    """Name of the units."""
    return f"climrecon-watch-{name}"


def unit_texts(job: Job) -> dict[Path, str]:
    """The service and the timer, by path.

    Raises
    ------
    UsageError
        If ``at`` is no calendar expression.
    """
    if job.at and (check := commands.find("systemd-analyze")):
        answer = commands.run([check, "calendar", job.at])
        if answer.code not in (0, None):
            raise UsageError(
                f"--at {job.at!r} is no calendar expression: {answer.err.strip()}",
                "Write e.g. --at '*-*-* *:17': each hour at 17 minutes past.",
            )
    begin = markers(job.name)[0]
    service = rendered(
        "watch.service.j2",
        begin=begin,
        name=job.name,
        command=" ".join(_quoted(word).replace("$", "$$") for word in job.command),
        environment=[_quoted(f"{key}={value}") for key, value in job.environment.items()],
    )
    timer = rendered("watch.timer.j2", begin=begin, name=job.name, when=job.at or DEFAULT_AT[SYSTEMD])
    unit = folder() / unit_name(job.name)
    return {unit.with_name(f"{unit.name}.service"): service, unit.with_name(f"{unit.name}.timer"): timer}


def _quoted(text: str) -> str:
    """A word of a unit file; % has a meaning of its own there, and $ in commands."""
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%"))


def printed(kind: str, job: Job, batch_options: str) -> str:
    """The units, each below its path."""
    return "".join(f"# {path}\n{text}\n" for path, text in unit_texts(job).items())


def installing(kind: str, job: Job, batch_options: str) -> Change:
    """The change that installs the units."""
    texts = unit_texts(job)
    place = folder()
    foreign = [path for path in texts if path.exists() and not is_ours(path, job.name)]
    if foreign:
        raise UsageError(f"{foreign[0]} is not climrecon's.", "Choose another --name.")

    def apply() -> str:
        try:
            place.mkdir(parents=True, exist_ok=True)
            for path, text in texts.items():
                write_text(path, text, mode=0o600)
        except OSError as error:
            raise OutputError(
                f"The units cannot be written to {place}: {error}", "Make the folder writable, or use --kind cron."
            ) from error
        timer = f"{unit_name(job.name)}.timer"
        problem = _systemctl("daemon-reload") or _systemctl("enable", "--now", timer)
        if problem:
            return (
                f"Written to {place}, but systemd did not take it ({problem}). Where its user manager runs: systemctl "
                f"--user daemon-reload && systemctl --user enable --now {timer}"
            )
        return f"Installed: {timer} runs; its output: journalctl --user -u {unit_name(job.name)}"

    return Change(printed(kind, job, batch_options), f"Write these files to {place} and start the timer?", apply)


def removing(kind: str, name: str) -> Change | None:
    """The change that removes the units; None if there are none."""
    units = [folder() / f"{unit_name(name)}.{suffix}" for suffix in ("timer", "service")]
    mine = [path for path in units if path.exists() and is_ours(path, name)]
    if not mine:
        return None

    def apply() -> str:
        _systemctl("disable", "--now", f"{unit_name(name)}.timer")
        for path in mine:
            path.unlink(missing_ok=True)
        _systemctl("daemon-reload")
        return f"Removed: {', '.join(path.name for path in mine)}."

    shown = "".join(f"# {path}\n{path.read_text(encoding='utf-8')}\n" for path in mine)
    return Change(shown, "Stop the timer and remove these files?", apply)


def installed(kind: str) -> str:
    """All units of climrecon."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder().glob(f"{unit_name('')}*"))}
    return "".join(f"# {path}\n{text}\n" for path, text in texts.items() if text.startswith("# climrecon watch "))


def _systemctl(*arguments: str) -> str:
    """Call systemctl; its last message if it failed, else ""."""
    program = commands.find("systemctl")
    if program is None:
        return "there is no systemctl"
    answer = commands.run([program, "--user", *arguments])
    return "" if answer.code == 0 else (answer.err.strip().splitlines() or ["it failed"])[-1]
