"""Slurm's own programs, called without a shell and without the variables of a surrounding job."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from climrecon.errors import DependencyError, UsageError

#: Seconds after which a program of Slurm counts as not answering.
PATIENCE = 20.0
_QUICK = 5.0
#: What a job inherits from the job that submitted it would change what it asks for, or which GPU it sees.
_OF_A_JOB = re.compile(
    r"^(SLURM|SBATCH|SRUN|SLURMD|SALLOC|SQUEUE|SCANCEL|SINFO|PMI|PMIX)_|"
    r"^(CUDA_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|OMP_NUM_THREADS|TMPDIR)$"
)
_NO_ANSWER = re.compile(
    r"Unable to contact|Connection refused|Socket timed out|configuration source|fetch_config|"
    r"Unable to (?:connect|establish)|Protocol authentication|Zero Bytes|Munge|credential",
    re.IGNORECASE,
)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` without the variables of a surrounding job; the cluster's own configuration file stays."""
    return {name: value for name, value in environment.items() if name == "SLURM_CONF" or not _OF_A_JOB.match(name)}


@dataclass(frozen=True)
class Row:
    """One line of ``squeue``: a job, or one element of an array."""

    state: str
    reason: str
    start: str
    node: str


class SlurmSilent(DependencyError):
    """Slurm is not installed, or its controller does not answer."""


def _call(command: Sequence[str], patience: float = PATIENCE, umask: int = -1) -> str:
    try:
        answer = subprocess.run(
            command,
            env=clean_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            umask=umask,
            check=False,
        )
    except FileNotFoundError as error:
        raise SlurmSilent(
            f"Slurm is not installed here: there is no program {command[0]}.",
            "Run on a login node of the cluster, or use dispatch=local.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SlurmSilent(
            f"Slurm does not answer: {command[0]} gave no answer within {patience:.0f} seconds.",
            "Try again later, or use dispatch=local.",
        ) from error
    if answer.returncode:
        text = "; ".join(line.strip() for line in (answer.stderr or answer.stdout).splitlines() if line.strip())
        if _NO_ANSWER.search(text):
            raise SlurmSilent(f"Slurm does not answer: {text}", "Try again later, or use dispatch=local.")
        raise Refused(
            f"{command[0]}: {text or f'ended with exit code {answer.returncode}'}",
            "Correct the [slurm] table of the site file, or use dispatch=local.",
        )
    return answer.stdout


class Refused(UsageError):
    """Slurm answered, and refused what was asked of it."""


@lru_cache(maxsize=1)
def silence() -> str | None:
    """Why Slurm cannot be used here; None where it answers. Asked once by each process."""
    if shutil.which("sbatch") is None:
        return "Slurm is not installed here"
    try:
        text = _call(["scontrol", "ping"], _QUICK)
    except SlurmSilent as error:
        return error.message.rstrip(".")
    except Refused as error:
        text = error.message
    return None if " is UP" in text else f"Slurm's controller does not answer ({text.strip()})"


def sbatch(script: Path, folder: Path, options: Sequence[str] = (), umask: int = -1) -> int:
    """Submit ``script`` to run in ``folder``; returns the job's number.

    Raises
    ------
    Refused
        If Slurm will not take it.
    SlurmSilent
        If Slurm does not answer; the job may have been taken all the same.
    """
    text = _call(["sbatch", "--parsable", f"--chdir={folder}", *options, str(script)], umask=umask)
    # With several clusters it is "number;cluster".
    number = text.strip().splitlines()[-1].split(";")[0]
    if not number.isdigit():
        raise Refused(
            f"sbatch did not say the number of the job: {text.strip()!r}",
            "See 'squeue --me', and use dispatch=local meanwhile.",
        )
    return int(number)


def release(job: int) -> None:
    """Let a held job start."""
    _call(["scontrol", "release", str(job)])


def queue(jobs: Sequence[int]) -> dict[str, Row]:
    """State of ``jobs`` by ``JOB`` or ``JOB_ELEMENT``; those Slurm has forgotten are absent."""
    numbers = ",".join(str(job) for job in jobs)
    if not numbers:
        return {}
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={numbers}", "--format=%i|%T|%r|%S|%N"]
    try:
        text = _call(command)
    except Refused as error:
        # Asked for one job alone, squeue calls it an error that Slurm has forgotten it.
        if "Invalid job id" in error.message:
            return {}
        raise
    rows = {}
    for line in text.splitlines():
        parts = line.strip().split("|")
        if len(parts) == 5:
            rows[parts[0]] = Row(parts[1], parts[2], parts[3], parts[4])
    return rows


def cancel(jobs: Sequence[int]) -> None:
    """Cancel ``jobs``; those that have ended are left alone."""
    if jobs:
        try:
            _call(["scancel", "--quiet", *(str(job) for job in jobs)])
        except Refused as error:
            if "Invalid job id" not in error.message and "already" not in error.message:
                raise


def cancel_named(names: Sequence[str]) -> None:
    """Cancel jobs by name: those that Slurm took without saying their number."""
    for name in names:
        _call(["scancel", "--quiet", f"--name={name}", "--me"])


def _sinfo(text: str, partition: str, *options: str) -> list[str]:
    """Lines of sinfo on ``partition`` (on all, if empty); none where Slurm does not answer."""
    command = ["sinfo", "--noheader", *options, f"--format={text}"]
    command += [f"--partition={partition}"] if partition else []
    try:
        return [line.strip() for line in _call(command, _QUICK).splitlines() if line.strip()]
    except (Refused, SlurmSilent):
        return []


def limits(partition: str) -> tuple[str, int] | None:
    """Longest time limit (as Slurm writes it) and number of nodes of ``partition``; None if not known."""
    rows = [line.split("|") for line in _sinfo("%l|%D", partition, "--summarize")]
    # Where several are named, or none, the limits of one do not bind.
    return (rows[0][0], int(rows[0][1])) if len(rows) == 1 and rows[0][1].isdigit() else None


def offers(partition: str) -> list[str]:
    """The nodes of ``partition`` (of all, if empty), a line for each kind."""
    return _sinfo("%P: %D nodes of %c cores, %m MB, %G; time up to %l", partition)
