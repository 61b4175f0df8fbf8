"""From the plan of a training to a stored network with its card."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.fields import Context, Months, Steps
from climrecon.frequency import DAY, MONTH
from climrecon.grid import Grid
from climrecon.methods import registry
from climrecon.methods.by_chunks import choose_device
from climrecon.methods.card import Card, describe
from climrecon.methods.store import LoadedNetwork, as_network, network_of, save_network
from climrecon.methods.unet.network import UNet
from climrecon.parameters import BOOL, BY_NAME, FOLDER, OUTPUT, PATHS, TRAIN
from climrecon.redaction import redacted
from climrecon.settings import RunSettings
from climrecon.tasks.train.example_months import Samples, shown_while_training
from climrecon.tasks.train.plan import TrainingPlan
from climrecon.tasks.training_data.coverage import Coverage
from climrecon.tasks.training_data.preparation import OBSERVED
from climrecon.training.auxiliary import DESCRIPTION
from climrecon.training.distributed import process_rank
from climrecon.training.engine import Progress, Shown
from climrecon.training.fields import TrainingFields, normal_of
from climrecon.training.forcing import forces
from climrecon.training.published_task import new_network
from climrecon.training.range import reached_by
from climrecon.training.rarely_known import rarely_known, text_on
from climrecon.training.recipe_settings import RESPONSES_OF, PublishedRecipe, Recipe, UNetRecipe
from climrecon.training.recipes import parse, recipe
from climrecon.training.run import train
from climrecon.training.store import Rows, runs_of
from climrecon.training.unet_network import CONTINUED, continued, refitted, set_normal
from climrecon.training.validation_set import Estimator, ValidationSet
from climrecon.variables import VARIABLES
from climrecon.workflow.progress import Reporter
from climrecon.workflow.versions import versions

#: Trainings of fewer steps are trials.
SHORT = 200
#: Seconds between two lines of progress where validations are far apart.
NOTE_SECONDS = 60.0
#: Recipe that goes on with a network of each kind.
RECIPE_OF = {"analysis_unet": "punet", "published": "kadow2020"}
#: Folders of the network that is scored, and, where a recipe refits, of the same weights on covariances of all months.
SCORED, REFITTED = "network", "refitted"
#: The method that validation scores are compared with.
REFERENCE_METHOD = "kriging"


def run_training(
    plan: TrainingPlan, fields: TrainingFields, validation: TrainingFields, gaps: Coverage, reporter: Reporter
) -> None:
    """Train, and leave the network with its card in the training's folder."""
    settings = plan.settings
    device = choose_device(settings.device)
    chosen, of_time = plan.recipe, fields.frequency.plural
    reporter.stage(
        f"Training {plan.name} ({chosen.name}, {chosen.iterations} steps, from "
        f"{plan.start.name if plan.start else 'scratch'}) on {len(fields)} {of_time} of {len(fields.names)} "
        f"members, {len(validation)} {of_time} of {len(validation.names)} to validate, on {device}"
    )

    # Covariances are learned where nothing is started from.
    learns = isinstance(chosen, UNetRecipe) and plan.start is None and fields.scored is not None
    rare = text_on(rarely_known(fields)) if learns else ""
    if rare:
        reporter.note(rare)
    noted = time.monotonic()

    def report_progress(progress: Progress) -> None:
        nonlocal noted
        # Between validations too: of some recipes they are thousands of steps apart.
        if progress.checked or time.monotonic() - noted > NOTE_SECONDS:
            reporter.note(str(progress))
            noted = time.monotonic()
        reporter.step(progress.step, progress.steps)

    current = ""

    def report_preparation(what: str, done: int, total: int) -> None:
        nonlocal current
        if what != current:
            current = what
            reporter.stage(what)
        reporter.step(done, total)
        if done == total and what.startswith("Drawing validation"):
            reporter.stage(f"Scoring {REFERENCE_METHOD} on the validation {of_time}, then training {plan.name}")

    description = VARIABLES[chosen.variable]
    start = network_of(plan.start) if plan.start else None
    normal = normal_of(fields, description) if start is None else None
    if isinstance(start, UNet) and start.normal is not None:
        normal = start.normal.cpu().numpy()
    trained = train(
        chosen,
        fields.in_methods(description, normal),
        validation.in_methods(description, normal),
        gaps.masks,
        gaps.noise,
        folder=plan.folder / "fit",
        seed=settings.seed,
        device=device,
        max_hours=settings.max_hours,
        start=start,
        models=plan.models,
        report=report_progress,
        drawing=report_preparation,
        references={REFERENCE_METHOD: reference_estimator(fields.grid)},
        shown=_shown(plan, chosen, validation, gaps, reporter),
    )
    fitted = {name: value for name, value in trained.card.items() if name not in ("members", "members_validation")}
    data = {**material_card(plan, gaps), "rarely_known": rare}
    about = {**fitted, **data, "recipe": fitted["recipe"], "versions": {**fitted["versions"], **data["versions"]}}
    if (known := fitted.get("forced_responses")) and known["sources"]:
        reporter.note(
            f"Forced responses of {len(known['sources'])} sources: standard deviations of "
            f"{known['amplitude_of_mean_K']:g} K along their mean, {known['amplitude_of_differences_K']:g} K along their "
            "differences" + (f", {own:g} K along the record's own" if (own := known["amplitude_of_own_K"]) else "")
        )
    if len(trained.shares) > 1:
        reporter.note(
            f"Weights of the training sets in covariances, by the likelihood of {of_time} of "
            f"{next(iter(trained.shares))}: " + ", ".join(f"{name} {share:g}" for name, share in trained.shares.items())
        )
    network = as_network(trained.network)
    if isinstance(network, UNet) and normal is not None:
        set_normal(network, normal)
    card = describe(plan.name, network, fields.grid, about, fields.frequency)
    if process_rank():  # the others hold the same weights, and would write into the same folder
        return
    card = with_data(card, plan, gaps)
    if isinstance(chosen, UNetRecipe) and isinstance(network, UNet) and chosen.refit and plan.start is None:
        reporter.stage(f"Learning covariances of the validation's {of_time} too, and of all {of_time}")
        material, joined = plan.material, plan.cache / "joined"
        untested = material.fields((*material.split.train, *material.split.validation), joined)
        every = material.fields([(number, slice(None)) for number in range(len(material.stored))], joined)
        uses = {
            REFITTED: (every, f"all {len(every)} {of_time}"),
            SCORED: (untested, f"{len(untested)} {of_time}, those learned from and those validated on"),
        }
        for folder, (months, text) in uses.items():
            given = replace(months, shares=trained.shares).in_methods(description, normal)
            network = refitted(network, given, chosen, trained.forcing)
            card = card.model_copy(update={"training": {**card.training, "covariances": text}})
            save_network(network, card, plan.folder / folder, reached_by(months))
    else:
        save_network(network, card, plan.folder / SCORED, reached_by(fields))
    remove_checkpoints(plan.folder)


