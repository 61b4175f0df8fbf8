"""The scheduled line of a crontab or scrontab.

It stands between two marker lines; all other lines of a table go back byte for byte.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from climrecon.errors import DependencyError, OutputError, UsageError
from climrecon.files import write_text
from climrecon.watch import commands
from climrecon.watch.schedule.job import CRON, DEFAULT_AT, SCRONTAB, SYSTEMD, Change, Job, is_ours, markers, rendered

PROGRAMS = {CRON: "crontab", SCRONTAB: "scrontab"}
#: Debian's cron takes commands of less than 1000 characters; longer ones are called by way of a script.
LONGEST = 990
SCRIPT = "climrecon-watch-"
FIELDS = re.compile(r"^(@[a-z]+|(?:[\w*/,-]+[ \t]+){4}[\w*/,-]+)$")


def table_lines(kind: str, job: Job, batch_options: str = "") -> str:
    """The block of a crontab or scrontab.

    Raises
    ------
    UsageError
        If a value or the whole line cannot be written so.
    """
    when = job.at or DEFAULT_AT[kind]
    if not FIELDS.match(when):
        raise UsageError(f"--at {when!r} is no time of a crontab.", "Write five fields, e.g. '17 */6 * * *'.")
    parts = ["/usr/bin/env", *(f"{key}={value}" for key, value in job.environment.items()), *job.command]
    end_of_line = f" >> {shlex.quote(str(job.log))} 2>&1"
    if job.secret or len(" ".join(map(shlex.quote, parts)) + end_of_line) > LONGEST - 50:
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
    return rendered("crontab.j2", begin=begin, end=end, when=when, command=line, options=options)


def script_of(job: Job) -> Path:
    """Where the call stands if it is too long for a line."""
    return job.log.with_name(f"{SCRIPT}{job.name}.sh")


def script_text(job: Job) -> str:
    """The call as a script for /bin/sh."""
    return rendered(
        "watch.sh.j2",
        begin=markers(job.name)[0],
        environment=[shlex.quote(f"{key}={value}") for key, value in job.environment.items()],
        command=" ".join(map(shlex.quote, job.command)),
        log=shlex.quote(str(job.log)),
    )


def printed(kind: str, job: Job, batch_options: str) -> str:
    """The block, and the script if it calls one."""
    block = table_lines(kind, job, batch_options)
    return block + (f"\n# {script_of(job)}\n{script_text(job)}" if SCRIPT in block else "")


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
        If the block's first or last line is missing: then ours and others' lines cannot be distinguished.
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
    """Write the table and read it back."""
    answer = commands.run([program, "-"], text)
    if answer.code != 0:
        reason = (answer.err or answer.out).strip()
        raise OutputError(f"{program} refused the line: {reason}", "Nothing was changed; check --at.")
    back = commands.run([program, "-l"])
    if back.code == 0 and back.out.rstrip("\n") != text.rstrip("\n"):
        raise OutputError(f"The table holds something else than was written to {program}.", f"Check {program} -l.")


def installing(kind: str, job: Job, batch_options: str) -> Change:
    """The change that adds or replaces the block."""
    program, text = _table(kind)
    block = table_lines(kind, job, batch_options)
    foreign, before = split(text, job.name)
    if foreign and not foreign.endswith("\n"):
        foreign += "\n"
    script = script_of(job)
    if SCRIPT in block and script.exists() and not is_ours(script, job.name):
        raise UsageError(f"{script} is there already and is no script of climrecon.", "Choose another --log or --name.")
    what = f"Replace the line called {job.name} in" if before else "Add this to"

    def apply() -> str:
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)  # else the shell could not start the job
            if SCRIPT in block:
                # Its owner's alone: a proxy's address may hold a password.
                write_text(script_of(job), script_text(job), mode=0o600)
        except OSError as error:
            place = job.log.parent
            raise OutputError(f"{place} cannot be written: {error}", "Choose another --log.") from error
        _replace(program, foreign + block, job.name)
        return f"Installed: {PROGRAMS[kind]} has the line called {job.name}; its output goes to {job.log}."

    return Change(printed(kind, job, batch_options), f"{what} your {PROGRAMS[kind]}?", apply)


def removing(kind: str, name: str) -> Change | None:
    """The change that takes the block out; None if there is none."""
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
    line = next(line for line in block.splitlines() if not line.startswith("#"))
    words = shlex.split(line.replace("\\%", "%"))
    paths = [Path(word) for word in words if word.endswith(f"{SCRIPT}{name}.sh")]
    return [path for path in paths if is_ours(path, name)]


def installed(kind: str) -> str:
    """All blocks of climrecon in a table."""
    _, text = _table(kind)
    names = re.findall(r"^# climrecon watch (\S+): begin", text, re.MULTILINE)
    return "".join(split(text, name)[1] for name in dict.fromkeys(names))
