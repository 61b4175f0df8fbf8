"""The processes that prepare members: none is left, whatever ends one of them or the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from climrecon.errors import Interrupted, OutputError
from climrecon.interruption import signals_end_run
from climrecon.tasks.training_data import preparation
from helpers.dying import Dying


@pytest.fixture(autouse=True)
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "workers", lambda parts: 2)
    monkeypatch.setattr(preparation, "cdo_program", lambda: "")


def prepare(folder: Path, *members: Any) -> None:
    preparation.prepare_all(Dying(folder), members, lambda *_: None)


def left_of(folder: Path) -> list[str]:
    """What is left, a moment later, of processes and of the programs they started."""
    pids = [path.stem for path in folder.glob("*.pid")]
    assert pids
    time.sleep(0.5)
    answer = subprocess.run(["ps", "-o", "pid=,stat=,args=", "-p", ",".join(pids), "--ppid", ",".join(pids)],
                            capture_output=True, text=True, check=False)  # fmt: skip
    return [line for line in answer.stdout.splitlines() if line.split()[1][0] != "Z"]


def test_a_killed_process_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"was killed .*memory"):
        prepare(tmp_path, "killed", "other", "third")
    assert not left_of(tmp_path)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_signal_ends_all_of_them(
    tmp_path: Path, number: int, at_once: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    def ask() -> None:
        while not at_once and len(list(tmp_path.glob("*.pid"))) < 2:
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), number)

    begun = time.monotonic()
    thread = threading.Thread(target=ask)
    with pytest.raises(Interrupted), signals_end_run():
        thread.start()
        prepare(tmp_path, "one", "two", "three", "four")
    thread.join()
    assert time.monotonic() - begun < 60
    assert not multiprocessing.active_children()
    assert "Traceback" not in capfd.readouterr().err
    if not at_once:
        assert not left_of(tmp_path)
        assert {path.name for path in tmp_path.glob("*.cleaned")} == {"one.cleaned", "two.cleaned"}


def test_they_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from climrecon.tasks.training_data import preparation\n"
        "from helpers.dying import Dying\n"
        "preparation.workers = lambda parts: 2\n"
        f"preparation.prepare_all(Dying(Path({str(tmp_path)!r})), ['one', 'two'], lambda *_: None)\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **paths})
    until = time.monotonic() + 120
    while len(list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    child.kill()
    child.wait()
    until = time.monotonic() + 20
    while left_of(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left_of(tmp_path)
    assert {path.name for path in tmp_path.glob("*.cleaned")} == {"one.cleaned", "two.cleaned"}
