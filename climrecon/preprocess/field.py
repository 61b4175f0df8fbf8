"""One variable of an open file: finding it, its time and horizontal axes, reading its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.datasets import DataSet, canonical_variable
from climrecon.errors import InputDataError
from climrecon.frequency import MONTH, YEAR, Frequency
from climrecon.grid import Grid
from climrecon.netcdf.coordinates import member_count
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import TimeAxis, find_time, read_axis, step_index
from climrecon.preprocess.axes import Horizontal, find_horizontal
from climrecon.preprocess.remapping import remapping_of
from climrecon.preprocess.request import PrepareRequest
from climrecon.preprocess.values import is_called_anomaly, read_values
from climrecon.steps import Steps
from climrecon.variables import VARIABLES


def find_variable(
    file: netCDF4.Dataset, wanted: str, named: str = "", data_set: DataSet | None = None, values: str = "auto"
) -> netCDF4.Variable:
    """The variable of ``file`` that is ``wanted`` by its CMOR name; of several the anomaly.

    Parameters
    ----------
    named:
        Its name in the file, if the user states it.
    data_set:
        Of the file; producers have names of their own.
    values:
        ``absolute``: of several variables none that is an anomaly.

    Raises
    ------
    InputDataError
        If there is none, or more than one.
    """
    candidates = [v for v in file.variables.values() if v.ndim >= 2 and v.dtype is not str and v.dtype.kind in "fiu"]
    names = {v.name: canonical_variable(v.name, v.__dict__, data_set) for v in candidates}
    names |= dict.fromkeys(v.name for v in candidates if v.name != wanted and _on_pressure_level(file, v))
    held = ", ".join(f"{v.name} ({names[v.name] or 'unknown'})" for v in candidates if "bnds" not in v.name)
    if named:
        chosen = next((v for v in candidates if v.name == named), None)
        if chosen is None:
            raise InputDataError(
                f"There is no field {named!r}, which obs_variable names; the file holds "
                f"{held or 'none with two dimensions'}.",
                "Name one of these with obs_variable=.",
            )
        return chosen
    matching = [v for v in candidates if names[v.name] == wanted]
    if len(matching) > 1:
        anomalies = values != "absolute"
        alike = [v for v in matching if is_called_anomaly(v, VARIABLES[wanted]) == anomalies] or matching
        matching = [v for v in alike if v.name == wanted] or alike
    if len(matching) > 1:
        raise InputDataError(
            f"Several variables could be {wanted}: {', '.join(v.name for v in matching)}.",
            f"Name one of them with obs_variable=, e.g. obs_variable={matching[0].name}.",
        )
    if matching:
        return matching[0]
    others = [v for v in candidates if (one := VARIABLES.get(names[v.name] or "")) and one.observable]
    hint = "Choose another variable or file."
    if others:
        other = names[others[0].name]
        hint = f"To read {others[0].name}, use variable={other} with a method for it, e.g. network=kriging."
    elif held:
        hint = (
            f"If one of them is {wanted} under another name, state obs_variable=NAME; else choose another variable or "
            "file."
        )
    raise InputDataError(f"No variable is {wanted}; the file holds {held or 'none with two dimensions'}.", hint)


def _on_pressure_level(file: netCDF4.Dataset, variable: netCDF4.Variable) -> bool:
    """Whether a field is one of the free atmosphere, by its coordinates; its names may be those of a near-surface one."""
    names = (*variable.dimensions, *str(getattr(variable, "coordinates", "")).split())
    units = (str(getattr(file.variables.get(name), "units", "")).lower().rstrip("s") for name in names)
    return any(unit in ("pa", "hpa", "mb", "mbar", "millibar") for unit in units)


def all_of(*steps: Callable[[], Any]) -> list[Any]:
    """Results of ``steps``; the problems of all steps are reported together.

    Raises
    ------
    InputDataError
        With every step's problem.
    """
    results, errors = [], []
    for step in steps:
        try:
            results.append(step())
        except InputDataError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        hints = list(dict.fromkeys(error.hint for error in errors if error.hint))
        raise InputDataError(" ".join(error.message for error in errors), " ".join(hints))
    return results


@dataclass(frozen=True)
class Field:
    """A variable of an open file: its units, time dimension, steps of time, latitude and longitude, and notes."""

    variable: netCDF4.Variable
    units: str
    time_name: str
    time: Steps
    horizontal: Horizontal
    notes: tuple[str, ...] = ()

    def read(self, realisation: int | None = None, **how: Any) -> Any:
        """(T, H, W) in the package's order; see :func:`climrecon.preprocess.values.read_values`."""
        return read_values(self.variable, self.time_name, self.horizontal, realisation, **how)


