"""A benchmark set that any tool can take part in: inputs with their gaps, a scorer, a leaderboard.

:func:`export_set` writes the inputs, :func:`score_submissions` checks and scores what others wrote, and
:func:`run_methods` writes submissions of this package's methods.
"""

from climrecon.benchmark_set.export import export_set
from climrecon.benchmark_set.leaderboard import score_submissions
from climrecon.benchmark_set.runs import run_methods

__all__ = ["export_set", "run_methods", "score_submissions"]
