"""The stages of a task, each a command line of its own: ``climrecon stage NAME CONFIG.json [--part N]``.

The same stages run one after the other in this process, or as batch jobs with dependencies; a stage that is
done is skipped, so that repeating a task after any failure does only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from climrecon.errors import UsageError
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter


def _never(part: int) -> bool:
    return False


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes
    ----------
    run:
        ``run(part, reporter)``; the last stage of a task returns its outcome. A stage that ``continues`` may
        raise :class:`climrecon.errors.Unfinished` (exit code 75): the same call goes on where it stopped.
    parts:
        Independent parts, 0 to ``parts - 1``: the elements of a job array.
    is_done:
        Whether a part is done already, by its fingerprint.
    gpu:
        Whether it wants a GPU.
    distributed:
        Whether several processes of torch.distributed can share it; else it gets one GPU of one node.
    at_once:
        Runs several parts in parallel in this process and its children; None: one part after the other.
    """

    name: str
    run: Callable[[int, Reporter], Outcome | None]
    parts: int = 1
    is_done: Callable[[int], bool] = _never
    gpu: bool = False
    continues: bool = False
    distributed: bool = False
    at_once: Callable[[Sequence[int], Reporter], None] | None = None


def run_stages(stages: Sequence[Stage], reporter: Reporter) -> Outcome:
    """Run all stages here, part by part; those that are done are skipped.

    Returns
    -------
    The outcome of the last stage.
    """
    outcome: Outcome | None = None
    for stage in stages:
        waiting = [part for part in range(stage.parts) if not stage.is_done(part)]
        if stage.at_once is not None and len(waiting) > 1:
            stage.at_once(waiting, reporter)
            continue
        for part in waiting:
            outcome = stage.run(part, reporter) or outcome
    if outcome is None:
        raise AssertionError("the last stage of a task returns its outcome")
    return outcome


def one_stage(stages: Sequence[Stage], name: str, part: int) -> Stage:
    """The stage called ``name``.

    Raises
    ------
    UsageError
        If there is none, or it has no such part.
    """
    stage = next((one for one in stages if one.name == name), None)
    if stage is None:
        raise UsageError(f"The task has no stage {name!r}.", f"Its stages: {', '.join(one.name for one in stages)}.")
    if not 0 <= part < stage.parts:
        raise UsageError(
            f"The stage {name} has parts 0 to {stage.parts - 1}; {part} is none of them.", "Name one of these parts."
        )
    return stage
