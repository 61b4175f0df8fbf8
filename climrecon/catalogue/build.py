"""A catalogue over a folder of netCDF files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.catalogue.search import LeftOut
from climrecon.errors import NoDataError
from climrecon.files import write_text
from climrecon.variables import canonical_variable, dataset_of, infilled_product

COLUMNS = (
    "project",
    "product",
    "institute",
    "model",
    "experiment",
    "time_frequency",
    "realm",
    "variable",
    "ensemble",
    "version",
    "time_range",
    "format",
)
#: tas_Amon_MODEL_EXPERIMENT_rRiIpP[_YYYYMM-YYYYMM].nc
_CMOR = re.compile(
    r"^(?P<variable>[a-z0-9]+)_(?P<table>[A-Za-z0-9]+)_(?P<model>[A-Za-z0-9.-]+)_(?P<experiment>[A-Za-z0-9-]+)"
    r"_(?P<ensemble>r\d+i\d+p\d+(?:f\d+)?)(?:_(?P<range>\d{6}-\d{6}))?\.nc$"
)
_VERSION_FOLDER = re.compile(r"^v\d{8}$")
_REALM = {"tas": "atmos", "psl": "atmos", "pr": "atmos", "tos": "ocean", "sic": "seaIce", "sftlf": "atmos"}
_INSTITUTES = {
    "HadCRUT": "MOHC",
    "CRUTEM": "MOHC",
    "HadSST": "MOHC",
    "GISTEMP": "NASA-GISS",
    "ERSST": "NOAA",
    "NOAAGlobalTemp": "NOAA",
    "BerkeleyEarth": "BerkeleyEarth",
    "CowtanWay": "UYork",
    "20CR": "NOAA-PSL",
}
#: Data sets whose generations go by number: HadCRUT4 and HadCRUT5 are different things.
_NUMBERED = ("HadCRUT", "CRUTEM", "HadSST")


@dataclass(frozen=True)
class BuiltCatalogue:
    """Where the catalogue is, how many files it lists, and what was left out."""

    path: Path
    n_files: int
    left_out: tuple[LeftOut, ...]


def build_catalogue(
    folder: Path, output: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> BuiltCatalogue:
    """Write an intake-esm catalogue (Freva's dialect, entries inline) over the netCDF files below ``folder``.

    Files that cannot be opened or hold no known variable are left out, with the reason.

    Raises
    ------
    NoDataError
        If no file is left.
    """
    output = output or folder / "catalogue.json"
    paths = sorted(path for path in folder.rglob("*.nc") if not path.name.startswith("."))
    rows, left_out = [], []
    for number, path in enumerate(paths, 1):
        try:
            rows.append(_row(path, folder))
        except (OSError, RuntimeError, ValueError) as error:
            left_out.append(LeftOut(str(path), str(error)))
        if progress:
            progress(number, len(paths))
    if not rows:
        detail = "".join(f"\n  {item.path}: {item.reason}" for item in left_out[:12])
        raise NoDataError(f"No netCDF file below {folder} can be listed.{detail}", "Check the folder.")
    descriptor = {
        "esmcat_version": "0.1.0",
        "id": "climrecon",
        "title": f"netCDF files below {folder.name}",
        "description": "written by climrecon catalogue build",
        "attributes": [{"column_name": column, "vocabulary": ""} for column in COLUMNS],
        "assets": {"column_name": "file", "format_column_name": "format"},
        "aggregation_control": {
            "variable_column_name": "variable",
            "groupby_attrs": [c for c in COLUMNS if c not in ("variable", "time_range")],
            "aggregations": [{"type": "union", "attribute_name": "variable", "options": {}}],
        },
        "catalog_dict": rows,
    }
    write_text(output, json.dumps(descriptor, indent=1) + "\n")
    return BuiltCatalogue(output, len(rows), tuple(left_out))


def _row(path: Path, folder: Path) -> dict[str, Any]:
    with netCDF4.Dataset(path) as file:
        variables = _variables(file)
        about = {key: str(getattr(file, key, "")) for key in file.ncattrs()}
        time_range, step = _times(file)
    facets = _facets(path, folder, about)
    facets.setdefault("time_frequency", about.get("frequency") or step)
    facets.setdefault("realm", _REALM.get(variables[0], ""))
    return {
        "file": str(path.absolute()),
        **{column: facets.get(column, "") for column in COLUMNS},
        "variable": variables,
        "time_range": time_range,
        "format": "nc",
    }


def _variables(file: netCDF4.Dataset) -> list[str]:
    found = []
    for variable in file.variables.values():
        if variable.ndim < 2 or variable.name.endswith(("_bnds", "_bounds", "bnds")):
            continue
        name = canonical_variable(variable.name, variable.__dict__)
        if name is None and re.search(r"_unc$|uncertainty|covariance", variable.name):
            name = canonical_variable(variable.name.split("_")[0], {})
        if name and name not in found:
            found.append(name)
    if not found:
        names = ", ".join(file.variables) or "none"
        raise ValueError(f"no known variable; it holds {names}")
    return found


def _facets(path: Path, folder: Path, about: dict[str, str]) -> dict[str, str]:
    """Facets from the file name, the folders above it, and the file's attributes."""
    relative = path.relative_to(folder)
    version = next((part for part in relative.parts[:-1] if _VERSION_FOLDER.match(part)), "")
    match = _CMOR.match(path.name)
    dataset = dataset_of(path.name, about.get("title", ""))
    if match and (dataset is None or dataset[0] == "20CR"):
        reanalysis = dataset is not None
        return {
            "project": "reanalysis"
            if reanalysis
            else about.get("project_id") or about.get("mip_era") or "CMIP5",
            "product": about.get("product") or "output1",
            "institute": about.get("institute_id") or about.get("institution_id") or "",
            "model": match["model"],
            "experiment": match["experiment"],
            "ensemble": match["ensemble"],
            "version": version,
        }
    if dataset is not None:
        name, number, _ = dataset
        generation = number.split(".")[0] if number else ""
        told = re.search(rf"{name}\W?(\d)(?!\d)", str(relative), re.IGNORECASE)
        generation = generation or (told[1] if told else "")
        product = about.get("product_id") or (
            "analysis" if infilled_product(path.name, about.get("title", "")) else "grid"
        )
        member = re.search(r"anomalies[._](\d{1,3})\.nc$", path.name)
        return {
            "project": "reanalysis" if name == "20CR" else "observations",
            "product": product,
            "institute": _INSTITUTES.get(name, ""),
            "model": name + generation if name in _NUMBERED else name,
            "experiment": "historical",
            "ensemble": f"r{member[1]}"
            if member
            else "mean"
            if re.search("ensemble[_-]mean", path.name)
            else "",
            "version": number or version,
        }
    return {
        "project": about.get("project_id") or about.get("project") or "other",
        "product": about.get("product") or "",
        "institute": about.get("institute_id") or about.get("institution") or "",
        "model": about.get("model_id") or about.get("source_id") or about.get("case") or path.parent.name,
        "experiment": about.get("experiment_id") or about.get("experiment") or "",
        "ensemble": about.get("case") or about.get("realization") or "",
        "version": version,
    }


def _times(file: netCDF4.Dataset) -> tuple[str, str]:
    """``YYYYMM-YYYYMM`` and the frequency, from the time axis; "" and fx where there is none."""
    for name in ("time", "t", "T"):
        if name in file.variables and file[name].ndim == 1 and len(file[name]):
            time = file[name]
            units = str(getattr(time, "units", ""))
            if " since " not in units:
                return "", "mon"
            ends = np.asarray(np.ma.filled(time[[0, -1]].astype(float), np.nan))
            dates = netCDF4.num2date(ends, units, getattr(time, "calendar", "standard"))
            span = "-".join(f"{date.year:04d}{date.month:02d}" for date in dates)
            months = (dates[1].year - dates[0].year) * 12 + dates[1].month - dates[0].month
            step = months / max(len(time) - 1, 1)
            return span, "mon" if step < 11 or len(time) < 3 else "yr"
    return "", "fx"
