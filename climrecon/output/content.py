"""What a netCDF file holds, as one hash, so that a repeated run can be compared with the first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

#: Attributes that differ from run to run, and with the versions of what took part (``source`` states that of
#: climrecon); they do not count when contents are compared. Data set and network do: they have attributes of
#: their own.
VOLATILE = (
    "source",
    "climrecon_versions",
    "history",
    "date_created",
    "tracking_id",
    "climrecon_run",
    "climrecon_inputs",
    "climrecon_settings",
)


def content_sha256(path: Path, held: Mapping[str, Callable[[], NDArray[Any]]] | None = None) -> str:
    """Hash of what a netCDF file holds: variables, their attributes and values.

    Not when, where, or with which versions it was made, nor how it is packed: equal data give equal hashes.

    Parameters
    ----------
    held:
        What makes the values that were just written, by variable: they need not be read and unpacked again.
    """
    held = held or {}
    digest = hashlib.sha256()
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        for key in sorted(set(file.ncattrs()) - set(VOLATILE)):
            digest.update(f"{key}={file.getncattr(key)}".encode())
        for name in sorted(file.variables):
            variable = file[name]
            digest.update(f"{name}{variable.dimensions}{variable.shape}{variable.dtype}".encode())
            for key in sorted(variable.ncattrs()):
                digest.update(f"{key}={variable.getncattr(key)}".encode())
            if name in held:
                digest.update(held[name]().data)
                continue
            step = max(1, (1 << 24) // max(int(np.prod(variable.shape[1:], initial=1)) * 8, 1))
            for start in range(0, variable.shape[0] if variable.ndim else 0, step):
                digest.update(np.ascontiguousarray(variable[start : start + step]).tobytes())
    return digest.hexdigest()
