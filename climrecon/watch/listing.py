"""``climrecon releases``: the state as text or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from climrecon.errors import NoDataError
from climrecon.watch import publish
from climrecon.watch.checks import failures, from_state
from climrecon.watch.state import FILE_NAME, State

_CONTENT = ("header", "files", "inputs", "settings", "network", "network_sha256", "through", "checks", "changes",
            "error", "accepted", "confirmed")  # fmt: skip


def lines(output: Path, as_json: bool) -> Iterator[str]:
    """Releases, stops and last look of the watch of ``output``.

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
        content = _content(output, state)
    finally:
        state.close()
    yield from [json.dumps(content, indent=1)] if as_json else _text(output, content)


def _content(output: Path, state: State) -> dict[str, Any]:
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


def _text(output: Path, content: dict[str, Any]) -> Iterator[str]:
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
        yield f"last look {look['last_at']}{repeated}: exit code {look['code']}, {look['message']}"
