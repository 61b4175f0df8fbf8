"""Small gappy files of any frequency and calendar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np

from climrecon.settings import load_site, validate
from climrecon.tasks.run import run_task
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info

CALENDARS = ("standard", "proleptic_gregorian", "noleap", "360_day", "julian", "all_leap")
UNITS = "days since 1850-01-01"
Date = tuple[int, int, int]


def write(
    path: Path,
    dates: list[Date],
    ends: list[Date] | None = None,
    *,
    calendar: str = "standard",
    values: np.ndarray | None = None,
    **attributes: Any,
) -> Path:
    """Gappy anomalies on 9 x 18 cells, stamped with ``dates``; bounds from there to ``ends`` if these are given."""

    def numbers(some: list[Date]) -> np.ndarray:
        return np.array(
            [cftime.date2num(cftime.datetime(*one, calendar=calendar), UNITS, calendar) for one in some], "f8"
        )

    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", len(dates)), ("lat", 9), ("lon", 18), ("bnds", 2)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = UNITS, calendar
        time[:] = numbers(dates)
        if ends is not None:
            time.bounds = "time_bnds"
            both = np.stack([numbers(dates), numbers(ends)], axis=1)
            file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = both
            time[:] = both.mean(axis=1)
        for name, axis in (("lat", np.arange(-80.0, 90.0, 20.0)), ("lon", np.arange(-170.0, 180.0, 20.0))):
            file.createVariable(name, "f8", (name,))[:] = axis
            file[name].units = {"lat": "degrees_north", "lon": "degrees_east"}[name]
        field = file.createVariable("tas", "f4", ("time", "lat", "lon"), fill_value=1e20)
        field.units, field.long_name = "K", "temperature anomaly relative to 1961-1990"
        if values is None:
            values = np.random.default_rng(3).normal(0.0, 1.5, (len(dates), 9, 18))
            values[np.random.default_rng(4).random(values.shape) < 0.4] = np.nan
        field[:] = np.ma.masked_invalid(values)
        field.setncatts(attributes)
    return path


def starts(frequency: str, calendar: str) -> list[Date]:
    """The beginnings of steps from 1961 on, and of the one behind the last."""
    if frequency == "yr":
        return [(year, 1, 1) for year in range(1961, 1992)]
    if frequency == "sem":
        return [(1960 + (n + 3) // 4, (n + 3) % 4 * 3 + 3, 1) if n % 4 else (1960 + n // 4, 12, 1) for n in range(121)]
    units = "days since 1990-02-20"
    dates = cftime.num2date(np.arange(21), units, calendar=calendar)
    return [(one.year, one.month, one.day) for one in dates]


def reconstructed(
    folder: Path, frequency: str, calendar: str = "standard", **parameters: Any
) -> tuple[Path, list[Date]]:
    edges = starts(frequency, calendar)
    source = write(folder / "gappy.nc", edges[:-1], edges[1:], calendar=calendar)
    site = load_site()
    raw = {
        "obs_file": str(source), "time_frequency": frequency, "outputdir": str(folder / "out"), "plots": "false",
        "report": "false", "cachedir": str(folder / "cache"), "dispatch": "local", "network": "idw",
        "compare_with": "none", **parameters,
    }  # fmt: skip
    run_task(validate(raw, site), site, Quiet(), run_info())
    (result,) = (folder / "out").glob("*.nc")
    return result, edges
