"""Exit codes of ``climrecon watch``, beside those every command has."""

from __future__ import annotations

DONE = 0
#: Files are still being copied, or another watcher is at work: look again later.
WAITING = 20
#: A result did not pass its checks; the release before it stays the current one.
HELD = 21
#: A release was withdrawn, renamed, shortened or changed its grid: a person has to decide.
STOPPED = 22
#: A ``climrecon.errors`` code, that of the run: the run failed.
MEANING = {
    DONE: "nothing to do, or a new release was run, checked and published",
    WAITING: "waiting: files are still being copied, or another watcher is at work",
    HELD: "held: the newest result did not pass its checks; the release before it stays current",
    STOPPED: "stopped: a release was withdrawn, renamed, shortened or changed; see 'climrecon releases'",
}
#: Failures of a run's surroundings: it is tried again at each look, however often.
SURROUNDINGS = (6, 7, 75, 130)
