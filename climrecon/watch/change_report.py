"""The change report: one self-contained HTML page, and a netCDF file with the observations for the next comparison."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from climrecon.array_types import Array, FloatArray
from climrecon.errors import OutputError
from climrecon.fields import Months
from climrecon.files import NETCDF_HEADER, atomic_path
from climrecon.grid import Grid
from climrecon.output.axes import FILL, step_coordinates
from climrecon.output.product import OBSERVED
from climrecon.report import png_address, write_page
from climrecon.variables import VARIABLES
from climrecon.watch.changes import CHANGES, MEANINGS, SAME, Changes
from climrecon.watch.checks import failures

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
    write_page(
        path,
        "changes.html.j2",
        **page,
        title=f"What changed: {changes.new.name}",
        failures=failures(page["checks"]),
        figures=figures,
        rows=rows,
        more=more,
        new_months=_new_months(changes) if changes.previous is not None else [],
        network=changes.new.network,
        units=VARIABLES[changes.new.variable].units,
        digits=VARIABLES[changes.new.variable].decimals,
        file=CHANGES,
    )


def _embedded(picture: Any) -> str:
    buffer = io.BytesIO()
    picture.figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    return png_address(buffer.getvalue())


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
    units = VARIABLES[new.variable].units
    last = plots.Panel(f"Reconstruction: {new.labels[-1]}", ordered(new.field[-1]), plots.ANOMALIES)
    if previous is None or not len(changes.here):
        return [plots.draw_change_maps(grid, [last], f"{new.name}. Anomalies in {units}.", new.variable)]
    cells, panels = None, []
    if changes.input_status is not None:
        changed = changes.input_status != SAME
        cells, share = changed.sum((1, 2)), 100.0 * changed.mean(0)
        panels.append(plots.Panel("Input: share of months in which the cell changed", ordered(share), plots.SHARE))
    size = np.sqrt((changes.field_change.astype(np.float64) ** 2).mean(0))
    panels.append(plots.Panel("Reconstruction: RMS change over all common months", ordered(size), plots.SIZE))
    worst = int(np.argmax(changes.rms))
    title = f"Reconstruction: change in {new.labels[int(changes.here[worst])]}, the largest"
    panels.append(plots.Panel(title, ordered(changes.field_change[worst]), plots.CHANGE))
    maps = (
        f"{new.name} compared with {previous.name} on {len(changes.here)} common months; grey where nothing changed. "
        f"Anomalies in {units}."
    )
    series = (
        "Area mean of the last thirty years in both releases; its change, and the number of input cells that "
        "changed, in all common months."
    )
    return [
        plots.draw_change_maps(grid, [*panels, last], maps, new.variable),
        plots.draw_change_series(
            new.months, new.global_mean, changes.months, changes.mean_change, cells, (new.name, previous.name), series,
            units,
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


def write_changes(path: Path, changes: Changes, attributes: dict[str, str]) -> None:
    """Write all months of the new release; what cannot be compared is missing.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    data = _dataset(changes).assign_attrs({"Conventions": "CF-1.8", **attributes})
    try:
        with atomic_path(path, NETCDF_HEADER) as temporary:
            data.to_netcdf(temporary, engine="netcdf4", format="NETCDF4_CLASSIC", unlimited_dims=["time"])
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path} could not be written: {error}", "Is there space left?") from error


def _dataset(changes: Changes) -> xr.Dataset:
    new, previous = changes.new, changes.previous
    middle, bounds = step_coordinates(Months(new.months), "standard")
    axes = {
        "time": (middle, bounds, {"units": "days since 1850-01-01 00:00:00", "calendar": "standard", "axis": "T"}),
        "lat": (new.lat, new.lat_bounds, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}),
        "lon": (new.lon, new.lon_bounds, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}),
    }  # fmt: skip
    variables: dict[str, Any] = {}
    plain = {"dtype": "f8", "_FillValue": None}
    for axis, (positions, edges, described) in axes.items():
        described = {"standard_name": axis, **described, "bounds": f"{axis}_bnds"}
        variables[axis] = (axis, positions, described, plain)
        variables[f"{axis}_bnds"] = ((axis, "bnds"), edges, {}, plain)

    variable = VARIABLES[new.variable]
    units = {"units": variable.units, "units_metadata": variable.units_metadata}

    def add(name: str, values: Array, dtype: Any, **attributes: Any) -> None:
        fill = -1 if dtype == "i1" else FILL
        encoding: dict[str, Any] = {"dtype": dtype, "_FillValue": np.dtype(dtype).type(fill)}
        if values.ndim == 3:
            chunks = (min(len(values), 120), *values.shape[1:])
            encoding |= {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": chunks}
        variables[name] = (("time", "lat", "lon")[: values.ndim], values, attributes, encoding)

    def all_months(common: Array, missing: float = np.nan) -> Array:
        """(N, …) values of the common months to (T, …)."""
        values = np.full((len(new.months), *common.shape[1:]), missing, common.dtype)
        values[changes.here] = common
        return values

    if new.observed is not None:
        dtype = "f8" if new.observed.dtype == np.float64 else "f4"
        add("observed", new.observed, dtype, **units, long_name="input of the run, as it was read")
    text = "area-weighted mean of the reconstruction"
    add("global_mean", new.global_mean, "f8", **units, long_name=text, cell_methods="area: mean")
    if previous is not None:
        text = "reconstruction minus that of the release before"
        add("reconstruction_change", all_months(changes.field_change), "f4", **units, long_name=text)
        before, text = all_months(previous.global_mean[changes.there]), "the same of the release before"
        add("global_mean_before", before, "f8", **units, long_name=text, cell_methods="area: mean")
    if previous is not None and changes.input_status is not None and changes.input_change is not None:
        text = "input minus that of the release before, where both observed"
        add("input_change", all_months(changes.input_change), "f4", **units, long_name=text)
        text = "what happened to the input since the release before"
        flags = {"flag_values": np.arange(len(MEANINGS), dtype=np.int8), "flag_meanings": " ".join(MEANINGS)}
        add("input_status", all_months(changes.input_status, -1), "i1", long_name=text, **flags)
    return xr.Dataset(variables)
