"""Results as written, and the changes from one release to the next: months, input, reconstruction, global mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray
from climrecon.errors import InputDataError
from climrecon.fields import Months
from climrecon.files import sha256_of
from climrecon.netcdf.times import month_index
from climrecon.output.product import NO_DOMAIN
from climrecon.variables import VARIABLES
from climrecon.workflow.manifest import read_manifest

#: Cells of the input: as before, of another value, newly observed, no longer observed.
SAME, CORRECTED, APPEARED, GONE = 0, 1, 2, 3
MEANINGS = ("same", "corrected", "appeared", "gone")
#: Values that differ by less, in units of the scale, are the same in another number of digits.
EQUAL = 1e-5
#: The file of a release that holds the observations, for the comparison with the next one.
CHANGES = "changes.nc"


@dataclass(frozen=True)
class Result:
    """A release's fields in the order of its files.

    Attributes
    ----------
    months:
        (T,) year * 12 + month - 1.
    lat, lon, lat_bounds, lon_bounds:
        (H,), (W,), (H, 2), (W, 2) degrees.
    area:
        (H, W) share of the area where the variable exists; 0 elsewhere.
    field, analysis:
        (T, H, W): as published; the network's estimate everywhere. Zero where the variable does not exist.
    stddev:
        (T, H, W) or None.
    status:
        (T, H, W), 1 where observed.
    observed:
        (T, H, W), NaN where missing, as the run's input held it; None if it is not known.
    damaged:
        Why the file is not the one that its manifest describes; "" if it is.
    """

    name: str
    variable: str
    months: NDArray[np.int64]
    lat: FloatArray
    lon: FloatArray
    lat_bounds: FloatArray
    lon_bounds: FloatArray
    area: FloatArray
    field: FloatArray
    analysis: FloatArray
    stddev: FloatArray | None
    status: NDArray[np.int8]
    observed: FloatArray | None
    network: str
    network_sha256: str
    damaged: str = ""

    @property
    def labels(self) -> list[str]:
        """``YYYY-MM`` of each month."""
        return Months(self.months).labels()

    @property
    def global_mean(self) -> FloatArray:
        """(T,) area-weighted mean of the published field."""
        return np.asarray((self.field.astype(np.float64) * self.area).sum((1, 2)))

    def same_grid(self, other: Result) -> bool:
        """Whether cells can be compared one by one."""
        return all(
            a.shape == b.shape and np.allclose(a, b, atol=1e-3)
            for a, b in ((self.lat, other.lat), (self.lon, other.lon))
        )


def read_result(folder: Path, variable: str, observed: FloatArray | None = None) -> Result:
    """Read a run's folder; ``observed`` where it is known, else from the folder's change file if it has one.

    Raises
    ------
    InputDataError
        If the folder holds no whole run.
    """
    manifest = read_manifest(folder)
    entry = next((e for e in manifest["outputs"] if e["role"] == "reconstruction"), None)
    if entry is None:
        raise InputDataError(f"The manifest in {folder} names no reconstruction.", "Run it again.")
    path = folder / entry["path"]
    try:
        digest = sha256_of(path)
        with netCDF4.Dataset(path) as file:
            parts = _fields(file, variable)
            network, sha256 = (str(getattr(file, f"climrecon_{key}", "")) for key in ("network", "network_sha256"))
    except (OSError, RuntimeError, LookupError) as error:
        raise InputDataError(f"{path} cannot be read: {error}", "Run it again.") from error
    damaged = "" if digest == entry["sha256"] else f"{path.name} is not the file that its manifest describes"
    if observed is None and (folder / CHANGES).is_file():
        with netCDF4.Dataset(folder / CHANGES) as file:
            observed = _values(file, "observed")
    return Result(folder.name, variable=variable, observed=observed, network=network, network_sha256=sha256,
                  damaged=damaged, **parts)  # fmt: skip


def _values(file: Any, name: str) -> FloatArray:
    return np.asarray(np.ma.filled(file[name][:], np.nan))


def _fields(file: Any, variable: str) -> dict[str, Any]:
    axes = {name: np.asarray(file[name][:], dtype=np.float64) for name in ("lat", "lon", "lat_bnds", "lon_bnds")}
    lat_bounds, lon_bounds = axes.pop("lat_bnds"), axes.pop("lon_bnds")
    rows = np.abs(np.diff(np.sin(np.radians(lat_bounds)), axis=1))
    area = rows * np.abs(np.diff(lon_bounds, axis=1)).T
    stddev = f"{variable}_stddev"
    status = np.asarray(np.ma.filled(file[f"{variable}_status"][:], 0)).astype(np.int8)
    exists = (status != NO_DOMAIN).any(axis=0)
    area = np.where(exists, area, 0.0)

    def values(name: str) -> FloatArray:
        return np.where(exists, _values(file, name), np.float32(0.0))

    return {
        "months": month_index(file, file["time"]).index,
        **axes,
        "lat_bounds": lat_bounds,
        "lon_bounds": lon_bounds,
        "area": area / area.sum(),
        "field": values(variable),
        "analysis": values(f"{variable}_analysis"),
        "stddev": values(stddev) if stddev in file.variables else None,
        "status": status,
    }


@dataclass(frozen=True)
class Changes:
    """A release compared with the one before it, on the months they share.

    Attributes
    ----------
    new, previous:
        The two; ``previous`` is None for the first release, or where the grid is another.
    here, there:
        (N,) positions of the N common months in either.
    added, lost:
        Months of one alone.
    input_status:
        (N, H, W) int8, see :data:`MEANINGS`; None if the earlier input is not known.
    input_change, field_change:
        (N, H, W); the former NaN where a cell is not observed in both.
    mean_change:
        (N,) change of the global mean.
    """

    new: Result
    previous: Result | None
    here: NDArray[np.int64]
    there: NDArray[np.int64]
    added: NDArray[np.int64]
    lost: NDArray[np.int64]
    input_status: NDArray[np.int8] | None
    input_change: FloatArray | None
    field_change: FloatArray
    analysis_change: FloatArray
    mean_change: FloatArray

    @property
    def months(self) -> NDArray[np.int64]:
        """(N,) the common months."""
        return self.new.months[self.here]

    @property
    def touched(self) -> BoolArray | None:
        """(N,) whether a month's input changed anywhere."""
        return None if self.input_status is None else (self.input_status != SAME).any((1, 2))

    @property
    def rms(self) -> FloatArray:
        """(N,) area-weighted RMS change of the reconstruction."""
        return np.asarray(np.sqrt((self.field_change.astype(np.float64) ** 2 * self.new.area).sum((1, 2))))

    def counts(self) -> dict[str, int]:
        """Number of cells of each input status."""
        status = self.input_status
        return {} if status is None else {name: int((status == k).sum()) for k, name in enumerate(MEANINGS)}


