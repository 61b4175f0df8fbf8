"""Fields of models and reanalyses as anomalies on a network's grid, by one cdo call a variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.datasets import Stated, release_of
from climrecon.errors import InputDataError
from climrecon.fields import Steps
from climrecon.frequency import DAY, MONTH, Frequency
from climrecon.grid import Grid
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time
from climrecon.preprocess.anomalies import prepare_anomalies
from climrecon.preprocess.axes import Horizontal, find_horizontal, is_called
from climrecon.preprocess.cdo import Layout, Source, cdo_folder, cdo_sources, chain, layout_of, run_cdo, write_grid
from climrecon.preprocess.chunks import some
from climrecon.preprocess.climatology import anomalies_of, check_covered
from climrecon.preprocess.field import all_of, find_variable
from climrecon.preprocess.filled import Flags, flags_of
from climrecon.preprocess.missing import flags_in, read_part
from climrecon.preprocess.regrid import OBSERVED_SHARE
from climrecon.preprocess.remapping import finer, is_rotated
from climrecon.preprocess.values import check_units, is_anomaly, of_each_step, read_values, to_units
from climrecon.variables import VARIABLES, Variable

#: Months of a file that are inspected before cdo reads it: a year, so that seasons do not deceive.
_INSPECTED_MONTHS = 12
#: Coordinates that differ by less are the same, degrees: files round them.
SAME_DEGREES = 1e-3
#: Between an ocean grid without corners and the network's grid, so that means over areas are taken.
_FINE = "r360x180"
#: The same, cut from the cells of a grid that was asked for.
_FINER = "finer.txt"


@dataclass(frozen=True)
class MemberHeader:
    """Header of a file of a member, read before cdo reads the file.

    ``time`` are its steps; ``anomaly`` is None for variables that are not observable; ``flags`` are numbers that stand
    for no value; ``remap`` are cdo's operators from its grid; ``lat`` and ``lon`` that grid's coordinates in the file's
    order, one- or two-dimensional; ``notes`` those on its times.
    """

    name: str
    time: Steps
    units: str
    anomaly: bool | None
    flags: tuple[float, ...]
    remap: tuple[str, ...]
    filled: Flags | None
    lat: FloatArray
    lon: FloatArray
    layout: Layout
    notes: tuple[str, ...]

    def place(self) -> str:
        """Its grid in words."""
        shape = self.lat.shape if self.lat.ndim == 2 else (self.lat.size, self.lon.size)
        return (
            f"{shape[0]} x {shape[1]}, latitude from {self.lat.flat[0]:g} to {self.lat.flat[-1]:g}, longitude from "
            f"{self.lon.flat[0]:g} to {self.lon.flat[-1]:g}"
        )

    def same_place(self, other: MemberHeader) -> bool:
        """Whether both are on one grid, its cells in the same order: cdo takes all files to be as the first is."""
        pairs = ((self.lat, other.lat), (self.lon, other.lon))
        return all(a.shape == b.shape and bool(np.allclose(a, b, rtol=0.0, atol=SAME_DEGREES)) for a, b in pairs)


def prepare_member(
    files: Sequence[Path],
    grid: Grid,
    reference_period: tuple[int, int],
    scratch: Path,
    variable: str = "tas",
    *,
    realisation: int | None = None,
    gaps: bool = False,
    last_counts: bool = False,
    notes: list[str] | None = None,
    as_held: bool = False,
    asked: str = "",
    frequency: Frequency = MONTH,
) -> tuple[FloatArray, Steps]:
    """Anomalies of one member, which may be split in time over several files.

    One chained call joins, selects and remaps conservatively, so that every field is read once; the climatology
    of ``reference_period`` is taken off what it gives, which is small. Ocean grids may be curvilinear. Files of
    anomalies are read as observations are, see :func:`climrecon.preprocess.anomalies.prepare_anomalies`.

    Parameters
    ----------
    realisation:
        Which member, from 0, of files that hold several along a dimension.
    gaps:
        Whether missing cells of absolute values may come back as NaN; otherwise they are refused: models and
        reanalyses have none. Anomalies, which is what data sets of observations are, may always have gaps.
    last_counts:
        Of anomalies: whether months that stand in several files are taken from the last.
    notes:
        Takes decisions on the files' times.
    as_held:
        Whether values are given as the description of the variable holds them (ratios, absolute values), and may be
        missing in cells where it need not exist or has no ratio; else differences are given.
    asked:
        The grid that was asked for, as in :class:`~climrecon.preprocess.request.PrepareRequest`: files on rotated and
        curvilinear grids are then taken too.
    frequency:
        Of the fields.

    Returns
    -------
    (T, H, W) float32 anomalies on ``grid`` and their steps. Cells that a file marks as filled by its
    producer (:func:`climrecon.preprocess.filled.flags_of`) are NaN too.

    Raises
    ------
    InputDataError
        If a file cannot be used, months stand there twice, the period is not covered, or the fields have
        gaps.
    DependencyError
        If cdo is not installed.
    """
    headers = _alike(files, variable, frequency, one_by_one=not gaps, curvilinear=bool(asked))
    if notes is not None:
        notes += dict.fromkeys(f"{variable}: {note}" for one in headers for note in one.notes)
    if headers[0].anomaly and not gaps:
        return prepare_anomalies(
            files,
            grid,
            reference_period,
            scratch,
            variable,
            realisation=realisation,
            last_counts=last_counts,
            asked=asked,
            frequency=frequency,
        )
    description = VARIABLES[variable]
    kind = description.kind if as_held else "anomaly"
    gaps = gaps or (as_held and (description.exists != "everywhere" or kind != "anomaly"))
    if last_counts:
        raise InputDataError(
            f"{Path(files[0]).name} holds absolute values; files of anomalies alone can be joined where they overlap.",
            "Leave out join = true in the site file, and the file that overlaps.",
        )
    time = _apart(headers, files)
    check_covered(time, reference_period)
    order = np.argsort(time.index, kind="stable")
    # Cells that the files of a region do not reach by half are none of it.
    least = {} if grid.wraps else {"REMAP_AREA_MIN": str(OBSERVED_SHARE)}
    with cdo_folder(scratch, grid) as folder:
        write_grid(finer(grid), folder / _FINER)
        sources = sources_of(headers, files, folder, realisation)
        missing = [f"-setctomiss,{flag!r}" for flag in headers[0].flags]
        run_cdo([*headers[0].remap, *missing, *chain(sources, headers[0].name), "out.nc"], folder, **least)
        shown = Path(files[0]).name
        values = _read_output(folder / "out.nc", headers[0].name, shown, order)
        if flags := headers[0].filled:
            marks = [f"-expr,{flags.expression}", *chain(sources, flags.name)]
            run_cdo([*headers[0].remap, *marks, "filled.nc"], folder, **least)
            values = np.where(_read_output(folder / "filled.nc", flags.name, shown, order) > 0, np.nan, values)
            gaps = True
    time = time[order]
    if kind == "anomaly":
        values = anomalies_of(values, time, reference_period)
        if to_ours := description.conversion(headers[0].units):
            values = to_ours(values, difference=True)
    else:
        units = headers[0].units
        values = of_each_step(to_units(values, units, False, description), units, time)
        if kind == "ratio":
            values = anomalies_of(values, time, reference_period, ratio_from=description.least_climatology)
    _check(values, shown, gaps, description, time, ends=not grid.wraps)
    return values, time


def sources_of(
    headers: Sequence[MemberHeader],
    files: Sequence[Path],
    folder: Path,
    realisation: int | None = None,
    *,
    dated: bool = False,
) -> list[Source]:
    """The files of one member for cdo, by :func:`climrecon.preprocess.cdo.cdo_sources`."""
    names = [headers[0].name, *([headers[0].filled.name] if headers[0].filled else [])]
    layouts, months = [one.layout for one in headers], [one.time.months for one in headers]
    return cdo_sources(files, layouts, months, names, realisation, folder, dated=dated)


def inspected(files: Sequence[Path], variable: str, frequency: Frequency = MONTH) -> list[MemberHeader]:
    """Headers of all files of one member, after a check that the files go together and no step stands there twice.

    Raises
    ------
    InputDataError
        With what is wrong.
    """
    headers = _alike(files, variable, frequency)
    _apart(headers, files)
    return headers


def _alike(
    files: Sequence[Path], variable: str, frequency: Frequency, *, one_by_one: bool = False, curvilinear: bool = False
) -> list[MemberHeader]:
    if not files:
        raise InputDataError("No file was given.", "Name at least one.")
    headers = [_inspected(Path(path), variable, frequency, curvilinear) for path in files]
    names = [Path(path).name for path in files]
    every = (
        ("call their variable differently", [one.name for one in headers]),
        ("have different calendars", [one.time.calendar if frequency == DAY else "" for one in headers]),
        ("have different units", [one.units for one in headers]),
        ("mix anomalies and absolute values", ["anomalies" if o.anomaly else "absolute" for o in headers]),
        ("mark filled cells differently", [str(one.filled) for one in headers]),
        (
            "are on different grids",
            [headers[0].place() if one.same_place(headers[0]) else f"other cells, {one.place()}" for one in headers],
        ),
    )
    # Anomalies that are read file by file are read by each file's own names, units and flags.
    for what, stated in every[1:2] + every[3:4] if one_by_one and all(one.anomaly for one in headers) else every:
        if len(set(stated)) > 1:
            listed = "; ".join(f"{name}: {value or 'none'}" for name, value in zip(names, stated, strict=True))
            raise InputDataError(f"The files of one member {what}: {listed}.", "Repair or leave out the odd one.")
    return headers


def _apart(headers: Sequence[MemberHeader], files: Sequence[Path]) -> Steps:
    """The steps of all files in their order, each once."""
    time = replace(headers[0].time, index=np.concatenate([one.time.index for one in headers]))
    steps, counts = np.unique(time.index, return_counts=True)
    if (counts > 1).any():
        raise InputDataError(
            f"{int((counts > 1).sum())} {time.plural} of {Path(files[0]).name} and its continuations stand there more "
            f"than once: {some(replace(time, index=steps[counts > 1]).labels())}.",
            "Leave out the file that overlaps.",
        )
    return time


def _inspected(path: Path, wanted: str, frequency: Frequency, curvilinear: bool) -> MemberHeader:
    with opened(path) as file:
        variable = find_variable(file, wanted)
        units = str(getattr(variable, "units", ""))
        description = VARIABLES[wanted]
        (layout, axis), (remap, lat, lon), _ = all_of(
            lambda: layout_of(file, variable, description.plausible(units), frequency),
            lambda: source_grid(file, variable, curvilinear or description.on_sea, _FINER if curvilinear else _FINE),
            lambda: check_units(units, description) if description.observable else None,
        )
        anomaly, flags = _kind(file, variable, path.name, description) if description.observable else (None, ())
        filled = flags_of(file, variable)
        name, steps = str(variable.name), Steps(axis.index, frequency, axis.calendar)
        return MemberHeader(name, steps, units, anomaly, flags, remap, filled, lat, lon, layout, axis.notes)


def _kind(
    file: netCDF4.Dataset, variable: netCDF4.Variable, name: str, description: Variable
) -> tuple[bool, tuple[float, ...]]:
    """Whether a file holds anomalies, and its flags, by its first year; values that its units do not fit are refused."""
    axis = variable.dimensions.index(find_time(file, variable)[0])
    chosen: list[Any] = [slice(None)] * variable.ndim
    chosen[axis] = slice(0, _INSPECTED_MONTHS)
    sample = read_part(variable, tuple(chosen))
    if not np.isfinite(sample).any():
        raise InputDataError("Every value of its first year is missing.", "Check the file.")
    units = str(getattr(variable, "units", ""))
    found = flags_in(sample, description.plausible(units), description)
    flags = tuple({flag.value for flag in description.flags} | set(found))
    sample[np.isin(sample, flags)] = np.nan
    stated = Stated(name, file.__dict__, variable.__dict__)
    release = release_of(stated)
    if is_anomaly("auto", stated, release.data_set if release else None, variable, sample, description):
        return True, flags
    if description.conversion(units):  # else cdo's values are taken as they are
        sample = to_units(sample, units, False, description)
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    if low < description.absolute_range[0] or high > description.absolute_range[1]:
        raise InputDataError(
            f"{variable.name} states {units!r}, and its first year lies within {low:.1f} to {high:.1f} "
            f"{description.absolute_units}: no {description.quantity} on Earth.",
            "Check the units attribute against the values.",
        )
    return False, flags


def source_grid(
    file: netCDF4.Dataset, variable: netCDF4.Variable, curvilinear: bool, fine: str = _FINE
) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """cdo's operators from the grid of ``variable`` to the network's; its latitudes and longitudes, degrees.

    Parameters
    ----------
    curvilinear:
        Whether the grid may be curvilinear or rotated.
    fine:
        cdo's name of a grid between one without corners of its cells and the network's.

    Raises
    ------
    InputDataError
        If the grid cannot be used.
    """
    cells = [v for v in file.variables.values() if v.ndim == 2 and v.dimensions == variable.dimensions[-2:]]
    lat = next((v for v in cells if is_called(v, "latitude")), None) if curvilinear else None
    if lat is None and curvilinear and is_rotated(file, variable):
        rows, columns = (np.asarray(file[name][:], np.float64) for name in variable.dimensions[-2:])
        return ("-remapcon,grid.txt",), rows, columns
    if lat is None:
        axes = find_horizontal(file, variable)
        return ("-remapcon,grid.txt", *_eastward(axes), *_without_repeats(file, axes)), axes.lat, axes.lon
    lon = next((v for v in cells if is_called(v, "longitude")), lat)
    corners = str(getattr(lat, "bounds", "")) in file.variables
    # Without the cells' corners there are no areas: values are taken at the points of a finer grid first.
    remap = ("-remapcon,grid.txt",) if corners else ("-remapcon,grid.txt", f"-remapbil,{fine}")
    lat, lon = (np.ma.filled(one[:].astype(np.float64), 0.0) for one in (lat, lon))
    return remap, lat, lon


def _eastward(axes: Horizontal) -> list[str]:
    """cdo's operator that lets longitudes begin in the west: where they jump back amid a row, cdo misses cells."""
    jumps = np.flatnonzero(np.diff(axes.lon) < 0)
    if len(jumps) != 1 or not axes.grid.wraps:
        return []
    first = int(jumps[0]) + 2
    return [f"-selindexbox,{first},{first - 1},1,{len(axes.rows)}"]


