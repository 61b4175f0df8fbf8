"""The last stage of a training: scores on members never learned from, the store, and the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.fields import Auxiliary, Context, Steps
from climrecon.files import write_text
from climrecon.frequency import DAY, YEAR
from climrecon.methods import registry
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.card import Card
from climrecon.methods.contract import Method
from climrecon.methods.store import CARD, WEIGHTS, LoadedNetwork, load_network
from climrecon.methods.training_range import RANGE
from climrecon.methods.transformed import transformed
from climrecon.output.card import card_markdown
from climrecon.report import write_training_report
from climrecon.scores.suite import score_table
from climrecon.tasks.network_store import add_network
from climrecon.tasks.train.example_months import FILE as SAMPLES
from climrecon.tasks.train.example_months import Samples
from climrecon.tasks.train.fit import REFERENCE_METHOD, REFITTED, SCORED, SHORT, command, remove_checkpoints
from climrecon.tasks.train.plan import TrainingPlan
from climrecon.tasks.training_data.coverage import Coverage
from climrecon.tasks.training_data.material import Material, lines_of
from climrecon.training.fields import TrainingFields
from climrecon.variables import VARIABLES
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_folder import RunFolder
from climrecon.workflow.run_info import RunInfo

#: Scored: whole years, so many of each test member, of so many members.
YEARS, MEMBERS = 10, 4
#: Of a trial, a training of a few steps, so many years.
TRIAL_YEARS = 3
NOISE_SEEDS = (0,)
#: Most days of a member that are scored.
DAYS = 1080


def collect(training: TrainingPlan, gaps: Coverage, run: RunInfo, reporter: Reporter) -> Outcome:
    """Score, store, write; results appear together or not at all."""
    settings, material = training.settings, training.material
    source = training.folder / SCORED
    remove_checkpoints(training.folder)
    network = load_network(str(source), device=choose_device(settings.device))
    reporter.stage(f"Scoring {training.name} and {REFERENCE_METHOD} on held-out members")
    trial = settings.iterations is not None and settings.iterations < SHORT
    years = TRIAL_YEARS if trial else YEARS
    table = scores(network, material, gaps, training.cache / "joined", years, reporter)
    if (training.folder / REFITTED / CARD).is_file():
        source = training.folder / REFITTED
    card = load_network(str(source)).card
    about = {**card.training, "command": command(settings)}
    card = card.model_copy(update={"name": training.name, "scores": table, "training": about})
    with RunFolder.create(run, settings, reporter) as results:
        stage = results.stage
        write_text(stage / CARD, card.model_dump_json(indent=1) + "\n")
        (stage / WEIGHTS).write_bytes((source / WEIGHTS).read_bytes())
        write_text(stage / "card.md", card_markdown(card.model_dump(mode="json")))
        results.add(WEIGHTS, "network", f"Weights of {card.name}", card.weights_sha256)
        if card.range_sha256:
            (stage / RANGE).write_bytes((source / RANGE).read_bytes())
            what = f"Range of the training {settings.frequency.plural} of {card.name}"
            results.add(RANGE, "network", what, card.range_sha256)
        results.add(CARD, "card", f"Card of {card.name}: data, members, settings, scores")
        results.add("card.md", "card", f"Card of {card.name}, to read")
        log = training.folder / "fit" / "log.csv"
        if log.is_file():
            (stage / "log.csv").write_bytes(log.read_bytes())
            results.add("log.csv", "log", "Loss and scores of each validation")
        if settings.plots:
            reporter.stage("Drawing figures")
            _figures(results, card, network, gaps, training)
        reporter.stage(f"Storing {training.name}")
        stored = add_network(stage, training.name, training.site, replace=True)
        return results.finish(
            f"training of {card.name}",
            {"product": "network", "model": training.name, "experiment": settings.training_data},
            _summary(card, stored, material, (*training.left_out, *material.left_out)),
            partial(write_training_report, card=card.model_dump(mode="json")),
            network=training.start.name if training.start else "none",
            network_sha256=training.start.sha256 if training.start else None,
            inputs=[*material.files, *training.coverage_hashes()],
            fingerprint=training.fingerprint,
        )


def scores(
    network: LoadedNetwork, material: Material, gaps: Coverage, joined: Path, years: int, reporter: Reporter
) -> dict[str, Any]:
    """The table of :func:`climrecon.scores.suite.score_table`, averaged over the test members."""
    grid = network.card.grid.grid
    tables = []
    chosen = material.split.test[:MEMBERS]
    for number, (member, rows) in enumerate(chosen, 1):
        fields = material.fields([(member, rows)], joined)
        time = fields.time(slice(None))
        keep = whole_years(time, years)
        truth = np.asarray(fields.values[keep], dtype=np.float32)
        tables.append(
            score_table(
                _methods(network, fields, keep),
                truth,
                np.isfinite(truth),
                time[keep],
                grid,
                gaps.scoring,
                NOISE_SEEDS,
                VARIABLES[network.card.variable],
            )
        )
        units = network.card.units
        cases = (
            f"{case}: " + ", ".join(f"{method} {row['rmse']:.3f} {units}" for method, row in methods.items())
            for case, methods in tables[-1]["cases"].items()
        )
        reporter.note(f"{fields.names[0]}: {'; '.join(cases)}")
        reporter.step(number, len(chosen))
    mean = averaged(tables)
    return {**mean, "members": [str(material.stored[member].about["name"]) for member, _ in chosen]}


def _methods(
    network: LoadedNetwork, fields: TrainingFields, rows: NDArray[np.integer[Any]]
) -> dict[str, Callable[[], Method]]:
    """The methods to score: the network, also with auxiliary variables where the member has them, and kriging."""
    found: dict[str, Callable[[], Method]] = {network.name: lambda: network.method}
    values = fields.auxiliary_at(rows)
    if values is not None:
        auxiliary = Auxiliary(tuple(fields.auxiliary), fields.time(rows).stamps, values)
        found[f"{network.name} with {', '.join(auxiliary.variables)}"] = lambda: network.method.with_auxiliary(
            auxiliary
        )
    variable = VARIABLES[network.card.variable]
    return {**found, REFERENCE_METHOD: lambda: transformed(registry.build(REFERENCE_METHOD), variable)}


def whole_years(time: Steps, count: int) -> NDArray[np.integer[Any]]:
    """Positions of up to ``count`` whole years, spread over the record; all steps where no year is whole.

    Of yearly means as many steps as the months of so many years; of days :data:`DAYS` at most.
    """
    whole = time.whole_years()
    if len(whole) < 2:
        return np.arange(len(time))
    count = {YEAR: 12 * count, DAY: min(count, DAYS // DAY.per_year)}.get(time.frequency, count)
    chosen = whole[np.unique(np.linspace(0, len(whole) - 1, count).astype(int))]
    return np.flatnonzero(np.isin(time.year, chosen))


def averaged(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over tables of the same cases and methods; of scores over those of the tables that have them."""

    def mean(parts: Sequence[Any]) -> Any:
        if isinstance(parts[0], dict):
            keys = dict.fromkeys(key for part in parts for key in part)
            return {key: mean([part[key] for part in parts if key in part]) for key in keys}
        return round(float(np.mean(parts)), 4)

    first = tables[0]
    count = next(key for key in first if key.startswith("n_"))
    return {
        count: int(sum(table[count] for table in tables)),
        "seeds": first["seeds"],
        "cases": mean([table["cases"] for table in tables]),
        "response": mean([table["response"] for table in tables]),
    }


