"""Opening an intake-esm catalogue of any dialect as plain rows."""

from __future__ import annotations

import ast
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from climrecon.catalogue.dialects import EXTRA, FACETS, columns_of, frequency
from climrecon.errors import NoDataError

#: Seconds after which a catalogue server counts as unreachable.
TIMEOUT = 20.0


@dataclass(frozen=True)
class Row:
    """One file: its path or URI, and its facets ("" where the catalogue does not say)."""

    path: str
    facets: dict[str, str]
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Catalogue:
    """``facets`` are those that the catalogue has a column for."""

    origin: str
    rows: tuple[Row, ...]
    facets: frozenset[str]


def open_catalogue(origin: str | Path) -> Catalogue:
    """Open a descriptor with inline entries or a CSV beside it, at a path or an http(s) URL.

    Raises
    ------
    NoDataError
        If it cannot be reached or read, or is no intake-esm catalogue.
    """
    origin = str(origin)
    try:
        import intake_esm
    except ImportError as error:  # a broken installation, not a user's mistake
        raise NoDataError(
            f"intake-esm cannot be imported: {error}", "Install climrecon's requirements."
        ) from error
    _reachable(origin)
    try:
        store = intake_esm.esm_datastore(origin)
    except Exception as error:  # intake-esm raises what its many parsers raise
        raise NoDataError(
            f"The catalogue {origin} cannot be read: {type(error).__name__}: {str(error).splitlines()[0][:300]}",
            "An intake-esm descriptor (JSON) with its entries inline or in a CSV file beside it is expected; "
            "'climrecon catalogue build DIR' writes one.",
        ) from error
    frame, asset = store.df, store.esmcat.assets.column_name
    columns = columns_of(frame.columns)
    # Files must be found from anywhere, so relative paths start at the catalogue.
    base = None if origin.startswith(("http://", "https://")) else Path(origin).absolute().parent
    rows = tuple(_row(record, asset, columns, base) for record in frame.to_dict("records"))
    return Catalogue(
        origin, rows, frozenset(columns) | ({"time_frequency"} if "cmor_table" in columns else set())
    )


def _reachable(origin: str) -> None:
    """Fail early, and clearly, where the descriptor is absent or is no JSON."""
    try:
        if origin.startswith(("http://", "https://")):
            with urllib.request.urlopen(origin, timeout=TIMEOUT) as answer:
                text = answer.read()
        else:
            text = Path(origin).expanduser().read_bytes()
        content = json.loads(text)
    except (OSError, urllib.error.URLError) as error:
        raise NoDataError(
            f"The catalogue {origin} cannot be reached: {error}", "Check catalogue= or the site file."
        ) from error
    except ValueError as error:
        raise NoDataError(f"The catalogue {origin} is no valid JSON: {error}", "Check catalogue=.") from error
    if not isinstance(content, dict) or "assets" not in content:
        raise NoDataError(
            f"{origin} is JSON, but no intake-esm catalogue: it names no assets.", "Check catalogue=."
        )


def _texts(value: Any) -> tuple[str, ...]:
    """A cell as texts; variable columns hold lists, in CSV files written out as ``['tas']``."""
    if isinstance(value, str) and value[:1] in "[(" and value[-1:] in "])":
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return (value,)
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        return tuple(str(part) for part in value)
    if value is None or (isinstance(value, float) and value != value):
        return ()
    return (str(value),)


def _row(record: dict[str, Any], asset: str, columns: dict[str, str], base: Path | None) -> Row:
    facets = {
        name: (_texts(record.get(columns[name])) or ("",))[0] if name in columns else ""
        for name in (*FACETS, *EXTRA)
    }
    facets["time_frequency"] = frequency(facets["time_frequency"], facets["cmor_table"])
    variables = _texts(record.get(columns["variable"])) if "variable" in columns else ()
    return Row(_location(str(record[asset]), base), facets, variables)


def _location(text: str, base: Path | None) -> str:
    """A path as it can be opened; URIs of other schemes (tape) stay as they are."""
    parsed = urlparse(text)
    if parsed.scheme == "file":
        return unquote(parsed.path)
    if "://" in text or base is None or Path(text).is_absolute():
        return text
    return str(base / text)
