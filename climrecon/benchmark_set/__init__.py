"""A benchmark set that any tool can take part in: inputs with their gaps, a scorer, a leaderboard.

:func:`export_set` writes the inputs, :func:`score_submissions` checks and scores what others wrote.
``climrecon.benchmark`` does both in one call and adds this package's methods.
"""

from climrecon.benchmark_set.export import export_set
from climrecon.benchmark_set.leaderboard import score_submissions

__all__ = ["export_set", "score_submissions"]
