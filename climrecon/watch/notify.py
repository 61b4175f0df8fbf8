"""Telling people and programs of an event, by the host's own means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from climrecon.settings.watch import Watch
from climrecon.watch import commands


def tell(watch: Watch, event: Mapping[str, Any]) -> list[str]:
    """Tell of an event by the site's program and by mail; returns what went wrong.

    The program gets one JSON object on its standard input: ``event`` (published, held, stopped, failed),
    ``release``, ``message``, ``code``, ``folder``, ``report``, ``summary``.
    """
    problems = []
    if watch.notify:
        program = [str(Path(watch.notify[0]).expanduser()), *watch.notify[1:]]
        answer = commands.run(program, json.dumps(event) + "\n")
        if answer.code != 0:
            problems.append(
                f"{program[0]} could not be told (exit code {answer.code}): {answer.err.strip()[-300:]}"
            )
    if watch.mail_to:
        problems += _mail(watch.mail_to, event)
    return problems


def _mail(address: str, event: Mapping[str, Any]) -> list[str]:
    subject = f"climrecon: {event['release'] or 'watch'} {event['event']}"
    subject = " ".join("".join(c if c.isprintable() else " " for c in subject).split())
    body = f"{event['message']}\n\n" + "".join(
        f"{name}: {event[name]}\n" for name in ("folder", "report") if event.get(name)
    )
    if mail := commands.find("mail"):
        answer = commands.run([mail, "-s", subject, address], body)
    elif sendmail := commands.find("sendmail"):
        answer = commands.run([sendmail, "-i", "-t"], f"To: {address}\nSubject: {subject}\n\n{body}")
    else:
        return ["there is neither mail nor sendmail on this host; mail_to is of no use here"]
    return (
        []
        if answer.code == 0
        else [f"no mail could be sent to {address} (exit code {answer.code}): {answer.err.strip()[-300:]}"]
    )
