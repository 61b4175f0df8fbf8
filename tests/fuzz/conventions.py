"""Files of observations over the product of conventions, each with the truth that it holds."""

from __future__ import annotations

import bz2
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
from hypothesis import strategies as st

ROWS, COLUMNS, MONTHS = 6, 8, 14
LAT, LON = np.arange(-75.0, 90, 30.0), np.arange(-157.5, 180, 45.0)
FIRST = 1901 * 12 + 4
INDEX = np.arange(FIRST, FIRST + MONTHS)
HADCRUT = "HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"

#: Statements of a base period: attribute, of the variable or the file, its value, and the years that it means.
BASES: list[tuple[str, bool, Any, tuple[int, int]]] = [
    ("reference_period", True, "1951-1980", (1951, 1980)),
    ("reference_period", True, np.array([1961, 1990], dtype=np.int16), (1961, 1990)),
    ("long_name", True, "near-surface temperature anomaly relative to 1850-1900", (1850, 1900)),
    ("long_name", True, "temperature anomaly (base 1971-2000)", (1971, 2000)),
    (
        "comment",
        False,
        "Anomalies are relative to the Jan 1951-Dec 1980 average; data from 1850 to 2020.",
        (1951, 1980),
    ),
    ("comment", False, "monthly anomalies relative to 1961-1990 climatology", (1961, 1990)),
    ("climatology", True, "1981-2010", (1981, 2010)),
    ("description", False, "temperature anomalies w.r.t. 1986 to 2005", (1986, 2005)),
    ("summary", False, "anomalies from the 1991/2020 normals", (1991, 2020)),
]
#: Names of the variable in the file, and attributes that go with them.
NAMES: list[tuple[str, dict[str, Any]]] = [
    ("tas", {}),
    ("tas", {"standard_name": "air_temperature_anomaly"}),
    ("tasa", {"long_name": "Near-Surface Air Temperature Anomaly"}),
    ("temperature_anomaly", {}),
    ("tempanomaly", {"long_name": "Surface temperature anomaly"}),
    ("anom", {"standard_name": "air_temperature_anomaly"}),
    ("air", {"standard_name": "air_temperature_anomaly"}),
    ("tas_mean", {}),
    ("anything", {"standard_name": "air_temperature_anomaly"}),
]
TIMES = (
    "days since 1850-01-01", "days since 1850-1-1 00:00:00", "hours since 1800-1-1 00:00:0.0",
    "seconds since 1970-01-01", "months since 1900-01-01", "month as %Y%m.%f", "day as %Y%m%d.%f",
    "year A.D.", "text", "characters",
)  # fmt: skip
STAMPS = ("middle", "start", "end")
BOUNDS = (None, "linked", "named", "own units")
UNITS = ("K", "degC", "deg C", "degrees C", "degrees Celsius", "Celsius", "degree_C", "kelvin", "Kelvin", "degK", "C")

