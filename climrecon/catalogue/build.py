"""A catalogue over a folder of netCDF files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from climrecon.catalogue.descriptor import check_replaceable, write_catalogue
from climrecon.catalogue.dialects import frequency
from climrecon.catalogue.metadata import times, variables
from climrecon.catalogue.opening import LeftOut
from climrecon.catalogue.roles import COVARIANCE, MEMBER, member_number, role_of, version_in
from climrecon.datasets import Release, Stated, release_of, why_infilled
from climrecon.errors import ClimReconError, NoDataError, OutputError
from climrecon.files import FOLDER, why_unreadable
from climrecon.netcdf.names import NETCDF, plain_name
from climrecon.variables import VARIABLES

DESCRIPTION = "written by climrecon catalogue build"
#: tas_Amon_MODEL_EXPERIMENT_rRiIpP[fF][_GRID][_YYYYMM-YYYYMM].nc, in CMIP5 and CMIP6
_CMOR = re.compile(
    r"^(?P<variable>[A-Za-z0-9]+)_(?P<table>[A-Za-z0-9]+)_(?P<model>[A-Za-z0-9.-]+)"
    r"_(?P<experiment>[A-Za-z0-9-]+)_(?P<ensemble>r\d+i\d+p\d+(?:f\d+)?)(?:_(?P<grid>g[a-z0-9]+))?"
    r"(?:_(?P<range>\d{4,14}-\d{4,14}))?\.nc4?$"
)
_DRS_PRODUCT = re.compile(r"^(output[12]?|CMIP|ScenarioMIP|DAMIP|HighResMIP)$")


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

    Compressed files are listed as they are; of archives and Zarr stores the reason says how to use them.

    Only headers and time axes are read. Files that cannot be opened or hold no known variable are left
    out, with the reason.

    Raises
    ------
    NoDataError
        If no file is left.
    OutputError
        If the catalogue cannot be written, or would replace another file.
    """
    # Entries are absolute and free of "..", but links stay what they are: they may move on to a newer release.
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links
    output = output or folder / "catalogue.json"
    check_replaceable(output, DESCRIPTION)
    endings = (*NETCDF, ".zip", ".zarr")
    paths = sorted(path for path in folder.rglob("*") if path.name.endswith(endings) and not path.name.startswith("."))
    rows, left_out = [], []
    for number, path in enumerate(paths, 1):
        if progress:
            progress(number, len(paths))
        try:
            if reason := _other_form(path):
                left_out.append(LeftOut(str(path), reason))
            elif path.name.endswith(NETCDF):
                rows.append(_row(path, folder))
        # Odd headers raise what they like; one bad file must not hide the others.
        except (ClimReconError, OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError) as error:
            left_out.append(LeftOut(str(path), _why_damaged(path, error)))
    if not rows:
        detail = "".join(f"\n  {item.path}: {item.reason}" for item in left_out[:12])
        raise NoDataError(f"No netCDF file below {folder} can be listed.{detail}", "Check the folder.")
    try:
        write_catalogue(output, f"netCDF files below {folder.name}", DESCRIPTION, rows)
    except OSError as error:
        raise OutputError(
            f"The catalogue {output} cannot be written: {error}", "Name another file with --output."
        ) from error
    return BuiltCatalogue(output, len(rows), tuple(left_out))


def _other_form(path: Path) -> str:
    """Why a Zarr store, or an archive of netCDF files, is not listed; "" for other paths."""
    from climrecon.netcdf.forms import is_zarr, names_in_zip

    if why := why_unreadable(path):
        zarr = why == FOLDER and is_zarr(path)
        return "it is a Zarr store; name it with obs_file, or write it as netCDF" if zarr else why
    if path.suffix == ".zip":
        count = len(names_in_zip(path))
        where = f"unzip '{path}' -d '{path.with_suffix('')}'"
        return f"it is a zip of {count} netCDF files; unpack it: {where}" if count else ""
    return ""


def _why_damaged(path: Path, error: Exception) -> str:
    """The finding; text and empty files are distinguished from damaged netCDF, for the library names neither."""
    from climrecon.netcdf.forms import is_packed, other_kind, start_of

    if type(error.__cause__) is ValueError:  # what a reader finds in a file that could be opened
        error = error.__cause__
    problem = error.message if isinstance(error, ClimReconError) else str(error)
    try:
        start, kind = start_of(path), other_kind(path)
    except OSError:
        return problem
    if not start:
        return "it is empty"
    if start.startswith((b"CDF", b"\x89HDF")):
        damaged = isinstance(error, ClimReconError | OSError | RuntimeError)
        return f"it is damaged or truncated ({problem})" if damaged else problem
    if is_packed(start):
        return problem
    return "it is no netCDF file, whatever its name says" + (f": it is {kind[0]}" if kind else "")


