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

from climrecon.grid import Grid
from fuzz.statements import (
    ABSOLUTE_BESIDE,
    ABSOLUTE_NAMES,
    BASES,
    FILE_NAMES,
    GAPS,
    HADCRUT,
    NAMES,
    OTHERS,
    PRODUCERS,
    UNITS,
    USUAL_BASES,
)

ROWS, COLUMNS, MONTHS = 6, 8, 14
FIRST = 1901 * 12 + 4
INDEX = np.arange(FIRST, FIRST + MONTHS)
#: Of files of absolute values: whole years, all of them the reference period.
YEARS = (1901, 1903)
WHOLE_YEARS = np.arange(YEARS[0] * 12, (YEARS[1] + 1) * 12)
#: Between members, K.
APART = 0.1

TIMES = (
    "days since 1850-01-01", "days since 1850-1-1 00:00:00", "hours since 1800-1-1 00:00:0.0",
    "seconds since 1970-01-01", "months since 1900-01-01", "month as %Y%m.%f", "day as %Y%m%d.%f",
    "year A.D.", "text", "characters",
)  # fmt: skip
STAMPS = ("middle", "start", "end")
BOUNDS = (None, "linked", "named", "own units")
#: Of a refusal: statements name several data sets.
UNCLEAR = "which data set"
#: How rows and columns lie in the file.
GRIDS = ("centres", "twin rows", "poles", "edges", "edges with bounds", "bounds")

