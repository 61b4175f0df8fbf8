"""The command line: argument parsing, logging, progress and exit codes are here and nowhere else."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys


def main() -> None:
    """Entry point of the ``climrecon`` console script."""
    # Ctrl-C before or after the command ends the process without a traceback; the command has handlers of its own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A command makes many objects, frees few, and ends: looking for cycles among them took 0.7 of the 10 seconds of a
    # reconstruction, most of it when all else was done.
    gc.set_threshold(100_000, 20, 20)
    atexit.register(gc.freeze)
    from climrecon.cli.app import run_app
    from climrecon.cli.streams import never_fail

    never_fail()
    run_app()
    end_process()


def end_process() -> None:
    """End one of the processes that torchrun started, when all is written.

    The end of the interpreter would destroy threads of torch that still run, which aborts one of several processes now
    and then, and torchrun then ends the others.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
