"""Job scripts from ``templates/stage.sh.j2``: every value is validated, and quoted for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from climrecon.errors import UsageError

_PLACES = tuple(Path(__file__).parents[up] / "templates" for up in (1, 2))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")
#: An ``#SBATCH`` line is read by Slurm, not by the shell; it holds neither blanks nor quotes.
_OPTION = re.compile(r"--[a-z][a-z-]*(=[\w.:@%+/,&|*()\[\]-]+)?")


@dataclass(frozen=True)
class Job:
    """One batch job: a stage, or the parts of it that are missing.

    Attributes
    ----------
    stage:
        Name of the stage.
    parts:
        The parts to run; an array where ``array`` is true.
    options:
        ``--name=value`` options of sbatch.
    python, arguments:
        What to run; ``--part N --record FOLDER`` is added.
    continues, max_links:
        Whether the stage goes on in a next link after exit code 75, and how many links there are at most.
    nodes, processes:
        Nodes and processes on each; with more than one process in all the stage is started by ``srun torchrun``.
    """

    stage: str
    parts: tuple[int, ...]
    array: bool
    options: tuple[str, ...]
    python: str
    arguments: tuple[str, ...]
    continues: bool = False
    max_links: int = 1
    nodes: int = 1
    processes: int = 1
    modules: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class _Option(str):
    """A checked ``#SBATCH`` option: written as it is."""


def _finalize(value: Any) -> Any:
    """What every ``{{ }}`` of the template goes through, so that no value can be forgotten."""
    if isinstance(value, _Option | int):
        return value
    if isinstance(value, list | tuple):
        return shlex.join(str(part) for part in value)
    return shlex.quote(str(value))


def check_folder(folder: Path) -> None:
    r"""Refuse a folder whose name Slurm would read as a pattern.

    Raises
    ------
    UsageError
        For ``%``, ``\`` and control characters, which Slurm replaces in the names of log files.
    """
    if re.search(r"[%\\\x00-\x1f\x7f]", str(folder)):
        raise UsageError(
            f"outputdir: {str(folder)!r} holds %, a backslash or a control character, which Slurm reads as a "
            "pattern in the name of the log file.",
            "Choose another outputdir.",
        )


def array_text(parts: Sequence[int], limit: int = 0) -> str:
    """Slurm's list of array elements: ``0-3,7`` and how many run at once."""
    pieces: list[str] = []
    numbers = sorted(parts)
    start = 0
    for i, number in enumerate(numbers):
        if i + 1 == len(numbers) or numbers[i + 1] != number + 1:
            pieces.append(str(number) if start == i else f"{numbers[start]}-{number}")
            start = i + 1
    return ",".join(pieces) + (f"%{limit}" if limit else "")


def render(job: Job, *, name: str, folder: Path, cwd: Path, umask: int, limit: int = 0) -> str:
    """The script of ``job``, called ``name`` in the queue; it keeps its records in ``folder``.

    Raises
    ------
    UsageError
        If an option, a name or the folder is not what may stand in a job script.
    """
    check_folder(folder)
    for word in (job.stage, name):
        if not _NAME.fullmatch(word):
            raise UsageError(f"{word!r} is no name of a job.", "Use letters, digits, dot, dash, underscore.")
    part = "%a" if job.array else str(job.parts[0])
    options = [
        f"--job-name={name}",
        f"--output=logs/{job.stage}-{part}.log",
        "--open-mode=append",
        "--requeue",
        *([f"--array={array_text(job.parts, limit)}"] if job.array else []),
        *job.options,
    ]
    wrong = [option for option in options if not _OPTION.fullmatch(option)]
    if wrong:
        raise UsageError(
            f"These options of sbatch cannot be used: {', '.join(map(repr, wrong))}.",
            "Correct [slurm] in the site file, or extra_scheduler_options.",
        )
    several = job.nodes * job.processes > 1
    return (
        Environment(
            loader=FileSystemLoader([str(place) for place in _PLACES]),
            undefined=StrictUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        .get_template("stage.sh.j2")
        .render(
            options=[_Option(option) for option in options],
            stage=job.stage,
            folder=folder,
            cwd=cwd,
            umask=_Option(f"{umask:04o}"),
            python=job.python,
            arguments=job.arguments,
            continues=job.continues,
            max_links=job.max_links,
            modules=job.modules,
            environment=[(_variable(key), value) for key, value in sorted(job.environment.items())],
            launch={"nodes": job.nodes, "processes": job.processes} if several else None,
        )
    )


def _variable(name: str) -> _Option:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        raise UsageError(f"{name!r} is no name of a variable.", "Use capitals, digits and underscores.")
    return _Option(name)
