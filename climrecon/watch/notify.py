"""Handing events to the operator's commands: mail, a chat, a further job."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from climrecon.settings.watch import Watch
from climrecon.watch import commands
from climrecon.watch.context import Context

#: Seconds a command has.
TIME_LIMIT = 60.0
#: Characters of a variable; the system limits them, the JSON has all.
_LONGEST = 8000


def announced(context: Context, event: Mapping[str, Any]) -> bool:
    """Deliver an event; whether all commands took it. Failures are warnings, and the next look repeats the event."""
    problems = deliver(context.options.watch, event)
    for problem in problems:
        context.reporter.warning(f"{problem}; the next look repeats the event")
    return not problems


def deliver(watch: Watch, event: Mapping[str, Any]) -> list[str]:
    """Run every command of ``on_event`` with an event; returns the failures.

    A command is started without a shell. Its standard input is one JSON object: ``event`` (published, held, stopped,
    failed), ``release``, ``message``, ``code``, ``folder``, ``report``, ``summary``, ``checks``. The variables
    ``CLIMRECON_EVENT`` and ``CLIMRECON_EVENT_RELEASE``, ``_MESSAGE``, ``_CODE``, ``_FOLDER``, ``_REPORT`` hold the same.
    """
    content = json.dumps(event) + "\n"
    variables = {"CLIMRECON_EVENT": event["event"]} | {
        f"CLIMRECON_EVENT_{name.upper()}": str(event.get(name) or "").replace("\0", " ")[:_LONGEST]
        for name in ("release", "message", "code", "folder", "report")
    }
    problems = []
    for name, *arguments in watch.event_commands:
        program = str(Path(name).expanduser()) if "/" in name else commands.find(name)
        if program is None:
            problems.append(f"The event command {name} is not on this host")
            continue
        answer = commands.run([program, *arguments], content, TIME_LIMIT, {**os.environ, **variables})
        if answer.code != 0:
            problems.append(
                f"The event command {program} failed (exit code {answer.code}): {answer.err.strip()[-300:]}"
            )
    return problems