layouts = st.fixed_dictionaries(
    {
        "file_name": st.sampled_from(["data.nc", HADCRUT, "air.mon.anom.nc", "out put.nc"]),
        "compressed": st.sampled_from(["", "", "", "", ".gz", ".bz2"]),
        "name": st.sampled_from(NAMES),
        "base": st.sampled_from([None, *BASES]),
        "units": st.sampled_from(UNITS),
        "north_first": st.booleans(),
        "east_of_greenwich": st.booleans(),
        "turned_by": st.integers(0, COLUMNS - 1),
        "cyclic": st.sampled_from([False, False, False, True]),
        "axes": st.sampled_from([("time", "lat", "lon"), ("time", "latitude", "longitude"), ("valid_time", "y", "x")]),
        "dims": st.permutations(["time", "lat", "lon"]),
        "members": st.sampled_from([None, None, ("realization", 1), ("number", 1), ("ens", 2), ("run", 2)]),
        "packing": st.sampled_from(["f4", "f8", "i2", "i4"]),
        "fill": st.sampled_from([np.nan, -1e30, 1e20, -9999.0, -999.0, 9.96921e36]),
        "declared": st.sampled_from(["_FillValue", "missing_value", "both", "not"]),
        "valid": st.sampled_from([None, None, "packed", "unpacked"]),
        "calendar": st.sampled_from(["standard", "gregorian", "noleap", "365_day", "360_day", "proleptic_gregorian", None]),
        "time": st.sampled_from(TIMES),
        "stamp": st.sampled_from(STAMPS),
        "bounds": st.sampled_from(BOUNDS),
        "order_of_time": st.one_of(st.just(list(range(MONTHS))), st.permutations(range(MONTHS))),
        "format": st.sampled_from(["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF4_CLASSIC"]),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A file and its truth: (T, H, W) anomalies in K in the package's order, (T,) months, base period."""

    path: Path
    values: np.ndarray
    index: np.ndarray
    base: tuple[int, int] | None
    tolerance: float


def truth(seed: int) -> np.ndarray:
    """Anomalies in hundredths of K, which packed files hold exactly; NaN where missing."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(0.0, 1.2, (MONTHS, ROWS, COLUMNS)).clip(-6, 6) * 100) / 100
    values[rng.random(values.shape) < 0.4] = np.nan
    return values


def made(folder: Path, layout: dict[str, Any], seed: int = 3) -> Made:
    """Write the file of ``layout``."""
    values, index = truth(seed), INDEX
    written, lat, lon = values[np.array(layout["order_of_time"])], LAT, LON
    if layout["north_first"]:
        lat, written = lat[::-1], written[:, ::-1]
    if layout["east_of_greenwich"]:
        lon = lon % 360.0
    lon, written = np.roll(lon, layout["turned_by"]), np.roll(written, layout["turned_by"], axis=2)
    if layout["cyclic"]:
        lon, written = np.append(lon, lon[0] + 360.0), np.concatenate([written, written[..., :1]], axis=2)
    path = folder / layout["file_name"]
    with netCDF4.Dataset(path, "w", format=layout["format"]) as file:
        _write(file, layout, written, index[np.array(layout["order_of_time"])], lat, lon)
    if layout["compressed"]:
        opener = gzip.open if layout["compressed"] == ".gz" else bz2.open
        packed = path.with_name(path.name + layout["compressed"])
        with opener(packed, "wb") as target:
            target.write(path.read_bytes())
        path.unlink()
        path = packed
    default = (1961, 1990) if layout["file_name"] == HADCRUT else None
    return Made(path, values, index, layout["base"][3] if layout["base"] else default, 2e-5)


def _write(
    file: netCDF4.Dataset,
    layout: dict[str, Any],
    values: np.ndarray,
    index: np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
) -> None:
    names = dict(zip(("time", "lat", "lon"), layout["axes"], strict=True))
    for axis, size in (("time", len(index)), ("lat", len(lat)), ("lon", len(lon))):
        file.createDimension(names[axis], size)
    for axis, numbers, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
        coordinate = file.createVariable(names[axis], "f8", (names[axis],))
        coordinate.units = units
        coordinate[:] = numbers
    write_time(file, names["time"], layout, index)
    name, attributes = layout["name"]
    attributes = {**attributes, "units": layout["units"]}
    if layout["base"]:
        attribute, of_variable, value, _ = layout["base"]
        if of_variable:
            attributes[attribute] = value
        else:
            file.setncattr(attribute, value)
    if "long_name" not in attributes:
        attributes["long_name"] = "temperature anomaly"
    _write_values(file, name, attributes, layout, values, names)


def _write_values(
    file: netCDF4.Dataset, name: str, attributes: dict[str, Any], layout: dict[str, Any], values: np.ndarray,
    names: dict[str, str],
) -> None:  # fmt: skip
    packed = layout["packing"] in ("i2", "i4")
    fill = np.float64(-9999 if packed else layout["fill"])
    shape = [names[axis] for axis in layout["dims"]]
    data = np.transpose(values, [("time", "lat", "lon").index(axis) for axis in layout["dims"]])
    if layout["members"]:
        dimension, count = layout["members"]
        file.createDimension(dimension, count)
        member = file.createVariable(dimension, "i4", (dimension,))
        member.standard_name = "realization"
        member[:] = np.arange(1, count + 1)
        shape.insert(1, dimension)
        data = np.repeat(np.expand_dims(data, 1), count, 1)
    declared = layout["declared"] if not packed else "both"
    number = np.dtype(layout["packing"]).type
    variable = file.createVariable(
        name, layout["packing"], shape, fill_value=number(fill) if declared in ("_FillValue", "both") else None
    )
    variable.set_auto_maskandscale(False)
    for key, value in attributes.items():
        variable.setncattr(key, value)
    if declared in ("missing_value", "both"):
        variable.missing_value = number(fill)
    if packed:
        variable.scale_factor, variable.add_offset = np.float32(0.01), np.float32(1.0)
        data = np.round((data - 1.0) / 0.01)
    if layout["valid"] and not np.isnan(fill):
        low, high = (-20.0, 20.0) if layout["valid"] == "unpacked" or not packed else (-2100, 1900)
        kind = np.float32 if layout["valid"] == "unpacked" or not packed else number
        variable.valid_range = np.array([low, high], dtype=kind)
    variable[:] = np.where(np.isnan(data), fill, data)


def write_time(file: netCDF4.Dataset, name: str, layout: dict[str, Any], index: np.ndarray) -> None:
    """The time axis ``name``; stamps at the start or end of a month have bounds, or could not be read by anyone."""
    kind, calendar = layout["time"], layout["calendar"] or "standard"
    if kind in ("text", "characters"):
        days = [f"{i // 12:04d}-{i % 12 + 1:02d}-15" for i in index]
        if kind == "text" and layout["format"] == "NETCDF4":
            file.createVariable(name, str, (name,))[:] = np.array(days, dtype=object)
        else:
            file.createDimension("letters", 10)
            file.createVariable(name, "S1", (name, "letters"))[:] = netCDF4.stringtochar(np.array(days, dtype="S10"))
        return
    time = file.createVariable(name, "f8", (name,))
    time.units = kind
    if kind.startswith("year"):
        time[:] = index // 12 + (index % 12 + 0.5) / 12
        return
    if kind.startswith("month as"):
        time[:] = index // 12 * 100 + index % 12 + 1.5
        return
    if kind.startswith("day as"):
        time[:] = index // 12 * 10000 + (index % 12 + 1) * 100 + 15.5
        return
    if layout["calendar"]:
        time.calendar = calendar
    if kind.startswith("months"):
        time[:] = index - 1900 * 12 + 0.5
        return
    starts, ends = (numbers(index + step, kind, calendar, 1) for step in (0, 1))
    bounds = layout["bounds"] or ("linked" if layout["stamp"] != "middle" else None)
    time[:] = {"middle": numbers(index, kind, calendar, 15), "start": starts, "end": ends}[layout["stamp"]]
    if bounds is None:
        return
    file.createDimension("two", 2)
    edges = np.stack([starts, ends], axis=1)
    held = file.createVariable(f"{name}_bnds", "f8", (name, "two"))
    if bounds == "linked":
        time.bounds = f"{name}_bnds"
    if bounds == "own units":
        held.units = "days since 1700-01-01"
        if layout["calendar"]:
            held.calendar = calendar
        edges = np.stack([numbers(index + step, held.units, calendar, 1) for step in (0, 1)], axis=1)
        time.bounds = f"{name}_bnds"
    held[:] = edges


def numbers(index: np.ndarray, units: str, calendar: str, day: int) -> np.ndarray:
    """Times of a day of each month."""
    dates = [cftime.datetime(int(i) // 12, int(i) % 12 + 1, day, calendar=calendar) for i in index]
    return np.asarray(cftime.date2num(dates, units, calendar=calendar), dtype=np.float64)
