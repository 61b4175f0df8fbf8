"""An intake-esm catalogue of a run's results, which can be searched and be input again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from climrecon.files import write_text

_COLUMNS = (
    "project",
    "product",
    "institute",
    "model",
    "experiment",
    "time_frequency",
    "realm",
    "variable",
    "ensemble",
    "version",
    "time_range",
    "format",
)


def write_entry(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a catalogue in Freva's dialect; each row needs ``file``, missing facets stay empty."""
    filled = [
        {"file": row["file"], **{c: row.get(c, "") for c in _COLUMNS}, "variable": [row["variable"]]}
        for row in rows
    ]
    catalogue = {
        "esmcat_version": "0.1.0",
        "id": "climrecon",
        "title": "climrecon reconstruction",
        "description": "What one run of climrecon wrote",
        "attributes": [{"column_name": column, "vocabulary": ""} for column in _COLUMNS],
        "assets": {"column_name": "file", "format_column_name": "format"},
        "aggregation_control": {
            "variable_column_name": "variable",
            "groupby_attrs": [c for c in _COLUMNS if c not in ("variable", "time_range")],
            "aggregations": [{"type": "union", "attribute_name": "variable", "options": {}}],
        },
        "catalog_dict": filled,
    }
    write_text(path, json.dumps(catalogue, indent=1) + "\n")
