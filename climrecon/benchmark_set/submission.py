"""Reading and checking what others submit: form, months, grid, units, and whether the observations are in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.array_types import FloatArray
from climrecon.benchmark_set.card import ATTRIBUTES, MEMBERS, REQUIRED, STDDEV, UNITS, VALUES, SetCard
from climrecon.benchmark_set.files import CaseInput
from climrecon.errors import ClimReconError, InputDataError, ProblemList
from climrecon.fields import Months
from climrecon.files import FOLDER, input_sha256, why_unreadable
from climrecon.grid import FIVE_DEGREES, weighted_mean
from climrecon.netcdf.coordinates import member_dimension
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time, month_index
from climrecon.preprocess.axes import Horizontal, find_horizontal
from climrecon.preprocess.values import read_values
from climrecon.scores.masked_truth import MethodOutput
from climrecon.settings.periods import Period, parse_period
from climrecon.variables.units import conversion

#: Characters of an attribute that are kept.
LONGEST = 300
#: The area mean of anomalies is nearer to zero than this, K; that of absolute temperatures is about 287 K or 14 degC.
_MEAN = 5.0
#: Standard deviation of the differences to the observations over that of the observations: zero anomalies have 1. Fields
#: of other months, or turned or transposed ones, have 1.3 to 1.5, since their variance adds to that of the observations.
_AGREES = 1.15
#: The members' mean differs from the estimate by so many of its standard errors at most, and by rounding, K.
_STANDARD_ERRORS, _ROUNDED = 2.0, 0.02
_SHOWN = 3


class SubmissionError(ProblemList, exit_code=InputDataError.exit_code):
    """A submission does not have the form of the set, with all problems of all its files."""


@dataclass(frozen=True)
class About:
    """Attributes of a submission, see :data:`climrecon.benchmark_set.card.ATTRIBUTES`; hours None where not stated."""

    method: str
    method_version: str
    authors: str
    training_data: str
    training_months: str
    hardware: str
    cpu_hours: float | None
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def case_files(folder: Path, card: SetCard) -> dict[str, Path]:
    """The file of each case in a submission.

    Raises
    ------
    SubmissionError
        If the folder or a file of a case is absent.
    """
    hint = f"A submission is a folder with one file a case: {', '.join(case.name + '.nc' for case in card.cases)}."
    why = why_unreadable(folder)
    if why != FOLDER:
        raise SubmissionError([why or "it is a file, not a folder"], f"{folder} is no submission:", hint)
    found = {case.name: folder / f"{case.name}.nc" for case in card.cases}
    absent = [f"{path.name}: {reason}" for path in found.values() if (reason := why_unreadable(path))]
    if absent:
        raise SubmissionError(absent, f"{folder} lacks cases:", hint)
    return found


def read_about(files: dict[str, Path]) -> About:
    """The attributes of a submission: equal in all its files, but for the hours, which are summed.

    Raises
    ------
    SubmissionError
        If a required one is absent or empty, files differ, or a value cannot be read.
    """
    problems: list[str] = []
    found: dict[str, str] = {}
    hours: list[float | None] = []
    digest = hashlib.sha256()
    for path in files.values():
        with opened(path) as file:
            held = {name: _plain(file.__dict__.get(name, "")) for name in ATTRIBUTES}
        digest.update(input_sha256(path).encode())
        problems += [f"{path.name}: the global attribute {name} is absent" for name in REQUIRED if not held[name]]
        try:
            hours.append(_hours(held.pop("cpu_hours")))
        except ValueError as error:
            problems.append(f"{path.name}: {error}")
        problems += [
            f"{path.name}: {name} is {value!r}, in the files before {found[name]!r}"
            for name, value in held.items()
            if found.get(name, value) != value
        ]
        found = {**held, **found}
    try:
        periods_in(found["training_months"])
    except ValueError as error:
        problems.append(f"training_months: {error}")
    if problems:
        raise SubmissionError(
            problems, "The attributes of the submission are not complete:", "README.md of the set lists them."
        )
    stated = [one for one in hours if one is not None]
    return About(**found, cpu_hours=sum(stated) if len(stated) == len(files) else None, sha256=digest.hexdigest())


def _hours(text: str) -> float | None:
    if not text:
        return None
    try:
        hours = float(text)
    except ValueError:
        hours = float("nan")
    if not 0.0 <= hours < float("inf"):
        raise ValueError(f"cpu_hours is {text!r}, no number of hours")
    return hours


def periods_in(text: str) -> list[Period]:
    """The periods of an attribute ``training_months``.

    Raises
    ------
    ValueError
        If a part is no period.
    """
    return [parse_period(part) for part in text.split(",") if part.strip()]


def _plain(value: Any) -> str:
    """An attribute as one line of at most :data:`LONGEST` printable characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


@dataclass(frozen=True)
class Fields:
    """Fields of one case as submitted, (T, H, W) in K; members (M, T, H, W)."""

    mean: FloatArray
    stddev: FloatArray | None
    members: FloatArray | None

    def output(self) -> MethodOutput:
        """What is scored: members count by their standard deviation, and by their regional means."""
        draws: dict[str, FloatArray] = {}
        spread = self.stddev
        if self.members is not None:
            if spread is None:
                spread = self.members.std(axis=0, ddof=1)
            for region in FIVE_DEGREES.regions:
                draws[region.name] = np.tensordot(
                    self.members, FIVE_DEGREES.mean_weights(region), axes=((2, 3), (0, 1))
                )
        return MethodOutput(self.mean, spread, region_draws=draws)


