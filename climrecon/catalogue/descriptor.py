"""Writing intake-esm catalogues in Freva's dialect, with their entries inline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from climrecon.catalogue.dialects import FACETS
from climrecon.errors import OutputError
from climrecon.files import parse_json, write_text

ID = "climrecon"
COLUMNS = (*FACETS, "version", "time_range", "format")


def check_replaceable(path: Path, description: str) -> None:
    """Refuse to write a catalogue over anything but an earlier one of the same ``description``.

    Raises
    ------
    OutputError
        If something else is at ``path``.
    """
    try:
        content = parse_json(path.read_bytes()) if path.is_file() else {} if path.exists() else None
    except (OSError, ValueError):
        content = {}
    known = isinstance(content, dict) and (content.get("id"), content.get("description")) == (ID, description)
    if content is not None and not known:
        raise OutputError(
            f"{path} is there already and is no catalogue {description}; it would be replaced.",
            "Name another file, e.g. --output climrecon-catalogue.json, or move the file away.",
        )


def write_catalogue(path: Path, title: str, description: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a catalogue; each row needs ``file`` and a list ``variable``, missing facets stay empty.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    content = {
        "esmcat_version": "0.1.0",
        "id": ID,
        "title": title,
        "description": description,
        "attributes": [{"column_name": column, "vocabulary": ""} for column in COLUMNS],
        "assets": {"column_name": "file", "format_column_name": "format"},
        "aggregation_control": {
            "variable_column_name": "variable",
            "groupby_attrs": [c for c in COLUMNS if c not in ("variable", "time_range")],
            "aggregations": [{"type": "union", "attribute_name": "variable", "options": {}}],
        },
        "catalog_dict": [{"file": row["file"], **{column: row.get(column, "") for column in COLUMNS}} for row in rows],
    }
    write_text(path, json.dumps(content, indent=1) + "\n")
