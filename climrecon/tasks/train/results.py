"""The last stage of a training: scores on members never learned from, the store, and what the run hands back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.fields import Auxiliary, Context, Months
from climrecon.files import write_text
from climrecon.methods import registry
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.card import Card
from climrecon.methods.contract import Method
from climrecon.methods.store import CARD, WEIGHTS, LoadedNetwork, load_network
from climrecon.output.card import card_markdown
from climrecon.output.manifest import made, write_manifest
from climrecon.output.provenance import Activity, OutputFile, write_provenance
from climrecon.report import write_training_report
from climrecon.scores.suite import score_table
from climrecon.tasks.network_store import add_network
from climrecon.tasks.train.example_months import FILE as SAMPLES
from climrecon.tasks.train.example_months import Samples, save_samples
from climrecon.tasks.train.fit import SHORT, remove_checkpoints
from climrecon.tasks.train.plan import TrainingPlan
from climrecon.tasks.training_data.coverage import Coverage, coverage_files
from climrecon.tasks.training_data.material import Material
from climrecon.training.fields import TrainingFields
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.output_folder import staged
from climrecon.workflow.progress import Reporter
from climrecon.workflow.versions import versions

DEFAULT_FOLDER = Path("climrecon-training")
#: Scored: whole years, so many of each test member, of so many members.
YEARS, MEMBERS = 10, 4
#: Of a trial, a training of a few steps, so many years.
TRIAL_YEARS = 3
NOISE_SEEDS = (0,)
REFERENCE_METHOD = "kriging"


def collect(
    training: TrainingPlan, material: Material, gaps: Coverage, run: dict[str, Any], reporter: Reporter
) -> Outcome:
    """Score, store, write; results appear together or not at all."""
    settings = training.settings
    source = training.folder / "network"
    remove_checkpoints(training.folder)
    network = load_network(str(source), device=choose_device(settings.device))
    reporter.stage(f"Scoring {training.name} and {REFERENCE_METHOD} on held-out members")
    trial = settings.iterations is not None and settings.iterations < SHORT
    years = TRIAL_YEARS if trial else YEARS
    table = scores(network, material, gaps, training.cache / "joined", years, reporter)
    card = network.card.model_copy(update={"name": training.name, "scores": table})
    folder = settings.outputdir or DEFAULT_FOLDER
    with staged(folder) as stage:
        write_text(stage / CARD, card.model_dump_json(indent=1) + "\n")
        (stage / WEIGHTS).write_bytes((source / WEIGHTS).read_bytes())
        write_text(stage / "card.md", card_markdown(card.model_dump(mode="json")))
        entries = [
            made(stage, stage / WEIGHTS, "network", f"Weights of {card.name}", card.weights_sha256),
            made(stage, stage / CARD, "card", f"Card of {card.name}: data, members, settings, scores"),
            made(stage, stage / "card.md", "card", f"Card of {card.name}, to read"),
        ]
        log = training.folder / "fit" / "log.csv"
        if log.is_file():
            (stage / "log.csv").write_bytes(log.read_bytes())
            entries.append(made(stage, stage / "log.csv", "log", "Loss and scores of each validation"))
        figures: list[tuple[OutputFile, str]] = []
        if settings.plots:
            reporter.stage("Drawing figures")
            figures = _figures(stage, card, network, material, gaps, training)
            entries += [figure for figure, _ in figures]
        activity = Activity(
            run_id=run["id"],
            started=run["started"],
            ended=datetime.now(UTC),
            user=run["user"],
            settings=settings.plain(),
            versions=versions(),
            network=training.start.name if training.start else "none",
            network_sha256=training.start.sha256 if training.start else None,
            inputs=_inputs(training, material),
            fingerprint=training.fingerprint,
        )
        write_provenance(stage / "provenance.json", activity, entries)
        entries.append(
            made(
                stage,
                stage / "provenance.json",
                "provenance",
                "W3C provenance: members, gaps, settings, versions",
            )
        )
        if settings.report:
            path = stage / "report.html"
            write_training_report(
                path,
                card=card.model_dump(mode="json"),
                figures=[(stage / figure.path, caption) for figure, caption in figures],
                outputs=entries,
                activity=activity,
            )
            entries.append(made(stage, path, "report", f"Report: training of {card.name}"))
        reporter.stage(f"Storing {training.name}")
        stored = add_network(stage, training.name, training.site, replace=True)
        manifest = write_manifest(stage, run["id"], training.fingerprint, _facets(training), entries)
    return Outcome(folder, manifest, _summary(folder, card, stored, material, entries))


def scores(
    network: LoadedNetwork, material: Material, gaps: Coverage, joined: Path, years: int, reporter: Reporter
) -> dict[str, Any]:
    """The table of :func:`climrecon.scores.suite.score_table`, averaged over the test members."""
    grid = network.card.grid.grid
    tables = []
    chosen = material.split.test[:MEMBERS]
    for number, (member, rows) in enumerate(chosen, 1):
        fields = material.fields([(member, rows)], joined)
        keep = whole_years(fields.index, years)
        truth = np.asarray(fields.values[keep], dtype=np.float32)
        valid = np.isfinite(truth)
        tables.append(
            score_table(
                _methods(network, fields, keep),
                np.nan_to_num(truth),
                valid,
                Months(fields.index[keep]),
                grid,
                gaps.scoring,
                NOISE_SEEDS,
            )
        )
        reporter.note(f"{fields.names[0]}: " + _told(tables[-1]))
        reporter.step(number, len(chosen))
    mean = averaged(tables)
    return {**mean, "members": [str(material.stored[member].about["name"]) for member, _ in chosen]}


def _methods(
    network: LoadedNetwork, fields: TrainingFields, rows: NDArray[np.integer[Any]]
) -> dict[str, Callable[[], Method]]:
    """What is scored: the network on temperature alone; with its auxiliary variables, as the member has them; kriging."""
    found: dict[str, Callable[[], Method]] = {network.name: lambda: network.method}
    values = fields.auxiliary_at(rows)
    if values is not None:
        auxiliary = Auxiliary(tuple(fields.auxiliary), np.asarray(fields.index)[rows], values)
        found[f"{network.name} with {', '.join(auxiliary.variables)}"] = lambda: (
            network.method.with_auxiliary(auxiliary)
        )
    return {**found, REFERENCE_METHOD: lambda: registry.build(REFERENCE_METHOD)}


def _told(table: dict[str, Any]) -> str:
    return "; ".join(
        f"{case}: " + ", ".join(f"{method} {row['rmse']:.3f} K" for method, row in methods.items())
        for case, methods in table["cases"].items()
    )


def whole_years(index: NDArray[np.integer[Any]], count: int) -> NDArray[np.integer[Any]]:
    """Positions of up to ``count`` whole years, spread over the record; all months where no year is whole."""
    years, months = np.unique(index // 12, return_counts=True)
    whole = years[months == 12]
    if len(whole) < 2:
        return np.arange(len(index))
    chosen = whole[np.unique(np.linspace(0, len(whole) - 1, count).astype(int))]
    return np.flatnonzero(np.isin(index // 12, chosen))


def averaged(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over tables of the same cases and methods; of scores over those of the tables that have them."""

    def mean(parts: Sequence[Any]) -> Any:
        if isinstance(parts[0], dict):
            keys = dict.fromkeys(key for part in parts for key in part)
            return {key: mean([part[key] for part in parts if key in part]) for key in keys}
        return round(float(np.mean(parts)), 4)

    first = tables[0]
    return {
        "n_months": int(sum(table["n_months"] for table in tables)),
        "seeds": first["seeds"],
        "cases": mean([table["cases"] for table in tables]),
        "response": mean([table["response"] for table in tables]),
    }