def read_case(path: Path, given: CaseInput) -> Fields:
    """The fields of one case.

    Raises
    ------
    SubmissionError
        With every problem of its form.
    """
    try:
        with opened(path) as file:
            fields, problems = _read(file, given.time)
    except ClimReconError as error:
        raise SubmissionError([error.message], f"{path} is no submission:", error.hint) from error
    if fields is not None and not problems:
        problems = list(_contradictions(fields, given))
    if problems or fields is None:
        raise SubmissionError(
            problems, f"{path} does not have the form of a submission:", "README.md of the set has it."
        )
    return fields


def _read(file: netCDF4.Dataset, time: Months) -> tuple[Fields | None, list[str]]:
    if VALUES not in file.variables:
        held = ", ".join(name for name, one in file.variables.items() if one.ndim > 2)
        return None, [f"there is no variable {VALUES}; fields of the file: {held or 'none'}"]
    problems: list[str] = []
    found: dict[str, FloatArray | None] = {VALUES: None, STDDEV: None, MEMBERS: None}
    for name in (VALUES, STDDEV, MEMBERS):
        if name in file.variables:
            values = _variable(file, file[name], time, problems)
            if values is not None:
                found[name] = values
    mean = found[VALUES]
    return None if mean is None else Fields(mean, found[STDDEV], found[MEMBERS]), problems


def _variable(
    file: netCDF4.Dataset, variable: netCDF4.Variable, time: Months, problems: list[str]
) -> FloatArray | None:
    """Values of a variable in the package's order; what is wrong with them joins ``problems``."""
    name, count = variable.name, len(problems)
    units = str(variable.__dict__.get("units", ""))
    to_kelvin = conversion(units, UNITS)
    if to_kelvin is None:
        problems.append(f"{name} has the units {units!r}; {UNITS} is expected")
    dimension, coordinate = find_time(file, variable)
    months, axes = month_index(file, coordinate).index, find_horizontal(file, variable)
    problems += [f"{name}: {text}" for text in (*_months(months, time), *_grid(axes))]
    members = None
    if name == MEMBERS:
        along = member_dimension(variable)
        members = variable.shape[variable.dimensions.index(along)] if along else 0
        if members < 2:
            size = ", ".join(f"{one} {n}" for one, n in zip(variable.dimensions, variable.shape, strict=True))
            problems.append(f"{name}[{size}] has no dimension realization of two members or more")
    if len(problems) > count or to_kelvin is None:
        return None
    order = np.argsort(months)
    parts = [
        read_values(variable, dimension, axes, number)[order]
        for number in (range(members) if members is not None else [None])
    ]
    values = np.asarray(np.stack(parts) if members is not None else parts[0], np.float32)
    if not np.isfinite(values).all():
        *_, month, row, column = np.argwhere(~np.isfinite(values))[0]
        problems.append(
            f"{name} has {int((~np.isfinite(values)).sum())} values that are missing or not finite, e.g. in "
            f"{time.labels()[month]} at {axes.place(row, column)}"
        )
        return None
    values = to_kelvin(values, difference=True)
    if name == STDDEV:
        if float(values.min()) < 0.0:
            problems.append(f"{name} has values below zero, {float(values.min()):g} at least")
    elif abs(mean := float(weighted_mean(values, FIVE_DEGREES.area).mean())) > _MEAN:
        problems.append(f"{name} has an area mean of {mean:.1f} K: absolute temperatures? Anomalies are expected")
    return values


def _months(months: Any, time: Months) -> Iterator[str]:
    absent, others = np.setdiff1d(time.index, months), np.setdiff1d(months, time.index)
    for what, found in (("lacks", absent), ("holds other months than the input:", others)):
        if len(found):
            shown = ", ".join(Months(found[:_SHOWN]).labels())
            yield f"{what} {len(found)} months, {shown}{' …' if len(found) > _SHOWN else ''}"
    if len(np.unique(months)) < len(months):
        yield f"holds {len(months) - len(np.unique(months))} months twice"


def _grid(axes: Horizontal) -> Iterator[str]:
    if not axes.grid.same_as(FIVE_DEGREES):
        yield f"is on {axes.grid.describe()}; {FIVE_DEGREES.describe()} is expected"


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _contradictions(fields: Fields, given: CaseInput) -> Iterator[str]:
    """Whether the estimate is one of these observations, and the members are members of the estimate."""
    observed = given.values[given.mask]
    ratio = float(np.std(fields.mean[given.mask] - observed) / np.std(observed))
    if ratio > _AGREES:
        yield (
            f"{VALUES} contradicts the observations: its differences to them at observed cells vary {ratio:.2f} times as "
            "much as they do, those of zero anomalies 1.00 times. Are months, axes, longitudes and sign right?"
        )
    if fields.members is None:
        return
    count = len(fields.members)
    away = _rms(fields.members.mean(axis=0) - fields.mean)
    allowed = _STANDARD_ERRORS * _rms(fields.members.std(axis=0, ddof=1)) / np.sqrt(count) + _ROUNDED
    if away > allowed:
        yield (
            f"the mean of {MEMBERS} differs from {VALUES} by {away:.2f} K (RMS), more than the {allowed:.2f} K of "
            f"{count} draws of it. Do the members' axes and months have the order of {VALUES}?"
        )
