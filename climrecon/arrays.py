"""Files of arrays that carry their own checksum: safetensors' layout, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.array_types import Array
from climrecon.errors import InputDataError
from climrecon.files import atomic_path, parse_json

_KINDS = {"F32": np.float32, "F64": np.float64, "BOOL": np.bool_, "I32": np.int32, "I64": np.int64}
_MOST_HEADER = 100_000_000
_HINT = "Remove the file if it is there, and repeat the run, all its stages."


def on_disk(folder: Path, kind: type[np.generic], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Zeros of ``shape`` in a file in ``folder`` that has no name, and is gone with the last who maps it.

    Raises
    ------
    OSError
        If it cannot be made, or has no room.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        size = np.dtype(kind).itemsize * int(np.prod(shape))
        if size:  # reserved: a disk that is full while pages are written would end the process without a word
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype=kind, mode="r+", shape=shape)


class Damaged(InputDataError):
    """A file of arrays is absent, cut off, or not what was written."""


def write_arrays(path: Path, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    """Write ``arrays`` (not empty; float32, float64, bool, int32 or int64) and what ``about`` says of them.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left then.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    said = {**about, "sha256": _checksum(whole, about)}
    # One entry: safetensors writes several in any order, and equal content is to give equal files.
    with atomic_path(path) as temporary:
        try:
            save_file(whole, temporary, {"about": json.dumps(said, sort_keys=True)})
        except SafetensorError as error:  # its own error for what the system refused
            raise OSError(str(error)) from error


def is_whole(path: Path) -> bool:
    """Whether the file is there with all its bytes, by its header; their values are not looked at."""
    try:
        header, start = _header(path)
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        return path.stat().st_size == start + max(ends)
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return False


def open_arrays(path: Path, *, check: bool) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a file, memory-mapped, and what is said of them.

    Parameters
    ----------
    check:
        Whether all bytes are read and compared with the checksum.

    Raises
    ------
    Damaged
        If it is not what was written.
    """
    if not is_whole(path):
        raise Damaged(f"The file {path} is absent or damaged.", _HINT)
    try:
        header, start = _header(path)
        about = parse_json(header.pop("__metadata__")["about"])
        expected = about.pop("sha256", None)
        arrays: dict[str, Array] = {
            name: np.memmap(path, _KINDS[entry["dtype"]], "r", start + entry["data_offsets"][0], tuple(entry["shape"]))
            for name, entry in header.items()
        }
        if check and expected != _checksum(arrays, about):
            raise Damaged(f"The file {path} holds other values than were written.", _HINT)
        return arrays, about
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise Damaged(f"The file {path} cannot be read: {error}", _HINT) from error


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of :func:`open_arrays`, checked and in memory."""
    return {name: np.array(values) for name, values in open_arrays(path, check=True)[0].items()}


def _checksum(arrays: Mapping[str, Array], about: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begin."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _MOST_HEADER:
            raise ValueError("no safetensors header")
        header: dict[str, Any] = parse_json(file.read(length))
    return header, 8 + length
