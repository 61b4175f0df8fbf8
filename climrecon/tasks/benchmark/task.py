"""``task=benchmark``: a benchmark set, methods and submissions of other tools on it, and their leaderboard.

Stages: export or check the set, run each method, score and write the leaderboard. The set and the methods' submissions
are kept in ``cachedir``, so that a stopped benchmark goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from climrecon.benchmark_set.export import export_set
from climrecon.benchmark_set.leaderboard import check_submissions, enter, entered, score_submissions
from climrecon.errors import OutputError, UsageError
from climrecon.files import sha256_of, write_text
from climrecon.interruption import commit_point
from climrecon.settings import RunSettings, Site
from climrecon.tasks.benchmark.plan import HASHES, BenchmarkRun
from climrecon.tasks.benchmark.results import write_benchmark
from climrecon.tasks.benchmark.runs import check_learned
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage
from climrecon.working_folders import working_folder


class Benchmark:
    """One benchmark and its stages.

    Raises
    ------
    UsageError, NoDataError, InputDataError, NetworkError, OutputError
        For whatever can be known before anything long begins.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        self.plan, self.run = BenchmarkRun.of(settings, site), run

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.plan.settings.dryrun:
            return (Stage("dryrun", self.dry_run),)
        parts = len(self.plan.methods)
        methods = (Stage("reconstruct", self.reconstruct, parts, self.plan.has_method),) if parts else ()
        return (Stage("prepare", self.prepare), *methods, Stage("collect", self.collect))

    def prepare(self, part: int, reporter: Reporter) -> None:
        """Export the set if none is named, and check what is to be scored on it."""
        plan, one = self.plan, self.plan.settings
        if plan.given is None and not plan.is_exported:
            with _appearing(plan.folder, lambda: plan.is_exported) as folder:
                export_set(
                    folder,
                    truth=plan.truth or None,
                    years=str(one.period or ""),
                    masks=plan.masks or None,
                    gaps=(one.gaps or "").split(",") if one.gaps else (),
                    seed=one.seed,
                    name=plan.name,
                    reporter=reporter,
                )
        check_learned(plan.methods, plan.card, plan.inputs())
        about = check_submissions(plan.submissions, plan.card)[1].values()
        own = {(run.attributes["method"], run.attributes["method_version"]) for run in plan.methods}
        if twice := [" ".join(name) for one in about if (name := (one.method, one.method_version)) in own]:
            raise UsageError(
                f"A submission has the method and version of one of methods: {', '.join(twice)}.",
                "Leave the method out of methods, or give the submission a method_version of its own.",
            )

    def reconstruct(self, part: int, reporter: Reporter) -> None:
        """Let a method reconstruct all cases."""
        plan = self.plan
        with _appearing(plan.of_method(part), lambda: plan.has_method(part)) as folder:
            plan.methods[part].submit(folder, plan.inputs(), plan.settings.realisations, reporter)
            hashes = {case.name: sha256_of(folder / f"{case.name}.nc") for case in plan.card.cases}
            write_text(folder / HASHES, json.dumps(hashes) + "\n")

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Score all submissions, and write the results."""
        plan, one = self.plan, self.plan.settings
        folders = [*map(plan.of_method, range(len(plan.methods))), *plan.submissions]
        if not folders:
            return write_benchmark(plan, [], [], self.run, reporter)
        rows = score_submissions(folders, plan.folder, truth=plan.truth or None, key=one.key, reporter=reporter)
        boards = enter(rows, plan.card, one.leaderboard) if one.leaderboard else entered(rows, plan.card)
        return write_benchmark(plan, rows, boards, self.run, reporter)

    def dry_run(self, part: int, reporter: Reporter) -> Outcome:
        """A summary of the benchmark; writes nothing."""
        plan, one = self.plan, self.plan.settings
        if plan.given is not None:
            made = f"{plan.card.name}, {plan.card.identity}, in {plan.given}"
        else:
            made = f"{plan.name or 'the embedded one'}, exported into the result; {_there(plan.is_exported)}"
        lines = ["Would score on a benchmark set, and write nothing now (dryrun):", f"  set: {made}"]
        lines += [f"  truth: {path}" for path in plan.truth] + [f"  gaps of: {path}" for path in plan.masks]
        for number, run in enumerate(plan.methods):
            lines.append(f"  method: {run.label} {run.attributes['method_version']}, {_there(plan.has_method(number))}")
        lines += [f"  submission: {path}" for path in (plan.submissions if plan.is_exported else one.submission_paths)]
        if not plan.methods and not one.submission_paths:
            lines.append("  no method and no submission: the set is written, and no leaderboard")
        if one.leaderboard:
            lines.append(f"  rows are entered in {one.leaderboard} too")
        return Outcome.of_dry_run([*lines, f"  cache: {plan.cache}"])


def _there(whether: bool) -> str:
    return "there already" if whether else "to be made"


@contextmanager
def _appearing(target: Path, is_whole: Callable[[], bool]) -> Iterator[Path]:
    """A folder that appears as ``target`` when it is whole; where another run has made it meanwhile, that stays.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(target.parent) as scratch:
            made = scratch / target.name
            yield made
            if not is_whole():
                shutil.rmtree(target, ignore_errors=True)
                commit_point(f"before {target.name}")
                made.replace(target)
                commit_point(f"after {target.name}")
    except OSError as error:
        if not is_whole():
            raise OutputError(f"{target} cannot be written: {error}", "Choose another cachedir.") from error
