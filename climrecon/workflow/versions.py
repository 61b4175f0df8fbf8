"""Versions of all that takes part in a run."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from climrecon.preprocess.cdo import cdo_version
from climrecon.version import __version__

_LIBRARIES = ("torch", "numpy", "xarray", "netCDF4", "matplotlib", "intake-esm")


def versions() -> dict[str, str]:
    """Versions of all that takes part."""
    known = {"climrecon": __version__, "python": platform.python_version(), "cdo": cdo_version()}
    for name in _LIBRARIES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return {name: value for name, value in known.items() if value}
