"""A run's result as it was written, with what the checks and the change report need of it."""

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

#: The file of a release that holds what was observed, for the comparison with the next one.
CHANGES = "changes.nc"


@dataclass(frozen=True)
class Result:
    """A release's fields in the order of its files.

    Attributes
    ----------
    months:
        (T,) year * 12 + month - 1.
    lat, lon:
        (H,), (W,) degrees.
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
        Why the file is not what its manifest says; "" if it is.
    """

    name: str
    label: str
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
    variable: str
    damaged: str = ""

    @property
    def labels(self) -> list[str]:
        """``YYYY-MM`` of each month."""
        return [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in self.months.tolist()]

    @property
    def global_mean(self) -> FloatArray:
        """(T,) area-weighted mean of the published field, K."""
        return np.asarray((self.field.astype(np.float64) * self.area).sum((1, 2)))

    def same_grid(self, other: Result) -> bool:
        """Whether cells can be compared one by one."""
        return (self.lat.shape, self.lon.shape) == (other.lat.shape, other.lon.shape) and bool(
            np.allclose(self.lat, other.lat, atol=1e-3) and np.allclose(self.lon, other.lon, atol=1e-3)
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
            about = {
                key: str(getattr(file, f"climrecon_{key}", ""))
                for key in ("dataset", "network", "network_sha256")
            }
    except (OSError, RuntimeError, LookupError) as error:
        raise InputDataError(f"{path} cannot be read: {error}", "Run it again.") from error
    damaged = "" if digest == entry["sha256"] else f"{path.name} is not the file that its manifest describes"
    if observed is None and (folder / CHANGES).is_file():
        with netCDF4.Dataset(folder / CHANGES) as file:
            observed = np.ma.filled(file["observed"][:], np.nan)
    return Result(
        name=folder.name,
        label=about["dataset"],
        observed=observed,
        network=about["network"],
        network_sha256=about["network_sha256"],
        variable=variable,
        damaged=damaged,
        **parts,
    )


def _fields(file: Any, variable: str) -> dict[str, Any]:
    def values(name: str) -> FloatArray:
        return np.asarray(np.ma.filled(file[name][:], np.nan))

    dates = netCDF4.num2date(
        file["time"][:], file["time"].units, getattr(file["time"], "calendar", "standard")
    )
    lat, lon = (np.asarray(file[name][:], dtype=np.float64) for name in ("lat", "lon"))
    lat_bounds, lon_bounds = (
        np.asarray(file[f"{name}_bnds"][:], dtype=np.float64) for name in ("lat", "lon")
    )
    rows = np.abs(np.diff(np.sin(np.radians(lat_bounds)), axis=1))[:, 0]
    area = rows[:, None] * np.abs(np.diff(lon_bounds, axis=1))[:, 0][None, :]
    spread = f"{variable}_stddev"
    return {
        "months": np.array([d.year * 12 + d.month - 1 for d in dates], dtype=np.int64),
        "lat": lat,
        "lon": lon,
        "lat_bounds": lat_bounds,
        "lon_bounds": lon_bounds,
        "area": area / area.sum(),
        "field": values(variable),
        "analysis": values(f"{variable}_analysis"),
        "stddev": values(spread) if spread in file.variables else None,
        "status": np.asarray(np.ma.filled(file[f"{variable}_status"][:], 0)).astype(np.int8),
    }
