"""The runs of a user and their parts, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from climrecon.jobs.follow import summary
from climrecon.jobs.messages import tail
from climrecon.jobs.record import Chain
from climrecon.jobs.states import BAD, PartState, is_live, overall

RECENT = timedelta(days=7)


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
