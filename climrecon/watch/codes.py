"""Exit codes of ``climrecon watch``, beside those of every command (``climrecon.errors``)."""

from __future__ import annotations

#: Nothing to do, or a new release was run, checked and published.
DONE = 0
#: Files are still being copied, or another watcher is at work: look again later.
WAITING = 20
#: A result did not pass its checks; the release before it stays the current one.
HELD = 21
#: A release was withdrawn, renamed, shortened or changed its grid: a person has to decide.
STOPPED = 22
#: Failures of a run's surroundings: each look tries again, without limit.
SURROUNDINGS = (6, 7, 75, 130)
