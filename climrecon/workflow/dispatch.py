"""Where the stages of a task run: here, or as batch jobs; and how stages become jobs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from climrecon.errors import ClimReconError, OutputError, Stopped, UsageError
from climrecon.files import write_text
from climrecon.jobs.chain import Job, cancel, check_folder, submit
from climrecon.jobs.commands import SlurmSilent, silence
from climrecon.jobs.follow import follow, look
from climrecon.jobs.messages import JobError
from climrecon.jobs.record import FOLDER, Chain, chains_in, new_chain, remember
from climrecon.jobs.states import is_live
from climrecon.parameters import with_absolute_paths
from climrecon.settings import RunSettings, Site
from climrecon.workflow.fingerprint import digest_of
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_folder import check_output, output_folder
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.slurm_options import allocated_gpu, gpus_of, holds_gpu, in_allocation, options_of, wants_gpu
from climrecon.workflow.stage import Stage, run_stages

#: Environment variables of the user's shell that jobs need too.
_PASSED_ON = ("CLIMRECON_CONFIG", "CLIMRECON_DEBUG", "CLIMRECON_CACHE")
#: Threads on a login node, which is everyone's.
LOGIN_THREADS = 4


def run_dispatched(
    stages: Sequence[Stage],
    stages_for: Callable[[bool], Sequence[Stage]],
    settings: RunSettings,
    site: Site,
    reporter: Reporter,
    run: RunInfo,
) -> Outcome:
    """Run ``stages`` here or as batch jobs, by ``settings.dispatch``; returns the outcome of the last one.

    Parameters
    ----------
    stages_for:
        Gives the stages of the same task for ``dryrun`` True or False: those of a dry run are not those of a run.

    Raises
    ------
    UsageError
        If Slurm refuses the jobs, or a training was to run on a login node.
    SlurmSilent
        For ``dispatch=slurm`` where Slurm does not answer.
    JobError
        If a job failed.
    """
    if settings.dryrun:
        outcome = run_stages(stages, reporter)
        summary = [*outcome.summary, *_dry_lines(stages_for(False), settings, site)]
        return Outcome(outcome.folder, outcome.manifest, summary)
    check_output(settings)
    where, why = decide(stages, settings, site)
    if why:
        reporter.note(why)
    if where == "slurm":
        return _as_jobs(stages, settings, site, reporter, run)
    return run_stages(stages, reporter)


def decide(stages: Sequence[Stage], settings: RunSettings, site: Site) -> tuple[str, str]:
    """``local`` or ``slurm``, and the reason where a user should know it.

    Raises
    ------
    UsageError
        If a training was to run on a login node.
    SlurmSilent
        For ``dispatch=slurm`` where Slurm does not answer.
    """
    silent = silence()
    inside = in_allocation()
    heavy = any(stage.gpu for stage in stages)
    gpu = wants_gpu(stages, settings)
    if settings.dispatch == "slurm":
        if inside and gpu and allocated_gpu():
            # Waiting for a GPU while holding one: with the only one, for ever.
            return ("local", "this job holds a GPU already, so the stages run in it instead of in jobs of their own")
        if silent:
            raise SlurmSilent(
                f"dispatch=slurm: {silent}.",
                "Run on a login node of the cluster, try again later, or use dispatch=local.",
            )
        return "slurm", ""
    login = silent is None and not inside
    if settings.dispatch == "auto" and heavy and silent is None:
        if inside and (not gpu or holds_gpu()):
            return "local", "this job holds what the stages need; they run in it"
        if inside or not site.file.slurm.allow_local_training:
            return "slurm", "the stages are submitted to Slurm, which has what they need"
    if login and heavy and not site.file.slurm.allow_local_training:
        raise UsageError(
            "A training is not run on a login node: Slurm answers here, and this is no job of it.",
            "Use dispatch=auto or slurm, or run it inside salloc. Where this machine is meant to train, "
            "set allow_local_training = true in the [slurm] table of the site file.",
        )
    if settings.dispatch == "auto" and gpu and silent and not holds_gpu():
        return "local", f"{silent}; the stages run here, without a GPU"
    if settings.dispatch == "auto" and login and any(stage.parts > 1 for stage in stages):
        return "local", "a large run, done here part after part; dispatch=slurm does its parts side by side"
    return "local", ""


def few_threads_on_a_login_node(site: Site) -> None:
    """Keep to a few of the cores this process may use where they are everyone's; what the user has set stands.

    To be called before torch is imported, which reads the number once.
    """
    if in_allocation() or site.file.slurm.allow_local_training or silence() is not None:
        return
    os.environ.setdefault("OMP_NUM_THREADS", str(min(len(os.sched_getaffinity(0)), LOGIN_THREADS)))


def _as_jobs(stages: Sequence[Stage], settings: RunSettings, site: Site, reporter: Reporter, run: RunInfo) -> Outcome:
    slurm = site.file.slurm
    if slurm.account_required and not slurm.account and "--account=" not in (settings.extra_scheduler_options or ""):
        raise UsageError(
            "Batch jobs need an account at this site, and none is set.",
            'Put  account = "ab0123"  (a project of yours) into the [slurm] table of climrecon.toml '
            "in your configuration folder; 'climrecon settings' says where that is.",
        )
    output = output_folder(settings).absolute()
    check_folder(output)
    config = job_config(settings, output, run)
    digest = digest_of(config["parameters"])
    running = _still_running(output, digest, reporter)
    if running is None:
        try:
            chain = new_chain(output, settings.task, digest, bool(settings.detach))
            # Its owner's alone: a catalogue's address may hold a token.
            write_text(chain.folder / "config.json", json.dumps(config, indent=1) + "\n", mode=0o600)
        except OSError as error:
            raise OutputError(f"{output} cannot be written to: {error}", "Choose another outputdir.") from error
        jobs, skipped = jobs_of(stages, chain.folder / "config.json", settings, site)
        reporter.stage(f"Submitting {len(jobs)} job{'s' if len(jobs) != 1 else ''} to Slurm")
        for name in skipped:
            reporter.note(f"{name}: done already")
        chain = replace(chain, skipped=tuple(skipped))
        if problem := remember(chain):
            reporter.warning(problem)
        chain = submit(chain, jobs, Path.cwd(), slurm.array_limit)
    else:
        chain = running
    for job in chain.jobs:
        reporter.note(f"{job.stage}: job {job.job}" + (f", {len(job.parts)} parts" if job.array else ""))
    if settings.detach:
        return _detached(chain)
    try:
        return wait_for(chain, reporter)
    except JobError:
        raise
    except BaseException as error:
        _cancel_after(error, chain, reporter)
        raise


def job_config(settings: RunSettings, output: Path, run: RunInfo) -> dict[str, Any]:
    """The configuration of the jobs: the given parameters with absolute paths, and ``dispatch=local``."""
    plain = settings.plain()
    parameters = {name: plain[name] for name in sorted(settings.given) if name in plain}
    parameters.pop("detach", None)
    parameters |= {"outputdir": str(output), "dispatch": "local"}
    return {"parameters": with_absolute_paths(parameters, Path.cwd()), "run": run.as_dict()}


def _still_running(output: Path, digest: str, reporter: Reporter) -> Chain | None:
    """The same run's jobs, if some are still queued or running here; refuses those of another run."""
    for chain in reversed(chains_in(output)):
        chain, states = look(chain)
        if not is_live(states):
            continue
        if chain.config_sha256 == digest:
            reporter.note(f"this run was submitted at {chain.submitted} and goes on; its jobs are followed")
            return chain
        raise UsageError(
            f"Jobs of another run ({chain.id}) are still to write into {output}.",
            f"Choose another outputdir, or 'climrecon jobs cancel {chain.id}'.",
        )
    return None


