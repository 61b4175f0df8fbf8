"""The table of all variables, read from the files of this folder."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

from climrecon.variables.description import Variable

#: Statements on one variable alone, which ``like`` does not take over.
_OWN = ("network", "blend")


def _read() -> dict[str, Variable]:
    """Descriptions by name; a file with ``like = "NAME"`` takes from NAME what it does not state."""
    rows: dict[str, dict[str, Any]] = {
        file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8"))
        for file in files("climrecon.variables").iterdir()
        if file.name.endswith(".toml")
    }
    return {name: Variable(name=name, **_completed(row, rows)) for name, row in sorted(rows.items())}


def _completed(row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    stated = {key: value for key, value in row.items() if key != "like"}
    shared = rows[row["like"]] if "like" in row else {}
    return {key: value for key, value in shared.items() if key not in _OWN} | stated


VARIABLES = _read()
#: Variables that networks may take as auxiliary input; those of our own networks come first.
AUXILIARY = tuple(
    sorted(
        (name for name, one in VARIABLES.items() if one.auxiliary is not None),
        key=lambda name: VARIABLES[name].auxiliary or 0,
    )
)
