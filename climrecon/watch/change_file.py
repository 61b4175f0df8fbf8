"""The change report as netCDF, with the observations, for the comparison with the release to come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from climrecon.array_types import Array
from climrecon.errors import OutputError
from climrecon.fields import Months
from climrecon.files import atomic_path
from climrecon.output.axes import month_coordinates
from climrecon.watch.changes import MEANINGS, Changes

_KELVIN = {"units": "K", "units_metadata": "temperature: difference"}


def write_changes(path: Path, changes: Changes, attributes: dict[str, str]) -> None:
    """Write all months of the new release; what cannot be compared is missing.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    data = _dataset(changes).assign_attrs({"Conventions": "CF-1.8", **attributes})
    try:
        with atomic_path(path) as temporary:
            data.to_netcdf(temporary, engine="netcdf4", format="NETCDF4_CLASSIC", unlimited_dims=["time"])
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path} could not be written: {error}", "Is there space left?") from error


def _dataset(changes: Changes) -> xr.Dataset:
    new, previous = changes.new, changes.previous
    middle, bounds = month_coordinates(Months(new.months), "standard")
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

    def add(name: str, values: Array, dtype: Any, **attributes: Any) -> None:
        fill = -1 if dtype == "i1" else 1e20
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
        add("observed", new.observed, dtype, **_KELVIN, long_name="input of the run, as it was read")
    text = "area-weighted mean of the reconstruction"
    add("global_mean", new.global_mean, "f8", **_KELVIN, long_name=text, cell_methods="area: mean")
    if previous is not None:
        text = "reconstruction minus that of the release before"
        add("reconstruction_change", all_months(changes.field_change), "f4", **_KELVIN, long_name=text)
        before, text = all_months(previous.global_mean[changes.there]), "the same of the release before"
        add("global_mean_before", before, "f8", **_KELVIN, long_name=text, cell_methods="area: mean")
    if previous is not None and changes.input_status is not None and changes.input_change is not None:
        text = "input minus that of the release before, where both observed"
        add("input_change", all_months(changes.input_change), "f4", **_KELVIN, long_name=text)
        text = "what happened to the input since the release before"
        flags = {"flag_values": np.arange(len(MEANINGS), dtype=np.int8), "flag_meanings": " ".join(MEANINGS)}
        add("input_status", all_months(changes.input_status, -1), "i1", long_name=text, **flags)
    return xr.Dataset(variables)