def compare(new: Result, previous: Result | None) -> Changes:
    """Compare two releases, month by month."""
    comparable = previous if previous is not None and new.same_grid(previous) else None
    before = comparable.months if comparable is not None else np.empty(0, dtype=np.int64)
    _, here, there = np.intersect1d(new.months, before, return_indices=True)
    shape = (len(here), *new.area.shape)
    status = change = None
    field = analysis = np.zeros(shape, np.float32)
    means = np.zeros(len(here))
    if comparable is not None:
        field = new.field[here] - comparable.field[there]
        analysis = new.analysis[here] - comparable.analysis[there]
        means = new.global_mean[here] - comparable.global_mean[there]
        if new.observed is not None and comparable.observed is not None:
            status, change = _compare_input(
                new.observed[here], comparable.observed[there], EQUAL * VARIABLES[new.variable].scale
            )
    added, lost = np.setdiff1d(new.months, before), np.setdiff1d(before, new.months)
    return Changes(new, comparable, here, there, added, lost, status, change, field, analysis, means)


def _compare_input(now: FloatArray, before: FloatArray, equal: float) -> tuple[NDArray[np.int8], FloatArray]:
    change = now.astype(np.float64) - before.astype(np.float64)
    observed, was_observed = np.isfinite(now), np.isfinite(before)
    corrected = observed & was_observed & (np.abs(change) > equal)
    cases = [corrected, observed & ~was_observed, ~observed & was_observed]
    return np.select(cases, [CORRECTED, APPEARED, GONE], SAME).astype(np.int8), change


def summary(changes: Changes) -> dict[str, Any]:
    """The figures of a comparison, for the state, the report and a notification."""
    labels = changes.new.labels
    touched = changes.touched
    largest = int(np.argmax(np.abs(changes.mean_change))) if len(changes.here) else None
    return {
        "previous": changes.previous.name if changes.previous else None,
        "months": len(changes.new.months),
        "first": labels[0],
        "last": labels[-1],
        "new_months": Months(changes.added).labels() if changes.previous else [],
        "lost_months": Months(changes.lost).labels(),
        "common_months": len(changes.here),
        "changed_months": None if touched is None else int(touched.sum()),
        "cells": changes.counts(),
        "largest_input_change": _largest(changes.input_change),
        "largest_field_change": _largest(changes.field_change),
        "mean_rms": float(changes.rms.mean()) if len(changes.here) else None,
        "largest_mean_change": None if largest is None else float(changes.mean_change[largest]),
        "largest_mean_change_month": None if largest is None else labels[int(changes.here[largest])],
    }


def _largest(values: FloatArray | None) -> float | None:
    known = np.empty(0) if values is None else np.abs(values[np.isfinite(values)])
    return float(known.max()) if known.size else None
