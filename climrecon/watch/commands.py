"""Starting other programs: lists of arguments, absolute paths, never a shell. The only place here that does."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from climrecon.files import create

#: Seconds a stopped program has to clean up.
GRACE = 30.0
_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a program; ``code`` is None if it could not be started or took too long."""

    code: int | None
    out: str
    err: str


def find(name: str) -> str | None:
    """A program on PATH, or where systems keep programs: a scheduled job has a short PATH."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SYSTEM))


def run(
    command: Sequence[str], text: str = "", seconds: float = 60.0, environment: Mapping[str, str] | None = None
) -> Answer:
    """Run a program with ``text`` on its standard input; without an ``environment``, with messages in English."""
    try:
        done = subprocess.run(
            list(command), input=text, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds,
            env=environment or {**os.environ, "LC_ALL": "C"}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(None, "", f"no answer within {seconds:g} s")
    except OSError as error:
        return Answer(None, "", str(error))
    return Answer(done.returncode, done.stdout, done.stderr)


def run_logged(command: Sequence[str], log: Path, started: Callable[[int], None]) -> int | None:
    """Run a long program, its output in ``log``; returns its exit code, None if it could not be started.

    ``started`` gets its process id. Whatever ends this process early, short of SIGKILL, ends the program too.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    log.unlink(missing_ok=True)
    with create(log) as output:
        try:
            child = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
            )  # fmt: skip
        except OSError as error:
            output.write(f"{command[0]} cannot be started: {error}\n".encode())
            return None
        try:
            started(child.pid)
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(GRACE)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
