"""``climrecon releases``: the state as text or as JSON, and the decisions of a person.

A person publishes a held release, lets the watch go on after a stop, or lets a failed release be run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from climrecon.errors import NoDataError, UsageError
from climrecon.processes import runs
from climrecon.watch import publish
from climrecon.watch.checks import failures, from_state
from climrecon.watch.lock import only_watcher
from climrecon.watch.state import FAILED, FILE_NAME, HELD, REPORTED, RUNNING, State, now

_CONTENT = ("header", "files", "inputs", "settings", "network", "network_sha256", "through", "checks", "changes",
            "error", "accepted", "confirmed")  # fmt: skip


def content_of(output: Path) -> dict[str, Any]:
    """Releases, stops and last look of the watch of ``output``.

    Raises
    ------
    NoDataError
        If there is none.
    """
    with closing(_state(output)) as state:
        link = output / publish.LATEST
        current = state.get("current")
        return {
            "latest": str(link.readlink()) if link.is_symlink() else None,
            "releases": [
                {
                    "name": r.name,
                    "stage": r.stage,
                    "current": r.name == current,
                    "seen_at": r.seen_at,
                    "published_at": r.published_at,
                    "attempts": r.attempts,
                    **{name: r.content.get(name) for name in _CONTENT},
                }
                for r in state.releases()
            ],
            "stops": [dict(row) for row in state.stops()],
            "last_look": state.last_look(),
        }


def lines(output: Path, content: dict[str, Any]) -> Iterator[str]:
    """The same as text."""
    yield f"Releases in {output} (* current):"
    for row in content["releases"]:
        mark = "*" if row["current"] else " "
        yield f"{mark} {row['name']:<42} {row['stage']:<11} found {row['seen_at']}, network {row['network']}"
        changes = row["changes"] or {}
        if changes.get("previous"):
            changed = changes["changed_months"]
            yield (
                f"    since {changes['previous']}: {len(changes['new_months'])} new months, "
                f"{'unknown' if changed is None else changed} earlier months changed"
            )
        for text in failures(from_state(row["checks"])):
            yield f"    check failed: {text}" + ("  (accepted)" if row["accepted"] else "")
        if row["error"]:
            yield f"    run failed (attempts: {row['attempts']}): {row['error'].splitlines()[0]}"
    if not content["releases"]:
        yield "  none yet"
    yield f"latest -> {content['latest'] or 'nothing yet'}"
    for stop in content["stops"]:
        how = "stopped" if not stop["confirmed_at"] else f"confirmed {stop['confirmed_at']}"
        yield f"{how} ({stop['kind']}): {stop['message']}"
    if look := content["last_look"]:
        repeated = f", the same {look['times']} times since {look['first_at']}" if look["times"] > 1 else ""
        yield f"last look {look['last_at']}{repeated}: exit code {look['code']}"
        if not content["stops"]:
            yield f"    {look['message']}"


def _state(output: Path) -> State:
    path = output / FILE_NAME
    if not path.is_file():
        raise NoDataError(
            f"{output} is no folder of a watch: it holds no {FILE_NAME}.",
            "Check --output, or start one with 'climrecon watch --once --catalogue … --output DIR'.",
        )
    return State(path)


def decide(output: Path, *, accept: str | None, confirm: bool, retry: bool) -> list[str]:
    """Write decisions into the state; the next look acts on them.

    Raises
    ------
    NoDataError
        If there is no watch.
    UsageError
        If there is nothing to decide, or a watcher is at work.
    """
    if not (accept or confirm or retry):
        return []
    with closing(_state(output)) as state, only_watcher(state) as other:
        if other:
            raise UsageError(f"Nothing was decided: {other}.", "Try again when it is done.")
        messages = [_accept(state, accept)] if accept else []
        messages += [_confirm(state)] if confirm else []
        messages += [_retry(state)] if retry else []
        state.drop_snapshot()
        return messages


def _accept(state: State, name: str) -> str:
    held = {release.name: release for release in state.releases(HELD)}
    if name not in held:
        raise UsageError(
            f"{name} is not held; held are: {', '.join(held) or 'none'}.", "'climrecon releases' lists all."
        )
    state.update(held[name], stage=REPORTED, accepted=now())
    return f"The next look publishes {name}."


def _confirm(state: State) -> str:
    kinds = [row["kind"] for row in state.stops() if not row["confirmed_at"]]
    if not kinds:
        raise UsageError("Nothing stops the watch.", "'climrecon releases' shows its state.")
    state.set_stops("confirmed_at", now())
    return f"Confirmed: {kinds[0]}. The next look goes on."


def _retry(state: State) -> str:
    failed = state.releases(FAILED)
    # A run that the host of a dead machine started: nobody else can know that it is over.
    lost = [r for r in state.releases(RUNNING) if r.content.get("child")]
    failed += [state.update(r, child=None) for r in lost if runs(r.content["child"]) is not True]
    if not failed:
        raise UsageError("No run has failed.", "'climrecon releases' shows the state.")
    for release in failed:
        state.update(release, attempts=0)
    return f"The next look runs again: {', '.join(release.name for release in failed)}."
