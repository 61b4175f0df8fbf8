"""The result as CF netCDF."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.errors import OutputError
from climrecon.fields import Months
from climrecon.files import atomic_path
from climrecon.output.product import STATUS_MEANINGS, Product
from climrecon.preprocess.regrid import file_order

_CALENDARS = (
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "noleap",
    "365_day",
    "360_day",
    "julian",
    "all_leap",
    "366_day",
)
#: Attributes that differ from run to run; they do not count when contents are compared.
VOLATILE = (
    "history",
    "date_created",
    "tracking_id",
    "climrecon_run",
    "climrecon_inputs",
    "climrecon_settings",
)
_FILL = np.float32(1e20)
_COMPRESSION = {"zlib": True, "complevel": 1, "shuffle": True}
#: What the name of the variable with the realisations ends with.
REALISATION = "realisation"
_TIME_UNITS = "days since 1850-01-01 00:00:00"


def write_netcdf(
    product: Product, path: Path, attributes: Mapping[str, str], variables: tuple[str, ...] | None = None
) -> None:
    """Write a product.

    Latitude, longitude, their order and the unpacked dtype are those of the file that was read; a time
    axis that is not CF is rewritten.

    Parameters
    ----------
    attributes:
        Global attributes, see :func:`global_attributes`.
    variables:
        Which of the data variables to write; all by default.

    Raises
    ------
    OutputError
        If the disk is full or a quota is reached; nothing is left then.
    """
    try:
        with (
            atomic_path(path) as temporary,
            netCDF4.Dataset(temporary, "w", format="NETCDF4_CLASSIC") as file,
        ):
            file.setncatts({key: value for key, value in attributes.items() if value})
            _axes(file, product)
            data = _fields(product)
            for name in variables or (*data, *([REALISATION] if product.realisations else [])):
                if name == REALISATION:
                    _realisations(file, product)
                else:
                    values, about = data[name]
                    _write_field(file, product, name, values, about)
    except RuntimeError as error:
        # The library says "HDF error" whatever happened; a full disk or quota is what happens.
        free = shutil.disk_usage(path.parent).free / 1e6
        raise OutputError(
            f"{path.name} could not be written ({error}); {free:.0f} MB are free in {path.parent}.",
            "Free some space, or choose another outputdir.",
        ) from error


def _axes(file: netCDF4.Dataset, product: Product) -> None:
    source, time, grid = product.observations.source, product.observations.time, product.observations.grid
    file.createDimension("time", None)
    file.createDimension("lat", len(source.lat))
    file.createDimension("lon", len(source.lon))
    file.createDimension("bnds", 2)
    calendar = source.calendar if source.calendar in _CALENDARS else "standard"
    middle, bounds = month_coordinates(time, calendar)
    variable = file.createVariable("time", "f8", ("time",))
    variable.setncatts(
        {
            "standard_name": "time",
            "long_name": "time",
            "units": _TIME_UNITS,
            "calendar": calendar,
            "axis": "T",
            "bounds": "time_bnds",
        }
    )
    variable[:] = middle
    file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = bounds
    twice = len(source.lat) == 2 * grid.shape[0]
    lat_edges = grid.lat_edges
    if twice:
        lat_edges = np.interp(
            np.arange(2 * grid.shape[0] + 1) / 2.0, np.arange(grid.shape[0] + 1), grid.lat_edges
        )
    rows, columns = np.argsort(np.argsort(source.lat)), np.argsort(np.argsort(_wrapped(source.lon)))
    lon_bounds = np.stack([grid.lon_edges[:-1], grid.lon_edges[1:]], axis=1)[columns]
    lon_bounds += (np.round((source.lon - lon_bounds.mean(1)) / 360.0) * 360.0)[:, None]
    for name, values, edges, standard, units, axis in (
        (
            "lat",
            source.lat,
            np.stack([lat_edges[:-1], lat_edges[1:]], axis=1)[rows],
            "latitude",
            "degrees_north",
            "Y",
        ),
        ("lon", source.lon, lon_bounds, "longitude", "degrees_east", "X"),
    ):
        variable = file.createVariable(name, "f8", (name,))
        variable.setncatts(
            {
                "standard_name": standard,
                "long_name": standard,
                "units": units,
                "axis": axis,
                "bounds": f"{name}_bnds",
            }
        )
        variable[:] = values
        file.createVariable(f"{name}_bnds", "f8", (name, "bnds"))[:] = edges


def _wrapped(lon: NDArray[Any]) -> NDArray[Any]:
    wrapped = np.where(lon >= 180.0 - 1e-6, lon - 360.0, lon)
    return np.where(wrapped < -180.0 - 1e-6, wrapped + 360.0, wrapped)


def month_coordinates(time: Months, calendar: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle and bounds of each month as numbers in the file's time units."""

    def first_day(index: NDArray[Any]) -> NDArray[np.float64]:
        dates = [cftime.datetime(int(i // 12), int(i % 12 + 1), 1, calendar=calendar) for i in index]
        return np.asarray(cftime.date2num(dates, _TIME_UNITS, calendar=calendar), dtype=np.float64)

    bounds = np.stack([first_day(time.index), first_day(time.index + 1)], axis=1)
    return bounds.mean(axis=1), bounds


_WHAT = {"tas": "near-surface air temperature", "tos": "sea-surface temperature"}


def _standard_name(variable: str, modifier: str = "") -> dict[str, str]:
    """The CF standard name of a variable's anomaly, where the table has one."""
    return {"standard_name": f"air_temperature_anomaly{modifier}"} if variable == "tas" else {}


def _fields(product: Product) -> dict[str, tuple[NDArray[Any], dict[str, Any]]]:
    """Data variables by name: values in the package's order, and attributes."""
    variable, source = product.observations.variable, product.observations.source
    what = (
        "temperature anomaly, sea-surface temperature over sea blended with near-surface air temperature over land"
        if source.blended
        else f"{_WHAT.get(variable, variable)} anomaly"
    )
    base = f"{product.reference_period[0]}-{product.reference_period[1]}"
    common = {
        **_standard_name(variable),
        "units": "K",
        "cell_methods": "time: mean area: mean",
        "reference_period": base,
    }
    beside = " ".join(
        f"{variable}_{part}"
        for part in ("stddev", "status")
        if part != "stddev" or product.stddev is not None
    )
    kept = (
        "observed cells kept, the rest reconstructed" if product.keep_observed else "reconstructed everywhere"
    )
    data: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        variable: (
            product.infilled,
            {**common, "long_name": f"{what}; {kept}", "ancillary_variables": beside},
        ),
        f"{variable}_analysis": (
            product.analysis,
            {**common, "long_name": f"{what}; the network's estimate everywhere"},
        ),
    }
    if product.stddev is not None:
        comment = "One sigma of the true cell mean about the reconstruction."
        if product.keep_observed:
            comment += (
                " At kept cells the observation's own error: as the data set states it, else as assumed."
            )
        data[f"{variable}_stddev"] = (
            product.stddev,
            {
                **_standard_name(variable, " standard_error"),
                "long_name": f"standard deviation of {variable}",
                "units": "K",
                "comment": comment,
            },
        )
    data[f"{variable}_status"] = (
        product.status,
        {
            "standard_name": "status_flag",
            "long_name": f"status of {variable}",
            "flag_values": np.arange(1, len(STATUS_MEANINGS) + 1, dtype=np.int8),
            "flag_meanings": " ".join(STATUS_MEANINGS),
            "comment": "no_skill: the observations left more than 75 % of the variance about the month's mean.",
        },
    )
    return data


def _write_field(
    file: netCDF4.Dataset, product: Product, name: str, values: NDArray[Any], about: Mapping[str, Any]
) -> None:
    source = product.observations.source
    whole = values.dtype.kind == "i"
    kind = "i1" if whole else np.dtype(source.dtype).str[1:]
    chunks = (min(len(values), 120), len(source.lat), len(source.lon))
    fill = np.int8(-127) if whole else np.dtype(source.dtype).type(_FILL)
    variable = file.createVariable(
        name, kind, ("time", "lat", "lon"), fill_value=fill, chunksizes=chunks, **_COMPRESSION
    )
    variable.setncatts(dict(about))
    variable.set_auto_maskandscale(False)
    ordered = file_order(values, source)
    variable[:] = ordered if whole else np.where(np.isfinite(ordered), ordered, _FILL)


def _realisations(file: netCDF4.Dataset, product: Product) -> None:
    """Written member by member: all of them at once would not fit into memory."""
    assert product.realisations is not None
    source, count = product.observations.source, product.n_realisations
    file.createDimension("realization", count)
    axis = file.createVariable("realization", "i4", ("realization",))
    axis.setncatts({"standard_name": "realization", "long_name": "number of the realisation", "units": "1"})
    axis[:] = np.arange(1, count + 1)
    name = f"{product.observations.variable}_{REALISATION}"
    shape = (1, min(len(product.observations.time), 120), len(source.lat), len(source.lon))
    variable = file.createVariable(
        name, "f4", ("realization", "time", "lat", "lon"), fill_value=_FILL, chunksizes=shape, **_COMPRESSION
    )
    variable.setncatts(
        {
            **_standard_name(product.observations.variable),
            "long_name": "equally likely complete fields given the observations",
            "units": "K",
            "cell_methods": "time: mean area: mean",
            "comment": "Observed cells vary too, within their errors. Realisations of different months are independent.",
        }
    )
    for member, field in enumerate(product.realisations()):
        variable[member] = file_order(field, source)


def global_attributes(
    product: Product,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    when: str,
    run_id: str,
    command: str,
) -> dict[str, str]:
    """What the file says of itself: source, inputs with hashes, settings, versions."""
    source, network = product.observations.source, product.network
    digest = f" (sha256 {network.sha256})" if network.sha256 else ""
    inputs = [{"file": Path(f).name, "sha256": h} for f, h in zip(source.files, source.sha256, strict=True)]
    blend = (
        "Sea-surface temperature over sea is blended with near-surface air temperature over land, as in the source."
        if source.blended
        else ""
    )
    return {
        "Conventions": "CF-1.8",
        "title": f"{source.label} reconstructed by climrecon with {network.name}",
        "institution": source.institution or "unknown",
        "source": f"{source.label}: {source.title or Path(source.files[0]).name}; gaps filled by climrecon "
        f"{versions.get('climrecon', '')} with {network.name}: {network.title}{digest}",
        "references": source.references,
        "comment": " ".join(filter(None, [blend, *product.notes])),
        "history": "\n".join(filter(None, [f"{when} {command}", source.history])),
        "date_created": when,
        "product": "reconstruction",
        "frequency": "mon",
        "variable_id": product.observations.variable,
        "climrecon_network": network.name,
        "climrecon_network_sha256": network.sha256 or "",
        "climrecon_dataset": source.label,
        "climrecon_inputs": json.dumps(inputs),
        "climrecon_settings": json.dumps(dict(settings), sort_keys=True),
        "climrecon_versions": json.dumps(dict(versions), sort_keys=True),
        "climrecon_run": run_id,
    }


def content_sha256(path: Path) -> str:
    """Hash of what a netCDF file holds: variables, their attributes and values; not when or where it was made."""
    digest = hashlib.sha256()
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        for key in sorted(set(file.ncattrs()) - set(VOLATILE)):
            digest.update(f"{key}={file.getncattr(key)}".encode())
        for name in sorted(file.variables):
            variable = file[name]
            digest.update(f"{name}{variable.dimensions}{variable.shape}{variable.dtype}".encode())
            for key in sorted(variable.ncattrs()):
                digest.update(f"{key}={variable.getncattr(key)}".encode())
            step = max(1, (1 << 24) // max(int(np.prod(variable.shape[1:], initial=1)) * 8, 1))
            for start in range(0, variable.shape[0] if variable.ndim else 0, step):
                digest.update(np.ascontiguousarray(variable[start : start + step]).tobytes())
    return digest.hexdigest()
