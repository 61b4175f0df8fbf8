"""Job scripts, and the jobs of a run as one chain: submitted all or none of them, cancelled.

A script is made from ``templates/stage.sh.j2``: every value is validated, and quoted for the shell.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from climrecon.errors import ClimReconError, OutputError, UsageError
from climrecon.files import create
from climrecon.jobs import commands
from climrecon.jobs.commands import Refused
from climrecon.jobs.messages import refusal
from climrecon.jobs.record import Chain, Submitted
from climrecon.settings.slurm import minutes_of

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
    runs = [[n for _, n in run] for _, run in groupby(enumerate(sorted(parts)), lambda pair: pair[1] - pair[0])]
    text = ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return text + (f"%{limit}" if limit else "")


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


def readable_umask() -> int:
    """The caller's umask, opened for reading by the group: colleagues and Freva's web read logs and results."""
    mask = os.umask(0)
    os.umask(mask)
    return mask & ~0o050


def submit(chain: Chain, jobs: Sequence[Job], cwd: Path, limit: int = 0) -> Chain:
    """Submit ``jobs``, each after the success of the one before it.

    The first is held until all are taken, so that nothing runs of a chain that Slurm refuses.

    Raises
    ------
    UsageError
        If Slurm refuses a job, with what there is and which setting to change; nothing stays in the queue.
    SlurmSilent
        If Slurm stops answering.
    """
    for job in jobs:
        _check_limits(job)
    umask = readable_umask()
    taken: list[Submitted] = []
    names = [f"climrecon-{chain.id}-{job.stage}" for job in jobs]
    try:
        for name, job in zip(names, jobs, strict=True):
            script = _write(chain, job, name, cwd, umask, limit)
            options = []
            if taken:
                options += [f"--dependency=afterok:{taken[-1].job}", "--kill-on-invalid-dep=yes"]
            elif len(jobs) > 1:
                options += ["--hold"]
            number = commands.sbatch(script, chain.folder, options, umask)
            taken.append(Submitted(job.stage, number, job.parts, job.array, _option(job, "time")))
            chain = replace(chain, jobs=tuple(taken))
            # After each: a caller that is killed here leaves jobs that 'climrecon jobs' knows.
            chain.save()
        if len(jobs) > 1:
            commands.release(taken[0].job)
    except BaseException as error:
        # A job whose number was not heard of may be there all the same, so they are cancelled by name too.
        with suppress(ClimReconError):
            commands.cancel([job.job for job in taken])
            commands.cancel_named(names)
        if isinstance(error, Refused):
            stage = jobs[min(len(taken), len(jobs) - 1)]
            offers = commands.offers(_option(stage, "partition")) or commands.offers("")
            raise UsageError(*refusal(stage.stage, error.message, offers)) from error
        raise
    return chain


def _option(job: Job, name: str) -> str:
    """Value of an option of ``job``; empty if it has none."""
    return next((text.partition("=")[2] for text in job.options if text.startswith(f"--{name}=")), "")


def _check_limits(job: Job) -> None:
    """Refuse what its partition can never give: Slurm itself may say so only when the job's turn comes."""
    partition = _option(job, "partition")
    limits = commands.limits(partition)
    if limits is None:
        return
    longest, nodes = limits
    problems = []
    time = _option(job, "time")
    if time and longest != "infinite" and minutes_of(time) > minutes_of(longest):
        problems.append(f"its time limit of {time} is longer than the partition's {longest}")
    if int(_option(job, "nodes") or 1) > nodes:
        problems.append(f"it wants {_option(job, 'nodes')} nodes, and the partition has {nodes}")
    if problems:
        text = f"{'; '.join(problems)} ({partition or 'default partition'})"
        raise UsageError(*refusal(job.stage, text, commands.offers(partition)))


def _write(chain: Chain, job: Job, name: str, cwd: Path, umask: int, limit: int) -> Path:
    script = chain.folder / f"{job.stage}.sh"
    text = render(job, name=name, folder=chain.folder, cwd=cwd, umask=umask, limit=limit)
    try:
        # Made 0700 from the start: what is in it is nobody else's to run or to change.
        with create(script, 0o700) as file:
            file.write(text.encode())
        script.chmod(0o700)
    except OSError as error:
        raise OutputError(f"The job script {script} cannot be written: {error}", "Choose another outputdir.") from error
    return script


def cancel(chain: Chain) -> None:
    """Cancel all jobs of a run that have not ended.

    Raises
    ------
    SlurmSilent
        If Slurm does not answer.
    """
    commands.cancel(list(reversed(chain.numbers)))
