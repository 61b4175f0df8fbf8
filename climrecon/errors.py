"""The errors users meet: what was found, what was expected, and what to do next.

Every error that a user can cause or cure is a :class:`ClimReconError`. Its ``exit_code`` is what the
command line ends with; the codes are listed in docs/reference/exit-codes.md and in ``climrecon --help``.
"""

from __future__ import annotations

from collections.abc import Iterable

from climrecon.redaction import redacted


class ClimReconError(Exception):
    """A problem a user can understand.

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
    """A result cannot be written: folder not writable, disk full ..."""


class DependencyError(ClimReconError, exit_code=7):
    """A program or library the run needs is missing (cdo, sbatch, ...)."""


class Unfinished(ClimReconError, exit_code=75):
    """A long stage was stopped and has saved its state: the same command continues it."""


class Interrupted(ClimReconError, exit_code=130):
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
