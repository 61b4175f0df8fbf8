"""A lock on a file, one holder at a time.

It is ``flock`` (:class:`filelock.FileLock`): the kernel frees it when the process ends, ``kill -9`` included, and no
clock decides. On NFS and on Lustre mounted with ``flock`` the file server keeps it, so it holds between hosts, and the
server releases it when it drops a dead client. Where Lustre is mounted without, the library takes a file that names
its holder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from climrecon.errors import OutputError


@contextmanager
def locked(path: Path, seconds: float = 0.0) -> Iterator[bool]:
    """Hold the lock ``path``; gives whether it is held: False where another has held it for ``seconds``.

    Raises
    ------
    OutputError
        If the file system cannot lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError) as error:
        raise OutputError(
            f"{path} cannot be locked: {error}.", "Is the folder writable, and mounted with locks (flock)?"
        ) from error
    try:
        yield True
    finally:
        lock.release()
