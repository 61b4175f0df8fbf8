"""Writing files so that nothing half-written ever looks whole, and no link is followed; reading and hashing files; JSON.

Standard library alone. Every command imports this module, ``--help`` too; hence the imports inside functions.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO

from climrecon.errors import InputChanged, InputDataError
from climrecon.interruption import commit_point

_BLOCK = 1 << 20
#: Bytes that a netCDF file needs for its header; its library ends the process where they cannot be written.
NETCDF_HEADER = 1 << 15
#: Reasons of :func:`why_unreadable`.
ABSENT, CLOSED = "the file does not exist", "its folder may not be entered: permission denied"
FOLDER = "it is a folder, not a file"
#: Path -> stamp of the inputs that this run has opened or hashed; None outside of a run.
_FIRST: ContextVar[dict[str, list[int]] | None] = ContextVar("first stamps of inputs", default=None)


@contextmanager
def atomic_path(target: Path, room: int = 0, mode: int = 0o666) -> Iterator[Path]:
    """Give a name in a hidden folder beside ``target``; rename the file on success, remove it on any failure.

    Only its owner may enter the folder, so that nobody can plant a link for the writer to follow. A link at ``target``
    is replaced, not followed.

    Parameters
    ----------
    room:
        Bytes that are tried first, for a library that does not bear a full disk.
    mode:
        Permissions of the file, less the umask, whatever those are that its writer gives it.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix=f".{target.stem[:100]}.", dir=target.parent) as folder:
        temporary = Path(folder) / target.name
        if room:
            temporary.write_bytes(bytes(room))
            temporary.unlink()
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(mode & ~mask)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        commit_point(f"before {target.name}")
        temporary.replace(target)
        commit_point(f"after {target.name}")


def remove_remains(target: Path) -> None:
    """Remove what writes of ``target`` left that were killed; nobody else may be writing it."""
    import shutil

    for remains in target.parent.glob(f".{escape(target.stem[:100])}.????????"):
        shutil.rmtree(remains, ignore_errors=True)


def write_text(target: Path, text: str, mode: int = 0o666) -> None:
    """Write a UTF-8 file in one step; ``mode`` as in :func:`atomic_path`."""
    with atomic_path(target, mode=mode) as temporary:
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


def create(path: Path, mode: int = 0o666) -> BinaryIO:
    """Open a new file for writing, where nothing is yet: neither a file nor a link.

    Raises
    ------
    FileExistsError
        If there is something of that name.
    """
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb")


def why_unreadable(path: Path) -> str | None:
    """Why ``path`` is no file that can be read; None if it is one.

    Opens nothing: opening a pipe waits for whoever writes to it, and a device has no end.
    """
    try:
        str(path).encode()
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except PermissionError:
        return CLOSED
    except UnicodeEncodeError:
        return "its name holds bytes that are no UTF-8"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except ValueError as error:
        return f"it has no possible name: {error}"
    if stat.S_ISDIR(mode):
        return FOLDER
    if not stat.S_ISREG(mode):
        return "it is a pipe, socket or device, not a file"
    return None if os.access(path, os.R_OK, effective_ids=True) else "it may not be read: permission denied"


def stamp_of(path: Path) -> list[int]:
    """Size, times of the last changes of content and of status, and inode: another one means that a file was changed."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


@contextmanager
def unchanged_inputs() -> Iterator[None]:
    """Within this context, every input file stays what it was when it was first opened or hashed, or is refused.

    So hashes are those of what was read, whenever a file changes. One context within another is part of it.
    """
    token = _FIRST.set({}) if _FIRST.get() is None else None
    try:
        yield
    finally:
        if token:
            _FIRST.reset(token)


def note_input(path: Path) -> None:
    """Note that an input is opened or hashed; see :func:`unchanged_inputs`.

    Raises
    ------
    InputChanged
        If it is not the file that was noted before.
    OSError
        If there is none.
    """
    first = _FIRST.get()
    if first is None:
        return
    now = stamp_of(path)
    if first.setdefault(os.path.abspath(path), now) != now:  # noqa: PTH100 - links stay
        raise InputChanged(
            f"{path} was changed while it was in use: what was read before and what is there now may differ.",
            "Give the same command again once nobody writes to the file.",
        )


def require_file(path: Path, hint: str) -> None:
    """Refuse what is no file that can be read.

    Raises
    ------
    InputDataError
        With the reason, and ``hint``.
    """
    why = why_unreadable(path)
    if why:
        raise InputDataError(f"There is no file {path}." if why == ABSENT else f"{path} cannot be used: {why}.", hint)


def _readable(path: Path) -> None:
    why = why_unreadable(path)
    if why == ABSENT:
        raise FileNotFoundError(errno.ENOENT, why, str(path))
    if why:
        raise OSError(f"{path}: {why}")


def read_bytes(path: Path) -> bytes:
    """Bytes of a file.

    Raises
    ------
    OSError
        If it is none, or cannot be read.
    """
    _readable(path)
    return path.read_bytes()


def read_text(path: Path) -> str:
    """Text of a UTF-8 file; errors as of :func:`read_bytes`, and UnicodeDecodeError."""
    return read_bytes(path).decode()


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces.

    Raises
    ------
    OSError
        If it is no file, or cannot be read.
    """
    import hashlib

    digest = hashlib.sha256()
    _readable(path)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def input_sha256(path: Path) -> str:
    """:func:`sha256_of` an input, which :func:`unchanged_inputs` holds to what was read.

    Raises
    ------
    InputChanged
        If the file was changed since it was opened, or is changed meanwhile.
    OSError
        If it is no file, or cannot be read.
    """
    with unchanged_inputs():
        note_input(path)
        digest = sha256_of(path)
        note_input(path)
    return digest
