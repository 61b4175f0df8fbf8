"""Lists for people and programs: networks, catalogues."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def network_lines(name: str | None, as_json: bool) -> Iterator[str]:
    """All networks and other methods, or the card of one."""
    from climrecon.methods.registry import registered
    from climrecon.methods.store import find_network, list_networks, load_network, stored_network
    from climrecon.settings import load_site
    from climrecon.tasks.network_store import store_places

    store, methods = store_places(load_site()), registered()
    method = methods.get(name or "")
    if method is not None and not (method.package and stored_network(method.name, store)):
        row = {"name": method.name, "title": method.title}
        yield json.dumps(row) if as_json else f"{method.name}: {method.title}"
        return
    if name:
        find_network(name, store)
        shown = load_network(name, store=store).card.model_dump(mode="json")
        yield from [json.dumps(shown, indent=1)] if as_json else _card_lines(shown)
        return
    cards = list_networks(store)
    titles = {method.name: method.describe() for method in methods.values()}
    if as_json:
        rows: list[dict[str, Any]] = [{"name": c.name, "title": c.title, "path": str(path)} for c, path in cards]
        yield json.dumps(rows + [{"name": n, "title": t, "path": None} for n, t in titles.items()], indent=1)
        return
    yield "Networks:"
    for card, path in cards:
        yield f"  {card.name:<14} {card.title} ({card.variable})"
        yield f"  {'':<14} {path}"
    for heading, foreign in (("Baselines:", False), ("Methods of other packages:", True)):
        lines = [f"  {n:<14} {t}" for n, t in titles.items() if bool(methods[n].package) == foreign]
        yield from [heading, *lines] if lines else []
    yield "'climrecon networks NAME' shows a card with its scores."


def _card_lines(card: Mapping[str, Any]) -> Iterator[str]:
    yield f"{card['name']}: {card['title']}"
    yield f"  variable {card['variable']}, {card['units']}, weights sha256 {card['weights_sha256'][:16]}…"
    training = card["training"]
    for key in ("data", "held_out", "masks", "noise", "start", "hardware"):
        if training.get(key):
            yield f"  {key}: {training[key]}"
    scores = card["scores"]
    if scores:
        yield f"  scores on {scores['n_months']} held-out months, noise seeds {scores['seeds']}:"
        columns = (
            "rmse",
            "crps",
            "covers_90",
            "annual_mean_bias",
            "annual_mean_r_detrended",
            "annual_mean_trend_ratio",
        )
        wide = 2 + max(len(name) for methods in scores["cases"].values() for name in methods)
        yield f"    {'case':<16}{'method':<{wide}}" + "".join(
            f"{c.replace('annual_mean', 'annual'):>19}" for c in columns
        )
        for case, methods in scores["cases"].items():
            for method, row in methods.items():
                shown = "".join(f"{row[c]:>19.3f}" if c in row else f"{'-':>19}" for c in columns)
                yield f"    {case:<16}{method:<{wide}}{shown}"
        for method, answer in scores.get("response", {}).items():
            yield f"  response of {method} to +1 K: " + ", ".join(f"{m} {v:.3f}" for m, v in answer.items())
    for caveat in card["caveats"]:
        yield f"  note: {caveat}"


def build_lines(folder: Path, output: Path | None, reporter: Any, as_json: bool) -> Iterator[str]:
    """Build a catalogue and say what is in it."""
    from climrecon.catalogue import build_catalogue

    reporter.stage(f"Looking at the files below {folder}")
    built = build_catalogue(folder, output or folder / "catalogue.json", reporter.step)
    reporter.close()
    if as_json:
        yield json.dumps(
            {"path": str(built.path), "files": built.n_files, "left_out": [vars(i) for i in built.left_out]}
        )
        return
    yield f"{built.n_files} files in {built.path}"
    for item in built.left_out:
        yield f"  left out: {item.path}: {item.reason}"


def search_lines(values: Mapping[str, Any], as_json: bool) -> Iterator[str]:
    """Search a catalogue and say what was found and what was left out."""
    from climrecon.cli.progress import LogReporter
    from climrecon.settings import load_site, validate
    from climrecon.tasks.inputs import resolve

    site = load_site()
    inputs = resolve(validate(values, site), site, LogReporter())
    if as_json:
        content = {
            "main": [str(p) for p in inputs.main],
            "members": [str(p) for p in inputs.members],
            "uncorrelated": str(inputs.uncorrelated) if inputs.uncorrelated else None,
            "facets": inputs.facets,
            "left_out": inputs.left_out,
        }
        yield json.dumps(content, indent=1)
        return
    yield "Found:"
    for path in inputs.main:
        yield f"  {path}"
    if inputs.members:
        yield f"  and {len(inputs.members)} members"
    if inputs.uncorrelated:
        yield f"  cell errors: {inputs.uncorrelated}"
    for path_text, reason in inputs.left_out:
        yield f"  left out: {path_text}: {reason}"
