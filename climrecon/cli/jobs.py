"""Lists of batch jobs for people and programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from climrecon.jobs.chain import cancel
from climrecon.jobs.follow import is_live, look, summary
from climrecon.jobs.messages import tail
from climrecon.jobs.record import Chain, all_chains, find_chain
from climrecon.jobs.states import BAD, GOOD, PartState

_RECENT = timedelta(days=7)


def overall(states: list[PartState]) -> str:
    """One word for a whole run."""
    if states and all(state.state == GOOD for state in states):
        return "done"
    if not is_live(states):
        return next(
            (s.state for s in states if s.state in BAD and s.state not in ("cancelled", "lost")),
            next((s.state for s in states if s.state in BAD), "empty"),
        )
    running = any(state.state == "running" for state in states)
    return "running" if running else "queued"


def _old(chain: Chain) -> bool:
    when = datetime.strptime(chain.submitted, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return datetime.now(UTC) - when > _RECENT


def list_lines(as_json: bool, everything: bool) -> Iterator[str]:
    """All runs with their state."""
    rows = []
    for chain in all_chains():
        chain, states = look(chain)
        if everything or is_live(states) or not _old(chain):
            rows.append((chain, states))
    if as_json:
        yield json.dumps([_plain(chain, states) for chain, states in rows], indent=1)
        return
    if not rows:
        yield "No run of yours was submitted as batch jobs" + (
            "." if everything else " in the last week (--all for older ones)."
        )
        return
    for chain, states in rows:
        yield f"{chain.id}  {overall(states):<12} {chain.task:<12} {chain.submitted}  {chain.output}"
        if is_live(states):
            yield f"        {summary(chain, states)}"
    yield "'climrecon jobs show ID' shows the details; 'follow' waits, 'cancel' cancels."


def _plain(chain: Chain, states: list[PartState]) -> dict[str, Any]:
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


def show_lines(name: str, as_json: bool) -> Iterator[str]:
    """One run, part by part, with the end of the log of what failed."""
    chain, states = look(find_chain(name))
    if as_json:
        yield json.dumps(_plain(chain, states), indent=1)
        return
    yield f"{chain.id}: {chain.task}, {overall(states)}, submitted {chain.submitted}"
    yield f"  results: {chain.output}"
    yield f"  scripts, logs: {chain.folder}"
    for stage in chain.skipped:
        yield f"  {stage}: was done already"
    for state in states:
        words = " ".join(
            text
            for text in (
                state.state,
                f"({state.reason})" if state.reason else "",
                f"on {state.node}" if state.node else "",
                f"link {state.links}" if state.links > 1 else "",
                f"exit code {state.exit_code}" if state.exit_code else "",
            )
            if text
        )
        yield f"  {state.stage} {state.part} (job {state.job}): {words}"
        if state.state in BAD and state.state != "cancelled":
            yield from (f"      {line}" for line in tail(chain.log(state.stage, state.part)))


def follow_lines(name: str, reporter: Any) -> Iterator[str]:
    """Wait for a run."""
    from climrecon.workflow.dispatch import wait_for

    outcome = wait_for(find_chain(name), reporter)
    reporter.close()
    yield from outcome.summary


def cancel_lines(name: str) -> Iterator[str]:
    """Cancel a run."""
    chain, states = look(find_chain(name))
    if not is_live(states):
        yield f"{chain.id} has ended already: {overall(states)}."
        return
    cancel(chain)
    yield f"Cancelled the jobs of {chain.id}: {', '.join(map(str, chain.numbers))}."
