"""Commands on a disk that is full, read-only, slow, closing or unreliable; run as a module, below the library of the disk.

The library (``faulty_disk.c``) takes the place of the system's calls, so this module runs in a process of its own that
loads the library first: :func:`try_out` starts it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from climrecon.workflow.publishing import RECORD
from faults.test_points import QUICK, Watched, name
from helpers.faults import Ending, call, check_ending, check_output, data_of
from helpers.made_archive import MadeArchive

CREATE, WRITE, SYNC, RENAME, REMOVE, READ, CLOSE = (1 << bit for bit in range(7))
ALL = 127
ALWAYS = 1 << 60


@dataclass(frozen=True)
class Kind:
    """Calls that fail, with which error, whether from a call on or once, and how long they take."""

    calls: int
    error: int
    lasting: bool = True
    microseconds: int = 0


KINDS = {
    "full": Kind(CREATE | WRITE | SYNC | CLOSE, errno.ENOSPC),
    "read-only": Kind(CREATE | WRITE | RENAME | REMOVE, errno.EROFS),
    "closing": Kind(ALL, errno.ESTALE),
    "unreliable": Kind(ALL, errno.EIO, lasting=False),
    "slow": Kind(ALL, 0, microseconds=3000),
}


def try_out(task: str, folder: Path, seconds: float) -> tuple[Counter[str], str]:
    """Try ``task`` on all kinds of disks; counts, and what went wrong."""
    library = folder / "faulty_disk.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source, "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, "-m", __name__, task, str(folder), str(seconds)],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return Counter(), done.stdout + done.stderr
    return Counter(json.loads(done.stdout.splitlines()[-1])), ""


class Disk:
    """The disk below ``folder``: what is armed in a forked process is counted here."""

    def __init__(self, folder: Path) -> None:
        self._library, self.folder = ctypes.CDLL(None), str(folder).encode()
        for count in ("faulty_calls", "faulty_faults"):
            self._library[count].restype = ctypes.c_long
        self._library.faulty_disk.argtypes = [ctypes.c_char_p, *[ctypes.c_int] * 2, *[ctypes.c_long] * 2, ctypes.c_uint]

    def faulty(self, kind: Kind, first: int) -> Callable[[], None]:
        last = ALWAYS if kind.lasting else first
        return lambda: self._library.faulty_disk(self.folder, kind.calls, kind.error, first, last, kind.microseconds)

    @property
    def calls(self) -> int:
        return int(self._library.faulty_calls())

    @property
    def faults(self) -> int:
        return int(self._library.faulty_faults())


class Reconstruction:
    """A run into a folder that holds the result of an earlier run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output = folder, folder / "disk" / "output"
        path = MadeArchive(folder).mean("5.0.2.0", 24)
        self.run = ["reconstruct", "--obs-file", str(path), *QUICK, "--cachedir", str(folder / "disk" / "cache")]
        self.before = folder / "before"
        check_ending(call([*self.run, "--period", "1990-1990", "--output", str(self.before)], folder), None)
        self.earlier = data_of(self.before)
        shutil.copytree(self.before, self.output)
        self.again()
        self.calm = data_of(self.output)

    def begin(self) -> None:
        shutil.rmtree(self.output.parent)
        shutil.copytree(self.before, self.output)

    def call(self, disk: Callable[[], None]) -> Ending:
        return call([*self.run, "--output", str(self.output)], self.folder, disk=disk)

    def check(self, ending: Ending, kind: str, faults: int) -> None:
        check_refusal(ending, kind, faults)
        if check_output(self.output, -1):
            assert data_of(self.output) in ((self.calm,) if ending.code == 0 else (self.earlier, self.calm))
        else:  # it failed while results moved into place: as after a kill, nothing looks whole
            assert ending.code == 6
            assert (self.output / RECORD).exists()

    def again(self) -> None:
        check_ending(call([*self.run, "--output", str(self.output)], self.folder), None)
        assert check_output(self.output, 0)


class Watch:
    """A look at a new release, with one before it published."""

    def __init__(self, folder: Path) -> None:
        self.folder, archive = folder, MadeArchive(folder)
        archive.mean("5.0.2.0", 24)
        self.watched = Watched(archive, folder / "disk")
        self.watched.folder = folder
        check_ending(self.watched.look(), None)
        shutil.copytree(self.watched.output, folder / "start", symlinks=True)
        archive.mean("5.0.2.0", 25)

    def begin(self) -> None:
        shutil.rmtree(self.watched.output)
        shutil.copytree(self.folder / "start", self.watched.output, symlinks=True)

    def call(self, disk: Callable[[], None]) -> Ending:
        return call(self.watched.run, self.folder, disk=disk)

    def check(self, ending: Ending, kind: str, faults: int) -> None:
        check_refusal(ending, kind, faults)
        assert self.watched.check_latest() in (name(24), name(25))

    def again(self) -> None:
        check_ending(self.watched.look(), None)
        self.watched.check_all(name(25))


def check_refusal(ending: Ending, kind: str, faults: int) -> None:
    """A command ends well, or with the code for a result that cannot be written and its next step."""
    assert ending.code in ((0,) if kind == "slow" or not faults else (0, 6)), ending.code
    assert "Traceback" not in ending.output
    assert "Unexpected" not in ending.output
    assert ending.code == 0 or "  -> " in ending.output


def main(task: str, folder: Path, seconds: float) -> None:
    disk, random = Disk(folder / "disk"), np.random.default_rng(7)
    (folder / "disk").mkdir()
    subject = (Reconstruction if task == "reconstruct" else Watch)(folder)
    calls: dict[str, int] = {}
    counts, until = Counter[str](), time.monotonic() + seconds
    while time.monotonic() < until:
        kind = list(KINDS)[random.integers(len(KINDS))]
        if kind not in calls:
            subject.begin()
            subject.check(subject.call(disk.faulty(KINDS[kind], ALWAYS)), kind, 0)
            calls[kind] = disk.calls
        first = int(random.integers(1, calls[kind] + 1))
        subject.begin()
        ending = subject.call(disk.faulty(KINDS[kind], first))
        counts[f"{kind}-disks"] += 1
        try:
            subject.check(ending, kind, disk.faults)
            subject.again()
        except BaseException:
            print(
                f"{task} on a disk that is {kind} from call {first} of {calls[kind]}:\n{ending.code}\n{ending.output}"
            )
            raise
    print(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
