"""Figures of a training: how it went, and what the network makes of months it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps

from climrecon.array_types import FloatArray
from climrecon.fields import Estimate
from climrecon.grid import Grid
from climrecon.output.samples import Sample
from climrecon.plots.maps import ANOMALY, DIFFERENCE, PLATE, draw_cells, draw_coast, from_greenwich, map_axes
from climrecon.plots.picture import ACCENT, OURS, Picture, new_figure, tidy


def draw_history(rows: Sequence[Sequence[float]], name: str) -> Picture:
    """Training loss and validation score by step; ``rows`` hold (step, loss, score, seconds)."""
    figure = new_figure(7.0, 5.0)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, column, label, colour in (
        (panels[0], 1, "training loss", ACCENT),
        (panels[1], 2, "score", OURS),
    ):
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
        figure,
        f"Training of {name}: loss on training samples, and score on validation members, less is better.",
    )


def draw_sample(
    grid: Grid, truth: FloatArray, seen: FloatArray, estimate: Estimate, what: str, name: str
) -> Picture:
    """Truth, what was seen of it (with errors), the estimate, and the estimate's error; (H, W) each, K."""
    figure = new_figure(10.0, 5.6)
    places = figure.add_gridspec(2, 2)
    mean = estimate.mean[0]
    panels = (
        ("truth", truth, ANOMALY),
        ("seen, with errors", seen, ANOMALY),
        (f"reconstructed by {name}", mean, ANOMALY),
        ("reconstructed less truth", mean - truth, DIFFERENCE),
    )
    for number, (title, field, norm) in enumerate(panels):
        axes = map_axes(figure, places[number // 2, number % 2])
        edges, cells = from_greenwich(grid, np.asarray(field, dtype=float))
        colours = axes.pcolormesh(
            edges,
            grid.lat_edges,
            np.ma.masked_invalid(cells),
            cmap=colormaps["RdBu_r"],
            norm=norm,
            transform=PLATE,
        )
        draw_coast(axes)
        axes.set_title(title, fontsize=9)
        figure.colorbar(colours, ax=axes, shrink=0.7, label="K", ticks=norm.boundaries[::4])
    return Picture(
        figure,
        f"{what}: a month never learned from, what was shown of it with made-up errors, and what {name} made of it.",
    )


def draw_samples(grid: Grid, samples: Sequence[Sample], name: str) -> Picture:
    """A row for each sample: truth, what was seen of it (gaps grey), the estimate, and its error; K."""
    figure = new_figure(13.6, 0.9 + 1.95 * len(samples))
    places = figure.add_gridspec(len(samples), 4)
    columns: list[list[Any]] = [[], []]
    shown: list[Any] = [None, None]
    for row, sample in enumerate(samples):
        panels = (
            (f"truth: {sample.member}, {sample.month}", sample.truth, ANOMALY),
            (f"seen: gaps of {sample.gaps}, with errors", sample.seen, ANOMALY),
            (f"estimate: RMSE where not seen {sample.rmse:.2f} K", sample.mean, ANOMALY),
            ("estimate less truth", sample.mean - sample.truth, DIFFERENCE),
        )
        for column, (title, field, norm) in enumerate(panels):
            axes = map_axes(figure, places[row, column])
            colours = draw_cells(
                axes, grid, np.asarray(field, float), norm, "PuOr_r" if column == 3 else "RdBu_r"
            )
            draw_coast(axes)
            axes.set_title(title, fontsize=9)
            columns[column == 3].append(axes)
            shown[column == 3] = colours
    for colours, axes_of, ticks in zip(
        shown, columns, (np.arange(-4, 4.1, 1), np.arange(-2, 2.1, 1)), strict=True
    ):
        figure.colorbar(
            colours, ax=axes_of, orientation="horizontal", shrink=0.5, aspect=40, label="K", ticks=ticks
        )
    figure.suptitle(name, fontsize=12)
    months = "; ".join(
        f"{one.member} {one.month} behind the gaps of {one.gaps}: {one.rmse:.2f} K" for one in samples
    )
    return Picture(
        figure,
        f"{name}: validation months, never learned from, what was shown of them with made-up errors, the estimate and "
        f"its error. RMSE where nothing was seen: {months}.",
    )