def jobs_of(stages: Sequence[Stage], config: Path, settings: RunSettings, site: Site) -> tuple[list[Job], list[str]]:
    """The jobs for what is not done yet, and the names of stages that are done.

    The last stage always runs: it returns the outcome.
    """
    slurm = site.file.slurm
    jobs: list[Job] = []
    skipped: list[str] = []
    for stage in stages:
        # Behind a stage that will run nothing counts as done: its input is about to change.
        missing = tuple(part for part in range(stage.parts) if jobs or not stage.is_done(part))
        if stage is stages[-1] and not missing:
            missing = tuple(range(stage.parts))
        if not missing:
            skipped.append(stage.name)
            continue
        gpu = stage.gpu and settings.device != "cpu"
        nodes, processes = gpus_of(stage, slurm) if gpu else (1, 1)
        jobs.append(
            Job(
                stage=stage.name,
                parts=missing,
                array=stage.parts > 1,
                options=options_of(stage, gpu, settings, slurm),
                python=sys.executable,
                arguments=("-m", "climrecon", "stage", stage.name, str(config)),
                continues=stage.continues,
                max_links=slurm.max_links if stage.continues else 1,
                nodes=nodes,
                processes=processes,
                modules=tuple(slurm.modules),
                environment={name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)},
            )
        )
    return jobs, skipped


