"""A folder of empty files, and a catalogue over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from climrecon.catalogue import open_catalogue

DEFAULTS = {"variable": "tas", "project": "observations", "time_frequency": "mon"}
FREVA = ("project", "product", "institute", "model", "experiment", "time_frequency", "realm", "variable", "ensemble")


def descriptor(asset: str, columns: tuple[str, ...], rows: list[dict[str, Any]] | None, csv: str | None = None) -> dict:
    content: dict[str, Any] = {
        "esmcat_version": "0.1.0",
        "id": "test",
        "attributes": [{"column_name": name, "vocabulary": ""} for name in columns],
        "assets": {"column_name": asset, "format": "netcdf"},
        "aggregation_control": {
            "variable_column_name": "variable" if "variable" in columns else "variable_id",
            "groupby_attrs": [columns[0]],
            "aggregations": [],
        },
    }
    return {**content, "catalog_dict": rows} if csv is None else {**content, "catalog_file": csv}


class Archive:
    """A folder of empty files and a catalogue over them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, []
        self.columns: tuple[str, ...] = (*FREVA, "version")

    def add(self, name: str, exists: bool = True, **facets: Any) -> Path:
        path = self.folder / name
        if exists and "://" not in name:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        base = {"project": "observations", "model": "HadCRUT5", "time_frequency": "mon", "variable": ["tas"]}
        self.rows.append(
            {"file": name if "://" in name else str(path), **dict.fromkeys(FREVA, ""), "version": "", **base, **facets}
        )
        return path

    def catalogue(self) -> Any:
        path = self.folder / "catalogue.json"
        path.write_text(json.dumps(descriptor("file", self.columns, self.rows)))
        return open_catalogue(path)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)
