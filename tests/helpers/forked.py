"""Commands in processes of their own that begin at once.

A Python needs several seconds of a processor to load torch and the package, and the tests start dozens. A
server of :mod:`multiprocessing` loads them once; each command is a fork of it. Which libraries a command loads, and what
``python -m climrecon`` does, is tested with Pythons that are started anew.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

LOADED = [
    "torch", "xarray", "netCDF4", "prov.model", "cartopy.crs", "matplotlib.figure", "climrecon.report",
    "climrecon.cli.app", "climrecon.tasks.run", "climrecon.tasks.reconstruct.task",
    "climrecon.tasks.train.task", "climrecon.tasks.train.fit", "climrecon.tasks.train.results",
    "climrecon.tasks.evaluate.task", "climrecon.training.run",
]  # fmt: skip


@functools.cache
def _server() -> Any:
    """The server of this process; one that the package has started before has not loaded what commands need."""
    context = multiprocessing.get_context("forkserver")
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    context.set_forkserver_preload(LOADED)
    return context


class Started:
    """A process that ``work(*given)`` was started in."""

    def __init__(
        self, work: Callable[..., Any], *given: Any, env: Mapping[str, str] | None = None, cwd: Path | None = None,
        stdin: str | None = None,
    ) -> None:  # fmt: skip
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        (folder / "0").write_text(stdin or "")
        environment = dict(os.environ if env is None else env)
        self._process = _server().Process(
            target=_begin, args=(folder, environment, str(cwd or Path.cwd()), work, [*given])
        )
        self._process.start()

    def wait(self, timeout: float = 900.0) -> subprocess.CompletedProcess[str]:
        """As ``subprocess.run`` returns it: a negative code is that of a signal."""
        self._process.join(timeout)
        code = self._process.exitcode
        self._process.kill()
        with self._folder:
            printed = [(Path(self._folder.name) / name).read_text(errors="replace") for name in "12"]
        assert code is not None, f"still running after {timeout} s: {printed}"
        return subprocess.CompletedProcess([], code, *printed)


def call(work: Callable[..., Any], *given: Any, **named: Any) -> subprocess.CompletedProcess[str]:
    """Call ``work(*given)``, a function of a module, in a process of its own; ``env``, ``cwd`` and ``stdin`` are its."""
    return Started(work, *given, **named).wait()


def climrecon(*arguments: Any, **named: Any) -> subprocess.CompletedProcess[str]:
    """Call the command line."""
    return call(_climrecon, *map(str, arguments), **named)


def torchrun(
    processes: int, work: Callable[..., Any], *given: Any, **named: Any
) -> list[subprocess.CompletedProcess[str]]:
    """Call ``work(*given)`` in several processes, in the environment that torchrun gives them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    return [one.wait() for one in [Started(work, *given, env=rank, **named) for rank in ranks]]


def _climrecon(*arguments: str) -> None:
    from climrecon.cli import main

    sys.argv = ["climrecon", *arguments]
    main()


def _begin(folder: Path, environment: dict[str, str], cwd: str, work: Callable[..., Any], given: list[Any]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(folder / str(number), flags), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it is that of the process
    try:
        work(*given)
    finally:
        # As at the end of any other Python; a process of multiprocessing ends without, and what coverage counted is lost.
        atexit._run_exitfuncs()
