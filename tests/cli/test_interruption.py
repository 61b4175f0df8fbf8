"""Signals, streams that take nothing, and what the system refuses: an end that is documented, never an unexpected one."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from climrecon import interruption
from climrecon.cli.app import app, run_app
from climrecon.errors import ClimReconError, Interrupted, Stopped, Unfinished, explained
from climrecon.interruption import end_if_stopped, handled_by, signals_end_run, signals_wait
from climrecon.settings import load_site
from climrecon.settings.run import validate
from helpers.made_archive import MadeArchive


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in interruption.SIGNALS]


def test_no_except_takes_a_signal_for_an_error() -> None:
    before = handlers()
    for number in interruption.SIGNALS:
        with pytest.raises(Interrupted, match=signal.Signals(number).name) as caught, signals_end_run():
            try:
                signal.raise_signal(number)
            except Exception:  # as in any step
                pytest.fail("taken for an error of the step")
        assert caught.value.exit_code == 130
        assert handlers() == before
    assert not issubclass(Stopped, Exception)
    assert Unfinished.exit_code == 75


def test_a_second_signal_breaks_no_cleaning_up_but_is_not_ignored_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned = False
    with pytest.raises(Interrupted), signals_end_run():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned = True
    assert cleaned
    monkeypatch.setattr(interruption, "GRACE", 0.0)
    with pytest.raises(Interrupted, match="SIGINT"), signals_end_run():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second one was ignored")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_drops_ends_the_run_before_its_next_step() -> None:
    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), signals_end_run():
        thing = Dropped()
        del thing
        end_if_stopped()
    end_if_stopped()  # the next run is another one


def test_signals_wait_for_the_end_of_a_step_and_are_not_lost() -> None:
    done = []
    with pytest.raises(Interrupted), signals_end_run():
        with signals_wait():
            signal.raise_signal(signal.SIGTERM)
            done.append("step")
        done.append("behind")
    assert done == ["step"]
    # Also where the step fails, and with whatever handler a program that uses the library has.
    # A shell lets its background jobs ignore SIGINT; Python's own handler is set here.
    with handled_by(signal.default_int_handler), pytest.raises(KeyboardInterrupt), signals_wait():
        signal.raise_signal(signal.SIGINT)
        raise OSError


def test_handlers_are_those_of_before_when_a_command_ends(capsys: pytest.CaptureFixture[str]) -> None:
    before = handlers()
    run_app(["settings"])
    with pytest.raises(SystemExit):
        run_app(["networks", "nosuch"])
    assert handlers() == before


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), 6),
        (OSError(errno.EFBIG, "File too large"), 6),
        (OSError(errno.ENOSPC, "No space left on device"), 6),
        (OSError(errno.EMFILE, "Too many open files"), 6),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 6),
        (RuntimeError("can't start new thread"), 6),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 6),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/pool/gone.nc"), 4),
        (ImportError("libfoo.so: failed to map segment"), 7),
    ],
)
def test_what_the_system_refuses_has_a_code_and_a_next_step(error: Exception, code: int) -> None:
    meaning = explained(error)
    assert isinstance(meaning, ClimReconError)
    assert meaning.exit_code == code
    assert meaning.hint
    assert explained(ValueError("a mistake of ours")) is None


@pytest.mark.parametrize("option", ["--interval", "--settle-seconds"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300"])
def test_seconds_are_numbers_of_seconds(option: str, value: str, tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["watch", option, value, "--output", str(tmp_path)])
    assert answer.exit_code == 2
    assert option in answer.output


def test_a_number_that_is_none_is_no_parameter() -> None:
    with pytest.raises(ClimReconError, match="no finite number"):
        validate({"task": "train", "max_hours": "nan"}, load_site())


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CLIMRECON": f"{sys.executable} -m climrecon"}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def observations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MadeArchive(tmp_path_factory.mktemp("archive")).mean("5.0.2.0", 2)


@pytest.mark.parametrize("end", ["2>/dev/full", ">/dev/full", ">&- 2>&-", "2>&1 | true; exit ${PIPESTATUS[0]}"])
def test_progress_that_cannot_be_shown_ends_no_run(end: str, observations: Path, tmp_path: Path) -> None:
    run = f"--obs-file {observations} --network climatology --compare-with none --plots false --report false"
    answer = shell(f"$CLIMRECON reconstruct {run} --output out {end}", tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert ("Standard output took no more" in answer.stderr) == (end == ">/dev/full")


def test_an_answer_that_cannot_be_printed_is_an_error(tmp_path: Path) -> None:
    answer = shell("$CLIMRECON networks > /dev/full", tmp_path)
    assert answer.returncode == 6
    assert "Standard output took no more" in answer.stderr
    assert shell("$CLIMRECON networks | head -1; exit ${PIPESTATUS[0]}", tmp_path).returncode == 0


def test_too_little_memory_and_a_limit_on_files_are_named(observations: Path, tmp_path: Path) -> None:
    run = (
        f"--obs-file {observations} --network climatology --compare-with none --plots false --report false --output out"
    )
    answer = shell(f"ulimit -f 20; $CLIMRECON reconstruct {run}", tmp_path)
    assert answer.returncode == 6, answer.stderr
    assert "Unexpected" not in answer.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_watch_that_runs_on_ends_at_the_first_signal(observations: Path, tmp_path: Path) -> None:
    run = ["--obs-file", str(observations), "--network", "climatology", "--compare-with", "none", "--plots", "false"]
    command = [sys.executable, "-u", "-m", "climrecon", "watch", "--interval", "0.1", "--settle-seconds", "0", *run]
    child = subprocess.Popen([*command, "--output", str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if "Nothing to do" in line:
            break
    begun = time.monotonic()
    child.send_signal(signal.SIGTERM)
    child.stdout.read()
    assert child.wait(60) == 130
    assert time.monotonic() - begun < 10
