"""A scheduled call of ``climrecon watch --once``, whatever calls it: its command, variables and texts.

A call names everything by absolute path and sets all variables it needs: cron and systemd give a job next to nothing.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from climrecon.errors import UsageError
from climrecon.parameters import shown, with_absolute_paths, with_new_names
from climrecon.redaction import redacted

CRON, SCRONTAB, SYSTEMD = "cron", "scrontab", "systemd"
DEFAULT_AT = {CRON: "17 * * * *", SCRONTAB: "17 * * * *", SYSTEMD: "*-*-* *:17:00"}
_NAME = re.compile(r"^[A-Za-z0-9][\w.-]{0,40}$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Variables that a run depends on and cron does not hand over: settings, the places of networks and caches, proxies.
_KEPT = ("CLIMRECON_", "EVALUATION_SYSTEM_")
_NOT_KEPT = ("CLIMRECON_DEBUG",)
#: Those that hold a path.
_PATHS = {"CLIMRECON_CONFIG", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
          "GIT_CONFIG_GLOBAL", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}  # fmt: skip
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_ALSO_KEPT = {*_PATHS, "OMP_NUM_THREADS", *_PROXIES, *map(str.lower, _PROXIES)}


@dataclass(frozen=True)
class Job:
    """A scheduled call: arguments and variables, unquoted."""

    name: str
    at: str | None
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path

    @property
    def secret(self) -> bool:
        """Whether an argument or a variable holds a secret, which no table that others may read is to hold."""
        texts = (*self.command, *(f"{key}={value}" for key, value in self.environment.items()))
        return any(redacted(text) != text for text in texts)


@dataclass(frozen=True)
class Change:
    """A change that was not made yet: its text, the question to ask first, and the function that makes it."""

    shown: str
    question: str
    apply: Callable[[], str]


def job_of(
    raw: Mapping[str, Any], chosen: Mapping[str, Any], name: str, at: str | None, log: Path | None, output: Path
) -> Job:
    """The call of ``climrecon watch --once`` with the parameters of a run and the options of a watch, by absolute paths.

    Raises
    ------
    UsageError
        If a name or value cannot stand in a table.
    """
    if not _NAME.match(name):
        raise UsageError(f"{name!r} is no name for a schedule.", "Use letters, digits, dot, dash, underscore.")
    values = with_absolute_paths(with_new_names(raw), Path.cwd())
    command = [sys.executable, "-m", "climrecon", "watch", "--once"]
    for key, value in values.items():
        option = "--output" if key == "outputdir" else f"--{key.replace('_', '-')}"
        # One word, so that a value that begins with a dash is no option.
        command.append(f"{option}={shown(value)}")
    for key in ("settle_seconds", "keep", "rebuild", "through", "freva"):
        if chosen.get(key) not in (None, "", "local"):
            command.append(f"--{key.replace('_', '-')}={chosen[key]}")
    command += [f"--on-event={text}" for text in chosen.get("on_event") or ()]
    environment = {
        key: value
        for key, value in sorted(os.environ.items())
        if (key.startswith(_KEPT) or key in _ALSO_KEPT) and key not in _NOT_KEPT and value
    }
    for key in _PATHS.intersection(environment):
        environment[key] = str(Path(environment[key]).absolute())
    folders = [Path(sys.executable).parent, *([Path(chosen["freva"]).parent] if chosen.get("freva") else [])]
    environment["PATH"] = os.pathsep.join([*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"])
    where = (log or output / "watch.log").absolute()
    bad = [text for text in (*command, *environment.values(), str(where)) if _CONTROL.search(text)]
    if bad:
        raise UsageError(f"{bad[0]!r} holds a line break or another control character.", "Rename it.")
    return Job(name, at, tuple(command), environment, where)


def markers(name: str) -> tuple[str, str]:
    """First and last line of our block."""
    return (
        f"# climrecon watch {name}: begin; 'climrecon schedule remove --name {name}' takes this out",
        f"# climrecon watch {name}: end",
    )


def is_ours(path: Path, name: str) -> bool:
    """Whether there is a file with our block."""
    return path.is_file() and markers(name)[0] in path.read_text(encoding="utf-8", errors="replace")


def rendered(template: str, **values: Any) -> str:
    """A template filled in with values that are quoted already."""
    from climrecon.report import environment

    # No HTML: each value is quoted above, by the rules of its own table.
    plain = environment().overlay(autoescape=False, keep_trailing_newline=True)
    return plain.get_template(template).render(**values)
