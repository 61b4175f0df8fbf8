"""The change report: one HTML page, self-contained."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.files import write_text
from climrecon.grid import Grid
from climrecon.output.product import OBSERVED
from climrecon.report import environment
from climrecon.watch.changes import SAME, Changes
from climrecon.watch.checks import failures
from climrecon.watch.results import CHANGES

#: Rows of the tables of months.
MOST_ROWS = 24


def write_change_report(path: Path, changes: Changes, page: Mapping[str, Any], *, draw: bool = True) -> None:
    """Render the page.

    Parameters
    ----------
    page:
        ``summary``, ``checks``, ``inputs`` (path -> sha256), ``notes``, ``when``, and ``no_comparison``: why there is
        nothing to compare with.
    draw:
        Whether figures are wanted.
    """
    figures = [(_embedded(picture), picture.caption) for picture in _figures(changes)] if draw else []
    rows, more = _changed_months(changes)
    template = environment().get_template("changes.html.j2")
    text = template.render(
        **page,
        title=f"What changed: {changes.new.name}",
        failures=failures(page["checks"]),
        figures=figures,
        rows=rows,
        more=more,
        new_months=_new_months(changes) if changes.previous is not None else [],
        network=changes.new.network,
        file=CHANGES,
    )
    write_text(path, text)


def _embedded(picture: Any) -> str:
    buffer = io.BytesIO()
    picture.figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _changed_months(changes: Changes) -> tuple[list[dict[str, Any]], int]:
    """The common months that changed most, in order of time, and how many more there are."""
    if changes.previous is None or not len(changes.here):
        return [], 0
    rms = changes.rms
    largest = np.abs(changes.field_change).max((1, 2))
    cells = None if changes.input_status is None else (changes.input_status != SAME).sum((1, 2))
    changed = (largest > 0) if cells is None else (largest > 0) | (cells > 0)
    candidates = np.flatnonzero(changed)
    # Months whose rounding alone differs come last.
    chosen = np.sort(candidates[np.argsort(-rms[candidates], kind="stable")][:MOST_ROWS])
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
    return rows, len(candidates) - len(chosen)


def _new_months(changes: Changes) -> list[dict[str, Any]]:
    new = changes.new
    late = np.flatnonzero(np.isin(new.months, changes.added))[-MOST_ROWS:]
    covered = ((new.status[late] == OBSERVED) * new.area).sum((1, 2))
    means = new.global_mean
    return [
        {"month": new.labels[i], "covered": 100.0 * float(share), "now": float(means[i])}
        for i, share in zip(late.tolist(), covered, strict=True)
    ]


def _figures(changes: Changes) -> list[Any]:
    from climrecon.plots import changes as plots

    new, previous = changes.new, changes.previous
    grid, ordered = _grid(changes)
    last = plots.Panel(f"Reconstruction: {new.labels[-1]}", ordered(new.field[-1]), plots.ANOMALIES)
    if previous is None or not len(changes.here):
        return [plots.draw_change_maps(grid, [last], f"{new.name}. Anomalies in K.")]
    cells, panels = None, []
    if changes.input_status is not None:
        changed = changes.input_status != SAME
        cells, share = changed.sum((1, 2)), 100.0 * changed.mean(0)
        panels.append(
            plots.Panel("Input: share of months in which the cell changed", ordered(share), plots.SHARE)
        )
    size = np.sqrt((changes.field_change.astype(np.float64) ** 2).mean(0))
    panels.append(plots.Panel("Reconstruction: RMS change over all common months", ordered(size), plots.SIZE))
    worst = int(np.argmax(changes.rms))
    title = f"Reconstruction: change in {new.labels[int(changes.here[worst])]}, the largest"
    panels.append(plots.Panel(title, ordered(changes.field_change[worst]), plots.CHANGE))
    maps = (
        f"{new.name} compared with {previous.name} on {len(changes.here)} common months; grey where nothing changed. "
        "Anomalies in K."
    )
    series = (
        "Global mean of the last thirty years in both releases; its change, and the number of input cells that "
        "changed, in all common months."
    )
    return [
        plots.draw_change_maps(grid, [*panels, last], maps),
        plots.draw_change_series(
            new.months, new.global_mean, changes.months, changes.mean_change, cells, (new.name, previous.name), series
        ),
    ]  # fmt: skip


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
