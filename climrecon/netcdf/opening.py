"""Opening netCDF files: every way in which a file can be damaged ends in one clear error."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import netCDF4

from climrecon.errors import InputDataError
from climrecon.netcdf.forms import local, other_kind

_DAMAGED = "It is damaged, cut short, or another kind of file; fetch it again."

#: Bytes of a value of each type of the classic formats, by the type's number.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_STREAMING = 0xFFFFFFFF


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
        _check_length(found)
        file = netCDF4.Dataset(found)
    except PermissionError as error:
        raise InputDataError(f"{path} may not be read: permission denied.", "Ask its owner.") from error
    except FileNotFoundError as error:
        raise InputDataError(f"There is no file {path}.", "Check the name.") from error
    except IsADirectoryError as error:
        raise InputDataError(f"{path} is a folder; a netCDF file is expected.", "Name a file in it.") from error
    except (OSError, RuntimeError) as error:
        if kind := other_kind(found):
            raise InputDataError(f"{path} is {kind[0]}.", kind[1]) from error
        raise InputDataError(f"{path} cannot be opened as netCDF: {error}", _DAMAGED) from error
    try:
        yield file
    except InputDataError as error:
        raise InputDataError(f"{path.name}: {error.message}", error.hint) from error
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise InputDataError(f"{path} cannot be read to its end: {error}", _DAMAGED) from error
    finally:
        file.close()


def _check_length(path: Path) -> None:
    """Refuse classic files that end early: the netCDF library reads zeros for what is missing.

    Raises
    ------
    InputDataError
        If the file is shorter than its header requires.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        if magic[:3] != b"CDF" or magic[3:] not in (b"\x01", b"\x02", b"\x05"):
            return
        try:
            needed = _classic_length(file, magic[3])
        except (struct.error, KeyError, OverflowError, MemoryError) as error:
            raise InputDataError(f"The header of {path} cannot be read.", _DAMAGED) from error
        length = file.seek(0, 2)
    if needed is not None and length < needed:
        raise InputDataError(
            f"{path} is cut short: it has {length} bytes, by its header {needed} are expected.", _DAMAGED
        )


def _classic_length(file: BinaryIO, version: int) -> int | None:
    """Bytes that a classic file must have at least by its header; None while it is being written.

    Source: the file format specification of netCDF (CDF-1, CDF-2, CDF-5), Unidata.
    """
    count_form, offset_form = (">Q" if version == 5 else ">I"), (">I" if version == 1 else ">Q")

    def number(form: str) -> int:
        return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])

    def name() -> None:
        file.seek(-(-number(count_form) // 4) * 4, 1)

    def attributes() -> None:
        number(">I")
        for _ in range(number(count_form)):
            name()
            size = _TYPE_BYTES[number(">I")]
            file.seek(-(-number(count_form) * size // 4) * 4, 1)

    records = number(count_form)
    if records in (_STREAMING, 0xFFFFFFFFFFFFFFFF):
        return None
    number(">I")
    lengths = []
    for _ in range(number(count_form)):
        name()
        lengths.append(number(count_form))
    attributes()
    number(">I")
    ends, record_variables = [0], []
    for _ in range(number(count_form)):
        name()
        shape = [lengths[number(count_form)] for _ in range(number(count_form))]
        attributes()
        size = _TYPE_BYTES[number(">I")]
        number(count_form)  # the stated size, which overflows for large variables
        begin = number(offset_form)
        of_records = bool(shape) and shape[0] == 0
        for length in shape[1:] if of_records else shape:
            size *= length
        if of_records:
            record_variables.append((begin, size))
        else:
            ends.append(begin + size)
    # A single record variable is not padded to four bytes.
    padded = [size if len(record_variables) == 1 else -(-size // 4) * 4 for _, size in record_variables]
    if records:
        ends += [begin + (records - 1) * sum(padded) + size for begin, size in record_variables]
    return max(ends)
