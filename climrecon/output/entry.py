"""An intake-esm catalogue of a run's results, which can be searched and be input again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from climrecon.catalogue.descriptor import write_catalogue


def write_entry(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a catalogue in Freva's dialect; each row needs ``file`` and ``variable``, missing facets stay empty."""
    listed = [{**row, "variable": [row["variable"]]} for row in rows]
    write_catalogue(path, "climrecon reconstruction", "What one run of climrecon wrote", listed)
