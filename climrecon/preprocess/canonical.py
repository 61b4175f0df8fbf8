"""Files for cdo: as they are where cdo can read them, else one member copied with its dimensions in cdo's order.

cdo wants time first and one dimension of levels at most; members along a dimension are its levels. It knows dates and
counts of days, not text or decimal years, and no bounds that nothing links.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cftime
import netCDF4
import numpy as np

from climrecon.array_types import IntArray
from climrecon.netcdf.coordinates import member_dimension, texts_of
from climrecon.netcdf.forms import local
from climrecon.netcdf.times import TimeAxis, find_time, month_index
from climrecon.preprocess.cdo import link
from climrecon.preprocess.missing import RANGES, Packing

_UNITS = "days since 1850-01-01"
_MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class Layout:
    """How a variable lies in its file.

    Attributes
    ----------
    time, members:
        Dimension of the times, and of members or None.
    cells:
        Dimensions of the grid.
    readable:
        Whether cdo reads the variable as it lies, and no valid range is one of unpacked values.
    dated:
        Whether cdo reads the months of its times that :func:`climrecon.netcdf.times.read_axis` gives.
    """

    time: str
    members: str | None
    cells: tuple[str, ...]
    readable: bool
    dated: bool


def layout_of(
    file: netCDF4.Dataset, variable: netCDF4.Variable, plausible: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[Layout, TimeAxis]:
    """How ``variable`` lies in ``file``, and its months.

    Parameters
    ----------
    plausible:
        Bounds of plausible values in the file's units, by which a valid range is read.

    Raises
    ------
    InputDataError
        If it has no time axis that can be read.
    """
    time, coordinate = find_time(file, variable)
    axis = month_index(file, coordinate)
    members = member_dimension(variable)
    cells = tuple(name for name in variable.dimensions if name not in (time, members))[-2:]
    labels = None if members is None or members not in file.variables else texts_of(file[members])
    in_order = variable.dimensions[0] == time and variable.dimensions[-2:] == cells
    readable = in_order and variable.ndim <= _MOST_DIMENSIONS and labels is None and texts_of(coordinate) is None
    # cdo compares a range of values with the packed numbers, and masks nearly all of them.
    packing, first_year = Packing.of(variable), [slice(None)] * variable.ndim
    first_year[variable.dimensions.index(time)] = slice(0, 12)
    packing.choose_range([tuple(first_year)], plausible)
    readable &= not packing.range_of_values
    return Layout(time, members, cells, readable, axis.stamped), axis


#: A file in cdo's folder, and the operators that choose its member.
Source = tuple[tuple[str, ...], str]


def cdo_sources(
    files: Sequence[Path],
    layouts: Sequence[Layout],
    months: Sequence[IntArray],
    names: Sequence[str],
    realisation: int | None,
    folder: Path,
    *,
    dated: bool = False,
) -> list[Source]:
    """Each of ``files`` in ``folder`` as cdo can read it, its fields in the file's order.

    Parameters
    ----------
    months:
        (T,) of each file.
    names:
        Variables of one layout that a copy holds.
    realisation:
        Which member, from 0, of files that hold several along a dimension.
    dated:
        Whether cdo must read the months right: an operator of the chain goes by them.
    """
    sources: list[Source] = []
    for number, (path, layout, index) in enumerate(zip(files, layouts, months, strict=True)):
        if layout.readable and (layout.dated or not dated):
            level = () if realisation is None else (f"-sellevidx,{realisation + 1}",)
            sources.append((level, link(path, folder, number)))
        else:
            name = f"copy{number:04d}.nc"
            _copy(local(path), layout, index, names, realisation or 0, folder / name)
            sources.append(((), name))
    return sources


def chain(sources: Sequence[Source], name: str) -> list[str]:
    """Operators that give the variable ``name`` of all ``sources``, one after the other."""
    each = [[*level, f"-selname,{name}", file] for level, file in sources]
    return each[0] if len(each) == 1 else ["-cat", "[", *(part for one in each for part in one), "]"]


def _copy(path: Path, layout: Layout, months: IntArray, names: Sequence[str], realisation: int, target: Path) -> None:
    """One member with its dimensions in cdo's order, and days since 1850 in the middle of ``months``."""
    import xarray

    days = [cftime.date2num(cftime.datetime(int(m) // 12, int(m) % 12 + 1, 15), _UNITS, "standard") for m in months]
    along = {layout.time, layout.members}
    with warnings.catch_warnings(), xarray.open_dataset(path, engine="netcdf4", decode_cf=False, cache=False) as data:
        warnings.simplefilter("ignore")  # xarray's on attributes that it cannot interpret
        grid = [
            name
            for name, one in data.variables.items()
            if set(one.dims) & set(layout.cells) and not set(one.dims) & along and one.dtype.kind in "fiu"
        ]
        fields = data[[*names, *grid]].drop_vars([layout.time, *filter(None, [layout.members])], errors="ignore")
        others = [name for name in fields[names[0]].dims if name not in (layout.time, *layout.cells)]
        fields = fields.isel({name: realisation if name == layout.members else 0 for name in others}, drop=True)
        for name in names:
            fields[name] = fields[name].transpose(layout.time, *layout.cells)
            named = str(fields[name].attrs.pop("coordinates", "")).split()
            for key in RANGES:  # values outside are implausible, and refused as such
                fields[name].attrs.pop(key, None)
            if kept := [one for one in named if one in grid]:
                fields[name].attrs["coordinates"] = " ".join(kept)
        if layout.time != "time":
            fields = fields.rename({layout.time: "time"})
        fields["time"] = ("time", np.array(days, float), {"units": _UNITS, "calendar": "standard", "axis": "T"})
        fields.to_netcdf(target, engine="netcdf4", unlimited_dims=["time"])
