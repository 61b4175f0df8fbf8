"""Complete fields of models and gappy observations of any frequency, on a small region."""

from __future__ import annotations

from pathlib import Path

import cftime
import netCDF4
import numpy as np

LAT, LON = np.arange(36.25, 56.0, 2.5), np.arange(-8.75, 20.0, 2.5)
SHAPE = (len(LAT), len(LON))
UNITS = "days since 1850-01-01"
#: First year, and years of a record: enough of each for covariances and for blocks of held-out years.
YEARS = {"yr": (1901, 90), "sem": (1951, 40), "day": (1981, 6), "mon": (1951, 40)}
REFERENCE = {"yr": "1961-1990", "sem": "1961-1990", "day": "1981-1986", "mon": "1961-1990"}
TABLES = {"yr": "yr", "sem": "sem", "day": "day", "mon": "Amon"}


def edges(frequency: str, calendar: str = "standard", years: tuple[int, int] | None = None) -> np.ndarray:
    """(T + 1,) dates of the beginnings of all steps and of the one behind the last."""
    first, count = years or YEARS[frequency]
    if frequency == "day":
        ends = [cftime.datetime(year, 1, 1, calendar=calendar) for year in (first, first + count)]
        days = cftime.date2num(ends, UNITS, calendar)
        return np.asarray(cftime.num2date(np.arange(days[0], days[1] + 1), UNITS, calendar))
    months = {"yr": 12, "sem": 3, "mon": 1}[frequency]
    start = first * 12 - (frequency == "sem")
    index = np.arange(start, start + 12 * count + 1, months)
    return np.array([cftime.datetime(int(i) // 12, int(i) % 12 + 1, 1, calendar=calendar) for i in index])


def fields(count: int, seed: int) -> np.ndarray:
    """(T, H, W) anomalies: three smooth patterns that persist a little from step to step, and a little noise."""
    rng = np.random.default_rng(seed)
    lat, lon = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1]), indexing="ij")
    patterns = np.stack([np.ones(SHAPE), np.sin(2.0 * lon), lat * np.cos(2.0 * lon)])
    waves = rng.normal(size=(count, 3))
    for step in range(1, count):
        waves[step] = 0.6 * waves[step - 1] + 0.8 * waves[step]
    return np.einsum("tk,khw->thw", waves, patterns) + 0.2 * rng.normal(size=(count, *SHAPE))


def write(
    path: Path, frequency: str, seed: int, *, calendar: str = "standard", gaps: bool = False, absolute: bool = False,
    years: tuple[int, int] | None = None,
) -> Path:  # fmt: skip
    """A file of ``tas``: kelvins with an annual cycle, or anomalies; with ``gaps`` of 20 to 40 % of the cells."""
    dates = edges(frequency, calendar, years)
    values = fields(len(dates) - 1, seed)
    bounds = cftime.date2num(dates, UNITS, calendar)
    if absolute:
        phase = 2.0 * np.pi * (0.5 * (bounds[1:] + bounds[:-1]) % 365.25) / 365.25
        values = values + 283.0 - (0.0 if frequency == "yr" else 10.0) * np.cos(phase)[:, None, None]
    if gaps:
        lasting = np.random.default_rng(5).random(SHAPE) < 0.25
        lost = np.random.default_rng(seed + 1).random(values.shape) < 0.2
        lost[: len(lost) // 2] |= lasting
        values[lost] = np.nan
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("lat", SHAPE[0]), ("lon", SHAPE[1]), ("bnds", 2)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar, time.bounds = UNITS, calendar, "time_bnds"
        both = np.stack([bounds[:-1], bounds[1:]], axis=1)
        time[:] = both.mean(axis=1)
        file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = both
        for name, axis, units in (("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")):
            file.createVariable(name, "f8", (name,))[:] = axis
            file[name].units = units
        field = file.createVariable("tas", "f4", ("time", "lat", "lon"), fill_value=1e20)
        field.units = "K"
        field.long_name = (
            "near-surface air temperature" if absolute else f"temperature anomaly relative to {REFERENCE[frequency]}"
        )
        field[:] = np.ma.masked_invalid(values)
    return path


def archive(folder: Path, frequency: str, calendar: str = "standard") -> tuple[Path, Path]:
    """Three models' complete fields and a gappy record; the site file that names the former, and the record."""
    for number, model in enumerate(("FIRST", "SECOND", "THIRD")):
        name = f"tas_{TABLES[frequency]}_{model}_historical_r1i1p1.nc"
        write(folder / "models" / model / name, frequency, 10 + number, calendar=calendar, absolute=True)
    seen = write(folder / "seen.nc", frequency, 50, gaps=True)
    site = folder / "site.toml"
    site.write_text(
        f'network_store = ["{folder / "networks"}"]\n[training_data.models]\nfiles = ["{folder}/models/*/*.nc"]\n'
    )
    return site, seen
