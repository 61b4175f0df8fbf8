"""The tasks there are, and from validated settings to the stages and the run they ask for.

Another task is added by a line in :data:`TASKS`.
"""

from __future__ import annotations

from pkgutil import resolve_name

from climrecon.errors import UsageError
from climrecon.files import unchanged_inputs
from climrecon.settings import RunSettings, Site
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage

#: Name -> what makes an object with the stages of a run; imported when its task is asked for.
TASKS = {
    "reconstruct": "climrecon.tasks.reconstruct.task:Reconstruction",
    "train": "climrecon.tasks.train.task:Training",
    "evaluate": "climrecon.tasks.evaluate.forms:evaluation",
    "explain": "climrecon.tasks.explain.task:Explanation",
    "compare": "climrecon.tasks.compare.task:Comparison",
    "benchmark": "climrecon.tasks.benchmark.task:Benchmark",
}


def stages_of(settings: RunSettings, site: Site, run: RunInfo) -> tuple[Stage, ...]:
    """The stages of the task that ``settings`` ask for, in order.

    Raises
    ------
    UsageError
        For a task this version does not have.
    """
    if settings.task not in TASKS:
        raise UsageError(
            f"task={settings.task} is not part of this version of climrecon.", f"Tasks: {', '.join(TASKS)}."
        )
    from climrecon.netcdf.forms import cache_in
    from climrecon.tasks.network_store import cache_folder

    cache_in(cache_folder(settings.cachedir))
    stages: tuple[Stage, ...] = resolve_name(TASKS[settings.task])(settings, site, run).stages()
    return stages


@unchanged_inputs()
def run_task(settings: RunSettings, site: Site, reporter: Reporter, run: RunInfo) -> Outcome:
    """Run the task of ``settings``, here or as batch jobs.

    Raises
    ------
    UsageError
        For a task this version does not have.
    """
    from climrecon.workflow.dispatch import decide, few_threads_on_a_login_node, run_dispatched

    few_threads_on_a_login_node(site)

    def stages_for(dryrun: bool) -> tuple[Stage, ...]:
        chosen = settings if settings.dryrun == dryrun else settings.model_copy(update={"dryrun": dryrun})
        return stages_of(chosen, site, run)

    stages = stages_for(settings.dryrun)
    # Where batch jobs run it, the GPU need not be here.
    if settings.device == "cuda" and not settings.dryrun and decide(stages, settings, site)[0] == "local":
        from climrecon.methods.by_chunks import cuda_available

        if not cuda_available():
            raise UsageError("device=cuda is set, but torch finds no usable GPU here.", "Use device=auto or cpu.")
    return run_dispatched(stages, stages_for, settings, site, reporter, run)
