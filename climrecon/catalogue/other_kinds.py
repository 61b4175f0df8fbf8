"""Catalogues that are no intake-esm descriptors: YAML catalogues of catalogues, and bare tables."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

from climrecon.errors import NoDataError

#: Columns that hold the files, in any dialect.
_ASSETS = ("uri", "path", "file", "location", "filename")


def one_descriptor_of(origin: str, text: bytes) -> str:
    """The JSON descriptor that a YAML catalogue of intake names.

    Raises
    ------
    NoDataError
        If it names none, or several, with their places.
    """
    import yaml  # type: ignore[import-untyped,unused-ignore]

    folder = origin.rpartition("/")[0] or "."
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NoDataError(
            f"The catalogue {origin} is no valid YAML: {next(iter(str(error).splitlines()), '')}",
            "Give the JSON descriptor of an intake-esm catalogue.",
        ) from error
    found = dict(_descriptors(content if isinstance(content, dict) else {}, folder))
    if len(found) == 1:
        return next(iter(found.values()))
    listed = "".join(f"\n  {name}: {place}" for name, place in found.items())
    held = f"of {len(found)} catalogues:{listed}" if found else "that names no intake-esm catalogue."
    raise NoDataError(
        f"{origin} is a YAML catalogue {held}",
        "Give the JSON of one of them with catalogue=."
        if found
        else "Give the JSON descriptor of an intake-esm catalogue; 'climrecon catalogue build DIR' writes one.",
    )


def _descriptors(content: dict[str, Any], folder: str) -> Iterator[tuple[str, str]]:
    """Name and descriptor of each intake-esm catalogue in a YAML catalogue."""
    sources = content.get("sources")
    for name, source in sources.items() if isinstance(sources, dict) else ():
        arguments = source.get("args") if isinstance(source, dict) else None
        if not isinstance(arguments, dict) or "esm" not in str(source.get("driver", "")):
            continue
        place = str(arguments.get("obj") or arguments.get("esmcol_obj") or "")
        place = place.replace("{{CATALOG_DIR}}", folder).replace("{{ CATALOG_DIR }}", folder)
        if place:
            yield str(name), place


def descriptor_of_table(origin: str, text: bytes) -> dict[str, Any]:
    """A descriptor for a CSV, compressed or not, that came without one.

    Raises
    ------
    NoDataError
        If it cannot be read, or no column holds files.
    """
    import pandas  # type: ignore[import-untyped,unused-ignore]

    packed = "gzip" if text[:2] == b"\x1f\x8b" else "bz2" if text[:3] == b"BZh" else None
    hint = "Give the JSON descriptor that belongs to this CSV; it stands beside it as a rule."
    try:
        frame = pandas.read_csv(io.BytesIO(text), compression=packed, dtype=str, keep_default_na=False)
    except (ValueError, OSError, EOFError) as error:
        raise NoDataError(f"The table {origin} cannot be read: {error}", hint) from error
    asset = next((name for name in _ASSETS if name in frame.columns), None)
    if asset is None:
        raise NoDataError(
            f"The table {origin} has no column of files ({', '.join(_ASSETS)}); it has {', '.join(frame.columns)}.",
            hint,
        )
    return {
        "esmcat_version": "0.1.0",
        "id": os.path.basename(origin),  # noqa: PTH119 - it may be an address
        "attributes": [{"column_name": name} for name in frame.columns if name != asset],
        "assets": {"column_name": asset, "format": "netcdf"},
        "catalog_dict": frame.to_dict("records"),
    }
