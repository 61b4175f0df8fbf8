"""Coordinates along a dimension, and the dimension along which one file holds several members."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import netCDF4
import numpy as np

#: Usual names of a dimension along which one file holds several members.
MEMBER_DIMENSIONS = {
    "ens", "ens_mem", "ens_member", "ensemble", "ensemble_id", "ensemble_member", "ensemble_number", "ensembles", "mem",
    "member", "member_id", "member_number", "members", "nens", "number", "realisation", "realisation_index",
    "realization", "realization_index", "realizations", "variant", "variant_label",
}  # fmt: skip
#: Labels of members: r1, r1i1p1, r1i1p1f1.
_LABEL = re.compile(r"^r\d+(i\d+p\d+(f\d+)?)?$")


def coordinate_along(
    file: netCDF4.Dataset, dimension: str, fits: Callable[[netCDF4.Variable], bool]
) -> netCDF4.Variable | None:
    """The one-dimensional variable along ``dimension`` that ``fits``; the one of its name first."""
    named = [file[dimension]] if dimension in file.variables else []
    others = [v for v in file.variables.values() if v.dimensions == (dimension,) and v.name != dimension]
    for variable in [*named, *others]:
        if variable.dimensions == (dimension,) and fits(variable):
            return variable
    return None


def texts_of(variable: netCDF4.Variable) -> list[str] | None:
    """Values of a one-dimensional text variable, written as strings or as characters; None if it holds no text."""
    if variable.dtype is str and variable.ndim == 1:
        values: Any = variable[:]
    elif variable.dtype is not str and variable.dtype.kind == "S" and variable.ndim == 2:
        values = netCDF4.chartostring(np.ma.filled(variable[:], b""))
    else:
        return None
    return [str(value).strip("\x00 ") for value in np.ravel(values)]


def member_dimension(variable: netCDF4.Variable) -> str | None:
    """The dimension of ``variable`` along which members stand: by its name, else by its coordinate; None: there is none.

    A coordinate shows it by the standard name ``realization``, or by values like ``r1i1p1f1``.
    """
    for dimension in variable.dimensions:
        if dimension.lower() in MEMBER_DIMENSIONS:
            return str(dimension)
    file = variable.group()
    for dimension in variable.dimensions:
        for other in file.variables.values():
            if other.dimensions[:1] != (dimension,) or other.ndim > 2:
                continue
            if str(getattr(other, "standard_name", "")).lower() == "realization" and other.ndim == 1:
                return str(dimension)
            texts = texts_of(other)
            if texts and all(_LABEL.match(text) for text in texts):
                return str(dimension)
    return None


def member_count(variable: netCDF4.Variable) -> int:
    """Number of members that a variable holds along a dimension; 1 where there is none."""
    dimension = member_dimension(variable)
    return 1 if dimension is None else int(variable.shape[variable.dimensions.index(dimension)])
