"""The scheduled line: for cron, Slurm's scrontab, or a systemd user timer.

It stands between two marker lines; whatever else a table holds goes back byte for byte. A line names everything by
absolute path and sets all variables it needs: cron and systemd give a job next to nothing.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from climrecon.errors import DependencyError, OutputError, UsageError
from climrecon.files import write_text
from climrecon.releases import commands

CRON, SCRONTAB, SYSTEMD = "cron", "scrontab", "systemd"
PROGRAMS = {CRON: "crontab", SCRONTAB: "scrontab"}
DEFAULT_AT = {CRON: "17 * * * *", SCRONTAB: "17 * * * *", SYSTEMD: "*-*-* *:17:00"}
#: Debian's cron takes commands of less than 1000 characters; longer ones are called by way of a script.
LONGEST = 990
_SCRIPT = "climrecon-watch-"
_NAME = re.compile(r"^[A-Za-z0-9][\w.-]{0,40}$")
_FIELDS = re.compile(r"^(@[a-z]+|(?:[\w*/,-]+[ \t]+){4}[\w*/,-]+)$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Variables that a run depends on and cron does not hand over.
_KEPT = ("CLIMRECON_", "EVALUATION_SYSTEM_")
_NOT_KEPT = ("CLIMRECON_DEBUG",)
_ALSO_KEPT = ("OMP_NUM_THREADS", "GIT_CONFIG_GLOBAL", "HTTPS_PROXY", "https_proxy", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True)
class Job:
    """What is to be called: arguments and variables, unquoted."""

    name: str
    at: str | None
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path


@dataclass(frozen=True)
class Change:
    """A change that was not made yet: what it is, in words and lines, and what makes it."""

    shown: str
    question: str
    apply: Callable[[], str]


def job_of(
    raw: Mapping[str, Any], own: Mapping[str, Any], name: str, at: str | None, log: Path | None, output: Path
) -> Job:
    """The call of ``climrecon watch --once`` with these parameters, by absolute paths.

    Raises
    ------
    UsageError
        If a name or value cannot stand in a table.
    """
    if not _NAME.match(name):
        raise UsageError(f"{name!r} is no name for a schedule; use letters, digits, dot, dash, underscore.")
    values = {key: _absolute(key, value) for key, value in raw.items()}
    command = [sys.executable, "-m", "climrecon", "watch", "--once"]
    for key, value in values.items():
        option = "--output" if key == "outputdir" else f"--{key.replace('_', '-')}"
        # One word, so that a value that begins with a dash is no option.
        command.append(f"{option}={value}")
    for key in ("settle_seconds", "keep", "rebuild", "through", "freva"):
        if own.get(key) not in (None, "", "local"):
            command.append(f"--{key.replace('_', '-')}={own[key]}")
    environment = {
        key: value
        for key, value in sorted(os.environ.items())
        if (key.startswith(_KEPT) or key in _ALSO_KEPT) and key not in _NOT_KEPT and value
    }
    if "CLIMRECON_CONFIG" in environment:
        environment["CLIMRECON_CONFIG"] = str(Path(environment["CLIMRECON_CONFIG"]).absolute())
    folders = [Path(sys.executable).parent, *([Path(own["freva"]).parent] if own.get("freva") else [])]
    environment["PATH"] = os.pathsep.join([*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"])
    where = (log or output / "watch.log").absolute()
    bad = [text for text in (*command, *environment.values(), str(where)) if _CONTROL.search(text)]
    if bad:
        raise UsageError(f"{bad[0]!r} holds a line break or another control character.", "Rename it.")
    return Job(name, at, tuple(command), environment, where)


def _absolute(key: str, value: Any) -> str:
    """Paths by their full name: a scheduled job starts elsewhere."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if key in ("outputdir", "obs_file") or (key == "catalogue" and "://" not in text):
        return str(Path(text).expanduser().absolute())
    return text


def markers(name: str) -> tuple[str, str]:
    """First and last line of our block."""
    return (
        f"# climrecon watch {name}: begin; 'climrecon schedule remove --name {name}' takes this out",
        f"# climrecon watch {name}: end",
    )


