"""What a person decides: publish a held release, go on after a stop, try again."""

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
            told = []
            if accept:
                told.append(_accept(state, accept))
            if confirm:
                told.append(_confirm(state))
            if retry:
                told.append(_retry(state))
            state.keep_world("", None)
            return told
    finally:
        state.close()


def _accept(state: State, name: str) -> str:
    held = state.releases(HELD)
    chosen = next((release for release in held if release.name == name), None)
    if chosen is None:
        names = ", ".join(release.name for release in held) or "none"
        raise UsageError(f"{name} is not held; held are: {names}.", "'climrecon releases' lists all.")
    state.update(chosen, stage=REPORTED, accepted=now())
    return f"{name} is published at the next look."


def _confirm(state: State) -> str:
    stops = [row for row in state.stops() if row["open"] and not row["confirmed_at"]]
    if not stops:
        raise UsageError("Nothing stops the watch.", "'climrecon releases' shows its state.")
    with state.change() as db:
        for row in stops:
            db.execute("UPDATE stops SET confirmed_at = ? WHERE signature = ?", (now(), row["signature"]))
    return f"Confirmed: {stops[0]['kind']}. The next look goes on."


def _retry(state: State) -> str:
    failed = state.releases(FAILED)
    # A run that the host of a dead machine started: nobody else can tell that it is over.
    lost = [r for r in state.releases(RUNNING) if r.content.get("child")]
    failed += [state.update(r, child=None) for r in lost if runs(r.content["child"]) is not True]
    if not failed:
        raise UsageError("No run has failed.", "'climrecon releases' shows the state.")
    for release in failed:
        state.update(release, attempts=0)
    return f"{', '.join(release.name for release in failed)}: tried again at the next look."
