"""The change report as netCDF, with what was observed, for the comparison with the release to come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.errors import OutputError
from climrecon.fields import Months
from climrecon.files import atomic_path
from climrecon.output.axes import month_coordinates
from climrecon.variables import VARIABLES
from climrecon.watch.changes import MEANINGS, Changes

_FILL = np.float32(1e20)
_PACKED = {"zlib": True, "complevel": 4, "shuffle": True}


def write_changes(path: Path, changes: Changes, about: dict[str, str]) -> None:
    """Write all months of the new release; what cannot be compared is missing.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        with (
            atomic_path(path) as temporary,
            netCDF4.Dataset(temporary, "w", format="NETCDF4_CLASSIC") as file,
        ):
            _write(file, changes, about)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path} could not be written: {error}", "Is there space left?") from error


def _write(file: Any, changes: Changes, about: dict[str, str]) -> None:
    new = changes.new
    file.setncatts({"Conventions": "CF-1.8", **about})
    file.createDimension("time", None)
    file.createDimension("lat", len(new.lat))
    file.createDimension("lon", len(new.lon))
    file.createDimension("bnds", 2)
    middle, bounds = month_coordinates(Months(new.months), "standard")
    axes = {
        "time": (middle, bounds, {"units": "days since 1850-01-01 00:00:00", "calendar": "standard", "axis": "T"}),
        "lat": (new.lat, new.lat_bounds, {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}),
        "lon": (new.lon, new.lon_bounds, {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}),
    }  # fmt: skip
    for name, (values, edges, described) in axes.items():
        axis = file.createVariable(name, "f8", (name,))
        axis.setncatts({"standard_name": name, **described, "bounds": f"{name}_bnds"})
        axis[:] = values
        file.createVariable(f"{name}_bnds", "f8", (name, "bnds"))[:] = edges
    shape = new.field.shape
    description = VARIABLES[new.variable]
    units = {"units": description.units, "units_metadata": description.units_metadata}
    if new.observed is not None:
        kind = "f8" if new.observed.dtype == np.float64 else "f4"
        _field(
            file, "observed", kind, new.observed, {**units, "long_name": "input of the run, as it was read"}
        )
    if changes.previous is not None:
        parts = {
            "reconstruction_change": (changes.field_change, "reconstruction minus that of the release before"),
            "input_change": (changes.input_change, "input minus that of the release before, where both observed"),
        }  # fmt: skip
        for name, (part, what) in parts.items():
            if part is not None:
                values = np.full(shape, np.nan, np.float32)
                values[changes.here] = part
                _field(file, name, "f4", values, {**units, "long_name": what})
        if changes.input_status is not None:
            flags = np.full(shape, -1, np.int8)
            flags[changes.here] = changes.input_status
            variable = file.createVariable(
                "input_status", "i1", ("time", "lat", "lon"), fill_value=np.int8(-1), **_PACKED
            )
            variable.setncatts(
                {
                    "long_name": "what happened to the input since the release before",
                    "flag_values": np.arange(len(MEANINGS), dtype=np.int8),
                    "flag_meanings": " ".join(MEANINGS),
                }
            )
            variable[:] = flags
    series = {"global_mean": (new.global_mean, "area-weighted mean of the reconstruction")}
    if changes.previous is not None:
        before = np.full(len(new.months), np.nan)
        before[changes.here] = changes.previous.global_mean[changes.there]
        series["global_mean_before"] = (before, "the same of the release before")
    for name, (values, what) in series.items():
        variable = file.createVariable(name, "f8", ("time",), fill_value=np.float64(_FILL))
        variable.setncatts({**units, "long_name": what, "cell_methods": "area: mean"})
        variable[:] = np.where(np.isfinite(values), values, _FILL)


def _field(file: Any, name: str, kind: str, values: Any, about: dict[str, Any]) -> None:
    chunks = (min(len(values), 120), *values.shape[1:])
    fill = np.dtype(kind).type(_FILL)
    variable = file.createVariable(
        name, kind, ("time", "lat", "lon"), fill_value=fill, chunksizes=chunks, **_PACKED
    )
    variable.setncatts(about)
    variable[:] = np.where(np.isfinite(values), values, fill)