def _figures(results: RunFolder, card: Card, network: LoadedNetwork, gaps: Coverage, training: TrainingPlan) -> None:
    from climrecon.plots.training import draw_history, draw_sample, draw_samples

    grid, material = card.grid.grid, training.material
    fields = material.fields(material.split.test[:1], training.cache / "joined")
    results.add_figure("training.png", draw_history(card.training.get("history", []), card.name))
    if gaps.scoring:
        # The months that were drawn while it learned, as the weights that were kept estimate them.
        validation = material.fields(material.split.validation, training.cache / "joined")
        samples = Samples(validation, gaps, training.settings.seed, card.variable).estimated(network.method)
        results.add_figure(SAMPLES, draw_samples(grid, samples, card.name, card.variable))
    rng = np.random.default_rng(training.settings.seed)
    for number, (label, mask) in enumerate(list(gaps.scoring.items())[:2], 1):
        at = int(rng.integers(len(fields)))
        truth = np.asarray(fields.values[at])
        error, sizes = (part.reshape(grid.shape) for part in gaps.noise.draw(rng))
        mask = mask & np.isfinite(truth)
        observed, stated = VARIABLES[card.variable].to_methods.observed(truth, error, sizes)
        seen = np.where(mask, observed, np.nan).astype(np.float32)
        month = fields.time(slice(at, at + 1))
        estimate = network.method.reconstruct(
            seen[None], mask[None], stated[None].astype(np.float32), month.month, Context(grid, month)
        )
        what = f"{fields.names[0]}, {month.labels()[0]}, seen through the gaps of {label}"
        results.add_figure(
            f"sample_{number}.png", draw_sample(grid, truth, seen, estimate, what, card.name, card.variable)
        )


def _summary(card: Card, stored: Path, material: Material, left_out: Sequence[tuple[str, str]]) -> list[str]:
    split = material.split
    lines = [
        f"Trained {card.name} on {len(split.train)} members ({len(split.validation)} for validation, "
        f"{len(split.test)} for the test, {len(left_out)} left out)."
    ]
    for case, methods in card.scores["cases"].items():
        row = ", ".join(f"{method} {values['rmse']:.3f}" for method, values in methods.items())
        lines.append(f"  RMSE in {card.units} where nothing was seen, {case}: {row}")
    return [*lines, *lines_of(left_out), f"Stored in {stored}; use it with network={card.name}."]
