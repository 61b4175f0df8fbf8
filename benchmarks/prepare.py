"""Preparing training members: members a second against plain xarray code doing the same, and peak memory.

    python benchmarks/prepare.py [--json] [--members 4] [--months 960] [--counts 2 4 8]

Members are made up in CMIP5's form: 96 x 192 cells, two files each, calendar noleap. Both sides give the same arrays
(checked): monthly anomalies to 1961-1990 on 36 x 72 cells, remapped conservatively. They take turns, member by
member, in one process; then all members are prepared in parallel. Memory is that of processes of their own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import netCDF4
import numpy as np

from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.tasks.training_data.members import Member
from climrecon.tasks.training_data.preparation import Preparation, prepare_all, workers

SOURCE = Grid.regular(96, 192)
PERIOD = (1961, 1990)
FIRST = 1921


def write_member(folder: Path, number: int, months: int) -> tuple[Path, Path]:
    """Two files of one member: noise on a seasonal cycle, uncompressed as CMIP5 was."""
    rng = np.random.default_rng(number)
    paths = []
    for start, stop in ((0, months // 2), (months // 2, months)):
        first, last = FIRST * 12 + start, FIRST * 12 + stop - 1
        span = f"{first // 12:04d}{first % 12 + 1:02d}-{last // 12:04d}{last % 12 + 1:02d}"
        path = folder / f"tas_Amon_MODEL-{number}_historical_r1i1p1_{span}.nc"
        paths.append(path)
        if path.exists():
            continue
        with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
            for name, size in (("time", None), ("lat", 96), ("lon", 192), ("bnds", 2)):
                file.createDimension(name, size)
            when = file.createVariable("time", "f8", ("time",))
            when.units, when.calendar = "days since 1850-01-01", "noleap"
            lat, lon = (file.createVariable(name, "f8", (name,)) for name in ("lat", "lon"))
            lat.units, lon.units = "degrees_north", "degrees_east"
            lat[:], lon[:] = SOURCE.lat, np.mod(SOURCE.lon, 360.0)
            tas = file.createVariable("tas", "f4", ("time", "lat", "lon"), fill_value=1e20)
            tas.units, tas.standard_name = "K", "air_temperature"
            for step, month in enumerate(range(first, last + 1)):
                days = (month // 12 - 1850) * 365 + (month % 12 + 0.5) * 365 / 12
                when[step] = days
                season = 285.0 - 30.0 * np.sin(np.radians(SOURCE.lat[:, None])) ** 2
                tas[step] = season + 8 * np.cos(month % 12 / 6 * np.pi) + rng.normal(0, 2, (96, 192))
    return paths[0], paths[1]


def plain_xarray(paths: tuple[Path, Path], out: Path) -> np.ndarray:
    """What one would write with xarray: anomalies by groupby, then means over the area of overlap."""
    import xarray as xr

    parts = [xr.open_dataset(path) for path in paths]
    tas = xr.concat([part["tas"] for part in parts], dim="time")
    rows, columns = weights()
    remapped = xr.dot(xr.dot(tas, columns, dim="lon"), rows, dim="lat").transpose("time", "row", "column")
    reference = remapped.sel(time=slice(f"{PERIOD[0]}-01", f"{PERIOD[1]}-12"))
    anomalies = remapped.groupby("time.month") - reference.groupby("time.month").mean("time")
    values = anomalies.transpose("time", "row", "column").values.astype(np.float32)
    np.save(out, values)
    return values


def weights():
    import xarray as xr

    def shared(target, source):
        low = np.maximum(target[:-1, None], source[None, :-1])
        return np.clip(np.minimum(target[1:, None], source[None, 1:]) - low, 0, None)

    rows = shared(np.sin(np.radians(FIVE_DEGREES.lat_edges)), np.sin(np.radians(SOURCE.lat_edges)))
    columns = sum(shared(FIVE_DEGREES.lon_edges, SOURCE.lon_edges + turn) for turn in (-360, 0, 360))
    order = np.mod(SOURCE.lon, 360.0)
    return (
        xr.DataArray(rows / rows.sum(1, keepdims=True), dims=("row", "lat"), coords={"lat": SOURCE.lat}),
        xr.DataArray(columns / columns.sum(1, keepdims=True), dims=("column", "lon"), coords={"lon": order}),
    )


def member(paths: tuple[Path, Path], number: int) -> Member:
    return Member("bench", f"MODEL-{number} r1i1p1", f"MODEL-{number}", f"MODEL-{number}", {"tas": paths})


def preparation(folder: Path) -> Preparation:
    return Preparation(folder, FIVE_DEGREES, PERIOD, "tas", "tas")


def memory(folder: Path, count: int, months: int) -> dict[str, float]:
    """Peak memory, MB, of preparing and of opening ``count`` members, each in a process of its own."""
    found = {}
    for what in ("prepare", "open"):
        command = [sys.executable, __file__, "--child", what, str(folder), str(count), str(months)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        found[what] = float(answer.stdout.split()[-1])
    return found


def child(what: str, folder: Path, count: int, months: int) -> None:
    members = [member(write_member(folder, n, months), n) for n in range(count)]
    store = preparation(folder / f"store-{count}")
    if what == "prepare":
        prepare_all(store, members, lambda done, one, reason: None)
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(peak / 1024)
        return
    from climrecon.training.sets import ALL
    from climrecon.training.store import assemble

    stored = [store.open(one) for one in members]
    values = assemble([(one, ALL) for one in stored], folder / "joined", in_memory=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        values[np.sort(rng.integers(len(values), size=18))].mean()
    # What is mapped from the file can be dropped at any time; what counts is what is not.
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024)


def main() -> None:
    if "--child" in sys.argv:
        what, folder, count, months = sys.argv[2:]
        child(what, Path(folder), int(count), int(months))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--months", type=int, default=960)
    parser.add_argument("--counts", type=int, nargs="*", default=[2, 4, 8], help="members to measure memory with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [write_member(folder, n, options.months) for n in range(options.members)]
        plain_xarray(paths[0], folder / "warm.npy")  # imports and caches are no part of it
        ours, theirs, differences = [], [], []
        store = preparation(folder / "store")
        for number, pair in enumerate(paths):
            started = time.monotonic()
            reason = store.prepare(member(pair, number))
            ours.append(time.monotonic() - started)
            assert reason is None, reason
            started = time.monotonic()
            values = plain_xarray(pair, folder / f"plain-{number}.npy")
            theirs.append(time.monotonic() - started)
            stored = store.open(member(pair, number))
            differences.append(float(np.abs(stored.values - values).max()))
        started = time.monotonic()
        members = [member(pair, number) for number, pair in enumerate(paths)]
        prepare_all(preparation(folder / "parallel"), members, lambda done, one, reason: None)
        parallel = time.monotonic() - started
        started = time.monotonic()
        assert all(store.is_done(one) for one in members)
        again = time.monotonic() - started
        peaks = {str(count): memory(folder, count, options.months) for count in options.counts}
    result = {
        "benchmark": "prepare",
        "members_per_s": round(1 / statistics.median(ours), 3),
        "members_per_s_plain_xarray": round(1 / statistics.median(theirs), 3),
        "ratio": round(statistics.median(b / a for a, b in zip(ours, theirs, strict=True)), 2),
        "members_per_s_parallel": round(len(members) / parallel, 3),
        "ratio_parallel": round(sum(theirs) / parallel, 2),
        "seconds_when_prepared": round(again, 4),
        "largest_difference_K": round(max(differences), 5),
        "peak_mb_by_members": peaks,
        "n": len(members),
        "months": options.months,
        "machine": f"{platform.machine()}, {workers(99)} cores",
    }
    if options.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:28s} {value}")


if __name__ == "__main__":
    main()
