"""Lengths of classic netCDF files by their headers.

The netCDF library reads zeros for what a file lacks, and opens some damaged headers for ever: check the length first.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from climrecon.errors import InputDataError

DAMAGED = "It is damaged, cut short, or another kind of file; fetch it again."

#: Bytes of a value of each type of the classic formats, by the type's number.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_STREAMING = 0xFFFFFFFF


def check_length(path: Path) -> None:
    """Refuse classic files that end early; files of other formats pass.

    Raises
    ------
    InputDataError
        If the file is shorter than its header requires, or its header is damaged.
    OSError
        If it cannot be opened.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        if magic[:3] != b"CDF" or magic[3:] not in (b"\x01", b"\x02", b"\x05"):
            return
        try:
            needed = _classic_length(file, magic[3])
        except (struct.error, LookupError, OSError, OverflowError, MemoryError) as error:
            raise InputDataError(f"The header of {path} cannot be read.", DAMAGED) from error
        length = file.seek(0, 2)
    if needed is not None and length < needed:
        raise InputDataError(
            f"{path} is cut short: it has {length} bytes, by its header {needed} are expected.", DAMAGED
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
