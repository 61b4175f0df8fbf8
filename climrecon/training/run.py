"""Training a network by a recipe: from months, masks and errors to weights and their card."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.errors import InputDataError, OutputError, UsageError
from climrecon.methods.priors.forced import ForcedResponses
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.training import published_task, unet_network, unet_task
from climrecon.training.banks import VALIDATION
from climrecon.training.calibration import calibrate
from climrecon.training.distributed import Workers, workers
from climrecon.training.engine import Loop, Plan, Progress, Shown, TrainingHistory
from climrecon.training.fields import TrainingFields
from climrecon.training.forcing import Forcing, forcing_of, no_forcing
from climrecon.training.precision import precision_name
from climrecon.training.recipe_settings import PublishedRecipe, Recipe, UNetRecipe
from climrecon.training.reference_scores import reference_scores
from climrecon.training.resume import Checkpoints, identity_of_fields, identity_of_source, identity_of_weights
from climrecon.training.sizes import bytes_of, checkpoint_bytes
from climrecon.training.source_weights import fit_shares
from climrecon.training.validation_set import Estimator
from climrecon.variables import VARIABLES

#: Months that are looked at together.
AT_ONCE = 500


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes
    ----------
    network:
        With the weights that were best in validation, in evaluation mode, on the CPU.
    card:
        For a card's ``training``: recipe, members, seeds, versions, hardware, time, scores.
    history:
        Losses and scores on the way.
    forcing:
        What covariances know of other climates.
    shares:
        Weight of each training set in covariances; empty where none were learned.
    """

    network: nn.Module
    card: dict[str, Any]
    history: TrainingHistory
    forcing: Forcing
    shares: Mapping[str, float]


def train(
    recipe: Recipe,
    fields: TrainingFields,
    validation: TrainingFields,
    masks: MaskSource,
    noise: NoiseSource | None,
    *,
    folder: Path,
    seed: int,
    device: str,
    iterations: int | None = None,
    max_hours: float | None = None,
    start: nn.Module | None = None,
    models: ForcedResponses | None = None,
    report: Callable[[Progress], None] | None = None,
    drawing: unet_network.Drawing | None = None,
    references: Mapping[str, Estimator] | None = None,
    shown: Shown | None = None,
) -> Trained:
    """Train, or go on with what ``folder`` holds; started by torchrun, in several processes.

    Parameters
    ----------
    recipe:
        See :func:`climrecon.training.recipes.recipe`.
    fields, validation:
        Months to learn from, and months of other members to judge by.
    masks, noise:
        Gaps and errors of the samples.
    folder:
        For the checkpoint and ``log.csv``.
    iterations, max_hours:
        In place of the recipe's iterations; a limit on the time of all runs together, after which training ends with
        the best weights so far.
    start:
        A network to go on from: fine-tuning.
    models:
        Forced responses of models, in addition to those of the runs that are trained on.
    report:
        Called every few seconds and after every validation.
    drawing:
        Called with what is done before the first step and after the last, how much of it, of how much.
    references:
        Other methods (kriging) that are scored once on the validation's months, to compare with.
    shown:
        Called after each validation with the step's number and the network as it was validated, by one process.

    Raises
    ------
    Unfinished
        If SIGTERM or SIGUSR1 came. The state is saved, the same call goes on.
    UsageError
        If ``folder`` holds another training's checkpoint, or recipe, grid and start do not belong together.
    InputDataError
        If training months have gaps that are not excluded, or training diverges.
    OutputError
        If there is no room for checkpoints.
    """
    if iterations is not None:
        recipe = type(recipe).model_validate({**recipe.model_dump(), "iterations": iterations})
    _check_gaps(fields, validation)
    if not fields.grid.same_as(validation.grid):
        raise UsageError(
            f"Training fields are on {fields.grid.describe()}, those for validation on {validation.grid.describe()}.",
            "Prepare both on the same grid.",
        )
    checkpoints = Checkpoints(folder, _identity(recipe, fields, validation, masks, noise, seed, start, models))
    # A checkpoint of another training is refused before minutes of preparation.
    checkpoints.read()
    folder.mkdir(parents=True, exist_ok=True)
    with workers(device) as processes:
        torch.manual_seed(seed)
        if processes.rank:
            drawing = None
        forcing = no_forcing(fields.grid)
        if isinstance(recipe, UNetRecipe):
            if start is None:
                with _one_step(drawing if len(fields.set_names) > 1 else None, "Weighting training sets"):
                    fields = replace(fields, shares=fit_shares(fields, masks, seed))
            shown_as = drawing if start is None else None
            with _one_step(shown_as, "Estimating the amplitudes of forced responses"):
                forcing = forcing_of(recipe, fields, models, masks, seed, continues=start is not None)
        task, priors = _task(recipe, fields, validation, masks, noise, seed, processes, start, forcing, folder, drawing)
        known = reference_scores(checkpoints, task.cases, {} if processes.rank else references or {})
        _check_room(folder, task.network)
        steps = optimiser(recipe, task.groups())
        loop = Loop(task, steps, plan_of(recipe, max_hours), processes, checkpoints, report, known, shown)
        history = loop.run()
        calibration: dict[str, Any] = {}
        if isinstance(task, unet_task.UNetTask):
            calibrating = None if drawing is None else partial(drawing, "Calibrating the spread")
            calibration = calibrate(task.network, priors, fields, task.checks, masks, seed, calibrating)
        network = task.network.to("cpu").eval()
        for parameter in network.parameters():
            parameter.data = parameter.data.contiguous()
        card = _card(recipe, fields, validation, seed, processes, history, start)
        card["validation_beside"] = {name: dict(scores) for name, scores in known.items()}
        if isinstance(task, unet_task.UNetTask):
            card["calibration"] = calibration
            card["persistence"] = unet_task.persistence_of(task.network, task.cases, seed + VALIDATION)
            card["forced_responses"] = forcing.card() if start is None else {}
            card["sources"] = dict(fields.shares)
        return Trained(network, card, history, forcing, fields.shares)


