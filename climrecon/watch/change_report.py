"""The change report: one HTML page, self-contained."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.files import write_text
from climrecon.grid import Grid
from climrecon.output.product import OBSERVED
from climrecon.report import environment
from climrecon.variables import VARIABLES
from climrecon.watch.changes import SAME, Changes
from climrecon.watch.checks import Check, failures
from climrecon.watch.results import CHANGES

#: Rows of the tables of months.
MOST_ROWS = 24


def write_change_report(
    path: Path,
    changes: Changes,
    summary: Mapping[str, Any],
    checks: Sequence[Check],
    inputs: Mapping[str, str],
    notes: Sequence[str],
    when: str,
    *,
    why_nothing: str = "",
    draw: bool = True,
) -> None:
    """Render the page; ``why_nothing`` says why there is nothing to compare with, ``draw`` asks for figures."""
    figures = [(_embedded(picture), picture.caption) for picture in _figures(changes)] if draw else []
    rows, more = _rows(changes)
    write_text(
        path,
        environment()
        .get_template("changes.html.j2")
        .render(
            title=f"What changed: {changes.new.name}",
            units=VARIABLES[changes.new.variable].units,
            summary=summary,
            checks=checks,
            failures=failures(list(checks)),
            figures=figures,
            rows=rows,
            more=more,
            fresh=_fresh(changes) if changes.previous is not None else [],
            inputs=inputs,
            notes=notes,
            network=changes.new.network,
            file=CHANGES,
            when=when,
            why_nothing=why_nothing or "This is the first release here.",
        ),
    )


def _embedded(picture: Any) -> str:
    buffer = io.BytesIO()
    picture.figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _rows(changes: Changes) -> tuple[list[dict[str, Any]], int]:
    """The common months that changed most, in order of time, and how many more there are."""
    if changes.previous is None or not len(changes.here):
        return [], 0
    rms = changes.rms
    largest = np.abs(changes.field_change).max((1, 2))
    cells = None if changes.input_status is None else (changes.input_status != SAME).sum((1, 2))
    changed = (largest > 0) if cells is None else (largest > 0) | (cells > 0)
    found = np.flatnonzero(changed)
    # Months whose rounding alone differs come last.
    chosen = np.sort(found[np.argsort(-rms[found], kind="stable")][:MOST_ROWS])
    now, labels = changes.new.global_mean[changes.here], changes.new.labels
    rows = [
        {
            "month": labels[int(changes.here[i])],
            "cells": None if cells is None else int(cells[i]),
            "rms": float(rms[i]),
            "largest": float(largest[i]),
            "before": float(now[i] - changes.mean_change[i]),
            "now": float(now[i]),
            "change": float(changes.mean_change[i]),
        }
        for i in chosen
    ]
    return rows, len(found) - len(chosen)


def _fresh(changes: Changes) -> list[dict[str, Any]]:
    new = changes.new
    late = np.flatnonzero(np.isin(new.months, changes.added))[-MOST_ROWS:]
    covered = ((new.status[late] == OBSERVED) * new.area).sum((1, 2))
    means = new.global_mean
    return [
        {"month": new.labels[i], "covered": 100.0 * float(share), "now": float(means[i])}
        for i, share in zip(late.tolist(), covered, strict=True)
    ]


def _figures(changes: Changes) -> list[Any]:
    from climrecon.plots.changes import (
        ANOMALIES,
        CHANGE,
        SHARE,
        SIZE,
        Panel,
        draw_change_maps,
        draw_change_series,
    )

    new = changes.new
    grid, ordered = _grid(changes)
    panels = []
    if changes.previous is not None and len(changes.here):
        if changes.input_status is not None:
            share = 100.0 * (changes.input_status != SAME).mean(0)
            panels.append(Panel("Input: share of months in which the cell changed", ordered(share), SHARE))
        size = np.sqrt((changes.field_change.astype(np.float64) ** 2).mean(0))
        panels.append(Panel("Reconstruction: RMS change over all common months", ordered(size), SIZE))
        worst = int(np.argmax(changes.rms))
        month = new.labels[int(changes.here[worst])]
        panels.append(
            Panel(
                f"Reconstruction: change in {month}, the largest",
                ordered(changes.field_change[worst]),
                CHANGE,
            )
        )
    panels.append(Panel(f"Reconstruction: {new.labels[-1]}", ordered(new.field[-1]), ANOMALIES))
    caption = (
        f"{new.name}"
        + (
            f" compared with {changes.previous.name} on {len(changes.here)} common months; grey where nothing changed"
            if len(panels) > 1 and changes.previous is not None
            else ""
        )
        + f". Anomalies in {VARIABLES[new.variable].units}."
    )
    pictures = [draw_change_maps(grid, panels, caption, new.variable)]
    if changes.previous is not None and len(changes.here):
        cells = None if changes.input_status is None else (changes.input_status != SAME).sum((1, 2))
        pictures.append(
            draw_change_series(
                new.months,
                new.global_mean,
                changes.months,
                changes.mean_change,
                cells,
                (new.name, changes.previous.name),
                "Global mean of the last thirty years in both releases; its change, and the number of input cells "
                "that changed, in all common months.",
                VARIABLES[new.variable].units,
            )
        )
    return pictures


def _grid(changes: Changes) -> tuple[Grid, Any]:
    """The grid in the package's order, and what brings a (H, W) field of the file into it."""
    new = changes.new
    rows = np.argsort(new.lat)
    middle = (new.lon + 180.0) % 360.0 - 180.0
    columns = np.argsort(middle)
    shift = middle - new.lon
    west = (np.min(new.lon_bounds, axis=1) + shift)[columns]
    east = (np.max(new.lon_bounds, axis=1) + shift)[columns]
    south, north = (edge[rows] for edge in (np.min(new.lat_bounds, axis=1), np.max(new.lat_bounds, axis=1)))
    grid = Grid(np.append(south, north[-1]), np.append(west, east[-1]))

    def ordered(field: FloatArray) -> FloatArray:
        return np.asarray(field, dtype=np.float64)[rows][:, columns]

    return grid, ordered
