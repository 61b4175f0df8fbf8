"""Wait for the jobs of a run and report their progress; list the runs of a user and their parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from climrecon.jobs import commands
from climrecon.jobs.chain import cancel
from climrecon.jobs.commands import Row, SlurmSilent
from climrecon.jobs.messages import failure, impossible, tail
from climrecon.jobs.record import Chain
from climrecon.jobs.states import BAD, GOOD, PartState, endings, is_live, never_starts, overall, states_of

#: Seconds between two looks at the jobs' own records, and between two questions to Slurm (it grows).
LOOK, ASK, ASK_MOST = 0.25, 1.0, 20.0
#: Seconds to wait for Slurm's first reason why a job waits.
PATIENCE = 10.0
#: Reasons for waiting that Slurm gives at first; a limit that a job breaks is named a moment later.
_FIRST_REASONS = ("None", "", "PartitionConfig")
#: A shared file system may show what a job wrote a little later; so long a vanished job is not called lost.
LAG = 30.0
#: Reasons for waiting that come and go and mean nothing but that it is not its turn.
_USUAL = ("", "Priority", "Resources", "Dependency", "BeginTime", "JobArrayTaskLimit")

#: Runs are listed so long after their submission, and while they go on.
RECENT = timedelta(days=7)


class Listener(Protocol):
    """Receives reports on the jobs."""

    def stage(self, text: str) -> None:
        """Something began or ended."""

    def state(self, text: str) -> None:
        """Progress of the running stage; changes often."""

    def warning(self, text: str) -> None:
        """Something to look at."""


def look(chain: Chain) -> tuple[Chain, list[PartState]]:
    """State of every part now; what has ended is remembered in the chain's record."""
    rows: dict[str, Row] | None
    try:
        rows = commands.queue(chain.numbers)
    except SlurmSilent:
        rows = None
    states = states_of(chain, rows)
    return chain.with_ended(endings(chain, states)), states


def follow(chain: Chain, listener: Listener, sleep: Callable[[float], None] = time.sleep) -> Chain:
    """Wait until all jobs have succeeded.

    Raises
    ------
    JobError
        As soon as one has failed; the rest are cancelled. The message holds the end of its log.
    """
    watch = _Watch(chain, listener)
    while not watch.over():
        sleep(LOOK)
    return watch.chain


def cancel_if_it_never_starts(job: int) -> None:
    """Cancel a job that was submitted by the host, not by us, if it can never start.

    Slurm gives its reason for waiting a moment after the submission. A Slurm that does not answer is no reason.

    Raises
    ------
    JobError
        If it can never start.
    """
    try:
        for _ in range(round(PATIENCE / LOOK)):
            row = commands.queue([job]).get(str(job))
            if row is None or row.state != "PENDING" or row.reason not in _FIRST_REASONS:
                break
            time.sleep(LOOK)
        if row is not None and never_starts(row):
            commands.cancel([job])
            raise impossible(job, row.reason, commands.offers(""))
    except SlurmSilent:
        return


class _Watch:
    """The state of one wait: the last message, the last query of Slurm, the begin of its silence."""

    def __init__(self, chain: Chain, listener: Listener) -> None:
        self.chain, self.listener = chain, listener
        self.interval, self.asked, self.seen = ASK, float("-inf"), ""
        self.silent_since: float | None = None
        self.lost_since: float | None = None
        self.last: list[PartState] = []
        self.phase = ""

    def over(self) -> bool:
        """Look once; True if all is done."""
        now = time.monotonic()
        marks = self._marks()
        if now - self.asked < self.interval and marks == self.seen:
            self._speak()
            return False
        self.interval = ASK if marks != self.seen else min(self.interval * 1.3, ASK_MOST)
        self.asked, self.seen = now, marks
        try:
            rows = commands.queue(self.chain.numbers)
        except SlurmSilent as error:
            if self.silent_since is None:
                self.silent_since = now
                self.listener.warning(f"{error.message} The jobs go on without us; waiting for it.")
            return False
        self.silent_since = None
        self.last = states_of(self.chain, rows)
        self.chain = self.chain.with_ended(endings(self.chain, self.last))
        self._speak()
        self._judge(now)
        return all(state.state == GOOD for state in self.last)

    def _marks(self) -> str:
        """The jobs' own records, as they stand: when they change Slurm is asked at once."""
        reports = (self.chain.read("status", job.stage, part) for job in self.chain.jobs for part in job.parts)
        return "".join(f"{one.get('state', '')}{one.get('links', '')}," for one in reports)

    def _judge(self, now: float) -> None:
        bad = [state for state in self.last if state.state in BAD]
        lost = [state for state in bad if state.state == "lost"]
        if not bad:
            self.lost_since = None
            return
        if len(lost) == len(bad):
            self.lost_since = self.lost_since or now
            if now - self.lost_since < LAG:
                return
        # Those behind a failed stage are cancelled by Slurm: the cause is what did not just follow.
        cause = next((s for s in bad if s.state not in ("cancelled", "lost")), None)
        cause = cause or next((s for s in bad if "Dependency" not in s.reason), bad[0])
        try:
            cancel(self.chain)
        except SlurmSilent as error:
            self.listener.warning(f"the remaining jobs were not cancelled: {error.message}")
        others = sum(s.stage == cause.stage and s is not cause for s in bad)
        raise failure(self.chain, cause, others, commands.offers("") if cause.state == "impossible" else [])

    def _speak(self) -> None:
        if not self.last:
            return
        text = summary(self.chain, self.last)
        # A line of its own when something happened; else the line of progress is renewed.
        phase = _phase(self.chain, self.last)
        if phase != self.phase:
            self.phase = phase
            self.listener.stage(text)
        else:
            self.listener.state(text)