layouts = st.fixed_dictionaries(
    {
        "file_name": st.sampled_from(["data.nc", "data.nc", HADCRUT, *FILE_NAMES]),
        "producers": st.lists(st.sampled_from(PRODUCERS), max_size=2),
        "gaps": st.sampled_from([None, None, None, *GAPS]),
        "grid": st.sampled_from(["centres", "centres", *GRIDS]),
        "others": st.lists(st.sampled_from([*OTHERS, ABSOLUTE_BESIDE]), max_size=2, unique_by=lambda one: one[0]),
        "compressed": st.sampled_from(["", "", "", "", ".gz", ".bz2"]),
        "name": st.sampled_from(NAMES),
        "base": st.sampled_from([None, *BASES]),
        "units": st.sampled_from(UNITS),
        "north_first": st.booleans(),
        "east_of_greenwich": st.booleans(),
        "turned_by": st.integers(0, COLUMNS - 1),
        "cyclic": st.sampled_from(["", "", "", "", "", "", "", "", "equal", "equal", "equal", "other"]),
        "axes": st.sampled_from([("time", "lat", "lon"), ("time", "latitude", "longitude"), ("valid_time", "y", "x")]),
        "dims": st.permutations(["time", "lat", "lon"]),
        "members": st.sampled_from([None, None, ("realization", 1), ("number", 1), ("ens", 2), ("run", 2), ("member_id", 3)]),
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
#: The same of absolute values; ``share`` of the cells is missing.
absolute_layouts = st.builds(
    lambda layout, name, share: {
        **layout, "name": name, "share": share, "base": None, "producers": [], "gaps": None, "file_name": "data.nc",
        "others": [one for one in layout["others"] if one is not ABSOLUTE_BESIDE],
        "order_of_time": range(len(WHOLE_YEARS)),
    },
    layouts, st.sampled_from(ABSOLUTE_NAMES), st.sampled_from([0.0, 0.05]),
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A file and its truth.

    Attributes
    ----------
    values:
        (T, H, W) in the package's order, NaN where missing: anomalies, or absolute values; K. Of members the mean.
    index:
        (T,) months.
    base:
        Reference period of anomalies.
    data_set:
        Its name, "" if none is named.
    members:
        How many the file holds along a dimension.
    refused:
        Words of the reasons for which the file must be refused, as a pattern; "" if it must be read.
    infilled:
        Whether the file states that its gaps are filled.
    """

    path: Path
    values: np.ndarray
    index: np.ndarray
    base: tuple[int, int] | None
    tolerance: float
    grid: Grid
    data_set: str
    members: int
    refused: str
    infilled: bool

    def member(self, number: int) -> np.ndarray:
        """(T, H, W) of one member, from 0."""
        return self.values + APART * (number - (self.members - 1) / 2)


def truth(seed: int, *, absolute: bool = False, share: float = 0.4) -> np.ndarray:
    """Values in hundredths of K, which packed files hold exactly; NaN where missing."""
    rng = np.random.default_rng(seed)
    shape = (len(WHOLE_YEARS) if absolute else MONTHS, ROWS, COLUMNS)
    values = rng.normal(0.0, 1.2, shape).clip(-6, 6)
    if absolute:
        season = np.cos(np.arange(shape[0]) * np.pi / 6)[:, None, None]
        values += np.array([245.0, 270.0, 295.0, 298.0, 275.0, 255.0])[:, None] + 9.0 * season
    values = np.round(values * 100) / 100
    values[rng.random(values.shape) < share] = np.nan
    return values


def anomalies(values: np.ndarray) -> np.ndarray:
    """(T, H, W) whole years of absolute values less the mean of their calendar month, where two of three years are known."""
    years = values.reshape(-1, 12, *values.shape[1:])
    known = np.isfinite(years).sum(axis=0)
    mean = np.where(known >= 2, np.where(np.isfinite(years), years, 0.0).sum(axis=0) / np.maximum(known, 1), np.nan)
    return np.asarray((years - mean).reshape(values.shape))


def on_even_rows(values: np.ndarray, grid: Grid) -> np.ndarray:
    """(T, H, W) means over the rows of a regular grid of as many rows, by the areas that they share with those of ``grid``."""
    edges = np.sin(np.radians(np.linspace(-90.0, 90.0, ROWS + 1)))[:, None]
    known = np.sin(np.radians(grid.lat_edges))
    shared = np.minimum(edges[1:], known[1:]) - np.maximum(edges[:-1], known[:-1])
    return np.asarray(np.einsum("rs,tsw->trw", shared.clip(0) / np.diff(edges, axis=0), values))


def made(folder: Path, layout: dict[str, Any], seed: int = 3) -> Made:
    """Write the file of ``layout``."""
    absolute = "share" in layout
    values = truth(seed, absolute=absolute, share=layout.get("share", 0.4))
    index = WHOLE_YEARS if absolute else INDEX
    name, lat_edges = layout["file_name"], np.linspace(-90.0, 90.0, ROWS + 1)
    lat, written = lat_edges[:-1] + 15.0, values[np.array(layout["order_of_time"])]
    lat_bounds = np.stack([lat_edges[:-1], lat_edges[1:]], axis=1)
    if layout["grid"] == "twin rows":
        lat, written = np.arange(-82.5, 90, 15.0), np.repeat(written, 2, axis=1)
    elif layout["grid"] == "poles":
        lat, lat_edges = np.linspace(-90.0, 90.0, ROWS), np.array([-90.0, *np.arange(-72.0, 90, 36.0), 90.0])
    elif layout["grid"].startswith("edges"):
        lat = lat_edges[1:] if layout["north_first"] else lat_edges[:-1]
    lon = np.arange(-157.5, 180, 45.0)
    lon_bounds = np.stack([lon - 22.5, lon + 22.5], axis=1)
    if layout["grid"].startswith("edges"):
        lon = lon - 22.5
    lon_edges = np.linspace(-180.0, 180.0, COLUMNS + 1)
    if layout["north_first"]:
        lat, lat_bounds, written = lat[::-1], lat_bounds[::-1, ::-1], written[:, ::-1]
    if layout["east_of_greenwich"]:
        turns = lon % 360.0 - lon
        lon, lon_bounds = lon + turns, lon_bounds + turns[:, None]
    by = layout["turned_by"]
    lon, lon_bounds, written = np.roll(lon, by), np.roll(lon_bounds, by, axis=0), np.roll(written, by, axis=2)
    if layout["cyclic"]:
        lon, lon_bounds = np.append(lon, lon[0] + 360.0), np.append(lon_bounds, lon_bounds[:1] + 360.0, axis=0)
        again = written[..., :1] + (0.5 if layout["cyclic"] == "other" else 0.0)
        written = np.concatenate([written, again], axis=2)
    if layout["gaps"] and layout["gaps"][0] == "name":
        name = layout["gaps"][1]
    path = folder / name
    axes = {"lat": (lat, lat_bounds), "lon": (lon, lon_bounds)}
    with netCDF4.Dataset(path, "w", format=layout["format"]) as file:
        _write(file, layout, written, index[np.array(layout["order_of_time"])], axes)
    if layout["compressed"]:
        opener = gzip.open if layout["compressed"] == ".gz" else bz2.open
        packed = path.with_name(path.name + layout["compressed"])
        with opener(packed, "wb") as target:
            target.write(path.read_bytes())
        path.unlink()
        path = packed
    statements = {one[:2]: one[3] for one in layout["producers"]}
    named = {FILE_NAMES.get(name, "HadCRUT"), *statements.values()} - {""}
    data_set = named.pop() if len(named) == 1 else ""
    reasons = [UNCLEAR] if named else []
    reasons += ["edges of cells"] if layout["grid"] == "edges" else []
    reasons += ["again, with other values"] if layout["cyclic"] == "other" else []
    infilled = bool(layout["gaps"] and layout["gaps"][2])
    base = layout["base"][3] if layout["base"] else USUAL_BASES.get(data_set)
    tolerance = 1e-4 if absolute else 2e-5
    if layout["units"][1] != 1.0:
        tolerance = 6e-3 if layout["packing"] in ("i2", "i4") else 2e-4
    members = layout["members"][1] if layout["members"] else 1
    grid = Grid(lat_edges, lon_edges)
    return Made(path, values, index, base, tolerance, grid, data_set, members, "|".join(reasons), infilled)


def _write(
    file: netCDF4.Dataset,
    layout: dict[str, Any],
    values: np.ndarray,
    index: np.ndarray,
    axes: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    names = dict(zip(("time", "lat", "lon"), layout["axes"], strict=True))
    sizes = {"time": len(index), **{axis: len(numbers) for axis, (numbers, _) in axes.items()}}
    for axis, size in sizes.items():
        file.createDimension(names[axis], size)
    for axis, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
        coordinate = file.createVariable(names[axis], "f8", (names[axis],))
        coordinate.units = units
        coordinate[:], bounds = axes[axis]
        if "bounds" in layout["grid"]:
            coordinate.bounds = f"{names[axis]}_bnds"
            if "two" not in file.dimensions:
                file.createDimension("two", 2)
            file.createVariable(coordinate.bounds, "f8", (names[axis], "two"))[:] = bounds
    write_time(file, names["time"], layout, index)
    name, attributes = layout["name"]
    attributes = {**attributes, "units": layout["units"][0]}
    if layout["base"]:
        attribute, of_variable, value, _ = layout["base"]
        if of_variable:
            attributes[attribute] = value
        else:
            file.setncattr(attribute, value)
    for attribute, of_variable, text, _ in layout["producers"]:
        if of_variable:
            attributes[attribute] = text
        else:
            file.setncattr(attribute, text)
    if layout["gaps"] and layout["gaps"][0] != "name":
        attribute, value, _ = layout["gaps"]
        known = f"{file.comment} " if attribute == "comment" and "comment" in file.ncattrs() else ""
        file.setncattr(attribute, known + value if known else value)
    if "long_name" not in attributes:
        attributes["long_name"] = "temperature" if "share" in layout else "temperature anomaly"
    for other, about, value in layout["others"]:
        if other != name:
            field = file.createVariable(other, "f4", [names[axis] for axis in layout["dims"]])
            field.setncatts(about)
            field[:] = value
    _write_values(file, name, attributes, layout, values, names)


def _write_values(
    file: netCDF4.Dataset, name: str, attributes: dict[str, Any], layout: dict[str, Any], values: np.ndarray,
    names: dict[str, str],
) -> None:  # fmt: skip
    packed, absolute = layout["packing"] in ("i2", "i4"), "share" in layout
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
        data = np.stack([data + APART * (number - (count - 1) / 2) for number in range(count)], axis=1)
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
    _, factor, zero = layout["units"]
    middle = 275.0 if absolute else 1.0
    scale, offset = np.float32(0.01 * factor), np.float32(middle * factor + zero * absolute)
    data = data * factor + zero * absolute
    limits = np.array([175.0, 349.0] if absolute else [-20.0, 20.0]) * factor + zero * absolute
    if packed:
        variable.scale_factor, variable.add_offset = scale, offset
        data = np.round((data - np.float64(offset)) / np.float64(scale))
    if layout["valid"] and not np.isnan(fill):
        of_values = layout["valid"] == "unpacked" or not packed
        limits = limits if of_values else np.round((limits - np.float64(offset)) / np.float64(scale))
        variable.valid_range = limits.astype(np.float32 if of_values else number)
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
    if "two" not in file.dimensions:
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
