"""Memory and time of daily reconstructions, or evaluations on withheld cells, in processes of their own.

Made-up values of some years on 2 degrees.

    python benchmarks/daily_memory.py FOLDER --years 5 --network idw
    python benchmarks/daily_memory.py FOLDER --years 5 --network idw --task evaluate

Prints one JSON line: days, peak memory (largest resident set of a process, bytes), time of a processor for 30 days.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np

ROWS, COLUMNS = 90, 180
#: Days that are made at once.
AT_ONCE = 360


def make(path: Path, years: int, kind: str) -> int:
    """Write waves of planetary size, noise, and a third of the cells missing, some anew each day; returns the days."""
    rng = np.random.default_rng(0)
    days = int(years * 365.25)
    lat = np.linspace(-89, 89, ROWS)
    lon = np.linspace(-179, 179, COLUMNS)
    waves = np.stack(
        [np.cos(np.radians(lat))[:, None] * np.cos(np.radians(k * lon + 40 * k))[None, :] for k in range(1, 7)]
    )
    never = rng.random((ROWS, COLUMNS)) < 0.25
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("lat", ROWS), ("lon", COLUMNS)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1955-01-01", "standard"
        for name, axis, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            file.createVariable(name, "f8", (name,))[:] = axis
            file[name].units = units
        field = file.createVariable(
            "tas", "f4", ("time", "lat", "lon"), fill_value=1e20, chunksizes=(30, ROWS, COLUMNS)
        )
        field.units = "K"
        field.long_name = "anomaly relative to 1961-1990" if kind == "anomaly" else "near-surface air temperature"
        for start in range(0, days, AT_ONCE):
            count = min(AT_ONCE, days - start)
            values = np.tensordot(rng.normal(0, 2, (count, 6)), waves, axes=1) + rng.normal(
                0, 1, (count, ROWS, COLUMNS)
            )
            if kind == "absolute":
                season = 2 * np.pi * np.arange(start, start + count) / 365.25
                values += 288 + 10 * np.cos(season)[:, None, None]
            values[(rng.random(values.shape) < 0.1) | never] = np.nan
            field[start : start + count] = np.ma.masked_invalid(values)
            time[start : start + count] = np.arange(start, start + count) + 0.5
    return days


def main() -> None:
    """Make the file unless it is there, and reconstruct it, or withhold its cells in two folds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--years", type=int, default=5)
    parser.add_argument("--network", default="idw")
    parser.add_argument("--task", choices=("reconstruct", "evaluate"), default="reconstruct")
    parser.add_argument("--kind", choices=("anomaly", "absolute"), default="anomaly")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    path = asked.folder / f"daily-{asked.kind}-{asked.years}.nc"
    days = int(asked.years * 365.25) if path.exists() else make(path, asked.years, asked.kind)
    first = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = asked.folder / f"{asked.task}-{asked.network}-{asked.kind}-{asked.years}"
    base = f"1955-{1954 + asked.years}" if asked.kind == "absolute" else "1961-1990"
    parameters = {
        "obs-file": path, "time-frequency": "day", "network": asked.network, "compare-with": "none", "dispatch": "local",
        "cachedir": asked.folder / "cache", "outputdir": output, "reference-period": base,
    }  # fmt: skip
    if asked.task == "evaluate":
        parameters |= {"withhold": "cells", "folds": 2}
    words = [word for name, value in parameters.items() for word in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "climrecon", asked.task, *words], check=True, stdout=sys.stderr)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - first.ru_utime - first.ru_stime
    print(
        json.dumps(
            {
                "task": asked.task, "days": days, "cells": ROWS * COLUMNS, "network": asked.network, "kind": asked.kind,
                "peak_bytes": used.ru_maxrss * 1024, "cpu_seconds_of_30_days": round(30 * cpu / days, 2),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
