"""Whole folders of a watch whose state was lost: they are taken as they are where they match, and never written over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from climrecon.errors import InputDataError
from climrecon.files import parse_json, sha256_of
from climrecon.watch import publish
from climrecon.watch.checks import Check
from climrecon.workflow.manifest import read_manifest
from climrecon.workflow.provenance import read_provenance

#: The state's record of a release, beside its files.
FACTS = "release.json"
_KEPT = ("changes", "confirmed", "accepted", "network_sha256")


def names_taken(output: Path, content: Mapping[str, Any]) -> set[str]:
    """Names of folders that a run of the release with this ``content`` may not write to.

    These are the whole ones, unless they hold this very release, and the one that ``latest`` points to.
    """
    folders = [path for path in (output / publish.FOLDER).glob("[!.]*") if publish.whole(path)]
    taken = {path.name for path in folders if not matches(path, content)}
    current = publish.latest(output)
    if current and not matches(publish.folder_of(output, current), content):
        taken.add(current)
    return taken


def matches(folder: Path, content: Mapping[str, Any]) -> bool:
    """Whether a folder holds the result of a release: its inputs, its settings, and files as its manifest has them."""
    try:
        manifest, recorded = read_manifest(folder), read_provenance(folder / "provenance.json")
        return (
            set(content["inputs"].values()) <= set(recorded.inputs.values())
            and all(recorded.settings.get(name) == value for name, value in content["settings"].items())
            and all(sha256_of(folder / entry["path"]) == entry["sha256"] for entry in manifest["outputs"])
        )
    except (InputDataError, OSError):
        return False


def facts_of(folder: Path, content: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the watch wrote about a release after its checks and its report; None if they are still to be made."""
    try:
        facts = dict(parse_json((folder / FACTS).read_bytes()))
        if sorted(facts["inputs"].values()) != sorted(content["inputs"].values()):
            return None
        checks = TypeAdapter(list[Check]).validate_python(facts["checks"])
        if not checks or not isinstance(facts["changes"], dict):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return {"checks": [asdict(check) for check in checks], **{name: facts[name] for name in _KEPT if name in facts}}
