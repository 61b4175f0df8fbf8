"""The last stage of an evaluation: scores, figures, provenance, report, manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.fields import Steps
from climrecon.frequency import MONTH, frequency_of
from climrecon.grid import Grid
from climrecon.output.content import content_sha256
from climrecon.output.evaluation import write_cells
from climrecon.output.product import area_in_words, mean_in_words
from climrecon.report import write_evaluation_report
from climrecon.scores.details import detailed_scores
from climrecon.scores.masked_truth import RAW, Sums, structure_of
from climrecon.scores.paired import INTERVAL, in_words
from climrecon.scores.series import annual_means
from climrecon.scores.table import score_methods
from climrecon.settings import RunSettings
from climrecon.tasks.evaluate.plan import EvaluationRun, PseudoObservations
from climrecon.tasks.methods import LoadedMethod
from climrecon.tasks.training_data.material import lines_of
from climrecon.variables import VARIABLES
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_folder import RunFolder
from climrecon.workflow.run_info import RunInfo

COUNTED = "Only cells that were missing under the mask count, area-weighted; regional means are of the whole analysis."

BY_YEARS = "over years"


@dataclass(frozen=True)
class Assessed:
    """What the results of an evaluation are made of, in either form.

    Attributes
    ----------
    main, reference:
        Names of the method that ``network`` names, and of the one that scores are compared with.
    sums:
        Method -> sums of each record.
    times:
        Time axis of each record.
    truth:
        Of each record :func:`climrecon.scores.structure.structure_sums` of the truth.
    about:
        What ``scores.json`` states of truth, gaps or withheld cells; ``title``, ``cells`` (which cells count, in words)
        and ``counted`` (the same in a sentence) are among it.
    series:
        (record, years, truth, method -> means), see :func:`climrecon.plots.evaluation.draw_annual`.
    left_out:
        (member, reason) left out.
    units:
        What differences are tested over, in words.
    """

    settings: RunSettings
    methods: Mapping[str, LoadedMethod]
    main: str
    reference: str | None
    grid: Grid
    sums: Mapping[str, Sequence[Sums]]
    times: Sequence[Steps]
    truth: Sequence[Sums]
    about: Mapping[str, Any]
    caveats: Sequence[str]
    inputs: Sequence[tuple[str, str]]
    fingerprint: str
    series: Sequence[tuple[str, FloatArray, FloatArray, dict[str, FloatArray]]] = ()
    left_out: Sequence[tuple[str, str]] = ()
    units: str = BY_YEARS


def write_evaluation(
    evaluation: EvaluationRun,
    records: Sequence[PseudoObservations],
    sums: Mapping[str, Sequence[Sums]],
    rules: Sequence[str],
    run: RunInfo,
    reporter: Reporter,
) -> Outcome:
    """Write the results of an evaluation on known fields."""
    grid, truths, gaps = records[0].known.grid, [record.known for record in records], evaluation.coverage_inputs
    about = {
        "title": f"{', '.join(evaluation.names)} evaluated on {', '.join(known.name for known in truths)}",
        "truth": [described(known.name, known.time, known.mask, grid) for known in truths],
        "gaps": {"files": [path.name for path in gaps.main] or [gaps.label], "rules": list(rules)},
        "errors_added": "as the training draws them, sizes anew each decade" if evaluation.settings.noise else "none",
        "cells": "cells that were missing",
        "counted": COUNTED,
    }
    series, whole = [], grid.whole.name
    for number, known in enumerate(truths):
        years, truth = annual_means(sums[RAW][number][f"{whole}/truth"], known.time)
        means = {name: annual_means(parts[number][f"{whole}/estimate"], known.time)[1] for name, parts in sums.items()}
        series.append((known.name, years.astype(float), truth, means))
    store = evaluation.preparation.store
    hashes = sorted(f"{n}:{m.identity}" for n, m in evaluation.methods.items())
    assessed = Assessed(
        evaluation.settings,
        evaluation.methods,
        evaluation.main,
        evaluation.reference,
        grid,
        sums,
        [known.time for known in truths],
        [structure_of(known, known.truth) for known in truths],
        about,
        [*evaluation.learned_from(), *evaluation.truth.notes],
        [
            *((str(path), str(sha)) for member, _ in evaluation.truth.members for path, sha in member.about["files"]),
            *((str(path), store.sha256(path)) for path in gaps.observations),
        ],
        fingerprint("evaluation", 1, [evaluation.fingerprint], {"reference": evaluation.reference}, str(hashes)),
        series,
        evaluation.left_out,
    )
    return write_assessed(assessed, run, reporter)


def write_assessed(assessed: Assessed, run: RunInfo, reporter: Reporter) -> Outcome:
    """Write everything; results appear in the output folder together or not at all."""
    settings, sums, grid, methods = assessed.settings, assessed.sums, assessed.grid, assessed.methods
    reporter.stage(f"Scoring {', '.join(sums)}")
    content = _content(assessed)
    with RunFolder.create(run, settings, reporter) as results:
        results.add_json("scores.json", "scores", "All scores, with what they were made from", content)
        cells = {name: _rmse_of_cells(parts) for name, parts in sums.items()}
        counts = np.sum([part["cell_count"] for part in next(iter(sums.values()))], axis=0)
        path = results.stage / "rmse_by_cell.nc"
        attributes = {"title": content["title"], "comment": content["counted"]}
        steps = assessed.times[0].plural
        write_cells(path, grid, cells, counts, attributes, settings.variable, steps, withheld="withheld" in content)
        results.add(path, "scores", "RMSE of each method cell by cell", content_sha256(path))
        if settings.plots:
            reporter.stage("Drawing figures")
            _figures(results, assessed, content, cells)
        main = methods[assessed.main]
        return results.finish(
            content["title"],
            {"product": "evaluation", "model": assessed.main},
            [*_summary(content), *lines_of(assessed.left_out)],
            partial(write_evaluation_report, content=content),
            network=main.info.name,
            network_sha256=main.info.sha256,
            inputs=assessed.inputs,
            fingerprint=assessed.fingerprint,
            other_networks=[
                (method.info.name, method.info.sha256)
                for name, method in methods.items()
                if name != assessed.main and method.info.sha256
            ],
        )


def described(name: str, time: Steps, mask: Any, grid: Grid) -> dict[str, Any]:
    """Name, months (years, seasons, days) and coverage of a record."""
    return {
        "name": name,
        time.plural: time.span(),
        f"n_{time.plural}": len(time),
        "observed_share": round(float((mask * grid.area).sum((1, 2)).mean()), 4),
    }


def _content(assessed: Assessed) -> dict[str, Any]:
    """What ``scores.json`` holds."""
    settings, grid = assessed.settings, assessed.grid
    caveats, methods = [*assessed.caveats], {}
    if RAW in assessed.sums:
        methods[RAW] = {"title": "mean of the observed cells, no method", "sha256": None}
    for name, method in assessed.methods.items():
        methods[name] = {"title": method.info.title, "sha256": method.info.sha256}
        caveats += [f"{name}: {text}" for text in method.info.card.get("caveats", [])]
    return {
        "schema": 1,
        **assessed.about,
        "area": area_in_words(grid, settings.variable),
        "mean": mean_in_words(grid, settings.variable),
        "units": VARIABLES[settings.variable].units,
        **({} if settings.frequency == MONTH else {"frequency": settings.frequency.name}),
        "methods": methods,
        "reference": assessed.reference,
        "interval": f"{INTERVAL} {assessed.units}",
        "seed": settings.seed,
        "scores": score_methods(assessed.sums, assessed.reference, assessed.times),
        **detailed_scores(assessed.sums, assessed.truth, grid),
        "caveats": list(dict.fromkeys(caveats)),
    }


def _rmse_of_cells(parts: Sequence[Sums]) -> FloatArray:
    count = np.sum([part["cell_count"] for part in parts], axis=0)
    squares = np.sum([part["cell_squares"] for part in parts], axis=0)
    return np.where(count > 0, np.sqrt(squares / np.maximum(count, 1)), np.nan)


def _figures(
    results: RunFolder, assessed: Assessed, content: Mapping[str, Any], cells: Mapping[str, FloatArray]
) -> None:
    from climrecon.plots import evaluation as plots

    colours, variable, grid = plots.colours_of(list(assessed.sums), RAW), assessed.settings.variable, assessed.grid
    units, which, table, mean = content["units"], content["cells"], content["scores"], content["mean"]
    name, reference = assessed.main, assessed.reference
    drawn = [
        (
            "global_mean.png" if grid.is_global else "regional_mean.png",
            plots.draw_annual(assessed.series, colours, units, mean) if assessed.series else None,
        ),
        ("rmse_by_group.png", plots.draw_groups(table, content["surfaces"], colours, units, which, content["area"])),
        (
            "rmse_by_cell.png",
            plots.draw_cells(grid, cells[name], cells.get(reference or ""), name, reference or "", variable, which),
        ),
        ("reliability.png", plots.draw_reliability(table, colours, which)),
        ("spread.png", plots.draw_spread(content["spread_skill"], content["realisations"], colours, units, which)),
        (
            "scales.png",
            plots.draw_scales(
                content["variogram"], content.get("spectrum"), colours, units, observed="withheld" in content
            ),
        ),
    ]
    for file, picture in drawn:
        if picture is not None:
            results.add_figure(file, picture)


def _summary(content: Mapping[str, Any]) -> list[str]:
    steps = frequency_of(content)
    count = sum(one[f"n_{steps.plural}"] for one in content["truth"])
    lines = [f"{content['title']}: {count} {steps.plural}, at the {content['cells']}."]
    for name, scores in content["scores"].items():
        cells, units = scores["cells"], content["units"]
        row = [f"RMSE {_number(cells['rmse'])} {units}"]
        for region in list(scores["regions"].values())[:1]:
            row.append(f"annual {content['mean']} {_number(region['annual']['rmse'])} {units}")
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
