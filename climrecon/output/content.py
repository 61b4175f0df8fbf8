"""One hash of the content of a netCDF file, to compare a repeated run with the first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

#: Attributes that differ from run to run or with versions (``source`` states that of climrecon) do not count; others name
#: data set and network.
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


def content_sha256(path: Path, held: Mapping[str, Callable[[], Iterable[NDArray[Any]]]] | None = None) -> str:
    """Hash of variables, their attributes and values, not of :data:`VOLATILE` attributes or of compression.

    Parameters
    ----------
    held:
        Variable -> function that gives the values just written, block by block, which need not be read and unpacked
        again.
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
                for block in held[name]():
                    digest.update(block.data)
                continue
            step = max(1, (1 << 24) // max(int(np.prod(variable.shape[1:], initial=1)) * 8, 1))
            for start in range(0, variable.shape[0] if variable.ndim else 0, step):
                digest.update(np.ascontiguousarray(variable[start : start + step]).tobytes())
    return digest.hexdigest()
