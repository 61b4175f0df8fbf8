"""The one place where the pipeline calls the training."""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING, Any

from climrecon.networks import Card, describe_punet, save_network
from climrecon.pipeline.reporting import Reporter
from climrecon.pipeline.results import versions
from climrecon.pipeline.training_gaps import Gaps
from climrecon.reconstruct import choose_device
from climrecon.training.fields import TrainingFields
from climrecon.training.interim import train

if TYPE_CHECKING:
    from climrecon.pipeline.training import Material, Training


def run_training(
    training: Training,
    material: Material,
    fields: TrainingFields,
    validation: TrainingFields,
    gaps: Gaps,
    reporter: Reporter,
) -> None:
    """Train, and leave the network with its card in the training's folder."""
    settings = training.settings
    device = choose_device(settings.device)
    started = time.monotonic()
    reporter.stage(
        f"Training {training.name} ({settings.recipe}) on {len(fields)} months of {len(fields.names)} members, "
        f"{len(validation)} months of {len(validation.names)} to validate, on {device}"
    )

    def told(step: int, steps: int, loss: float, score: float) -> None:
        reporter.note(f"step {step} of {steps}: training {loss:.4f}, validation {score:.4f}")
        reporter.step(step, steps)

    trained = train(
        settings.recipe,
        fields,
        validation,
        gaps.masks,
        gaps.noise,
        folder=training.folder / "fit",
        seed=settings.seed,
        device=device,
        iterations=settings.iterations,
        max_hours=settings.max_hours,
        start=training.start,
        report=told,
    )
    about = {
        **material_card(training, material, gaps),
        "best_step": trained.history.best_step,
        "history": trained.history.rows,
        "seconds": round(time.monotonic() - started),
        "hardware": hardware(device),
    }
    card = describe_punet(training.name, trained.network, grid=fields.grid, training=about)
    save_network(trained.network, with_data(card, training, material, gaps), training.folder / "network")


def hardware(device: str) -> str:
    """What it ran on, without names of machines."""
    return f"{device}, {len(os.sched_getaffinity(0))} cores, {platform.machine()}"


def material_card(training: Training, material: Material, gaps: Gaps) -> dict[str, Any]:
    """What a card says of data, members, gaps and errors."""
    settings = training.settings
    blended = sum(member.about["target"] == "blended" for member in material.stored)
    uses = {
        use: [
            {
                "name": material.stored[number].about["name"],
                "family": material.stored[number].about["family"],
                "set": material.stored[number].about["set"],
                "target": material.stored[number].about["target"],
                "months": _span(material.stored[number].index[rows]),
                "notes": material.stored[number].about["notes"],
            }
            for number, rows in getattr(material.split, use)
        ]
        for use in ("train", "validation", "test")
    }
    return {
        "fingerprint": training.fingerprint,
        "data": f"{settings.training_data}: {len(material.stored)} members, anomalies to "
        f"{'-'.join(map(str, settings.reference_period.years))}; {blended} blended like observations, "
        f"{len(material.stored) - blended} air temperature alone",
        "members": uses,
        "left_out": [list(item) for item in (*material.left_out, *training.sets.left_out)],
        "held_out": material.split.how,
        "masks": f"{gaps.label}: {gaps.masks.describe()}; those of {', '.join(gaps.scoring)} are not among them, nor "
        "the two months before and after each",
        "noise": gaps.noise.describe(),
        "seed": settings.seed,
        "recipe": settings.recipe,
        "start": training.start.name if training.start else None,
        "settings": settings.plain(),
        "versions": versions(),
    }


def _span(index: Any) -> str:
    labels = [f"{int(i) // 12:04d}-{int(i) % 12 + 1:02d}" for i in (index[0], index[-1])]
    return f"{labels[0]} to {labels[1]}, {len(index)} months"


def with_data(card: Card, training: Training, material: Material, gaps: Gaps) -> Card:
    """The card with the caveats that follow from the data."""
    caveats = [*material.split.caveats, *gaps.caveats]
    alone = sum(member.about["target"] != "blended" for member in material.stored)
    if alone and training.settings.training_target != "tas":
        caveats.append(
            f"{alone} of {len(material.stored)} members hold air temperature over sea too, for want of tos, sic or "
            "sftlf: over the sea such fields vary and warm more than the blended fields of observational data sets."
        )
    elif alone:
        caveats.append(
            "It learned air temperature everywhere; observational data sets blend it with that of the sea."
        )
    if any(member.about["set"].lower().startswith("20cr") for member in material.stored):
        caveats.append(
            "Members of a reanalysis share the history of the real world: a held-out one is no independent climate."
        )
    caveats.append(
        "Realisations of different months are drawn independently of each other: the spread of an annual mean made "
        "from them is too small where errors persist."
    )
    return card.model_copy(
        update={"caveats": caveats, "reference_period": training.settings.reference_period.years}
    )
