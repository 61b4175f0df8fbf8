"""Figures of a training: loss and score by step, and reconstructions of months that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.fields import Estimate
from climrecon.grid import Grid
from climrecon.output.samples import Sample
from climrecon.plots.maps import draw_bar, draw_map
from climrecon.plots.picture import ACCENT, OURS, Picture, new_figure, scales_of, tidy
from climrecon.variables import VARIABLES


def draw_history(rows: Sequence[Sequence[float]], name: str) -> Picture:
    """Training loss and validation score by step; ``rows`` hold (step, loss, score, seconds)."""
    figure = new_figure(7.0, 5.0)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, column, label, colour in ((panels[0], 1, "training loss", ACCENT), (panels[1], 2, "score", OURS)):
        tidy(axes)
        axes.set_ylabel(label)
        if not rows:
            continue
        steps = np.array([row[0] for row in rows], dtype=float)
        values = np.array([row[column] for row in rows], dtype=float)
        axes.plot(steps, values, color=colour, linewidth=1.5, marker="." if len(rows) < 30 else None)
        if column == 2 and np.isfinite(values).any():
            best = int(np.nanargmin(values))
            axes.plot(steps[best], values[best], "o", color=colour, label=f"kept: step {steps[best]:.0f}")
            axes.legend(frameon=False, fontsize=9)
    panels[0].set_title(name, loc="left", fontsize=10)
    panels[1].set_xlabel("step")
    return Picture(
        figure, f"Training of {name}: loss on training samples, and score on validation members (smaller is better)."
    )


def draw_sample(
    grid: Grid, truth: FloatArray, observed: FloatArray, estimate: Estimate, what: str, name: str, variable: str = "tas"
) -> Picture:
    """Truth, pseudo-observations of it (with errors), the reconstruction, and its error; (H, W) each."""
    figure = new_figure(10.0, 5.6)
    places = figure.add_gridspec(2, 2)
    mean, scales = estimate.mean[0], scales_of(variable)
    panels = (
        ("Truth", truth, scales.anomaly),
        ("Pseudo-observations, with errors", observed, scales.anomaly),
        (f"Reconstruction: {name}", mean, scales.anomaly),
        ("Reconstruction minus truth", mean - truth, scales.difference),
    )
    for number, (title, field, scale) in enumerate(panels):
        draw_map(figure, places[number // 2, number % 2], grid, field, scale, title, size=9, bar={"shrink": 0.7})
    return Picture(
        figure,
        f"{what}: a field held out from training, pseudo-observations of it with made-up errors, and its reconstruction "
        f"by {name}.",
    )


def draw_samples(grid: Grid, samples: Sequence[Sample], name: str, variable: str = "tas") -> Picture:
    """A row for each sample: truth, pseudo-observations (gaps grey), the reconstruction, and its error."""
    figure = new_figure(13.6, 0.9 + 1.95 * len(samples))
    places = figure.add_gridspec(len(samples), 4)
    scales, units = scales_of(variable), VARIABLES[variable].units
    columns: list[list[Any]] = [[], []]
    shown: list[Any] = [None, None]
    for row, sample in enumerate(samples):
        panels = (
            (f"Truth: {sample.member}, {sample.month}", sample.truth),
            (f"Pseudo-observations: gaps of {sample.gaps}", sample.seen),
            (f"Reconstruction: RMSE at missing cells {sample.rmse:.2f} {units}", sample.mean),
            ("Reconstruction minus truth", sample.mean - sample.truth),
        )
        for column, (title, field) in enumerate(panels):
            kind = column == 3
            scale = scales.difference if kind else scales.anomaly
            axes, shown[kind] = draw_map(figure, places[row, column], grid, field, scale, title, size=9)
            columns[kind].append(axes)
    for drawn, axes_of, scale in zip(shown, columns, (scales.anomaly, scales.difference), strict=True):
        draw_bar(figure, drawn, axes_of, scale, orientation="horizontal", shrink=0.5, aspect=40)
    figure.suptitle(name, fontsize=12)
    each = "; ".join(f"{one.member} {one.month}, gaps of {one.gaps}: {one.rmse:.2f} {units}" for one in samples)
    return Picture(
        figure,
        f"{name}: validation fields, held out from training; pseudo-observations of them with made-up errors, the "
        f"reconstruction and its error. RMSE at missing cells: {each}.",
    )
