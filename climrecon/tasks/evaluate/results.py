"""The last stage of an evaluation: scores, figures, provenance, report, manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.fields import Months
from climrecon.grid import Grid
from climrecon.output.content import content_sha256
from climrecon.output.evaluation import write_cells, write_scores
from climrecon.output.product import area_in_words, mean_in_words
from climrecon.report import write_evaluation_report
from climrecon.scores.masked_truth import RAW, Sums
from climrecon.scores.paired import LEVEL, in_words
from climrecon.scores.series import annual_means
from climrecon.scores.table import score_methods
from climrecon.tasks.evaluate.plan import EvaluationRun, PseudoObservations
from climrecon.tasks.training_data.material import lines_of
from climrecon.variables import VARIABLES
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_folder import RunFolder
from climrecon.workflow.run_info import RunInfo

COUNTED = "Only cells that were missing under the mask count, area-weighted; regional means are of the whole analysis."


def write_evaluation(
    evaluation: EvaluationRun,
    records: Sequence[PseudoObservations],
    sums: Mapping[str, Sequence[Sums]],
    rules: Sequence[str],
    run: RunInfo,
    reporter: Reporter,
) -> Outcome:
    """Write everything; results appear in the output folder together or not at all."""
    settings = evaluation.settings
    grid = records[0].known.grid
    reporter.stage(f"Scoring {', '.join(sums)}")
    table = score_methods(sums, evaluation.reference, settings.seed)
    content = _content(evaluation, records, rules, table)
    hashes = sorted(f"{n}:{m.identity}" for n, m in evaluation.methods.items())
    digest = fingerprint("evaluation", 1, [evaluation.fingerprint], {"reference": evaluation.reference}, str(hashes))
    with RunFolder.create(run, settings, reporter) as results:
        write_scores(results.stage / "scores.json", content)
        results.add("scores.json", "scores", "All scores, with what they were made from")
        cells = {name: _rmse_of_cells(parts) for name, parts in sums.items()}
        counts = np.sum([part["cell_count"] for part in sums[RAW]], axis=0)
        path = results.stage / "rmse_by_cell.nc"
        write_cells(path, grid, cells, counts, {"title": content["title"], "comment": COUNTED}, settings.variable)
        results.add(path, "scores", "RMSE of each method cell by cell", content_sha256(path))
        if settings.plots:
            reporter.stage("Drawing figures")
            _figures(results, evaluation, records, sums, table, cells, grid)
        main = evaluation.methods[evaluation.main]
        return results.finish(
            content["title"],
            {"product": "evaluation", "model": evaluation.main},
            [*_summary(content), *lines_of(evaluation.left_out)],
            partial(write_evaluation_report, content=content),
            network=main.info.name,
            network_sha256=main.info.sha256,
            inputs=_inputs(evaluation),
            fingerprint=digest,
            other_networks=[
                (method.info.name, method.info.sha256)
                for name, method in evaluation.methods.items()
                if name != evaluation.main and method.info.sha256
            ],
        )


def _content(
    evaluation: EvaluationRun, records: Sequence[PseudoObservations], rules: Sequence[str], table: Mapping[str, Any]
) -> dict[str, Any]:
    """What ``scores.json`` holds."""
    settings, gaps = evaluation.settings, evaluation.coverage_inputs
    names, grid = [record.known.name for record in records], records[0].known.grid
    caveats = [*evaluation.learned_from(), *evaluation.truth.notes]
    methods = {RAW: {"title": "mean of the observed cells, no method", "sha256": None}}
    for name, method in evaluation.methods.items():
        methods[name] = {"title": method.info.title, "sha256": method.info.sha256}
        caveats += [f"{name}: {text}" for text in method.info.card.get("caveats", [])]
    return {
        "schema": 1,
        "title": f"{', '.join(evaluation.names)} evaluated on {', '.join(names)}",
        "truth": [
            {
                "name": record.known.name,
                "months": record.known.time.span(),
                "n_months": len(record.known.time),
                "observed_share": round(float((record.known.mask * record.known.grid.area).sum((1, 2)).mean()), 4),
            }
            for record in records
        ],
        "gaps": {"files": [path.name for path in gaps.main] or [gaps.label], "rules": list(rules)},
        "errors_added": "as the training draws them, sizes anew each decade" if settings.noise else "none",
        "counted": COUNTED,
        "area": area_in_words(grid, settings.variable),
        "mean": mean_in_words(grid, settings.variable),
        "units": VARIABLES[settings.variable].units,
        "methods": methods,
        "reference": evaluation.reference,
        "interval": f"{100 * LEVEL:.0f} % circular block bootstrap over years, paired",
        "seed": settings.seed,
        "scores": dict(table),
        "caveats": list(dict.fromkeys(caveats)),
    }


def _rmse_of_cells(parts: Sequence[Sums]) -> FloatArray:
    count = np.sum([part["cell_count"] for part in parts], axis=0)
    squares = np.sum([part["cell_squares"] for part in parts], axis=0)
    return np.where(count > 0, np.sqrt(squares / np.maximum(count, 1)), np.nan)


def _figures(
    results: RunFolder,
    evaluation: EvaluationRun,
    records: Sequence[PseudoObservations],
    sums: Mapping[str, Sequence[Sums]],
    table: Mapping[str, Any],
    cells: Mapping[str, FloatArray],
    grid: Grid,
) -> None:
    from climrecon.plots.evaluation import colours_of, draw_annual, draw_cells, draw_groups, draw_reliability

    colours, variable = colours_of(list(sums), RAW), evaluation.settings.variable
    units = VARIABLES[variable].units
    annual = []
    for number, record in enumerate(records):
        time = Months(sums[RAW][number]["index"])
        whole = grid.whole.name
        years, truth = annual_means(sums[RAW][number][f"{whole}/truth"], time)
        means = {name: annual_means(parts[number][f"{whole}/estimate"], time)[1] for name, parts in sums.items()}
        annual.append((record.known.name, years.astype(float), truth, means))
    name, reference = evaluation.main, evaluation.reference
    drawn = [
        (
            "global_mean.png" if grid.is_global else "regional_mean.png",
            draw_annual(annual, colours, units, mean_in_words(grid, variable)),
        ),
        ("rmse_by_group.png", draw_groups(table, colours, units, area_in_words(grid, variable))),
        ("rmse_by_cell.png", draw_cells(grid, cells[name], cells[reference], name, reference, variable)),
        ("reliability.png", draw_reliability(table, colours)),
    ]
    for file, picture in drawn:
        if picture is not None:
            results.add_figure(file, picture)


def _inputs(evaluation: EvaluationRun) -> list[tuple[str, str]]:
    """All files that took part, with their hashes."""
    store = evaluation.preparation.store
    return [
        *((str(path), str(digest)) for member, _ in evaluation.truth.members for path, digest in member.about["files"]),
        *((str(path), store.sha256(path)) for path in evaluation.coverage_inputs.observations),
    ]


def _summary(content: Mapping[str, Any]) -> list[str]:
    months = sum(one["n_months"] for one in content["truth"])
    lines = [f"{content['title']}: {months} months, at the cells that were missing."]
    for name, scores in content["scores"].items():
        annual = next(iter(scores["regions"].values()))["annual"]
        cells, units = scores["cells"], content["units"]
        row = [f"RMSE {_number(cells['rmse'])} {units}", f"annual {content['mean']} {_number(annual['rmse'])} {units}"]
        if "total_ratio" in cells:
            row += [
                f"total {_number(cells['total_ratio'])} of the truth's",
                f"rank correlation {_number(cells['rank_r'])}",
            ]
        if "crps" in cells:
            row += [f"CRPS {_number(cells['crps'])} {units}", f"90 % covers {_number(cells['covers_90'])}"]
        if scores["paired"]:
            row.append(in_words(scores["paired"]["rmse"], content["reference"], units))
        lines.append(f"  {name:<14} " + ", ".join(row))
    return lines


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
