"""A run's result as written, for the checks and the change report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.errors import InputDataError
from climrecon.files import sha256_of
from climrecon.output.manifest import read_manifest

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
        (H, W) share of the globe.
    field, analysis:
        (T, H, W) K: as published; the network's estimate everywhere.
    stddev:
        (T, H, W) K or None.
    status:
        (T, H, W), 1 where observed.
    observed:
        (T, H, W) K, NaN where missing, as the run's input held it; None if it is not known.
    damaged:
        Why the file is not the one that its manifest describes; "" if it is.
    """

    name: str
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
        return month_labels(self.months)

    @property
    def global_mean(self) -> FloatArray:
        """(T,) area-weighted mean of the published field, K."""
        return np.asarray((self.field.astype(np.float64) * self.area).sum((1, 2)))

    def same_grid(self, other: Result) -> bool:
        """Whether cells can be compared one by one."""
        return all(
            a.shape == b.shape and np.allclose(a, b, atol=1e-3)
            for a, b in ((self.lat, other.lat), (self.lon, other.lon))
        )


def month_labels(months: NDArray[Any]) -> list[str]:
    """``YYYY-MM`` of months given as year * 12 + month - 1."""
    return [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in months.tolist()]


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
            network, network_sha256 = (
                str(getattr(file, f"climrecon_{key}", "")) for key in ("network", "network_sha256")
            )
    except (OSError, RuntimeError, LookupError) as error:
        raise InputDataError(f"{path} cannot be read: {error}", "Run it again.") from error
    damaged = "" if digest == entry["sha256"] else f"{path.name} is not the file that its manifest describes"
    if observed is None and (folder / CHANGES).is_file():
        with netCDF4.Dataset(folder / CHANGES) as file:
            observed = _values(file, "observed")
    return Result(folder.name, observed=observed, network=network, network_sha256=network_sha256,
                  damaged=damaged, **parts)  # fmt: skip


def _values(file: Any, name: str) -> FloatArray:
    return np.asarray(np.ma.filled(file[name][:], np.nan))


def _fields(file: Any, variable: str) -> dict[str, Any]:
    time = file["time"]
    dates = netCDF4.num2date(time[:], time.units, getattr(time, "calendar", "standard"))
    axes = {
        name: np.asarray(file[name][:], dtype=np.float64) for name in ("lat", "lon", "lat_bnds", "lon_bnds")
    }
    lat_bounds, lon_bounds = axes.pop("lat_bnds"), axes.pop("lon_bnds")
    rows = np.abs(np.diff(np.sin(np.radians(lat_bounds)), axis=1))
    area = rows * np.abs(np.diff(lon_bounds, axis=1)).T
    stddev = f"{variable}_stddev"
    return {
        "months": np.array([d.year * 12 + d.month - 1 for d in dates], dtype=np.int64),
        **axes,
        "lat_bounds": lat_bounds,
        "lon_bounds": lon_bounds,
        "area": area / area.sum(),
        "field": _values(file, variable),
        "analysis": _values(file, f"{variable}_analysis"),
        "stddev": _values(file, stddev) if stddev in file.variables else None,
        "status": np.asarray(np.ma.filled(file[f"{variable}_status"][:], 0)).astype(np.int8),
    }
