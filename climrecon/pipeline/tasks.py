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
        For a task this version does not hold.
    """
    from climrecon.pipeline.dispatch import decide, few_threads_on_a_login_node, run_dispatched
    from climrecon.pipeline.stages import stages_of

    few_threads_on_a_login_node(site)
    stages = stages_of(settings, site, about)
    # Where batch jobs run it, the GPU need not be here.
    if settings.device == "cuda" and not settings.dryrun and decide(stages, settings, site)[0] == "local":
        _require_cuda()
    return run_dispatched(stages, settings, site, reporter, about)


def _require_cuda() -> None:
    from climrecon.reconstruct import cuda_available

    if not cuda_available():
        raise UsageError(
            "device=cuda was asked for, but torch finds no usable GPU here.", "Use device=auto or cpu."
        )
