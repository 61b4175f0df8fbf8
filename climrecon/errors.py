"""The errors users meet: what was found, what was expected, and what to do next.

Every error that a user can cause or cure is a :class:`ClimReconError`. Its ``exit_code`` is what the
command line ends with; the codes are listed in docs/reference/exit-codes.md and in ``climrecon --help``.
A stop by a signal is no error: a :class:`Stopped` passes every ``except Exception``.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable

from climrecon.redaction import redacted


class Explained(BaseException):
    """An end of a run that a user can understand.

    Parameters
    ----------
    message:
        What was found and what was expected, one sentence or more.
    hint:
        What to do next, shown on a separate line.
    """

    exit_code = 1

    def __init_subclass__(cls, exit_code: int | None = None) -> None:
        cls.exit_code = cls.exit_code if exit_code is None else exit_code

    def __init__(self, message: str, hint: str | None = None) -> None:
        # An error reaches terminals, logs, records and mails: secrets leave it here.
        self.message = redacted(message)
        self.hint = None if hint is None else redacted(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if not self.hint else f"{self.message}\n  -> {self.hint}"


class ClimReconError(Explained, Exception):
    """A problem a user can understand."""


class Stopped(Explained):
    """Somebody asked the run to stop."""


class UsageError(ClimReconError, exit_code=2):
    """A parameter or setting is unknown, malformed or impossible."""


class NoDataError(ClimReconError, exit_code=3):
    """A search of the catalogue found nothing, or more than one thing."""


class InputDataError(ClimReconError, exit_code=4):
    """A file cannot be used: unreadable, wrong units, wrong grid, no gaps ..."""


class InputChanged(InputDataError):
    """A file was changed while a run used it; no fault of the file."""


class NetworkError(ClimReconError, exit_code=5):
    """A network is unknown, corrupt, or made for something else."""


class OutputError(ClimReconError, exit_code=6):
    """A result cannot be written, or the machine has no room for the run: disk full, too little memory ..."""


class DependencyError(ClimReconError, exit_code=7):
    """A program or library the run needs is missing (cdo, sbatch, ...)."""


class Unfinished(Stopped, exit_code=75):
    """A long stage was stopped and has saved its state: the same command continues it."""


class Interrupted(Stopped, exit_code=130):
    """The run was stopped by a signal; nothing whole-looking was left behind."""


class ProblemList(UsageError):
    """Several problems found in one look, all reported at once.

    Parameters
    ----------
    problems:
        One text per problem.
    heading:
        The line above them.
    """

    def __init__(self, problems: Iterable[str], heading: str, hint: str | None = None) -> None:
        self.problems = [redacted(problem) for problem in problems]
        body = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{heading}\n{body}", hint)


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Words of the libraries that raise a RuntimeError where memory or a limit on processes is exhausted.
_NO_MEMORY = re.compile(r"out of memory|allocate memory|memory allocation|start new thread", re.IGNORECASE)


def explained(error: Exception) -> ClimReconError | None:
    """What the system refused, in a user's words; None for an error that nobody expects."""
    if isinstance(error, ClimReconError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    refused = isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))
    if isinstance(error, MemoryError) or number == errno.ENOMEM or refused:
        return OutputError(
            f"There was not enough memory: {str(error) or 'none was left'}.",
            "Give the run more memory, or choose a shorter period=, fewer obs_members= or fewer realisations=.",
        )
    if number in _NO_SPACE:
        return OutputError(
            f"The disk is full, or a quota or a limit on the size of files is reached: {error}.",
            "Free some space, raise the limit (ulimit -f), or choose another outputdir or cachedir.",
        )
    if isinstance(error, FileNotFoundError | NotADirectoryError) and error.filename is not None:
        return InputDataError(
            f"{error.filename} is not there, or was removed during the run.",
            "Restore the file, keep it in place until the run has ended, and give the same command again.",
        )
    if isinstance(error, OSError):
        return OutputError(
            f"The system refused to read or write: {error}.",
            "Check permissions, limits (ulimit -a) and the file system, then give the same command again.",
        )
    if isinstance(error, ImportError):
        return DependencyError(
            f"A library of climrecon's environment cannot be loaded: {error}.",
            "Install the environment again; with little memory (ulimit -v) libraries cannot be loaded either.",
        )
    return None


def unexpected(error: Exception) -> ClimReconError:
    """An error that is no user's: a mistake of ours, or of a library."""
    return ClimReconError(
        f"Unexpected {type(error).__name__}: {error}", "Run again with 'climrecon --debug …' and report it."
    )