# Lines.
def table_lines(kind: str, job: Job, batch_options: str = "") -> str:
    """The block of a crontab or scrontab.

    Raises
    ------
    UsageError
        If a value or the whole line cannot be written so.
    """
    when = job.at or DEFAULT_AT[kind]
    if not _FIELDS.match(when):
        raise UsageError(f"--at {when!r} is no time of a crontab.", "Write five fields, e.g. '17 */6 * * *'.")
    parts = ["/usr/bin/env", *(f"{key}={value}" for key, value in job.environment.items()), *job.command]
    end_of_line = f" >> {shlex.quote(str(job.log))} 2>&1"
    if len(" ".join(map(shlex.quote, parts)) + end_of_line) > LONGEST - 50:
        parts, end_of_line = ["/bin/sh", str(script_of(job))], ""
    wrong = [part for part in (*parts, str(job.log)) if "\\" in part or (kind == SCRONTAB and "%" in part)]
    if wrong:
        raise UsageError(
            f"{wrong[0]!r} holds a {'backslash' if chr(92) in wrong[0] else '%'}, which cannot be written safely "
            f"into a {kind} table.",
            "Rename the file, or set the parameter in the site file.",
        )
    line = " ".join(map(shlex.quote, parts)) + end_of_line
    if kind == CRON:
        # Cron takes a bare % for the end of the line, within quotes too.
        line = line.replace("%", "\\%")
    begin, end = markers(job.name)
    options = [part.strip() for part in batch_options.split(",") if part.strip()] if kind == SCRONTAB else []
    return _rendered("crontab.j2", begin=begin, end=end, when=when, command=line, options=options)


def script_of(job: Job) -> Path:
    """Where the call stands if it is too long for a line."""
    return job.log.with_name(f"{_SCRIPT}{job.name}.sh")


def script_text(job: Job) -> str:
    """The call as a script for /bin/sh."""
    return _rendered(
        "watch.sh.j2",
        begin=markers(job.name)[0],
        environment=[shlex.quote(f"{key}={value}") for key, value in job.environment.items()],
        command=" ".join(map(shlex.quote, job.command)),
        log=shlex.quote(str(job.log)),
    )


def unit_texts(job: Job) -> dict[str, str]:
    """The service and the timer of a systemd user manager, by file name."""
    begin = markers(job.name)[0]
    return {
        f"{unit_name(job.name)}.service": _rendered(
            "watch.service.j2",
            begin=begin,
            name=job.name,
            command=" ".join(map(_unit_quoted, job.command)),
            environment=[_unit_quoted(f"{k}={v}", variable=True) for k, v in job.environment.items()],
        ),
        f"{unit_name(job.name)}.timer": _rendered(
            "watch.timer.j2", begin=begin, name=job.name, when=job.at or DEFAULT_AT[SYSTEMD]
        ),
    }


def unit_name(name: str) -> str:
    """Name of the systemd units."""
    return f"climrecon-watch-{name}"


def _unit_quoted(text: str, variable: bool = False) -> str:
    """A word of a unit file; % and, in commands, $ have a meaning of their own there."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if variable else '"{}"'.format(text.replace("$", "$$"))


def _rendered(template: str, **values: Any) -> str:
    from climrecon.report import environment

    # No HTML: each value is quoted above, by the rules of its own table.
    plain = environment().overlay(autoescape=False, keep_trailing_newline=True)
    return plain.get_template(template).render(**values)


# Tables.
def _table(kind: str) -> tuple[str, str]:
    """The program, and the text of the user's table."""
    program = commands.find(PROGRAMS[kind])
    if program is None:
        raise DependencyError(
            f"There is no program {PROGRAMS[kind]} here.",
            f"Install it, or use another --kind: {', '.join((*PROGRAMS, SYSTEMD))}.",
        )
    answer = commands.run([program, "-l"])
    if answer.code == 0:
        return program, answer.out
    if "no crontab" in answer.err.lower():
        return program, ""
    raise OutputError(f"{program} -l failed: {answer.err.strip()}", "May you use it on this host?")


