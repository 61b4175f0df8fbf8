"""Submit the jobs of a run as one chain, all or none of them; cancel them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from climrecon.errors import ClimReconError, OutputError, UsageError
from climrecon.files import create
from climrecon.jobs import commands
from climrecon.jobs.commands import Refused, SlurmSilent
from climrecon.jobs.messages import refusal
from climrecon.jobs.record import Chain, Submitted
from climrecon.jobs.script import Job, render
from climrecon.settings.slurm import minutes_of


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


__all__ = ["SlurmSilent", "cancel", "readable_umask", "submit"]
