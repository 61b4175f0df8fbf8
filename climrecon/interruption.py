"""Signals that end a run, and the commit points between its steps. Standard library alone.

SIGTERM and SIGINT raise :class:`~climrecon.errors.Interrupted` in the main thread. It is a ``BaseException``, so that no
``except Exception`` takes it for an error of the step in which it came. Python itself drops what a handler raises in a
finaliser; :func:`end_if_stopped` therefore asks again before a step that others see.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from climrecon.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds in which a further signal does nothing: it must not break the cleaning up that the first one began.
GRACE = 5.0
#: Called with the name of each commit point that is reached; tests put a function here.
hook: Callable[[str], None] | None = None

_name, _last = "", 0.0


def commit_point(name: str) -> None:
    """Name a place where a step was or is about to be committed, so that tests can end the process there."""
    if hook is not None:
        hook(name)


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _name, _last
    if _name and time.monotonic() - _last < GRACE:
        return
    _name, _last = signal.Signals(number).name, time.monotonic()
    raise _interrupted()


def _interrupted() -> Interrupted:
    return Interrupted(f"Stopped by {_name}; nothing partial was left behind.", "The same command begins again.")


def end_if_stopped() -> None:
    """End a run whose signal did not end it.

    Raises
    ------
    Interrupted
        If a signal came.
    """
    if _name:
        raise _interrupted()


@contextmanager
def signals_end_run() -> Iterator[None]:
    """Inside, SIGTERM and SIGINT raise :class:`Interrupted`; behind it the handlers are those of before."""
    global _name
    _name = ""
    with handled_by(_on_signal):
        try:
            yield
        finally:
            _name = ""


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], Any], signals: tuple[int, ...] = SIGNALS) -> Iterator[None]:
    """Let ``handler`` take signals, as far as Python lets this thread; the handlers of before are restored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            # None: a handler that was not set from Python, which Python cannot restore.
            signal.signal(number, signal.SIG_DFL if old is None else old)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Let signals wait for the end of a short step that must not stop half-way; then they act as they would have."""
    came: list[int] = []
    try:
        with handled_by(lambda number, frame: came.append(number)):
            yield
    finally:
        for number in came[:1]:
            signal.raise_signal(number)
