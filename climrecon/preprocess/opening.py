"""Opening netCDF files: every way in which a file can be damaged ends in one clear error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import netCDF4

from climrecon.classic_netcdf import DAMAGED, check_length
from climrecon.errors import ClimReconError, InputChanged, InputDataError
from climrecon.files import note_input, require_file


@contextmanager
def opened(path: Path) -> Iterator[netCDF4.Dataset]:
    """Open a netCDF file for reading; what goes wrong inside the block names the file.

    Raises
    ------
    InputDataError
        If it does not exist, may not be read, or is damaged, cut short or no netCDF.
    """
    require_file(path, "Check the name, and ask the owner of the file where it may not be read.")
    try:
        note_input(path)
        check_length(path)
        file = netCDF4.Dataset(path)
    except ClimReconError:
        raise
    except Exception as error:  # the library raises what it likes at a damaged file
        raise InputDataError(f"{path} cannot be opened as netCDF: {error}", DAMAGED) from error
    try:
        yield file
    except InputChanged:
        raise
    except InputDataError as error:
        raise InputDataError(f"{path.name}: {error.message}", error.hint) from error
    except ClimReconError:
        raise
    # A damaged header gives names, units and lengths that make any part of a reader or of a library fail.
    except Exception as error:
        what = "to its end" if isinstance(error, OSError | RuntimeError | UnicodeError) else f"({type(error).__name__})"
        raise InputDataError(f"{path} cannot be read {what}: {error}", DAMAGED) from error
    finally:
        file.close()
