"""Decisions of a person: publish a held release, go on after a stop, run a failed release again."""

from __future__ import annotations

from pathlib import Path

from climrecon.errors import NoDataError, UsageError
from climrecon.watch.lock import only_watcher, runs
from climrecon.watch.state import FAILED, FILE_NAME, HELD, REPORTED, RUNNING, State, now


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
    if not (output / FILE_NAME).is_file():
        raise NoDataError(f"{output} is no folder of a watch.", "Check --output.")
    state = State(output / FILE_NAME)
    try:
        with only_watcher(state) as other:
            if other:
                raise UsageError(f"Nothing was decided: {other}.", "Try again when it is done.")
            messages = [_accept(state, accept)] if accept else []
            messages += [_confirm(state)] if confirm else []
            messages += [_retry(state)] if retry else []
            state.drop_snapshot()
            return messages
    finally:
        state.close()


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
