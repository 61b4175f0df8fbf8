"""Opening netCDF files: every way in which a file can be damaged ends in one clear error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import netCDF4

from climrecon.classic_netcdf import DAMAGED, check_length
from climrecon.errors import ClimReconError, InputChanged, InputDataError
from climrecon.netcdf.forms import local, other_kind


@contextmanager
def opened(path: Path) -> Iterator[netCDF4.Dataset]:
    """Open a netCDF file for reading, by :func:`climrecon.netcdf.forms.local`; problems in the block name the file.

    Raises
    ------
    InputDataError
        If it does not exist, may not be read, or is damaged, cut short or no netCDF.
    """
    found = path
    try:
        found = local(path)
        check_length(found)
        file = netCDF4.Dataset(found)
    except (ClimReconError, MemoryError, ImportError):
        raise
    except Exception as error:  # the library raises what it likes at a damaged file
        if found.is_file() and (kind := other_kind(found)):
            raise InputDataError(f"{path} is {kind[0]}.", kind[1]) from error
        raise InputDataError(f"{path} cannot be opened as netCDF: {error}", DAMAGED) from error
    try:
        yield file
    except InputChanged:
        raise
    except InputDataError as error:
        raise InputDataError(f"{path.name}: {error.message}", error.hint) from error
    except (ClimReconError, MemoryError, ImportError):
        raise
    # A damaged header gives names, units and lengths that make any part of a reader or of a library fail.
    except Exception as error:
        what = "to its end" if isinstance(error, OSError | RuntimeError | UnicodeError) else f"({type(error).__name__})"
        raise InputDataError(f"{path} cannot be read {what}: {error}", DAMAGED) from error
    finally:
        file.close()
