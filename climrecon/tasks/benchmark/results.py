"""The last stage of a benchmark: leaderboard, set, figure, provenance, report, manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from climrecon.benchmark_set.card import CARD, INPUTS, README
from climrecon.benchmark_set.leaderboard import compared, content_of, lines_of, shown_boards, write_board
from climrecon.output.content import content_sha256
from climrecon.plots.leaderboard import draw_leaderboard
from climrecon.report import write_run_page
from climrecon.tasks.benchmark.plan import SET, VERSION, BenchmarkRun
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_folder import RunFolder
from climrecon.workflow.run_info import RunInfo

PAGE, ROWS, FIGURE = "leaderboard.html", "leaderboard.json", "leaderboard.png"


def write_benchmark(
    plan: BenchmarkRun,
    rows: Sequence[Mapping[str, Any]],
    boards: Sequence[Mapping[str, Any]],
    run: RunInfo,
    reporter: Reporter,
) -> Outcome:
    """Write everything; results appear in the output folder together or not at all.

    Parameters
    ----------
    rows:
        Of this run.
    boards:
        With the rows; none where the set was exported alone.
    """
    card, settings = plan.card, plan.settings
    inputs = plan.hashes()
    with RunFolder.create(run, settings, reporter) as results:
        if plan.given is None:
            _add_set(plan, results)
        if boards:
            results.add_json(ROWS, "leaderboard", "All scores, with the card of the set", content_of(boards))
            write_board(results.stage / PAGE, boards)
            results.add(PAGE, "leaderboard", f"Leaderboard of {card.name}, set {card.identity}")
        own = next((compared(one["rows"]) for one in boards if one["set"] == card.identity), [])
        if own and settings.plots:
            names = [case.name for case in card.cases]
            results.add_figure(FIGURE, draw_leaderboard(own, names, card.units))
        methods = [one.method for one in plan.methods]
        return results.finish(
            f"Benchmark: {card.name}",
            {"product": "benchmark", "model": card.identity},
            _summary(plan, rows),
            partial(
                write_run_page,
                template="benchmark.html.j2",
                card=card.model_dump(),
                identity=card.identity,
                **shown_boards(boards),
            ),
            network="",
            network_sha256=None,
            inputs=inputs,
            fingerprint=fingerprint(
                "benchmark",
                VERSION,
                [card.identity, *(method.identity for method in methods), *(str(row["sha256"]) for row in rows)],
                settings.fingerprinted("benchmark"),
                None,
            ),
            other_networks=[(method.info.name, method.info.sha256) for method in methods if method.info.sha256],
        )


def _add_set(plan: BenchmarkRun, results: RunFolder) -> None:
    """A copy of the set: what others need to submit to it."""
    folder = results.stage / SET
    (folder / INPUTS).mkdir(parents=True)
    for case in plan.card.cases:
        path = folder / case.file
        shutil.copyfile(plan.folder / case.file, path)
        caption = (
            f"Inputs of {case.name}: {case.n_months} months, {100 * case.observed_share:.0f} % of the area observed"
        )
        results.add(path, "benchmark input", caption, content_sha256(path))
    for name, caption in ((CARD, "Card of the benchmark set"), (README, "The set, and the form of a submission")):
        shutil.copyfile(plan.folder / name, folder / name)
        results.add(folder / name, "benchmark set", caption)


def _summary(plan: BenchmarkRun, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    card = plan.card
    lines = [f"{card.name}, set {card.identity}: {len(card.cases)} cases, {len(rows)} submissions scored."]
    return [*lines, *(f"  {line}" for line in lines_of(rows))]
