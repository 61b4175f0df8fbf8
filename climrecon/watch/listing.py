"""``climrecon releases``: the state in words or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from climrecon.errors import NoDataError
from climrecon.watch import publish
from climrecon.watch.checks import failures, of_state
from climrecon.watch.state import FILE_NAME, State


def lines(output: Path, as_json: bool) -> Iterator[str]:
    """What the watch of ``output`` knows.

    Raises
    ------
    NoDataError
        If there is none.
    """
    path = output / FILE_NAME
    if not path.is_file():
        raise NoDataError(
            f"{output} is no folder of a watch: it holds no {FILE_NAME}.",
            "Start one with 'climrecon watch --once --catalogue … --output DIR'.",
        )
    state = State(path)
    try:
        known = _content(output, state)
    finally:
        state.close()
    if as_json:
        yield json.dumps(known, indent=1)
        return
    yield f"Releases in {output}:"
    for row in known["releases"]:
        mark = "*" if row["current"] else " "
        yield f"{mark} {row['name']:<42} {row['stage']:<11} seen {row['seen_at']}, network {row['network']}"
        changes = row["changes"] or {}
        if changes.get("previous"):
            changed = changes["changed_months"]
            yield (
                f"    since {changes['previous']}: {len(changes['new_months'])} new months, "
                f"{'unknown' if changed is None else changed} earlier months changed"
            )
        for text in failures(of_state(row["checks"])):
            yield f"    {text}" + ("  (accepted)" if row["accepted"] else "")
        if row["error"]:
            yield f"    {row['attempts']} tries; {row['error'].splitlines()[0]}"
    if not known["releases"]:
        yield "  none yet"
    yield f"latest -> {known['latest'] or 'nothing yet'}"
    for stop in known["stops"]:
        how = "stopped" if not stop["confirmed_at"] else f"confirmed {stop['confirmed_at']}"
        yield f"{how} ({stop['kind']}): {stop['message']}"
    if known["last_look"]:
        look = known["last_look"]
        yield f"last look {look['last_at']} ({look['times']} alike): exit code {look['code']}, {look['message']}"


def _content(output: Path, state: State) -> dict[str, Any]:
    link = output / publish.LATEST
    current = state.get("current")
    looks = state.rows("SELECT * FROM looks ORDER BY id DESC LIMIT 1")
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
                **{
                    name: r.content.get(name)
                    for name in ("header", "files", "inputs", "settings", "network", "network_sha256", "through",
                                 "checks", "changes", "error", "accepted", "confirmed")
                },
            }
            for r in state.releases()
        ],
        "stops": [dict(row) for row in state.stops() if row["open"]],
        "last_look": dict(looks[0]) if looks else None,
    }  # fmt: skip
