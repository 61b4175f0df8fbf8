"""netCDF files of a benchmark set: its inputs, and the fields of a submission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.benchmark_set.card import INPUTS, MEMBERS, STDDEV, UNITS, VALUES, CaseCard, SetCard, digest
from climrecon.errors import InputDataError
from climrecon.fields import Months, Observations, Source, Steps
from climrecon.files import NETCDF_HEADER, atomic_path, input_sha256, require_file
from climrecon.grid import FIVE_DEGREES
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time, month_index
from climrecon.output.axes import FILL, add_grid, add_time_axis, add_variable
from climrecon.preprocess.axes import find_horizontal
from climrecon.preprocess.values import read_values
from climrecon.version import __version__

#: Beginning of the attribute ``history`` of files that are written here.
HISTORY = "written by climrecon"
_NAMES = {
    VALUES: {"standard_name": "air_temperature_anomaly", "long_name": "near-surface air temperature anomaly"},
    STDDEV: {
        "standard_name": "air_temperature_anomaly standard_error",
        "long_name": "one-sigma error of the near-surface air temperature anomaly",
    },
    MEMBERS: {"standard_name": "air_temperature_anomaly", "long_name": "equally likely complete fields"},
}


def write_fields(
    path: Path, time: Steps, fields: Mapping[str, FloatArray], attributes: Mapping[str, Any], about: str = ""
) -> None:
    """Write monthly fields on the 5-degree grid as CF netCDF.

    Parameters
    ----------
    fields:
        Name -> (T, H, W) values or (M, T, H, W) members, K, NaN where missing.
    attributes:
        Global ones.
    about:
        Comment on the first variable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(path, NETCDF_HEADER) as temporary,
        netCDF4.Dataset(temporary, "w", format="NETCDF4_CLASSIC") as file,
    ):
        # Without a date: the same set has the same hashes whenever it is exported.
        file.setncatts({"Conventions": "CF-1.8", "history": f"{HISTORY} {__version__}", **attributes})
        file.createDimension("time", len(time))
        add_time_axis(file, time, "standard")
        add_grid(file, FIVE_DEGREES)
        for number, (name, values) in enumerate(fields.items()):
            dimensions: tuple[str, ...] = ("time", "lat", "lon")
            if values.ndim == 4:
                dimensions = ("realization", *dimensions)
                file.createDimension("realization", len(values))
                counted = {"standard_name": "realization", "units": "1"}
                add_variable(file, "realization", "i4", ("realization",), counted, np.arange(1, len(values) + 1))
            described = {**_NAMES[name], "units": UNITS, "cell_methods": "time: mean"}
            if name != STDDEV:
                described["reference_period"] = "1961-1990"
            if number == 0 and STDDEV in fields:
                described["ancillary_variables"] = STDDEV
            if number == 0 and about:
                described["comment"] = about
            stored = np.where(np.isfinite(values), values, FILL).astype(np.float32)
            add_variable(
                file, name, "f4", dimensions, described, stored, fill_value=FILL, zlib=True, complevel=5, shuffle=True
            )


@dataclass(frozen=True)
class CaseInput:
    """The input of one case, as submitters have it: (T, H, W) values and one-sigma errors, K, NaN where missing."""

    card: CaseCard
    time: Months
    values: FloatArray
    stated: FloatArray

    @property
    def mask(self) -> BoolArray:
        """(T, H, W) True where observed."""
        return np.isfinite(self.values)

    def observations(self) -> Observations:
        """The input as methods take it."""
        source = Source(self.card.name, "", (self.card.file,), (self.card.sha256,), VALUES)
        return Observations("tas", self.values, self.mask, self.stated, self.time, FIVE_DEGREES, (1961, 1990), source)


def read_input(folder: Path, card: SetCard, case: CaseCard) -> CaseInput:
    """The input of one case.

    Raises
    ------
    InputDataError
        If it is absent, or is not the file that the card names.
    """
    path = folder / INPUTS / Path(case.file).name
    hint = f"Export the set {card.name} again."
    require_file(path, hint)
    if input_sha256(path) != case.sha256:
        raise InputDataError(f"{path} is not the file of the card: its sha256 differs.", hint)
    with opened(path) as file:
        variable = file[VALUES]
        name, coordinate = find_time(file, variable)
        axes = find_horizontal(file, variable)
        values, stated = (np.asarray(read_values(file[one], name, axes), np.float32) for one in (VALUES, STDDEV))
        time = Months(month_index(file, coordinate).index)
    if digest(values, stated) != case.content_sha256:
        raise InputDataError(f"The values of {path} are not those of the card.", hint)
    return CaseInput(case, time, values, stated)
