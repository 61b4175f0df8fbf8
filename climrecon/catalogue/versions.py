"""The order of versions, by their numbers: never from a list."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"(\d+)([a-z]?)", re.IGNORECASE)


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Order of versions: numbers compare as numbers, ``v20120101``, ``5.0.10.0`` and ``3b`` alike."""
    return tuple((int(number), letter.lower()) for number, letter in _PART.findall(version))


def newest(versions: Iterable[str]) -> str:
    """The newest version, "" of none."""
    return max(versions, key=version_key, default="")