def _shown(
    plan: TrainingPlan, chosen: Recipe, validation: TrainingFields, gaps: Coverage, reporter: Reporter
) -> Shown | None:
    """Draws samples as the network learns; None where no figures are wanted."""
    # A network that takes transformed values is shown when it is stored with their normal ones.
    if not plan.settings.plots or not gaps.scoring or VARIABLES[chosen.variable].to_methods.kind != "linear":
        return None
    samples = Samples(validation, gaps, plan.settings.seed, chosen.variable)
    rows = chosen.rows if isinstance(chosen, PublishedRecipe) else 0
    return shown_while_training(samples, plan.folder, plan.name, rows, reporter.note, chosen.variable)


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a training whose network is there."""
    for left in (folder / "fit").glob("checkpoint*"):
        left.unlink(missing_ok=True)


def reference_estimator(grid: Grid) -> Estimator:
    """Kriging of the validation's months; they share few masks, so that it takes seconds."""

    def estimate(cases: ValidationSet) -> Any:
        method = registry.build(REFERENCE_METHOD)
        context = Context(grid, Months(cases.index))
        return method.reconstruct(cases.values, cases.mask, cases.stated, cases.month, context).mean

    return estimate


def recipe_of(start: LoadedNetwork) -> str:
    """The recipe to go on with from a network, as ``recipe=`` names it."""
    network, name = network_of(start), RECIPE_OF[start.card.kind]
    if not isinstance(network, UNet):
        return name
    settings = {setting: getattr(network, setting) for setting in CONTINUED}
    # What is true by default is not named.
    return ",".join([name, *(f"{setting}={value}" for setting, value in settings.items() if value is not True)])


def check_start(recipe: Recipe, grid: Grid, start: LoadedNetwork) -> None:
    """Refuse a network that the recipe cannot go on with, before anything long begins.

    Raises
    ------
    UsageError
        Naming the network and the kind that the recipe needs.
    """
    if isinstance(recipe, UNetRecipe):
        continued(recipe, grid, network_of(start))
    elif isinstance(recipe, PublishedRecipe):
        new_network(recipe, network_of(start))


def recipe_for(
    text: str, iterations: int | None, auxiliary: Sequence[str] = (), variable: str = RESPONSES_OF
) -> Recipe:
    """The recipe of ``recipe=`` with so many iterations; a short training draws no more samples than it takes.

    Parameters
    ----------
    auxiliary, variable:
        Auxiliary variables of the network, and the one that the network is for.

    Raises
    ------
    UsageError
        If there is none of that name, or a setting is impossible.
    """
    name, given = parse(text)
    if auxiliary or variable != RESPONSES_OF:
        given["variables"] = [variable, *auxiliary]
    chosen = recipe(name, **given)
    if iterations is None:
        return chosen
    changes: dict[str, Any] = {**given, "iterations": iterations}
    if isinstance(chosen, UNetRecipe):
        changes["pool"] = min(chosen.pool, iterations * chosen.batch)
        if iterations < SHORT:
            # To try things out: fewer checks, and covariances learned once instead of seven times.
            trial = {"checks": min(chosen.checks, 64), "folds": 1, "validation_years": 2, "refit": False}
            changes |= {key: value for key, value in trial.items() if key not in given}
    return recipe(name, **changes)