@contextmanager
def _one_step(drawing: unet_network.Drawing | None, what: str) -> Iterator[None]:
    """Report the beginning and the end of what has no steps of its own."""
    if drawing is not None:
        drawing(what, 0, 1)
    yield
    if drawing is not None:
        drawing(what, 1, 1)


def _task(
    recipe: Recipe,
    fields: TrainingFields,
    validation: TrainingFields,
    masks: MaskSource,
    noise: NoiseSource | None,
    seed: int,
    processes: Workers,
    start: nn.Module | None,
    forcing: Forcing,
    folder: Path,
    drawing: unet_network.Drawing | None = None,
) -> tuple[published_task.PublishedTask | unet_task.UNetTask, Sequence[FullPrior]]:
    """The task, and the covariances of the cross-fit where there are any."""
    if isinstance(recipe, PublishedRecipe):
        network = published_task.new_network(recipe, start)
        return published_task.PublishedTask(recipe, network, fields, validation, masks, noise, seed, processes), ()
    if isinstance(recipe, UNetRecipe):
        if noise is None:
            raise UsageError(f"The recipe {recipe.name} needs errors of the observed cells.", "Give noise.")
        unet, priors = unet_network.new_network(recipe, fields, start, forcing, drawing)
        task = unet_task.UNetTask.drawn(
            recipe, unet, priors, fields, validation, masks, noise, seed, processes, forcing, drawing, folder
        )
        return task, priors
    raise UsageError(f"The recipe {recipe.name} has no training.", "Use recipe=punet or recipe=kadow2020.")


def plan_of(recipe: Recipe, max_hours: float | None = None) -> Plan:
    """The numbers of the recipe's loop."""
    return Plan(
        recipe.iterations,
        min(recipe.check_every, recipe.iterations),
        recipe.averaging,
        recipe.patience,
        1.0 if isinstance(recipe, UNetRecipe) else None,
        recipe.checkpoint_seconds,
        None if max_hours is None else max_hours * 3600.0,
        VARIABLES[recipe.variable].units_in_methods,
    )


