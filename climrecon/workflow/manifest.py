"""``manifest.json``: what a run's folder holds. It is written last, so a folder with one is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from climrecon.errors import InputDataError
from climrecon.files import parse_json, read_text, write_text
from climrecon.workflow.provenance import OutputFile

FILE_NAME = "manifest.json"
SCHEMA = 1
#: The host stores 255 characters of a caption, and shows so many beside an enlarged figure.
LONGEST_CAPTION = 119


class _Output(BaseModel):
    path: str
    role: str
    sha256: str


class _Manifest(BaseModel):
    """What readers of a manifest rely on."""

    outputs: list[_Output]


def short(caption: str) -> str:
    """A caption that fits the host: its first sentences, or the first one cut at a word."""
    text = " ".join(caption.split())
    if len(text) <= LONGEST_CAPTION:
        return text
    ends = [end.start() for end in re.finditer(r"(?<=[.]) (?=[A-Z])", text) if end.start() <= LONGEST_CAPTION]
    if ends:
        return text[: ends[-1]]
    return text[: LONGEST_CAPTION - 2].rsplit(" ", 1)[0] + " …"


def write_manifest(
    folder: Path, run_id: str, fingerprint: str, facets: Mapping[str, str], outputs: Sequence[OutputFile]
) -> dict[str, Any]:
    """Write the manifest of a finished run and return it."""
    manifest = {
        "schema": SCHEMA,
        "status": "done",
        "run_id": run_id,
        "fingerprint": fingerprint,
        "facets": dict(facets),
        "outputs": [{key: value for key, value in vars(entry).items() if value is not None} for entry in outputs],
    }
    write_text(folder / FILE_NAME, json.dumps(manifest, indent=1) + "\n")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run's folder.

    Raises
    ------
    InputDataError
        If there is none, since the run has not finished, or it is none of ours.
    """
    try:
        content: dict[str, Any] = parse_json(read_text(folder / FILE_NAME))
        _Manifest.model_validate(content)
    except (OSError, ValueError) as error:
        raise InputDataError(f"{folder} holds no finished run: {error}", "Run it again.") from error
    return content
