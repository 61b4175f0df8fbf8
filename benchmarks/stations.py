"""A file of rain gauges as sparse as those of 1895, for the gaps of an evaluation on nClimDiv.

    python benchmarks/stations.py NCLIMDIV.nc STATIONS.nc [--seed 0]

Which cells have a gauge is made up: a share of the cells with values, larger east of 100 W than west of it, as settlement
went. A gauge stays where it is for the whole record, and a month of it is missing at random. The values are those of the
file where a gauge is, so that the result reads as observations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import netCDF4
import numpy as np

#: Share of the cells with a gauge east and west of this longitude; share of the months of a gauge that are missing.
MERIDIAN, EAST, WEST, MISSING = -100.0, 0.30, 0.12, 0.05


def thinned(values: np.ndarray, lon: np.ndarray, seed: int) -> np.ndarray:
    """(T, H, W) values, NaN where no gauge reports."""
    rng = np.random.default_rng(seed)
    gauges = rng.random(values.shape[1:]) < np.where(lon > MERIDIAN, EAST, WEST)[None, :]
    reports = gauges[None] & (rng.random(values.shape) > MISSING)
    return np.where(reports, values, np.nan)


def main() -> None:
    """Copy the file with the values of gauges alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.target.write_bytes(options.source.read_bytes())
    with netCDF4.Dataset(options.target, "a") as file:
        file.set_auto_mask(False)
        file["pr"][:] = thinned(file["pr"][:], file["lon"][:], options.seed)


if __name__ == "__main__":
    main()
