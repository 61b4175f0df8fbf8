"""Records that do not fit into memory: their arrays are files of a folder, and are worked on in blocks of time.

How large arrays and blocks may be is chosen from the memory that is free, at most :data:`MOST`, never by a user.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import Array
from climrecon.arrays import on_disk
from climrecon.errors import OutputError

#: Memory that a run is planned for where more is free, bytes.
MOST = 2_000_000_000
#: Shares of it: of an array that stays in memory, and of the values of one array that are worked on at once. Several
#: arrays and several temporary ones exist at a time.
_ARRAY, _BLOCK = 1 / 32, 1 / 64
#: Blocks are of whole chunks of the result's file, so that none is compressed twice.
CHUNK = 120


def free_bytes(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that this process may take: what the machine has available, and its control group (versions 1 and 2) allows.

    Where neither is known, :data:`MOST`.
    """
    found = []
    with suppress(OSError, ValueError, KeyError):
        lines = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines() if ":" in line)
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    for folder, limit, used in _control_groups(proc, cgroup):
        with suppress(OSError, ValueError):
            allowed, taken = (int((folder / name).read_text()) for name in (limit, used))
            # Pages of files that nobody has looked at lately are given up before anything else.
            stated = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            found.append(allowed - taken + int(stated.get("total_inactive_file", stated.get("inactive_file", 0))))
    return max(min(found, default=MOST), 0)


def _control_groups(proc: Path, cgroup: Path) -> Iterator[tuple[Path, str, str]]:
    """Folders of this process's control groups and those around them, with the names of limit and use of memory."""
    with suppress(OSError, ValueError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root = cgroup / "memory" if controllers else cgroup
            names = (
                ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
            )
            own = root / path.strip("/")
            # Within a container the path may be that of the host.
            for folder in (own, *own.parents):
                if folder == root or root in folder.parents:
                    yield (folder, *names)


def _planned() -> int:
    return min(free_bytes(), MOST)


def new_array(shape: tuple[int, ...], dtype: Any, folder: Path | None) -> Array:
    """An array for results, not yet set: in memory, or, where it is too large, in a file without a name in ``folder``.

    Parameters
    ----------
    folder:
        None: always in memory.

    Raises
    ------
    OutputError
        If the file cannot be made, or has no room.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if folder is None or size <= _planned() * _ARRAY:
        return np.empty(shape, dtype)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return on_disk(folder, np.dtype(dtype).type, shape)
    except OSError as error:
        raise OutputError(
            f"{folder} takes no file of {size / 1e6:.0f} MB for values that do not fit into memory: {error.strerror}.",
            "Free some space, choose another cachedir and outputdir, or a shorter period.",
        ) from error


def blocks_of(*arrays: NDArray[Any] | None) -> Iterator[slice]:
    """Slices of the first axis of ``arrays``, one after the other: all of it at once where the arrays are small.

    What was looked at of arrays in files leaves the memory before the next slice is given.
    """
    known = [array for array in arrays if array is not None]
    length = len(known[0])
    largest = max(array.nbytes for array in known) // max(length, 1)
    step = max(int(_planned() * _BLOCK) // max(largest, 1) // CHUNK, 1) * CHUNK
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
        if step < length:
            for array in known:
                release(array)


def release(array: NDArray[Any]) -> None:
    """Let pages of an array in a file leave the memory; their content stays in the file."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        with suppress(OSError, ValueError):
            base.madvise(mmap.MADV_DONTNEED)
