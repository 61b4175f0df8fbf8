"""From validated settings to the task they ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from climrecon.errors import UsageError
from climrecon.pipeline.reporting import Reporter
from climrecon.settings import RunSettings, Site


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: its folder, its manifest, and the few lines a user wants to read."""

    folder: Path | None
    manifest: dict[str, Any]
    summary: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The lines to print at the end."""
        return self.summary


def run_task(settings: RunSettings, site: Site, reporter: Reporter, about: dict[str, Any]) -> Outcome:
    """Run the task of ``settings``.

    Parameters
    ----------
    about:
        What the caller knows of the run: ``id``, ``user``, ``host``.

    Raises
    ------
    UsageError
        For a task this version does not hold, and for batch jobs.
    """
    if settings.dispatch == "slurm":
        raise UsageError(
            "dispatch=slurm is not part of this version of climrecon; a reconstruction runs in place.",
            "Use dispatch=auto; to run it as a batch job, submit it through Freva with --batchmode.",
        )
    if settings.device == "cuda":
        _require_cuda()
    from climrecon.pipeline.stages import run_stages, stages_of

    return run_stages(stages_of(settings, site, about), reporter)


def _require_cuda() -> None:
    from climrecon.reconstruct import cuda_available

    if not cuda_available():
        raise UsageError(
            "device=cuda was asked for, but torch finds no usable GPU here.", "Use device=auto or cpu."
        )
