"""A made-up archive of HadCRUT5 releases, in the format of the Met Office's files."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.catalogue import build_catalogue
from climrecon.demo.writing import days, write
from climrecon.fields import Months
from climrecon.grid import FIVE_DEGREES, Grid

START = 1990 * 12


def field(months: int, grid: Grid = FIVE_DEGREES) -> np.ndarray:
    """(T, H, W) K with gaps; the same months are the same in every call."""
    rng = np.random.default_rng(11)
    pattern, mask = rng.normal(size=grid.shape), rng.random(grid.shape) < 0.6
    values = np.empty((months, *grid.shape))
    for month in range(months):
        own = np.random.default_rng([11, month])
        values[month] = 0.3 * pattern * np.cos(month / 5.0) + 0.1 * own.normal(size=grid.shape)
        values[month][~(mask & (own.random(grid.shape) < 0.95))] = np.nan
    return np.round(values, 3)


class MadeArchive:
    """Files below ``folder/HadCRUT5``, and a catalogue over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "observations" / "HadCRUT5"
        self.folder.mkdir(parents=True)
        self.root = folder / "observations"
        self.catalogue = folder / "catalogue.json"

    def build(self) -> None:
        build_catalogue(self.root, self.catalogue)

    def mean(
        self, version: str = "5.0.2.0", months: int = 36, *, values: np.ndarray | None = None,
        grid: Grid = FIVE_DEGREES, said: str | None = None, folder: Path | None = None, name: str | None = None,
        uncorrelated: bool = True, start: int = START,
    ) -> Path:  # fmt: skip
        """Write a release's ensemble mean and its uncorrelated error, in one step each."""
        values = field(months, grid) if values is None else values
        path = (folder or self.folder) / (name or f"HadCRUT.{version}.anomalies.ensemble_mean.nc")
        time_axis = Months(np.arange(start, start + len(values)))
        axes = _axes(grid, time_axis)
        about = {
            "long_name": "blended air_temperature_anomaly over land with sea_water_temperature_anomaly",
            "units": "K",
            "cell_methods": "area: mean (interval: 5.0 degrees_north 5.0 degrees_east) time: mean (interval: 1 month) "
            "realization: mean",
            "coordinates": "realization",
        }
        attributes = {
            "Conventions": "CF-1.7",
            "comment": "SYNTHETIC, anomalies relative to 1961-1990",
            "institution": "made up, in the format of the Met Office Hadley Centre / CRU",
            "title": f"HadCRUT.{version} blended land air temperature and sea-surface temperature anomaly data set",
            "version": f"HadCRUT.{said or version}",
        }
        dims = ("time", "latitude", "longitude")
        write(path, axes, {"tas_mean": (dims, values, about, -1e30)}, attributes, 4, dtype="f8", classic=False)
        if uncorrelated:
            errors = np.where(np.isfinite(values), 0.2, np.nan)
            alone = {key: value for key, value in axes.items() if not key.startswith("realization")}
            unc = {"long_name": "uncorrelated one-sigma error", "units": "K"}
            target = path.with_name(f"HadCRUT.{version}.uncorrelated.nc")
            write(target, alone, {"tas_unc": (dims, errors, unc, -1e30)}, attributes, 3, classic=False)
        return path

    def members(self, version: str, numbers: range, months: int = 36, folder: Path | None = None) -> list[Path]:
        """Members as separate files: one is written, the others are copies with their own number and values."""
        place = folder or self.folder
        place.mkdir(parents=True, exist_ok=True)
        values = field(months)
        axes = _axes(FIVE_DEGREES, Months(np.arange(START, START + months)))
        axes.pop("realization_bnds|bnds")
        axes["realization"] = (np.array(1), {"units": "1", "standard_name": "realization"})
        first = place / f".first-{version}.nc"
        dims = ("time", "latitude", "longitude")
        write(
            first, axes, {"tas": (dims, values, {"units": "K", "coordinates": "realization"}, -1e30)},
            {"Conventions": "CF-1.7", "title": f"HadCRUT.{version}", "version": f"HadCRUT.{version}"}, 2, classic=False,
        )  # fmt: skip
        found = []
        for number in numbers:
            path = place / f"HadCRUT.{version}.anomalies.{number}.nc"
            shutil.copy(first, path)
            with netCDF4.Dataset(path, "a") as file:
                file["realization"][...] = number
            found.append(path)
        first.unlink()
        return found

    def zips(self, version: str, months: int = 36) -> list[Path]:
        """Two hundred members in ten archives of twenty, as the Met Office hands them out."""
        found = []
        scratch = self.folder.parent.parent / "scratch"
        for first in range(1, 201, 20):
            path = self.folder / f"HadCRUT.{version}.anomalies.{first}_to_{first + 19}_netcdf.zip"
            with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
                for member in self.members(version, range(first, first + 20), months, scratch):
                    archive.write(member, member.name)
                    member.unlink()
            found.append(path)
        return found


def _axes(grid: Grid, time_axis: Months) -> dict[str, Any]:
    units = "days since 1850-01-01 00:00:00"
    middle, bounds = days(time_axis, units, "standard")
    named: dict[str, Any] = {}
    named["time"] = (
        middle,
        {"axis": "T", "bounds": "time_bnds", "units": units, "standard_name": "time", "calendar": "standard"},
    )
    for name, values, axis, word in (
        ("latitude", grid.lat, "Y", "degrees_north"),
        ("longitude", grid.lon, "X", "degrees_east"),
    ):
        named[name] = (values, {"axis": axis, "bounds": f"{name}_bnds", "units": word, "standard_name": name})
    named["time_bnds|time"] = (bounds.astype(np.int64), {})
    named["latitude_bnds|latitude"] = (np.stack([grid.lat_edges[:-1], grid.lat_edges[1:]], 1), {})
    named["longitude_bnds|longitude"] = (np.stack([grid.lon_edges[:-1], grid.lon_edges[1:]], 1), {})
    named["realization"] = (np.array(100), {"bounds": "realization_bnds", "units": "1", "standard_name": "realization"})
    named["realization_bnds|bnds"] = (np.array([1, 200]), {})
    return named


def age(path: Path, seconds: float = 7200.0) -> None:
    """Set a file's modification date back."""
    at = time.time() - seconds
    os.utime(path, (at, at))
