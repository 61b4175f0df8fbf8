"""Partly correlated errors: a data set's monthly error covariances, whole or their diagonals.

HadCRUT5 gives, besides its uncorrelated errors and the ensemble that samples biases, for each month a matrix of cells
by cells with the errors that neighbouring cells share because the same ships and buoys crossed them: ``tas_cov``
(1, 2592, 2592), cells in the order of the fields' latitudes and longitudes (Morice et al. 2021, J. Geophys. Res. 126,
e2019JD032361, section 2). The three are independent of each other, and none holds another.
"""

from __future__ import annotations

import re
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray
from climrecon.errors import ClimReconError, InputDataError
from climrecon.fields import Observations
from climrecon.netcdf.opening import opened
from climrecon.netcdf.times import find_time, month_index
from climrecon.preprocess.axes import wrapped_longitude
from climrecon.variables import VARIABLES

_MONTH = re.compile(r"(?<!\d)(1[6-9]\d\d|2[0-2]\d\d)(0[1-9]|1[0-2])(?!\d)")
_SQUARED = re.compile(r"\s*(.*?)\s*(?:\^|\*\*)?\s*2\s*")


def month_in_name(path: Path) -> int | None:
    """Months since 0000-01 of ``…error_covariance.YYYYMM.nc``; None if the name has none."""
    months = list(_MONTH.finditer(path.stem))
    return int(months[-1][1]) * 12 + int(months[-1][2]) - 1 if months else None


def read_error_stddev(path: Path, like: Observations) -> tuple[int, FloatArray]:
    """The month, and the (H, W) standard deviations that the diagonal of its covariance gives; NaN where none.

    Raises
    ------
    InputDataError
        As :func:`read_error_covariance`; if a variance is negative.
    """
    month, square, cells = _read(path, like)
    variance = np.diagonal(square)
    if (variance[np.isfinite(variance)] < 0).any():
        raise InputDataError(f"{path.name} holds negative variances.", "Fetch the file again.")
    # Zero stands where no ship was: cells of land stations alone, or not observed.
    stddev = np.where(variance > 0, np.sqrt(np.abs(variance)), np.nan)
    return month, np.asarray(stddev[cells].reshape(like.grid.shape), np.float32)


def read_error_covariance(path: Path, like: Observations) -> tuple[int, FloatArray]:
    """The month, and the (P, P) covariance of the cells of ``like`` in the package's order; NaN where none.

    Raises
    ------
    InputDataError
        If the file holds no covariance of the cells of ``like``, or the month is unknown.
    """
    month, square, cells = _read(path, like)
    return month, square[np.ix_(cells, cells)]


def _read(path: Path, like: Observations) -> tuple[int, FloatArray, NDArray[np.intp]]:
    """The month, the matrix in the file's order of cells, NaN where missing, and the (P,) cells of ``like``."""
    rows, columns = len(like.source.lat), len(like.source.lon)
    with opened(path) as file:
        matrix = _matrix(file, rows * columns)
        units = str(getattr(matrix, "units", "")).strip()
        variable, squared = VARIABLES[like.variable], _SQUARED.fullmatch(units)
        of_errors = variable.conversion(squared[1]) if squared else None
        if units and (of_errors is None or of_errors.factor != 1.0):
            raise InputDataError(
                f"{matrix.name} has the units {units!r}; a covariance of {variable.quantity}s is in {variable.units}2.",
                "Choose another file.",
            )
        month = _month(file, matrix)
        square = np.ma.filled(np.ma.asarray(matrix[:]).astype(np.float32), np.nan)
    month = month_in_name(path) if month is None else month
    if month is None:
        raise InputDataError(
            f"{path.name}: neither its name nor a time axis states its month.",
            "Name the file with year and month, as HadCRUT5's are.",
        )
    square = square.reshape(rows * columns, rows * columns)
    square[~(np.abs(square) < 1e4 * VARIABLES[like.variable].scale ** 2)] = np.nan
    number = np.arange(rows * columns).reshape(rows, columns)
    ordered = number[np.argsort(like.source.lat)][:, np.argsort(wrapped_longitude(like.source.lon))]
    # Of rows written twice the first counts.
    return month, square, np.ravel(ordered[::2] if rows == 2 * like.grid.shape[0] else ordered)


def _matrix(file: netCDF4.Dataset, cells: int) -> netCDF4.Variable:
    matrices = [v for v in file.variables.values() if v.size == cells * cells and v.ndim >= 2]
    if len(matrices) != 1:
        held = ", ".join(f"{v.name}{tuple(v.shape)}" for v in file.variables.values() if v.ndim >= 2)
        raise InputDataError(
            f"One matrix of {cells} by {cells} cells is expected, as the observations have; found {held or 'none'}.",
            "Errors and fields must come from one release.",
        )
    return matrices[0]


def _month(file: netCDF4.Dataset, matrix: netCDF4.Variable) -> int | None:
    try:
        index = month_index(file, find_time(file, matrix)[1]).index
    except ClimReconError:
        return None
    return int(index[0]) if len(index) == 1 else None
