"""Writing intake-esm catalogues in Freva's dialect, with their entries inline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from climrecon.catalogue.dialects import FACETS
from climrecon.files import write_text

COLUMNS = (*FACETS, "version", "time_range", "format")


def write_catalogue(path: Path, title: str, description: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a catalogue; each row needs ``file`` and a list ``variable``, missing facets stay empty.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    content = {
        "esmcat_version": "0.1.0",
        "id": "climrecon",
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
