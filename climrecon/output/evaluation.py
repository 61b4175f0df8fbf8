"""The file of an evaluation's errors cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.files import NETCDF_HEADER, atomic_path
from climrecon.grid import Grid
from climrecon.output.axes import FILL, add_grid, add_variable
from climrecon.variables import VARIABLES


def write_cells(
    path: Path,
    grid: Grid,
    rmse: Mapping[str, FloatArray],
    counts: NDArray[Any],
    attributes: Mapping[str, str],
    variable: str,
    steps: str = "months",
    *,
    withheld: bool = False,
) -> None:
    """Write each method's (H, W) RMSE of ``variable``, and the (H, W) number of steps in which a cell was scored.

    Parameters
    ----------
    steps:
        What the steps are.
    withheld:
        Whether cells are scored that were observed and withheld, not those that were missing under a mask.
    """
    counted = "observed and withheld" if withheld else "missing under the mask"
    with (
        atomic_path(path, NETCDF_HEADER) as temporary,
        netCDF4.Dataset(temporary, "w", format="NETCDF4_CLASSIC") as file,
    ):
        file.setncatts({"Conventions": "CF-1.8", **attributes})
        names = list(rmse)
        file.createDimension("method", len(names))
        file.createDimension("strlen", max(len(name) for name in names))
        add_grid(file, grid, long_name=False)
        letters = netCDF4.stringtochar(np.array(names, dtype=f"S{file.dimensions['strlen'].size}"))
        add_variable(file, "method_name", "S1", ("method", "strlen"), {"long_name": "method"}, letters)
        described = {
            "long_name": f"root mean squared error where the cell was {counted}",
            "units": VARIABLES[variable].units,
            "units_metadata": VARIABLES[variable].units_metadata,
            "coordinates": "method_name",
        }
        errors = np.ma.masked_invalid(np.stack([rmse[name] for name in names]))
        add_variable(file, "rmse", "f4", ("method", "lat", "lon"), described, errors, fill_value=FILL, zlib=True)
        described = {
            "long_name": f"{steps} in which the cell was {'withheld' if withheld else 'missing'} and is scored",
            "units": "1",
        }
        add_variable(file, f"n_{steps}", "i4", ("lat", "lon"), described, counts, zlib=True)