def wait_for(chain: Chain, reporter: Reporter) -> Outcome:
    """Wait for the jobs of ``chain``; returns the outcome of its last stage.

    Raises
    ------
    JobError
        If a job failed, or left no outcome.
    """
    chain = follow(chain, reporter)
    last = chain.jobs[-1]
    for part in reversed(last.parts):
        left = chain.read("outcome", last.stage, part)
        if left.get("manifest"):
            folder = Path(left["folder"]) if left.get("folder") else None
            return Outcome(folder, left["manifest"], list(left.get("summary", [])))
    raise JobError(
        f"All jobs of {chain.id} ended well, but the last stage ({last.stage}) left no outcome in {chain.folder}.",
        "Look at its log there.",
    )


def leave_outcome(outcome: Outcome | None, record: Path, stage: str, part: int) -> None:
    """Write the outcome of a stage into the ``record`` of its jobs, for :func:`wait_for`."""
    if outcome is None:
        return
    content = {
        "folder": str(outcome.folder.absolute()) if outcome.folder else None,
        "manifest": outcome.manifest,
        "summary": outcome.summary,
    }
    write_text(record / "outcome" / f"{stage}-{part}.json", json.dumps(content, indent=1) + "\n")


def _detached(chain: Chain) -> Outcome:
    jobs = [{"stage": job.stage, "job": job.job, "parts": len(job.parts)} for job in chain.jobs]
    lines = [
        f"Submitted as run {chain.id}: " + ", then ".join(f"{job.stage} (job {job.job})" for job in chain.jobs) + ".",
        f"Results will be in {chain.output}.",
        f"'climrecon jobs show {chain.id}' says how it fares, 'follow' waits for it, 'cancel' cancels it.",
    ]
    manifest = {"status": "submitted", "outputs": [], "jobs_id": chain.id, "jobs": jobs}
    return Outcome(Path(chain.output), manifest, lines)


def _cancel_after(error: BaseException, chain: Chain, reporter: Reporter) -> None:
    """The caller was stopped, or cannot go on: its jobs go with it."""
    try:
        cancel(chain)
    except ClimReconError as problem:
        reporter.warning(
            f"the jobs {', '.join(map(str, chain.numbers))} could not be cancelled ({problem.message}); "
            f"'climrecon jobs cancel {chain.id}' does it later"
        )
        return
    if isinstance(error, Stopped):
        reporter.warning(f"the jobs {', '.join(map(str, chain.numbers))} of this run were cancelled")


def _dry_lines(stages: Sequence[Stage], settings: RunSettings, site: Site) -> list[str]:
    """Where it would run, and as which jobs."""
    try:
        where, why = decide(stages, settings, site)
    except ClimReconError as error:
        return [f"  runs: {error.message}"]
    if where == "local":
        return ["  runs: here" + (f" ({why})" if why else "")]
    jobs, skipped = jobs_of(stages, Path("config.json"), settings, site)
    lines = ["  runs: as batch jobs, each after the one before it"]
    lines += [f"    {name}: done already" for name in skipped]
    for job in jobs:
        parts = f", {len(job.parts)} parts" if job.array else ""
        if job.nodes * job.processes > 1:
            parts += f", {job.nodes} x {job.processes} processes"
        lines.append(f"    {job.stage}{parts}: sbatch {' '.join(job.options)}")
    # A script each; log, status, progress of every part; configuration, record and outcome.
    files = len(jobs) + 3 * sum(len(job.parts) for job in jobs) + 3
    output = output_folder(settings).absolute()
    lines.append(f"    scripts, logs and records: about {files} small files in {output / FOLDER}")
    return lines
