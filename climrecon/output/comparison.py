"""netCDF file of a comparison: series and maps of products on a common grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import netCDF4
import numpy as np

from climrecon.array_types import FloatArray, IntArray
from climrecon.fields import Steps
from climrecon.files import NETCDF_HEADER, atomic_path
from climrecon.frequency import YEAR
from climrecon.grid import Grid
from climrecon.output.axes import FILL, add_grid, add_time_axis, add_variable
from climrecon.variables import VARIABLES


@dataclass(frozen=True)
class Maps:
    """Means and trends of P products over N periods, (P, N, H, W), NaN where unknown.

    Their differences are to the first product.
    """

    periods: Sequence[tuple[int, int]]
    mean: FloatArray
    trend: FloatArray


@dataclass(frozen=True)
class SeriesOfProducts:
    """Series of P products.

    Attributes
    ----------
    time:
        (T,) all steps of any product.
    values:
        Name -> long name, units, cell methods and (P, T) values, NaN where a product has none.
    years, annual:
        (Y,) years, and the same for (P, Y) annual values.
    """

    time: Steps
    years: IntArray
    values: dict[str, tuple[str, str, FloatArray]] = field(default_factory=dict)
    annual: dict[str, tuple[str, str, FloatArray]] = field(default_factory=dict)


def write_comparison_file(
    path: Path,
    grid: Grid,
    variable: str,
    names: Sequence[str],
    series: SeriesOfProducts,
    maps: Maps | None,
    attributes: Mapping[str, str],
) -> None:
    """Write series and maps of the products ``names``."""
    known = VARIABLES[variable]
    with (
        atomic_path(path, NETCDF_HEADER) as temporary,
        netCDF4.Dataset(temporary, "w", format="NETCDF4_CLASSIC") as file,
    ):
        file.setncatts({"Conventions": "CF-1.8", **attributes})
        _add_names(file, names)
        for name, steps in (("time", series.time), ("year", Steps(series.years, YEAR))):
            file.createDimension(name, len(steps))
            add_time_axis(file, steps, "standard", name)
        for dimension, rows in (("time", series.values), ("year", series.annual)):
            for name, (long_name, units, values) in rows.items():
                described = {"long_name": long_name, "units": units, "coordinates": "product_name"}
                _add(file, name, ("product", dimension), described, values)
        if maps is None:
            return
        file.createDimension("period", len(maps.periods))
        bounds = np.array(maps.periods, np.int32)
        for number, name in enumerate(("period_first_year", "period_last_year")):
            described = {"long_name": name.replace("_", " "), "units": "1"}
            add_variable(file, name, "i4", ("period",), described, bounds[:, number])
        add_grid(file, grid)
        units = known.units
        for name, values, unit, what in (
            ("mean", maps.mean, units, "mean of annual means over a period"),
            (
                "trend",
                maps.trend,
                f"0.1 {units} year-1",
                "least-squares trend, per decade, of annual means over a period",
            ),
        ):
            metadata = {"units_metadata": known.units_metadata} if known.units_metadata else {}
            described = {
                "units": unit, "coordinates": "product_name period_first_year period_last_year", **metadata,
                "cell_methods": "area: mean",
            }  # fmt: skip
            shape = ("product", "period", "lat", "lon")
            _add(file, name, shape, {"long_name": f"{what}, over the common cells", **described}, values)
            described["long_name"] = f"{what}, less that of {names[0]}"
            _add(file, f"{name}_difference", shape, described, values - values[:1])


def _add(
    file: netCDF4.Dataset, name: str, shape: tuple[str, ...], attributes: Mapping[str, str], values: FloatArray
) -> None:
    add_variable(file, name, "f4", shape, attributes, np.ma.masked_invalid(values), fill_value=FILL, zlib=True)


def _add_names(file: netCDF4.Dataset, names: Sequence[str]) -> None:
    encoded = [name.encode() for name in names]
    file.createDimension("product", len(names))
    file.createDimension("strlen", max(map(len, encoded)))
    # netCDF4.stringtochar takes ASCII alone.
    letters = np.array(encoded).view("S1").reshape(len(names), -1)
    add_variable(file, "product_name", "S1", ("product", "strlen"), {"long_name": "product"}, letters)
