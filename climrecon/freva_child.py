"""The calls of climrecon in its own environment from the host's process, and the signals that reach both.

Part of the Freva plugins, see :mod:`climrecon.freva`: it runs in the host's Python, on the standard library alone.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
from typing import List

from climrecon.form import PACKAGE

#: The plugin's folder. The host's own way to ask for it fails at the first load of a plugin.
FOLDER = str(PACKAGE.parent)
#: Seconds a stopped run has to clean up before it is killed.
GRACE = 20.0
_forks_die = False


def _python():
    """Python of the plugin's own environment."""
    path = os.path.join(FOLDER, "plugin_env", "bin", "python")
    if not os.path.exists(path):
        raise RuntimeError(
            "climrecon's environment is missing: there is no {}. Run 'make plugin_env' in {}.".format(path, FOLDER)
        )
    return path


def environment_of_child(**variables):
    """Environment of the child: its own Python first, nothing of the host's Python."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment["PATH"] = os.path.join(FOLDER, "plugin_env", "bin") + os.pathsep + environment.get("PATH", "")
    environment["PYTHONUNBUFFERED"] = "1"
    return {**environment, **variables}


def called(*arguments, **kwargs):
    """A finished call of ``climrecon``; RuntimeError without its environment."""
    command = [_python(), "-m", "climrecon", *arguments]
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env=environment_of_child(),
        **kwargs,
    )


def run(config, environment):
    """Call the child, show its lines as they come; returns its exit code and its last lines.

    Not through ``self.call``: that waits for the child when the host is stopped, so the child
    would run to its end. Here whatever stops the host stops the child, which then cleans up.
    """
    handle, name = tempfile.mkstemp(prefix="climrecon-", suffix=".json")
    child = None
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(config, file)
        child = subprocess.Popen(
            [_python(), "-m", "climrecon", "run", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            env=environment,
        )
        with _PassingOn(child):
            last: List[str] = []
            assert child.stdout is not None
            for line in child.stdout:
                print(line, end="", flush=True)
                last = (last + [line])[-8:]
            return child.wait(), "".join(last)
    finally:
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        os.unlink(name)


class _PassingOn:
    """While it holds, SIGTERM and SIGINT reach the child before the host's own handlers act."""

    def __init__(self, child):
        self.child, self.before = child, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.before[number] = signal.signal(number, self._pass)
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _pass(self, number, frame):
        self.child.terminate()
        try:
            self.child.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.child.kill()
        handler = self.before.get(number)
        if callable(handler):
            handler(number, frame)
        else:
            raise SystemExit(128 + number)


def let_forks_die():
    """Processes that the host forks from now on end at once when they are told to.

    The host makes previews in a pool of forked processes, which have its own handler of SIGTERM: it says in the
    history that the run broke, and ends by an exception, which may go unheard in a process that has just begun. The
    host then waits for that process forever (3 of 43 pools on a busy machine). So signals wait while a process is
    forked, and the new one treats them as any program does.
    """
    global _forks_die
    if _forks_die:
        return
    _forks_die = True
    before = threading.local()
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT}

    def hold():
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def go_on():
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def in_child():
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        go_on()

    os.register_at_fork(before=hold, after_in_parent=go_on, after_in_child=in_child)