def field_of(
    file: netCDF4.Dataset,
    variable: netCDF4.Variable,
    check: Callable[[str], Any] = str,
    frequency: Frequency = MONTH,
    cells: Horizontal | None = None,
) -> Field:
    """``variable`` of ``frequency`` with its axes; problems of axes, and of units by ``check``, are reported together.

    ``cells`` are its horizontal axes where they are no latitudes and longitudes.

    Raises
    ------
    InputDataError
        With every problem.
    """
    units = str(getattr(variable, "units", ""))

    def time() -> tuple[str, TimeAxis]:
        dimension, coordinate = find_time(file, variable)
        return dimension, step_index(file, coordinate, frequency)

    (name, axis), horizontal, _ = all_of(time, lambda: cells or find_horizontal(file, variable), lambda: check(units))
    steps = Steps(axis.index, frequency, axis.calendar)
    return Field(variable, units, name, steps, horizontal, axis.notes)


def members_within(path: Path, variable: str = "tas", named: str = "") -> int:
    """Number of members that one file holds along a dimension; 1 where there is none.

    Raises
    ------
    InputDataError
        If the file cannot be read.
    """
    with opened(path) as file:
        return member_count(find_variable(file, variable, named))


def asked_grid(path: Path, request: PrepareRequest) -> Grid:
    """The grid that a file is remapped to, by the header of the file.

    Raises
    ------
    InputDataError
        If the file or the grid cannot be used.
    """
    with opened(path) as file:
        variable = find_variable(file, request.variable, request.obs_variable)
        return remapping_of(path, file, variable, request.grid).target.grid


def grid_within(path: Path, request: PrepareRequest) -> Grid | None:
    """The grid of a file by its header; None where it cannot be read: reading the file states why."""
    try:
        if request.grid:
            return asked_grid(path, request)
        with opened(path) as file:
            return find_horizontal(file, find_variable(file, request.variable, request.obs_variable)).grid
    except InputDataError:
        return None


def steps_within(path: Path, variable: str = "tas", frequency: Frequency = MONTH) -> Steps:
    """The steps of a file, in its order.

    Raises
    ------
    InputDataError
        If the file cannot be read, or is of another frequency.
    """
    with opened(path) as file:
        axis = step_index(file, find_time(file, find_variable(file, variable))[1], frequency)
        return Steps(axis.index, frequency, axis.calendar)


def frequency_within(path: Path, variable: str, named: str = "") -> Frequency:
    """Whether the fields of a file are months or years, by their times; months where there is one time.

    ``named`` as of :func:`find_variable`.

    Raises
    ------
    InputDataError
        If the file cannot be read.
    """
    with opened(path) as file:
        found = find_variable(file, variable, named)
        index = np.unique(read_axis(file, find_time(file, found)[1]).index)
    return YEAR if len(index) > 1 and (np.diff(index) % 12 == 0).all() else MONTH


def dimensions(path: Path) -> tuple[int, int]:
    """Time steps of the largest variable of a file, and its values at each; zeros if it cannot be read."""
    try:
        with opened(path) as file:
            fields = [variable for variable in file.variables.values() if variable.ndim >= 3]
            sizes = [(n, v.size // max(n * member_count(v), 1)) for v in fields if (n := _steps(file, v))]
            return max(sizes, key=lambda pair: pair[0] * pair[1], default=(0, 0))
    except InputDataError:
        return 0, 0


def _steps(file: netCDF4.Dataset, variable: netCDF4.Variable) -> int:
    try:
        return int(variable.shape[variable.dimensions.index(find_time(file, variable)[0])])
    except InputDataError:
        return 0