def _row(path: Path, folder: Path) -> dict[str, Any]:
    from climrecon.netcdf.opening import opened

    with opened(path) as file:
        metadata = {key: str(getattr(file, key, "")) for key in file.ncattrs()}
        stated = Stated(str(path.absolute()), metadata)
        release = release_of(stated)
        names = variables(file, release.data_set if release else None)
        # As the reader does, by the attributes of a variable too: of several those count that name a data set.
        each = [replace(stated, variable=one.__dict__) for one in file.variables.values() if one.ndim > 1]
        stated = next((one for one in each if release_of(one) != release), stated)
        time_range, step = times(file)
    facets = _facets(path, folder, stated)
    match = _CMOR.match(plain_name(path.name))
    stated_step = frequency(metadata.get("frequency", ""), match["table"] if match else "")
    if step == "fx" and role_of(path.name) == COVARIANCE:
        step = "mon"  # one for each month, whether the file has a time axis or not
    facets.setdefault("time_frequency", stated_step or step)
    facets.setdefault("realm", VARIABLES[next(iter(names))].realm)
    return {"file": str(path.absolute()), **facets, "variable": list(names), "time_range": time_range, "format": "nc"}


def _facets(path: Path, folder: Path, stated: Stated) -> dict[str, str]:
    """Facets from the file name, the folders above it, and the file's attributes."""
    release, metadata = release_of(stated), stated.attributes
    match = _CMOR.match(plain_name(path.name))
    if match and (release is None or release.data_set.reanalysis):
        return _of_cmor_name(match, path.relative_to(folder), metadata, release is not None)
    if release is not None:
        return _of_observations(release, path, folder, stated)
    return {
        "project": _first(metadata, "project_id", "mip_era", "project") or "other",
        "product": "analysis" if why_infilled(stated) else _first(metadata, "product", "activity_id"),
        "institute": _first(metadata, "institute_id", "institution_id", "institution"),
        "model": _first(metadata, "model_id", "source_id", "case") or path.parent.name,
        "experiment": _first(metadata, "experiment_id", "experiment"),
        "ensemble": _first(metadata, "variant_label", "case") or _ripf(metadata),
        "version": version_in(str(path)),
    }


def _first(metadata: Mapping[str, str], *names: str) -> str:
    return next((metadata[name] for name in names if metadata.get(name)), "")


def _ripf(metadata: Mapping[str, str]) -> str:
    """``r1i1p1`` from CMIP5's three attributes, or the bare number of the realisation."""
    numbers = [metadata.get(name, "") for name in ("realization", "initialization_method", "physics_version")]
    if all(numbers):
        return "r{}i{}p{}".format(*numbers)
    return numbers[0]


def _of_cmor_name(
    match: re.Match[str], relative: Path, metadata: Mapping[str, str], reanalysis: bool
) -> dict[str, str]:
    # The DRS has output1 where the attribute is output.
    folder = next((part for part in relative.parts[:-1] if _DRS_PRODUCT.match(part)), "")
    project = _first(metadata, "mip_era", "project_id") or ("CMIP6" if "f" in match["ensemble"] else "CMIP5")
    product = _first(metadata, "activity_id", "product")
    return {
        "project": "reanalysis" if reanalysis else project,
        "product": folder or product or ("reanalysis" if reanalysis else "output1"),
        "institute": _first(metadata, "institute_id", "institution_id"),
        "model": match["model"],
        "experiment": match["experiment"],
        "ensemble": match["ensemble"],
        "version": version_in(str(relative)),
    }


def _of_observations(release: Release, path: Path, folder: Path, stated: Stated) -> dict[str, str]:
    row, relative = release.data_set, path.relative_to(folder)
    generation = release.version.split(".")[0]
    if row.generations and not generation:
        match = re.search(rf"{row.name}\W?(\d)(?!\d)", str(relative), re.IGNORECASE)
        generation = match[1] if match else ""
    infilled = why_infilled(stated, row)
    mean = re.search(r"ensemble[_-]mean", path.name, re.IGNORECASE)
    ensemble = f"r{member_number(path.name)}" if role_of(path.name) == MEMBER else "mean" if mean else ""
    return {
        "project": "reanalysis" if row.reanalysis else "observations",
        "product": "analysis" if infilled else stated.attributes.get("product_id") or "grid",
        "institute": row.institute,
        "model": row.name + generation if row.generations else row.name,
        "experiment": "historical",
        "ensemble": ensemble,
        "version": release.version or version_in(str(relative)),
    }