def _inputs(training: TrainingPlan, material: Material) -> list[tuple[str, str]]:
    """All files that took part, with their hashes."""
    found = material.files
    store = training.preparation.store
    found += [(str(path), store.sha256(path)) for _, path in coverage_files(training.coverage_inputs)]
    return [(str(path), str(digest)) for path, digest in dict.fromkeys(found)]


def _figures(
    stage: Path,
    card: Card,
    network: LoadedNetwork,
    material: Material,
    gaps: Coverage,
    training: TrainingPlan,
) -> list[tuple[OutputFile, str]]:
    """Figures with their full captions (the manifest's are cut to what the host stores)."""
    from climrecon.plots.training import draw_history, draw_sample

    grid = card.grid.grid
    member, rows = material.split.test[0]
    fields = material.fields([(member, rows)], training.cache / "joined")
    pictures = [("training.png", draw_history(card.training.get("history", []), card.name))]
    rng = np.random.default_rng(training.settings.seed)
    for number, (label, mask) in enumerate(list(gaps.scoring.items())[:2], 1):
        at = int(rng.integers(len(fields)))
        truth = np.nan_to_num(np.asarray(fields.values[at]))
        error, stated = (part.reshape(grid.shape) for part in gaps.noise.draw(rng))
        seen = np.where(mask, truth + error, np.nan).astype(np.float32)
        month = Months(fields.index[at : at + 1])
        estimate = network.method.reconstruct(
            seen[None], mask[None], stated[None].astype(np.float32), month.month, Context(grid, month)
        )
        what = f"{fields.names[0]}, {month.labels()[0]}, seen through the gaps of {label}"
        pictures.append((f"sample_{number}.png", draw_sample(grid, truth, seen, estimate, what, card.name)))
    found = []
    for name, picture in pictures:
        picture.save(stage / name)
        found.append((made(stage, stage / name, "figure", picture.caption), picture.caption))
    if gaps.scoring:
        # The months that were drawn while it learned, as the weights that were kept estimate them.
        validation = material.fields(material.split.validation, training.cache / "joined")
        samples = Samples(validation, gaps, training.settings.seed).estimated(network.method)
        caption = save_samples(stage / SAMPLES, samples, grid, card.name)
        found.insert(1, (made(stage, stage / SAMPLES, "figure", caption), caption))
    return found


def _facets(training: TrainingPlan) -> dict[str, str]:
    return {
        "project": "climrecon",
        "product": "network",
        "institute": "",
        "model": training.name,
        "experiment": training.settings.training_data,
        "time_frequency": "mon",
        "variable": training.settings.variable,
        "ensemble": "",
    }


def _summary(
    folder: Path, card: Card, stored: Path, material: Material, entries: Sequence[OutputFile]
) -> list[str]:
    split = material.split
    lines = [
        f"Trained {card.name} on {len(split.train)} members ({len(split.validation)} for validation, "
        f"{len(split.test)} for the test, {len(material.left_out)} left out).",
    ]
    for case, methods in card.scores["cases"].items():
        row = ", ".join(f"{method} {values['rmse']:.3f}" for method, values in methods.items())
        lines.append(f"  RMSE in K where nothing was seen, {case}: {row}")
    lines += [f"Stored in {stored}; use it with network={card.name}.", f"Results in {folder}:"]
    return (
        lines + [f"  {entry.role:<12} {entry.path}" for entry in entries] + ["  manifest     manifest.json"]
    )
