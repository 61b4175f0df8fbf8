"""The result on the cells of a file that was remapped: CF netCDF with the file's coordinates, bounds and grid mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.memory import release
from climrecon.netcdf.opening import opened
from climrecon.output.axes import FILL, add_time_axis, add_variable
from climrecon.output.netcdf import COMPRESSION, fields_of, new_file, with_ancillary
from climrecon.output.product import NO_DOMAIN, OBSERVED, RECONSTRUCTED, STATUS_MEANINGS, Product
from climrecon.output.rounding import SPREAD_BITS, step_of, to_bits, to_step
from climrecon.preprocess.axes import is_called
from climrecon.preprocess.remapping import coordinates_of
from climrecon.preprocess.way_back import OnFileCells, WayBack
from climrecon.variables import VARIABLES

#: Axes of coordinates that a file need not name, but tools look for.
_AXES = {
    "grid_latitude": "Y",
    "grid_longitude": "X",
    "projection_y_coordinate": "Y",
    "projection_x_coordinate": "X",
    "latitude": "Y",
    "longitude": "X",
}
#: Values of a field that are worked on at once.
_VALUES = 2_000_000
_LENGTHS = ("m", "km", "metre", "metres", "meter", "meters")
_SPREAD = (
    "Cells that were not observed have the mean of the standard deviations of the regular grid's cells, with the weights "
    "of the values: as if their errors were fully correlated, which is the careful side. How the field varies within a "
    "cell of that grid is not in it. "
)


def write_native(product: Product, own: OnFileCells, path: Path, attributes: Mapping[str, str]) -> list[str]:
    """Write the infilled field, its standard deviation and the status on the cells of the file; returns notes.

    Observed cells keep the file's values (with ``keep_observed``), re-based as the cell of the regular grid that they lie
    in. All others have the values of :class:`climrecon.preprocess.way_back.WayBack`.

    Raises
    ------
    OutputError
        As of :func:`climrecon.output.netcdf.new_file`.
    """
    back = WayBack(product.observations.grid, own.cells)
    variable, described = product.observations.variable, fields_of(product)
    names = [name for name in (variable, f"{variable}_stddev", f"{variable}_status") if name in described]
    # The new file within: what it cannot hold is no fault of the observations' file.
    with opened(own.cells.path) as source, new_file(path, attributes) as file:
        file.createDimension("time", None)
        add_time_axis(file, product.observations.time, product.observations.source.calendar)
        shared = _write_cells(file, source, own)
        stated = str(source[own.cells.name].__dict__.get("cell_methods", "")) or product.cell_methods
        # Blocks are of whole chunks of the file, so that none is compressed twice.
        steps = min(max(_VALUES // own.cells.lat.size, 1), len(product.observations.time))
        chunks = (steps, *own.cells.shape)
        made = {}
        for name in names:
            about = {**with_ancillary(described[name][1], names), **shared}
            if name == variable:
                about["cell_methods"] = stated
            _describe(name, about, product)
            whole = "flag_values" in about
            kind = "i1" if whole else own.dtype if name == variable else "f4"
            fill = np.int8(-127) if whole else np.dtype(kind).type(FILL)
            one = file.createVariable(
                name, kind, ("time", *own.cells.dimensions), fill_value=fill, chunksizes=chunks, **COMPRESSION
            )
            one.setncatts(about)
            one.set_auto_maskandscale(False)
            made[name] = one
        for first in range(0, len(product.observations.time), steps):
            part = slice(first, min(first + steps, len(product.observations.time)))
            for name, values in _values(product, own, back, part).items():
                if name in made:
                    kind = made[name].dtype
                    filled = values if kind == np.int8 else np.where(np.isfinite(values), values, FILL)
                    made[name][part] = filled.astype(kind).reshape(-1, *own.cells.shape)
            for array in (own.values, product.infilled, product.stddev, product.status, product.kept_sd):
                if array is not None:
                    release(array)
    return _notes(back, own, path)


def _values(product: Product, own: OnFileCells, back: WayBack, part: slice) -> dict[str, NDArray[Any]]:
    """(T, N) fields of some steps by name."""
    variable = product.observations.variable
    given = own.values[part].reshape(part.stop - part.start, -1)
    seen = np.isfinite(given)
    kept = seen & product.keep_observed
    filled: NDArray[Any] = back(product.infilled[part])
    if product.shift is not None:
        given = given - back.of_nearest(product.shift.at(product.observations.time[part]))
    # Not in single precision alone: a file's doubles stay what they are.
    filled = np.where(kept, given, filled.astype(np.result_type(own.dtype, np.float32)))
    nearest = back.of_nearest(product.status[part])
    # A cell of the regular grid may be observed by others of the file.
    status = np.where(nearest == OBSERVED, np.int8(RECONSTRUCTED), nearest)
    status = np.where(back.reached, status, np.int8(NO_DOMAIN))
    status = np.where(kept | (seen & back.reached), np.int8(OBSERVED), status)
    fields = {variable: to_step(filled, step_of(VARIABLES[variable]), kept), f"{variable}_status": status}
    if product.stddev is not None:
        spread = back(product.stddev[part])
        if product.kept_sd is not None:
            error = np.where(product.observations.mask[part], product.stddev[part], product.kept_sd[part])
            spread = np.where(kept, back.of_nearest(error), spread)
        fields[f"{variable}_stddev"] = to_bits(spread, SPREAD_BITS)
    return fields


def _describe(name: str, about: dict[str, Any], product: Product) -> None:
    """Complete the attributes of a field, which are those of the regular grid."""
    if "flag_values" in about:
        meanings = STATUS_MEANINGS
        about["flag_values"] = np.arange(1, len(meanings) + 1, dtype=np.int8)
        about["flag_meanings"] = " ".join(meanings)
        about["comment"] = (
            f"{about['comment']} Of the cell of the regular grid that the centre lies in; observed by this file. "
            "outside_domain also: the regular grid's estimate does not reach the cell."
        )
    elif name.endswith("_stddev"):
        about["comment"] = _SPREAD + about["comment"]
    else:
        kept = "Observed cells have the values of the file. " if product.keep_observed else ""
        about["comment"] = (
            f"{kept}All others have those of the regular grid {product.observations.grid.describe()}, bilinearly, as "
            f"means over the cell if the file states its corners. {about.get('comment', '')}"
        ).rstrip()


def _write_cells(file: netCDF4.Dataset, source: netCDF4.Dataset, own: OnFileCells) -> dict[str, str]:
    """Copy what the file states of its cells; returns the attributes of a field that name them."""
    variable, shared = source[own.cells.name], {}
    stated = variable.__dict__
    for name, size in zip(own.cells.dimensions, own.cells.shape, strict=True):
        file.createDimension(name, size)
        if name in source.variables:
            _copy(file, source[name])
    # Also in the form "rotated_pole: rlat rlon" (CF, section 5.6), whose other words are coordinates.
    for name in str(stated.get("grid_mapping", "")).replace(":", " ").split():
        if name in source.variables and "grid_mapping_name" in source[name].ncattrs():
            _copy(file, source[name])
            shared["grid_mapping"] = str(stated["grid_mapping"])
    both = coordinates_of(source, variable)
    auxiliary = [one.name for one in both or () if one.name not in own.cells.dimensions]
    for one in both or ():
        _copy(file, one)
    if both is None and not set(own.cells.dimensions) <= {"lat", "lon", "latitude", "longitude"}:
        auxiliary = [name for name in ("lat", "lon") if name not in file.variables]
        for name in auxiliary:
            standard, units = {"lat": ("latitude", "degrees_north"), "lon": ("longitude", "degrees_east")}[name]
            values = getattr(own.cells, name).reshape(own.cells.shape)
            add_variable(file, name, "f8", own.cells.dimensions, {"standard_name": standard, "units": units}, values)
    # Scalars, such as the height of the thermometer.
    for name in str(stated.get("coordinates", "")).split():
        if name in source.variables and not source[name].dimensions and name not in file.variables:
            _copy(file, source[name])
            auxiliary.append(name)
    if auxiliary:
        shared["coordinates"] = " ".join(auxiliary)
    if measured := re.search(r"area:\s*(\S+)", str(stated.get("cell_measures", ""))):
        area = measured[1]
        shared["cell_measures"] = f"area: {area}"
        if area in source.variables and source[area].dimensions == own.cells.dimensions:
            _copy(file, source[area])
        else:
            file.external_variables = area
    return shared


def _copy(file: netCDF4.Dataset, variable: netCDF4.Variable, of: Mapping[str, Any] | None = None) -> None:
    """Copy a variable as it stands in its file, and its bounds; ``of``: attributes of the coordinate of these bounds."""
    if variable.name in file.variables:
        return
    dimensions = []
    for name, size in zip(variable.dimensions, variable.shape, strict=True):
        free = name
        while free in file.dimensions and file.dimensions[free].size != size:
            free += "_"
        if free not in file.dimensions:
            file.createDimension(free, size)
        dimensions.append(free)
    about = {key: variable.getncattr(key) for key in variable.ncattrs()}
    variable.set_auto_maskandscale(False)
    values, fill = _classic(variable, about.pop("_FillValue", None))
    if values.ndim > len(dimensions):
        dimensions.append(f"{variable.name}_length")
        file.createDimension(dimensions[-1], len(values))
    copied = file.createVariable(variable.name, values.dtype, dimensions, fill_value=fill)
    copied.set_auto_maskandscale(False)
    source = variable.group()
    bounds = source.variables.get(str(about.get("bounds", "")))
    if bounds is None:
        about.pop("bounds", None)
    for standard, units in (("latitude", "degrees_north"), ("longitude", "degrees_east")):
        if is_called(variable, standard):
            about = {"standard_name": standard, "units": units, **about}
    # Bounds have those of their coordinate (CF, section 7.1).
    about = {key: text for key, text in about.items() if not of or not np.array_equal(of.get(key, ""), text)}
    projected = str(about.get("standard_name", "")).startswith("projection_")
    if projected and str(about.get("units", "")).lower() not in _LENGTHS:
        # Numbers of rows and columns are no lengths, and no places on an axis.
        about = {key: text for key, text in about.items() if key not in ("standard_name", "axis")}
    along = _AXES.get(str(about.get("standard_name", "")))
    if along and variable.dimensions == (variable.name,):
        about.setdefault("axis", along)
    copied.setncatts(about)
    if dimensions or values.dtype.kind != "S":
        copied[...] = values
    variable.set_auto_maskandscale(True)
    if bounds is not None:
        _copy(file, bounds, about)


def _classic(variable: netCDF4.Variable, fill: Any) -> tuple[NDArray[Any], Any]:
    """Values and fill value in types of the classic model; (N,) letters of a text.

    The model of our files lacks integers of 64 bits, unsigned ones, and texts of any length, which tools of Python write.
    """
    values = variable[...]
    if variable.dtype is str:
        return np.frombuffer(str(values).encode() or b" ", "S1"), None
    values = np.asarray(values)
    if values.dtype.kind not in "iu" or values.dtype in (np.int8, np.int16, np.int32):
        return values, fill
    numbers = values if fill is None else np.append(values, fill)
    kind: Any = np.int32 if (numbers.astype(np.int32) == numbers).all() else np.float64
    return values.astype(kind), None if fill is None else kind(fill)


def _notes(back: WayBack, own: OnFileCells, path: Path) -> list[str]:
    """What the user should know of the file."""
    count = int((~back.reached).sum())
    notes = [
        f"{path.name} has the reconstruction on the {'x'.join(map(str, own.cells.shape))} cells of the file"
        + (f"; {count} of them lie outside the domain, and are missing where they are not observed" if count else "")
    ]
    if back.coarser:
        notes.append(
            "the file states no corners of its cells, which are larger than those of the regular grid: values brought "
            "back are those at their centres, not means over them"
        )
    return notes
