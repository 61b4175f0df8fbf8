"""A systemd user timer: two files of ours, and the calls that make the user's manager know them."""

from __future__ import annotations

import os
from pathlib import Path

from climrecon.errors import OutputError, UsageError
from climrecon.files import write_text
from climrecon.watch import commands
from climrecon.watch.schedule.job import Change, Job, markers, unit_name, unit_texts


def folder() -> Path:
    """Where a user's own units are."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "systemd" / "user"


def installing(job: Job) -> Change:
    """What installing would do."""
    texts = unit_texts(job)
    place = folder()
    foreign = [name for name in texts if (place / name).exists() and not _ours(place / name, job.name)]
    if foreign:
        raise UsageError(f"{place / foreign[0]} is not climrecon's.", "Choose another --name.")
    if job.at and (check := commands.find("systemd-analyze")):
        answer = commands.run([check, "calendar", job.at])
        if answer.code not in (0, None):
            raise UsageError(f"--at {job.at!r} is no calendar expression: {answer.err.strip()}", None)

    def apply() -> str:
        try:
            place.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                write_text(place / name, text)
        except OSError as error:
            raise OutputError(f"The units cannot be written to {place}: {error}", None) from error
        problem = _systemctl(["daemon-reload"]) or _systemctl(
            ["enable", "--now", f"{unit_name(job.name)}.timer"]
        )
        if problem:
            return (
                f"Written to {place}, but systemd did not take it ({problem}). Where its user manager runs: systemctl "
                f"--user daemon-reload && systemctl --user enable --now {unit_name(job.name)}.timer"
            )
        return f"Installed: {unit_name(job.name)}.timer runs; its lines: journalctl --user -u {unit_name(job.name)}"

    shown = "".join(f"# {place / name}\n{text}\n" for name, text in texts.items())
    return Change(shown, f"Write these files to {place} and start the timer?", apply)


def removing(name: str) -> Change | None:
    """What removing would do; None if there is nothing to remove."""
    units = [folder() / f"{unit_name(name)}.{kind}" for kind in ("timer", "service")]
    mine = [path for path in units if path.exists() and _ours(path, name)]
    if not mine:
        return None

    def apply() -> str:
        _systemctl(["disable", "--now", f"{unit_name(name)}.timer"])
        for path in mine:
            path.unlink(missing_ok=True)
        _systemctl(["daemon-reload"])
        return f"Removed: {', '.join(path.name for path in mine)}."

    shown = "".join(f"# {path}\n{path.read_text(encoding='utf-8')}\n" for path in mine)
    return Change(shown, "Stop the timer and remove these files?", apply)


def installed() -> str:
    """All our units."""
    found = []
    for path in sorted(folder().glob(f"{unit_name('')}*")):
        text = path.read_text(encoding="utf-8")
        if text.startswith("# climrecon watch "):
            found.append(f"# {path}\n{text}\n")
    return "".join(found)


def _ours(path: Path, name: str) -> bool:
    return path.read_text(encoding="utf-8", errors="replace").startswith(markers(name)[0])


def _systemctl(arguments: list[str]) -> str:
    """What went wrong, "" if nothing."""
    program = commands.find("systemctl")
    if program is None:
        return "there is no systemctl"
    answer = commands.run([program, "--user", *arguments])
    return "" if answer.code == 0 else (answer.err.strip().splitlines() or ["it failed"])[-1]