def _without_repeats(file: netCDF4.Dataset, axes: Horizontal) -> list[str]:
    """cdo's operator that leaves out rows and columns which are written twice; refuses those amid others."""
    kept, sizes = (axes.columns, axes.rows), [file.dimensions[name].size for name in (axes.lon_name, axes.lat_name)]
    if [len(one) for one in kept] == sizes:
        return []
    if any(np.ptp(one) + 1 != len(one) for one in kept):
        raise InputDataError(
            f"{'; '.join(axes.notes)}: cdo cannot leave out rows and columns amid others.", "Remove them from the file."
        )
    return [f"-selindexbox,{','.join(f'{one.min() + 1},{one.max() + 1}' for one in kept)}"]


def _read_output(path: Path, name: str, shown: str, order: IntArray) -> FloatArray:
    """cdo's output in the package's order, (T, H, W) by ``order`` of its times, NaN where missing."""
    with opened(path) as file:
        variable = file[name]
        values = read_values(variable, find_time(file, variable)[0], find_horizontal(file, variable))
    if len(values) != len(order):
        raise InputDataError(
            f"cdo gave {len(values)} fields of the {len(order)} of {shown}.", "Check the file with cdo sinfo."
        )
    return np.asarray(values[order])


def _check(values: FloatArray, shown: str, gaps: bool, description: Variable, time: Steps, ends: bool) -> None:
    """Refuse gaps, but not cells that no step holds where the fields have ``ends``, and values that none can be."""
    missing = ~np.isfinite(values)
    within = missing & ~missing.all(axis=0) if ends else missing
    if missing.all() or (within.any() and not gaps):
        steps = int(within.any(axis=(1, 2)).sum())
        raise InputDataError(
            f"{shown} has gaps: {int(within.sum())} values in {steps} {time.plural} are missing on the network's grid.",
            "Complete fields are expected: a network cannot be trained on missing values.",
        )
    largest = float(np.nanmax(np.abs(values)))
    most, units = description.largest_anomaly, description.units
    if largest > most:
        raise InputDataError(
            f"{shown} gives anomalies of up to {largest:g} {units}.",
            f"{time.frequency.adjective.capitalize()} anomalies beyond {most:g} {units} are errors; check the file.",
        )
