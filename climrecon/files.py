"""Writing files so that nothing half-written ever looks whole; hashes of files; JSON. Standard library alone."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from climrecon.interruption import commit_point

_BLOCK = 1 << 20
#: Bytes that a netCDF file needs for its header; its library ends the process where they cannot be written.
NETCDF_HEADER = 1 << 15


@contextmanager
def atomic_path(target: Path, room: int = 0) -> Iterator[Path]:
    """Give a temporary name beside ``target``; rename it on success, remove it on any failure.

    The file is made by whoever writes it, so its permissions follow the umask; a library that makes
    it 0600 is corrected.

    Parameters
    ----------
    room:
        Bytes that are tried first, for a library that does not bear a full disk.
    """
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        if room:
            temporary.write_bytes(bytes(room))
            temporary.unlink()
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        commit_point(f"before {target.name}")
        temporary.replace(target)
        commit_point(f"after {target.name}")
    finally:
        temporary.unlink(missing_ok=True)


def remove_remains(target: Path) -> None:
    """Remove what writes of ``target`` left that were killed; nobody else may be writing it."""
    for remains in target.parent.glob(f".{target.stem}.*{target.suffix}"):
        remains.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 file in one step."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def parse_json(text: str | bytes) -> Any:
    """The content of JSON from anywhere.

    Raises
    ------
    ValueError
        If it is none, is no UTF-8, or is nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
