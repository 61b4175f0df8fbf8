"""Commands that are ended at their commit points, or at any time, each in a forked process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import netCDF4  # noqa: F401
import numpy as np
import prov.model  # noqa: F401
import torch  # noqa: F401
import xarray  # noqa: F401

import climrecon.report
import climrecon.tasks.evaluate.task
import climrecon.tasks.reconstruct.task
import climrecon.tasks.run
import climrecon.tasks.train.task
import climrecon.watch.advance
import climrecon.watch.watcher  # noqa: F401 - all that a command imports: a fork is quick then
from climrecon import interruption
from climrecon.cli.app import run_app
from climrecon.cli.streams import never_fail
from climrecon.files import sha256_of
from climrecon.workflow.manifest import read_manifest

#: Seconds that each test has.
SECONDS = float(os.environ.get("CLIMRECON_FAULTS_SECONDS", "4"))
#: Seconds after a signal, and at all, after which a command counts as hung.
HUNG, ENDLESS = 60.0, 600.0
SIGNALS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)


@dataclass(frozen=True)
class Ending:
    """How a command ended: its exit code, negative for a signal; the commit points it reached; all it printed."""

    code: int
    points: tuple[str, ...]
    output: str
    seconds: float


def call(
    arguments: Sequence[str],
    folder: Path,
    *,
    at: int = 0,
    number: int = signal.SIGTERM,
    after: float | None = None,
    largest: int = resource.RLIM_INFINITY,
    disk: Callable[[], object] | None = None,
) -> Ending:
    """Call climrecon in a session of its own.

    Parameters
    ----------
    folder:
        For what is printed, and for the names of the points.
    at:
        The commit point, from 1, at which the process sends ``number`` to itself.
    after:
        Seconds after which ``number`` is sent from outside.
    largest:
        Bytes of a file; the system takes no more.
    disk:
        Called in the process before the command, to make a disk faulty.
    """
    printed, reached, sent, begun = folder / "printed", folder / "reached", folder / "sent", time.monotonic()
    reached.write_text("")
    sent.write_text("")
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        _in_child(arguments, printed, reached, sent, at, number, disk)
    code: int | None = None
    while code is None:
        gone = time.monotonic() - begun
        if after is not None and gone >= after:
            after = None
            sent.write_text(str(time.monotonic()))
            os.kill(child, number)
        if gone > ENDLESS or time.monotonic() - float(sent.read_text() or "inf") > HUNG:
            os.kill(child, signal.SIGKILL)
        ended, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if ended else None
        time.sleep(0.0 if ended else 0.01)
    seconds = time.monotonic() - begun
    waited = time.monotonic() - float(sent.read_text() or "inf")
    assert seconds < ENDLESS and waited < HUNG, f"{arguments} hangs:\n{printed.read_text()}"  # noqa: PT018
    assert not _left_of(child), f"processes are left of {arguments}: {_left_of(child, 0.0)}"
    return Ending(code, tuple(reached.read_text().splitlines()), printed.read_text(errors="replace"), seconds)


def _in_child(
    arguments: Sequence[str], printed: Path, reached: Path, sent: Path, at: int, number: int,
    disk: Callable[[], object] | None,
) -> None:  # fmt: skip
    code = 70
    try:
        os.setsid()
        file = os.open(printed, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        never_fail()
        points = 0

        def hook(name: str) -> None:
            nonlocal points
            points += 1
            with reached.open("a") as names:
                names.write(f"{name}\n")
            if points == at:
                sent.write_text(str(time.monotonic()))
                os.kill(os.getpid(), number)

        interruption.hook = hook
        # The parent's is none of this process.
        forkserver._forkserver.__init__()  # type: ignore[misc]
        if disk:
            disk()
        run_app(list(arguments))
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _left_of(session: int, patience: float = 10.0) -> list[str]:
    """Names of the processes of a session that are there for longer than ``patience``."""
    until = time.monotonic() + patience
    while True:
        left = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = path.read_text().rpartition(")")
                if int(rest.split()[3]) == session and rest.split()[0] != "Z":
                    left.append(name)
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def check_output(folder: Path, code: int) -> bool:
    """Whether a folder of results is whole; it may not look so without being it.

    A run that was killed while its results moved into place leaves files without a manifest.
    """
    hidden = [str(path.relative_to(folder)) for path in folder.rglob(".*")]
    assert code < 0 or not hidden, hidden
    if not (folder / "manifest.json").exists():
        left = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []
        assert code < 0 or not left, left
        return False
    for entry in read_manifest(folder)["outputs"]:
        assert sha256_of(folder / entry["path"]) == entry["sha256"], entry["path"]
    return True


#: Roles of data files.
ROLES = ("reconstruction", "network", "benchmark input")


def data_of(folder: Path) -> dict[str, str]:
    """Hash of the content of every data file of a whole folder."""
    outputs = json.loads((folder / "manifest.json").read_text())["outputs"]
    return {e["path"]: e.get("content_sha256", e["sha256"]) for e in outputs if e["role"] in ROLES}


def check_ending(ending: Ending, number: int | None, *, codes: tuple[int, ...] = (130,)) -> None:
    """A command that was ended says so, with a code of the documentation, and shows no traceback."""
    expected = (0,) if number is None else (-number,) if number == signal.SIGKILL else codes
    assert ending.code in expected, (ending.code, ending.points[-3:], ending.output[-2000:])
    assert "Traceback" not in ending.output, ending.output
    assert "Unexpected" not in ending.output, ending.output


class Counts:
    """How much was tried, for the line at the end of the tests."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record, self.of = record, dict.fromkeys(("points", "signals", "kills", "inputs"), 0)

    def sent(self, number: int) -> None:
        self.of["kills" if number == signal.SIGKILL else "signals"] += 1

    def note(self) -> None:
        self._record("faults", " ".join(f"{name}={value}" for name, value in self.of.items()))


def endings(points: int, seed: int, seconds: float = SECONDS) -> Iterator[tuple[int, int]]:
    """(point, signal), each once and in a random order, for so many seconds."""
    until = time.monotonic() + seconds
    pairs = [(point, number) for point in range(1, points + 1) for number in SIGNALS]
    for index in np.random.default_rng(seed).permutation(len(pairs)):
        if time.monotonic() > until:
            return
        yield pairs[index]
