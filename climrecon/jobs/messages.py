"""Error messages for jobs that Slurm refused, or that failed."""

from __future__ import annotations

import re
from pathlib import Path

from climrecon.errors import ClimReconError
from climrecon.jobs.record import Chain
from climrecon.jobs.states import PartState

LINES = 15
_WIDTH = 300


class JobError(ClimReconError):
    """A batch job failed; ends with the job's own exit code where that is one of the documented ones."""

    exit_code = 8

    def __init__(self, message: str, hint: str | None, job_exit_code: int = 0) -> None:
        super().__init__(message, hint)
        if 2 <= job_exit_code <= 7:
            self.exit_code = job_exit_code


_REFUSALS = (
    (r"invalid partition|partition.*(?:not|invalid)", "Set [slurm] partition and gpu_partition to one of those."),
    (r"account|assoc", "Set account in the [slurm] table of climrecon.toml to a project of yours."),
    (r"time limit", "Ask for less time: [slurm] walltime or gpu_walltime."),
    (r"gres|generic resource", "Set [slurm] gres to a kind of GPU there is, and ask for fewer."),
    (
        r"node configuration|node count|wants \d+ nodes|more processors|cpu count|memory",
        "Ask for less: fewer nodes, GPUs, cores or less memory; or another partition.",
    ),
    (r"feature|constraint", "Correct [slurm] constraint or gpu_constraint."),
    (r"qos", "Correct [slurm] qos."),
)


def refusal(stage: str, text: str, offers: list[str]) -> tuple[str, str]:
    """Message and hint for a job that sbatch refused with ``text``; ``offers`` describe the partitions."""
    hint = next(
        (what for pattern, what in _REFUSALS if re.search(pattern, text, re.IGNORECASE)),
        "Look at the site file ('climrecon settings' shows it) and at extra_scheduler_options.",
    )
    text = f"Slurm refused the job of the stage {stage}; nothing was left in the queue.\n  {text}{_there_is(offers)}"
    return text, hint


def tail(path: Path) -> list[str]:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LINES * _WIDTH))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    # Progress bars return to the start of their line; what stands last is what was seen.
    return [line.rsplit("\r", 1)[-1][:_WIDTH] for line in text.splitlines()[-LINES:]]


_AGAIN = "The same command, repeated, does only what is missing."
_HINTS = {
    "timed out": "Give it more time ([slurm] walltime or gpu_walltime), or ask for less. " + _AGAIN,
    "cancelled": "If you did not cancel it, ask who did. " + _AGAIN,
    "node failed": _AGAIN,
    "out of memory": "Give it more ([slurm] memory or gpu_memory). " + _AGAIN,
    "unfinished": "Its state is saved, and the most links a submission may have ([slurm] max_links) are used up, "
    "or Slurm did not requeue it. The same command, repeated, continues it.",
    "lost": "Ask the cluster's support what became of it. " + _AGAIN,
    "impossible": "It would wait for ever and was cancelled. Ask for less, or correct [slurm] in the site file.",
    "failed": "Cure what the log says. " + _AGAIN,
}


def failure(chain: Chain, bad: PartState, others: int, offers: list[str]) -> JobError:
    """The error for a part that ended badly, with the end of its log and what to do."""
    limit = next((job.limit for job in chain.jobs if job.stage == bad.stage), "")
    words = {
        "failed": f"failed with exit code {bad.exit_code}" if bad.exit_code else "failed",
        "timed out": f"hit its time limit of {limit}",
        "cancelled": "was cancelled",
        "node failed": "lost its node",
        "out of memory": "took more memory than it had asked for",
        "unfinished": f"is not finished after {bad.links} link{'s' if bad.links != 1 else ''}",
        "lost": "was lost",
        "impossible": f"can never start ({bad.reason})",
    }
    where = f" on {bad.node}" if bad.node else ""
    which = f" part {bad.part}" if any(j.array for j in chain.jobs if j.stage == bad.stage) else ""
    text = f"The stage {bad.stage}{which} (job {bad.job}) {words.get(bad.state, bad.state)}{where}"
    if bad.state in ("failed", "lost") and bad.reason and bad.reason != "NonZeroExitCode":
        text += f" ({bad.reason})"
    text += f"; {others} other parts as well." if others else "."
    log = chain.log(bad.stage, bad.part)
    lines = tail(log)
    if lines:
        text += f"\n  The end of {log}:\n" + "\n".join(f"    {line}" for line in lines)
    elif bad.state != "impossible":
        text += f"\n  It left no log ({log})."
    if bad.state == "impossible":
        text += _there_is(offers)
    return JobError(text, _HINTS.get(bad.state), bad.exit_code)


def impossible(job: int, reason: str, offers: list[str]) -> JobError:
    """The error for a job of the host that can never start."""
    return JobError(
        f"The job {job} of this run can never start ({reason}).{_there_is(offers)}",
        "It would wait for ever and was cancelled. Ask for less in extra_scheduler_options, or ask the operator to "
        "correct [slurm] in the site file or the host's [scheduler_options].",
    )


def _there_is(offers: list[str]) -> str:
    return "\n  There is:\n" + "\n".join(f"    {line}" for line in offers) if offers else ""