def _phase(chain: Chain, states: Sequence[PartState]) -> str:
    """Events that deserve a line of their own: the running stage, the states of its parts, its link."""
    for job in chain.jobs:
        parts = [state for state in states if state.job == job.job]
        if not all(state.state == GOOD for state in parts):
            events = {s.state for s in parts} - ({GOOD} if len(parts) > 1 else set())
            events |= {s.reason for s in parts if s.state == "queued" and s.reason not in _USUAL}
            return f"{job.stage} {sorted(events)} {parts[0].links if len(parts) == 1 else ''}"
    return "done"


def summary(chain: Chain, states: Sequence[PartState]) -> str:
    """One line: the first stage that has not ended, how its parts fare, its speed."""
    for job in chain.jobs:
        parts = [state for state in states if state.job == job.job]
        if all(state.state == GOOD for state in parts):
            continue
        if len(parts) == 1:
            return f"{job.stage} (job {job.job}): {_words(chain, parts[0])}"
        counts = {name: sum(s.state == name for s in parts) for name in dict.fromkeys(s.state for s in parts)}
        words = " + ".join(f"{number} {name}" for name, number in counts.items())
        waiting = next((_words(chain, s) for s in parts if s.state == "queued"), "")
        return f"{job.stage} (job {job.job}): {words} of {len(parts)}" + (f", {waiting}" if waiting else "")
    return "all jobs done"


def _words(chain: Chain, state: PartState) -> str:
    if state.state == "queued":
        again = chain.read("status", state.stage, state.part).get("state") == "continues"
        text = f"{'state saved; queued to continue' if again else 'queued'} ({state.reason or 'no reason given'})"
        return text + (f", starts about {_clock(state.start)}" if state.start else "")
    if state.state != "running":
        return state.state + (f" ({state.reason})" if state.reason else "")
    text = "running" + (f" on {state.node}" if state.node else "")
    text += f" (link {state.links})" if state.links > 1 else ""
    progress = chain.read("progress", state.stage, state.part)
    if progress.get("text"):
        text += f", {progress['text']}"
    if progress.get("total"):
        text += f", {progress['done']} of {progress['total']}"
    if progress.get("rate"):
        text += f", {progress['rate']:.3g} it/s"
    return text


def _clock(text: str) -> str:
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text


def is_recent(chain: Chain, states: Sequence[PartState]) -> bool:
    """Whether a run may still be going on, or was submitted within :data:`RECENT`."""
    when = datetime.strptime(chain.submitted, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return is_live(states) or datetime.now(UTC) - when <= RECENT


def content(chain: Chain, states: Sequence[PartState]) -> dict[str, Any]:
    """A run as JSON values."""
    return {
        "id": chain.id,
        "state": overall(states),
        "task": chain.task,
        "output": chain.output,
        "submitted": chain.submitted,
        "detached": chain.detached,
        "skipped": list(chain.skipped),
        "parts": [{**vars(state), "log": str(chain.log(state.stage, state.part))} for state in states],
    }


def list_lines(rows: Sequence[tuple[Chain, Sequence[PartState]]], everything: bool) -> Iterator[str]:
    """A line or two for each run."""
    if not rows:
        older = "." if everything else " in the last week ('climrecon jobs list --all' shows older ones)."
        yield f"None of your runs was submitted as batch jobs{older}"
        return
    for chain, states in rows:
        yield f"{chain.id}  {overall(states):<12} {chain.task:<12} {chain.submitted}  {chain.output}"
        if is_live(states):
            yield f"        {summary(chain, states)}"
    yield "'climrecon jobs show ID' shows the details; 'follow' waits, 'cancel' cancels."


def part_lines(chain: Chain, states: Sequence[PartState]) -> Iterator[str]:
    """One run, part by part, with the end of the log of what failed."""
    yield f"{chain.id}: {chain.task}, {overall(states)}, submitted {chain.submitted}"
    yield f"  results: {chain.output}"
    yield f"  scripts, logs: {chain.folder}"
    for stage in chain.skipped:
        yield f"  {stage}: was done already"
    for state in states:
        words = [state.state]
        words += [f"({state.reason})"] if state.reason else []
        words += [f"on {state.node}"] if state.node else []
        words += [f"link {state.links}"] if state.links > 1 else []
        words += [f"exit code {state.exit_code}"] if state.exit_code else []
        yield f"  {state.stage} {state.part} (job {state.job}): {' '.join(words)}"
        if state.state in BAD and state.state != "cancelled":
            yield from (f"      {line}" for line in tail(chain.log(state.stage, state.part)))