def command(settings: RunSettings) -> str:
    """The call that makes this training: what was given for it, files by their names, which a card may hand on."""
    words = ["climrecon train"]
    for name in sorted(settings.given - {"task"}):
        parameter, value = BY_NAME[name], getattr(settings, name)
        if TRAIN not in parameter.tasks or parameter.kind in (OUTPUT, FOLDER, BOOL) or value is None:
            continue
        text = redacted(str(value))
        shown = Path(text).name if parameter.kind in PATHS and "=" not in text else text
        words += [f"--{name.replace('_', '-')}", shlex.quote(shown)]
    return " ".join(words)


def material_card(plan: TrainingPlan, gaps: Coverage) -> dict[str, Any]:
    """The card's entries on data, members, gaps and errors."""
    settings, material = plan.settings, plan.material
    targets = [member.about["target"] for member in material.stored]
    kinds = {"blended": "blended like observations", OBSERVED: "as observed", "tas": "air temperature alone"}
    counts = [f"{targets.count(target)} {text}" for target, text in kinds.items() if target in targets]

    def member(number: int, rows: Rows) -> dict[str, Any]:
        stored = material.stored[number]
        time = stored.time[rows]
        periods = periods_of(time)
        months = {time.plural: f"{', '.join(periods)}; {time.counted()}", "periods": periods}
        names = ("name", "family", "set", "target")
        return {**{key: stored.about[key] for key in names}, **months, "notes": stored.about["notes"]}

    split = material.split
    uses = {"train": split.train, "validation": split.validation, "test": split.test}
    return {
        "fingerprint": plan.fingerprint,
        "data": f"{settings.training_data}: {len(material.stored)} members, anomalies to "
        + "; ".join(["-".join(map(str, settings.reference_period.years)), *filter(None, [", ".join(counts)])]),
        "members": {use: [member(*one) for one in members] for use, members in uses.items()},
        "left_out": [list(item) for item in (*material.left_out, *plan.left_out, *plan.files_left_out)],
        "held_out": split.how,
        "further": material.auxiliary_card(DESCRIPTION),
        "masks": f"{gaps.label}: {gaps.masks.describe(settings.frequency)}; those of {', '.join(gaps.scoring)} are "
        "not among them, nor "
        f"the two {settings.frequency.plural} before and after each",
        "noise": gaps.noise.describe(settings.frequency),
        "seed": settings.seed,
        "start": plan.start.name if plan.start else None,
        "versions": versions(),
    }


def periods_of(time: Steps) -> list[str]:
    """Steps as periods without gaps, by their months: ``193001-195410``; of years ``1930-1954``."""
    runs = [replace(time, index=run[[0, -1]]) for run in runs_of(np.asarray(time.index))]
    return [Months(run.months).span() if time.frequency == DAY else run.span() for run in runs]


def with_data(card: Card, plan: TrainingPlan, gaps: Coverage) -> Card:
    """The card with the caveats that follow from the data."""
    material = plan.material
    caveats = [*card.caveats, *material.split.caveats, *gaps.caveats]
    if records := [member.about["name"] for member in material.stored if member.about["target"] == OBSERVED]:
        caveats.append(f"It learned from {', '.join(records)}, so that its scores there are not independent.")
    if card.training["rarely_known"]:
        caveats.append(card.training["rarely_known"])
    frequency = plan.settings.frequency
    if isinstance(plan.recipe, UNetRecipe) and not forces(plan.recipe, frequency):
        of = RESPONSES_OF if frequency == MONTH else "monthly means"
        caveats.append(
            f"It knows no forced responses, which are those of {of}: climates that the training data do not "
            "hold are unknown to it."
        )
    if (exists := card.grid.grid.exists) is not None:
        variable = VARIABLES[card.variable]
        where = "the cells that its training data know" if variable.exists == "everywhere" else variable.area_in_words
        caveats.append(
            f"Its domain is {where}, {int(exists.sum())} of {exists.size} cells: elsewhere observations are not used, "
            "and the estimate is the {frequency.word}'s mean."
        )
    alone = sum(member.about["target"] == "tas" for member in material.stored)
    if alone and plan.settings.training_target != "tas" and frequency == MONTH:
        caveats.append(
            f"{alone} of {len(material.stored)} members hold air temperature over sea too, for want of usable tos, sic "
            "or sftlf: over the sea such fields vary and warm more than the blended fields of observational data sets."
        )
    elif alone:
        caveats.append("It learned air temperature everywhere; observational data sets blend it with that of the sea.")
    if card.auxiliary:
        caveats.append(
            f"{', '.join(card.auxiliary)}: errors and gaps of auxiliary variables are made up, not those of any data set "
            f"of them; the {frequency.word}'s mean and the realisations' correlations are those of the temperature "
            "observations."
        )
    return card.model_copy(update={"caveats": caveats, "reference_period": plan.settings.reference_period.years})
