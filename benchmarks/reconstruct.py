"""How long the whole process takes for 2,028 months at 36 x 72, and how much memory.

    python benchmarks/reconstruct.py [--json] [--runs 5]

The observations are generated: the demo's climate and coverage, 1850-2018, and independent errors of 0.12 K (2000)
to 0.42 K (1850), times a factor of each cell, as in the demo's HadCRUT5-like files; the file does not state them. Beside
it, in the same run: the same without errors, which no real data set is and which takes the solver most steps; and
kriging on every twelfth month, extrapolated and called so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import netCDF4
import numpy as np

from climrecon.demo.climate import coverage_masks, make_climate
from climrecon.fields import Context, Months
from climrecon.methods.kriging import Kriging

FIRST, LAST = 1850, 2018


def write_observations(path: Path, errors: bool = True) -> None:
    """A gappy 36 x 72 file of 2,028 months, its cells with or without errors."""
    climate = make_climate(Months(np.arange(FIRST * 12, LAST * 12 + 12)), 0)
    masks = coverage_masks(climate, 0)
    observed = climate.anomalies
    if errors:
        rng = np.random.default_rng(5)
        age = np.clip((2000 - climate.time.year) / 150.0, 0.0, 1.0)[:, None, None]
        sd = (0.12 + 0.3 * age) * np.exp(0.3 * rng.normal(size=climate.grid.shape))
        observed = observed + sd * rng.normal(size=observed.shape)
    with netCDF4.Dataset(path, "w") as file:
        for name, values, units in (
            ("time", (climate.time.index - FIRST * 12) * 30.4375 + 15, f"days since {FIRST}-01-01"),
            ("latitude", climate.grid.lat, "degrees_north"),
            ("longitude", climate.grid.lon, "degrees_east"),
        ):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,)).units = units
            file[name][:] = values
        variable = file.createVariable("temperature_anomaly", "f4", ("time", "latitude", "longitude"), fill_value=-1e30)
        variable.units = "K"
        variable.reference_period = "1961-1990"
        variable[:] = np.where(masks, observed, -1e30)


def run_once(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one process."""
    before = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(child.stderr.read().decode() if child.stderr else "failed")
    return time.monotonic() - before, usage.ru_maxrss / 1024.0


def processor() -> str:
    """Name, family and model of the processor, and its vector and matrix units."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(re.findall(r"^(\S.*?)\s*: (.*)$", text.split("\n\n")[0], re.MULTILINE))
    numbers = [f"{name} {fields[name]}" for name in ("cpu family", "model") if name in fields]
    units = [name for name in ("avx2", "avx512f", "amx_tile") if name in fields.get("flags", "").split()]
    return f"{fields.get('model name', platform.machine())} ({', '.join([*numbers, *units])})"


def kriging_seconds() -> float:
    """Seconds kriging needs for all months, from every twelfth."""
    climate = make_climate(Months(np.arange(FIRST * 12, LAST * 12 + 12, 12)), 0)
    masks = coverage_masks(climate, 0)
    before = time.monotonic()
    values = np.where(masks, climate.anomalies, np.nan)
    Kriging().reconstruct(values, masks, None, climate.time.month, Context(climate.grid, climate.time))
    return 12.0 * (time.monotonic() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        observations = Path(folder) / "observations.nc"
        write_observations(observations)
        base = [sys.executable, "-m", "climrecon", "reconstruct", "--obs-file", str(observations)]
        plain = [*base, "--output", f"{folder}/plain", "--plots", "false", "--report", "false"]
        full = [*base, "--output", f"{folder}/full"]
        run_once(plain)
        measured = [run_once(plain) for _ in range(options.runs)]
        exact = Path(folder) / "exact.nc"
        write_observations(exact, errors=False)
        plain[plain.index(str(observations))] = str(exact)
        without_errors = [run_once(plain)[0] for _ in range(max(options.runs // 2, 1))]
        whole = [run_once(full) for _ in range(max(options.runs // 2, 1))]
        empty = [run_once([sys.executable, "-c", "import torch"])[0] for _ in range(3)]
    seconds = statistics.median(wall for wall, _ in measured)
    kriging = kriging_seconds()
    result = {
        "benchmark": "reconstruct",
        "n_months": (LAST - FIRST + 1) * 12,
        "runs": options.runs,
        "seconds_median": round(seconds, 2),
        "seconds_min_max": [round(f(w for w, _ in measured), 2) for f in (min, max)],
        "peak_mb_median": round(statistics.median(m for _, m in measured)),
        "without_errors_seconds": round(statistics.median(without_errors), 2),
        "with_figures_and_report_seconds": round(statistics.median(w for w, _ in whole), 2),
        "with_figures_and_report_peak_mb": round(statistics.median(m for _, m in whole)),
        "import_torch_seconds": round(statistics.median(empty), 2),
        "kriging_seconds_extrapolated_from_every_twelfth_month": round(kriging, 1),
        "ratio_kriging_over_ours": round(kriging / seconds, 1),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "own_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