def optimiser(recipe: Recipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The recipe's optimiser, its step fused into one kernel."""
    if isinstance(recipe, UNetRecipe):
        return torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98), fused=True)
    return torch.optim.Adam(groups, lr=recipe.rate, fused=True)


def _identity(
    recipe: Recipe,
    fields: TrainingFields,
    validation: TrainingFields,
    masks: MaskSource,
    noise: NoiseSource | None,
    seed: int,
    start: nn.Module | None,
    models: ForcedResponses | None,
) -> dict[str, str]:
    # How often it is saved and how long one waits for a better score may change on the way.
    used = None if isinstance(recipe, PublishedRecipe) and not recipe.noise else noise
    settings = recipe.model_dump(mode="json", exclude={"checkpoint_seconds", "patience"})
    return {
        "recipe": json.dumps(settings, sort_keys=True),
        "fields": identity_of_fields(fields),
        "validation": identity_of_fields(validation),
        "masks": identity_of_source(masks),
        "errors": "none" if used is None else identity_of_source(used),
        "seed": str(seed),
        "start": "none" if start is None else identity_of_weights(start.state_dict()),
        "models": "none" if models is None else identity_of_source(models),
    }


def _check_gaps(fields: TrainingFields, validation: TrainingFields) -> None:
    for what, some in (("training", fields), ("validation", validation)):
        steps = some.frequency.plural
        if not len(some):
            raise InputDataError(f"There are no {what} {steps}.", "Choose a training set with more members.")
        bad = []
        for first in range(0, len(some), AT_ONCE):
            values = np.asarray(some.values[first : first + AT_ONCE])
            missing = ~np.isfinite(values)
            if some.scored is not None:
                missing &= some.scored[first : first + AT_ONCE]
            bad += (first + np.flatnonzero(missing.any((1, 2)))).tolist()
        if bad:
            member = some.names[int(some.member[bad[0]])] if some.names else ""
            raise InputDataError(
                f"{len(bad)} of {len(some)} {what} {steps} have missing values, the first in member {member}. A network "
                "cannot be taught with values that are missing.",
                f"Exclude those cells (scored), leave the {steps} out, or use complete fields.",
            )


def _check_room(folder: Path, network: nn.Module) -> None:
    needed = checkpoint_bytes(bytes_of(network))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"Checkpoints need {needed / 1e6:.0f} MB in {folder}; {free / 1e6:.0f} MB are free.",
            "Make room or choose another folder.",
        )


def _card(
    recipe: Recipe,
    fields: TrainingFields,
    validation: TrainingFields,
    seed: int,
    processes: Workers,
    history: TrainingHistory,
    start: nn.Module | None,
) -> dict[str, Any]:
    hardware = torch.cuda.get_device_name(processes.device) if processes.device.type == "cuda" else platform.machine()
    best = next((s for r, s in zip(history.rows, history.scores, strict=True) if r[0] == history.best_step), {})
    return {
        "recipe": recipe.model_dump(mode="json"),
        "members": list(fields.names),
        "members_validation": list(validation.names),
        fields.frequency.plural: len(fields),
        f"{fields.frequency.plural}_validation": len(validation),
        "cells_excluded": 0.0 if fields.scored is None else round(1.0 - float(np.mean(fields.scored)), 5),
        "seed": seed,
        "start": None if start is None else identity_of_weights(start.state_dict()),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "hardware": f"{hardware}, {processes.world} processes, {torch.get_num_threads()} threads of "
        f"{len(os.sched_getaffinity(0))} cores",
        "precision": precision_name(recipe, processes.device),
        "seconds": round(history.seconds, 1),
        "best_step": history.best_step,
        "ended": history.ended,
        "validation": best,
        "validation_units": VARIABLES[recipe.variable].units_in_methods,
        "history": [list(row) for row in history.rows],
    }