def split(text: str, name: str) -> tuple[str, str]:
    """The table without our block, and the block.

    Raises
    ------
    OutputError
        If the block's first or last line is missing: then nobody can tell what is ours.
    """
    begin, end = markers(name)
    lines = text.splitlines(keepends=True)
    firsts = [n for n, line in enumerate(lines) if line.rstrip("\n") == begin]
    lasts = [n for n, line in enumerate(lines) if line.rstrip("\n") == end]
    if not firsts and not lasts:
        return text, ""
    if len(firsts) != 1 or len(lasts) != 1 or firsts[0] > lasts[0]:
        raise OutputError(
            f"The lines of climrecon called {name} in the table were changed by hand: the marker lines do not match.",
            "Take them out by hand (crontab -e), then install again.",
        )
    first, last = firsts[0], lasts[0] + 1
    return "".join(lines[:first] + lines[last:]), "".join(lines[first:last])


def _replace(program: str, text: str, name: str) -> None:
    """Write the table and read it back.

    Raises
    ------
    OutputError
        If the program refuses it, or what it holds then is something else.
    """
    answer = commands.run([program, "-"], text)
    if answer.code != 0:
        raise OutputError(
            f"{program} refused the line: {(answer.err or answer.out).strip()}",
            "Nothing was changed; check --at.",
        )
    back = commands.run([program, "-l"])
    if back.code == 0 and back.out.rstrip("\n") != text.rstrip("\n"):
        raise OutputError(
            f"The table holds something else than was written to {program}.", f"Check {program} -l."
        )


def installing(kind: str, job: Job, batch_options: str) -> Change:
    """What installing would do."""
    if kind == SYSTEMD:
        from climrecon.releases.systemd import installing as units

        return units(job)
    program, text = _table(kind)
    block = table_lines(kind, job, batch_options)
    foreign, before = split(text, job.name)
    if foreign and not foreign.endswith("\n"):
        foreign += "\n"
    script = script_of(job) if _SCRIPT in block else None
    shown = block + (f"\n# {script}\n{script_text(job)}" if script else "")
    what = f"Replace the line called {job.name} in" if before else "Add this to"

    def apply() -> str:
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)  # else the shell could not start the job
            if script:
                write_text(script, script_text(job))
        except OSError as error:
            raise OutputError(
                f"{job.log.parent} cannot be written: {error}", "Choose another --log."
            ) from error
        _replace(program, foreign + block, job.name)
        return f"Installed: {PROGRAMS[kind]} has the line called {job.name}; its output goes to {job.log}."

    return Change(shown, f"{what} your {PROGRAMS[kind]}?", apply)


def removing(kind: str, name: str) -> Change | None:
    """What removing would do; None if there is nothing to remove."""
    if kind == SYSTEMD:
        from climrecon.releases.systemd import removing as units

        return units(name)
    program, text = _table(kind)
    foreign, block = split(text, name)
    if not block:
        return None

    def apply() -> str:
        _replace(program, foreign, name)
        for path in _scripts(block, name):
            path.unlink(missing_ok=True)
        return f"Removed: {PROGRAMS[kind]} has no line called {name} any more."

    return Change(block, f"Take this out of your {PROGRAMS[kind]}?", apply)


def _scripts(block: str, name: str) -> list[Path]:
    """The script that a block calls, if it is ours."""
    words = shlex.split(
        next(line for line in block.splitlines() if not line.startswith("#")).replace("\\%", "%")
    )
    paths = [Path(word) for word in words if word.endswith(f"{_SCRIPT}{name}.sh")]
    return [
        p
        for p in paths
        if p.is_file() and markers(name)[0] in p.read_text(encoding="utf-8", errors="replace")
    ]


def installed(kind: str) -> str:
    """All our blocks in a table."""
    if kind == SYSTEMD:
        from climrecon.releases.systemd import installed as units

        return units()
    _, text = _table(kind)
    names = re.findall(r"^# climrecon watch (\S+): begin", text, re.MULTILINE)
    return "".join(split(text, name)[1] for name in dict.fromkeys(names))
