"""What a stage needs, what this process has, and how that is asked of Slurm."""

from __future__ import annotations

import os
from collections.abc import Sequence

from climrecon.errors import UsageError
from climrecon.settings import RunSettings
from climrecon.settings.slurm import Slurm, minutes_of
from climrecon.workflow.stage import Stage

#: Options a user may add for all jobs, and for those on CPUs alone: none that changes what a job runs.
_FOR_ALL = {"account", "qos", "reservation", "mail-type", "mail-user", "nice", "comment", "exclude"}
_FOR_CPU = {"partition", "constraint", "time", "mem", "mem-per-cpu", "cpus-per-task", "nodelist", "exclusive"}
_SHORT = {"-A": "account", "-p": "partition", "-C": "constraint", "-t": "time", "-c": "cpus-per-task", "-q": "qos"}


def in_allocation() -> bool:
    """Whether this process runs in a job of Slurm."""
    return bool(os.environ.get("SLURM_JOB_ID"))


def allocated_gpu() -> bool:
    """Whether the job this process runs in was given a GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    given = any(os.environ.get(name) for name in ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE"))
    return given or (in_allocation() and visible not in ("", "-1", "NoDevFiles"))


def holds_gpu() -> bool:
    """Whether a GPU can be used here: the job was given one, or torch finds one."""
    if in_allocation():
        return allocated_gpu()
    from climrecon.methods.by_chunks import cuda_available

    return cuda_available()


def wants_gpu(stages: Sequence[Stage], settings: RunSettings) -> bool:
    """Whether any stage is to run on a GPU."""
    return settings.device != "cpu" and any(stage.gpu for stage in stages)


def gpus_of(stage: Stage, slurm: Slurm) -> tuple[int, int]:
    """Nodes, and GPUs on each, that ``stage`` can use."""
    return (slurm.gpu_nodes, slurm.gpus_per_node) if stage.distributed else (1, 1)


def options_of(stage: Stage, gpu: bool, settings: RunSettings, slurm: Slurm) -> tuple[str, ...]:
    """Options of sbatch for ``stage``: the site's, then the user's, of which the last one counts.

    Raises
    ------
    UsageError
        If the user's options hold one that would change what a job runs.
    """
    if gpu:
        wanted = {
            "partition": slurm.gpu_partition or slurm.partition,
            "time": slurm.gpu_walltime,
            "nodes": str(gpus_of(stage, slurm)[0]),
            "ntasks-per-node": "1",
            "cpus-per-task": str(slurm.gpu_cpus_per_task),
            "mem": slurm.gpu_memory,
            "constraint": slurm.gpu_constraint,
            "gres": f"{slurm.gres}:{gpus_of(stage, slurm)[1]}",
        }
    else:
        wanted = {
            "partition": slurm.partition,
            "time": slurm.walltime,
            "nodes": "1",
            "ntasks": "1",
            "cpus-per-task": str(slurm.cpus_per_task),
            "mem": slurm.memory,
            "constraint": slurm.constraint,
        }
    wanted |= {"account": slurm.account, "qos": slurm.qos, "mail-user": slurm.mail_user}
    wanted["mail-type"] = ",".join(slurm.mail_type)
    for name, value in _users(settings).items():
        if name in _FOR_ALL or not gpu:
            wanted[name] = value
    if stage.continues:
        # To the batch script alone: it passes the signal on to the stage, which saves its state.
        wanted["signal"] = f"B:USR1@{_warning_seconds(wanted['time'], slurm)}"
    return tuple(
        f"--{name}={value}" if value else f"--{name}" for name, value in wanted.items() if value or name == "exclusive"
    )


def _warning_seconds(limit: str, slurm: Slurm) -> int:
    """How long before its limit a stage is warned; a warning at the very beginning would stop it for nothing."""
    return max(1, min(slurm.signal_seconds, 60 * minutes_of(limit) // 10))


def _users(settings: RunSettings) -> dict[str, str]:
    """Options the user gave with extra_scheduler_options; the site's default of it is not meant for these jobs."""
    if "extra_scheduler_options" not in settings.given:
        return {}
    options: dict[str, str] = {}
    wrong = []
    for text in (settings.extra_scheduler_options or "").split(","):
        name, _, value = text.strip().partition("=")
        name = _SHORT.get(name, name.removeprefix("--"))
        if name in _FOR_ALL | _FOR_CPU:
            options[name] = value
        else:
            wrong.append(text.strip())
    if wrong:
        raise UsageError(
            f"extra_scheduler_options: {', '.join(wrong)} cannot be set for the jobs of a run.",
            f"These can: {', '.join(sorted(_FOR_ALL | _FOR_CPU))}. A training asks for its GPUs itself, see [slurm].",
        )
    return options
