"""The ``[slurm]`` table of the site file: how batch jobs are asked for.

Every value ends in a ``#SBATCH`` line or a job script, so each may hold only what such a value can hold:
what is not listed here is refused when the site file is read.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_TIME = re.compile(r"^(?:(\d+)-)?(\d{1,3})(?::(\d{1,2}))?(?::(\d{1,2}))?$")


def minutes_of(walltime: str) -> int:
    """Whole minutes of a Slurm time: ``MM``, ``MM:SS``, ``HH:MM:SS``, ``D-HH``, ``D-HH:MM``, ``D-HH:MM:SS``.

    Raises
    ------
    ValueError
        If it is none of these, or nothing.
    """
    found = _TIME.match(walltime.strip())
    if not found:
        raise ValueError(f"{walltime!r} is no time like 01:30:00 (hours, minutes, seconds) or 1-12 (days-hours)")
    days, *rest = found.groups()
    first, second, third = (int(part or 0) for part in rest)
    if days is not None:
        seconds = int(days) * 86400 + first * 3600 + second * 60 + third
    elif rest[2] is not None:
        seconds = first * 3600 + second * 60 + third
    else:
        seconds = first * 60 + second
    if seconds <= 0:
        raise ValueError(f"{walltime!r} is no time at all")
    return -(-seconds // 60)


def walltime_of(minutes: int) -> str:
    """Slurm's ``D-HH:MM:SS`` or ``HH:MM:SS`` of whole minutes."""
    days, rest = divmod(minutes, 1440)
    clock = f"{rest // 60:02d}:{rest % 60:02d}:00"
    return f"{days}-{clock}" if days else clock


def _walltime(value: str) -> str:
    minutes_of(value)
    return value.strip()


def _text(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        # fullmatch: $ would let a final line break through.
        if value and not compiled.fullmatch(value):
            raise ValueError(f"{value!r} is no {what}")
        return value

    return AfterValidator(check)


Word = Annotated[str, _text(r"[A-Za-z0-9][\w.-]{0,63}", "name of letters, digits, dot, dash and underscore")]
Partition = Annotated[
    str, _text(r"[A-Za-z0-9][\w.-]*(,[A-Za-z0-9][\w.-]*)*", "partition, or partitions joined by commas")
]
Constraint = Annotated[str, _text(r"[\w(\[][\w.&|*()\[\]-]{0,199}", "constraint like a100_80 or a100_40|a100_80")]
Gres = Annotated[str, _text(r"[A-Za-z]\w*(:[A-Za-z]\w*)?", "kind of GPU like gpu or gpu:a100, without a number")]
Memory = Annotated[str, _text(r"\d{1,9}[KMGT]?", "memory like 8G")]
Mail = Annotated[str, _text(r"\w[\w.+-]*(@[\w-]+(\.[\w-]+)*)?", "mail address")]
Module = Annotated[str, _text(r"[A-Za-z0-9][\w.+/@-]{0,99}", "module name like python3/2023.01")]
Walltime = Annotated[str, AfterValidator(_walltime)]


class Slurm(BaseModel):
    """How batch jobs are asked for.

    Attributes
    ----------
    partition, cpus_per_task, memory, walltime, constraint:
        Of stages that need no GPU, and of the job in which ``freva plugin ... --batchmode`` waits.
    gpu_partition, gpu_cpus_per_task, gpu_memory, gpu_walltime, gpu_constraint, gres, gpu_nodes, gpus_per_node:
        Of stages that want a GPU. ``gres`` is the kind of GPU; the number is added. An empty memory is the
        partition's default.
    account, account_required:
        Where an account is required its absence is refused before anything is submitted.
    signal_seconds:
        A stage that can continue is told this long before its time limit to save its state (a tenth of the limit
        where that is less; Slurm may tell it a minute earlier).
    max_links:
        A stage that can continue is started at most so often by one submission.
    caller_walltime:
        Time of the job that waits for a submitted training; empty: long enough for all its jobs, at most a week.
    allow_local_training:
        Let a training run on a login node.
    array_limit:
        Elements of a job array that run at the same time; 0: no limit of ours.
    values_per_part:
        A reconstruction of more values (months x cells x (3 + realisations)) is done in parts of about so many, as a
        job array or one after the other; 2,028 months of 36 x 72 cells are 16 million.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Partition = ""
    cpus_per_task: int = Field(default=4, ge=1, le=4096)
    memory: Memory = "8G"
    walltime: Walltime = "01:00:00"
    constraint: Constraint = ""

    gpu_partition: Partition = ""
    gpu_cpus_per_task: int = Field(default=8, ge=1, le=4096)
    gpu_memory: Memory = ""
    gpu_walltime: Walltime = "12:00:00"
    gpu_constraint: Constraint = ""
    gres: Gres = "gpu"
    gpu_nodes: int = Field(default=1, ge=1, le=10_000)
    gpus_per_node: int = Field(default=1, ge=1, le=64)

    account: Word = ""
    account_required: bool = False
    qos: Word = ""
    mail_user: Mail = ""
    mail_type: list[Literal["BEGIN", "END", "FAIL", "REQUEUE", "ALL", "NONE"]] = Field(default_factory=list)
    modules: list[Module] = Field(default_factory=list)

    signal_seconds: int = Field(default=300, ge=1, le=65_535)
    max_links: int = Field(default=20, ge=1, le=1000)
    caller_walltime: Walltime | Literal[""] = ""
    allow_local_training: bool = False
    array_limit: int = Field(default=0, ge=0, le=10_000)
    values_per_part: int = Field(default=100_000_000, ge=1)

    @property
    def waiting_walltime(self) -> str:
        """Time of a job that waits for a whole training."""
        if self.caller_walltime:
            return self.caller_walltime
        all_jobs = 2 * minutes_of(self.walltime) + self.max_links * minutes_of(self.gpu_walltime)
        return walltime_of(min(all_jobs, 7 * 1440))
