"""Files of one data set in order of time: joined chunks, overlaps and holes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from climrecon.catalogue.metadata import time_range
from climrecon.catalogue.opening import LeftOut, Row
from climrecon.catalogue.search_errors import listed
from climrecon.errors import InputDataError, NoDataError
from climrecon.files import sha256_of

_MONTHS = re.compile(r"(?<!\d)(\d{4})-?(\d{2})\d{0,8}\s*[-_]\s*(\d{4})-?(\d{2})\d{0,8}(?!\d)")
_YEARS = re.compile(r"(?<!\d)(\d{4})\s*[-_]\s*(\d{4})(?!\d)")


def months_of(row: Row) -> tuple[int, int] | None:
    """First and last month (year * 12 + month - 1) by the catalogue or the file's name, None if neither has any."""
    for text in (row.facets["time_range"], PurePosixPath(row.path).stem):
        if span := _span(text):
            return span
    return None


def _span(text: str) -> tuple[int, int] | None:
    if match := _MONTHS.search(text):
        first, last = int(match[1]) * 12 + int(match[2]) - 1, int(match[3]) * 12 + int(match[4]) - 1
        if first <= last and all(1 <= int(month) <= 12 for month in (match[2], match[4])):
            return first, last
    if match := _YEARS.search(text):
        first, last = int(match[1]) * 12, int(match[2]) * 12 + 11
        return (first, last) if first <= last else None
    return None


def _read(row: Row) -> tuple[int, int] | None:
    """As :func:`months_of`, else from the file's time axis."""
    try:
        return months_of(row) or _span(time_range(Path(row.path)))
    except (InputDataError, OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError):
        return None


def label(index: int) -> str:
    """``YYYY-MM`` of a month."""
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def _series(row: Row) -> str:
    """What the names of all chunks of one series have in common."""
    stem = PurePosixPath(row.path).stem
    return _YEARS.sub("", _MONTHS.sub("", stem)).strip("._-").casefold()


def in_time(rows: Sequence[Row], notes: list[str]) -> tuple[list[Row], list[LeftOut]]:
    """Chunks in order of time, and what lies wholly within others with the reason.

    Overlaps and holes are noted.

    Raises
    ------
    NoDataError
        If files of different names hold the same months, or their months are unknown: they are no chunks of one
        series, and mixing them would make up data.
    """
    if len(rows) == 1:
        return list(rows), []
    spans = {row.path: _read(row) for row in rows}
    ordered = sorted(rows, key=lambda row: (_start(spans[row.path]), row.path))
    kept: list[Row] = []
    within: list[LeftOut] = []
    for row in ordered:
        now = spans[row.path]
        twin = next((other for other in kept if other.name == row.name), None)
        if twin is not None and (now is None or now == spans[twin.path]):
            if Path(row.path).stat().st_size != Path(twin.path).stat().st_size:
                raise _unclear(rows, "bear the same name, but differ")
            within.append(LeftOut(row.path, f"the same file as {twin.path}"))
            continue
        if not kept:
            kept.append(row)
            continue
        before = spans[kept[-1].path]
        if now is None or before is None:
            raise _unclear(rows, "do not say which months they hold")
        last = kept[-1].name
        if now[0] <= before[1] and _series(row) != _series(kept[-1]):
            if now == before and _same_content(row.path, kept[-1].path):
                within.append(LeftOut(row.path, f"it holds the same bytes as {kept[-1].path}"))
                continue
            raise _unclear(rows, "hold the same months under different names")
        if now[1] <= before[1]:
            within.append(LeftOut(row.path, f"its months are in {last} already"))
            continue
        if now[0] <= before[1]:
            notes.append(f"{last} and {row.name} overlap in {label(now[0])} to {label(before[1])}")
        elif now[0] > before[1] + 1:
            notes.append(
                f"a hole of {now[0] - before[1] - 1} months, from {label(before[1] + 1)}, lies before {row.name}"
            )
        kept.append(row)
    return kept, within


def _same_content(first: str, second: str) -> bool:
    """Whether two files are equal: one data set under the names of two archives."""
    sizes = {Path(first).stat().st_size, Path(second).stat().st_size}
    return len(sizes) == 1 and sizes != {0} and sha256_of(Path(first)) == sha256_of(Path(second))


def _start(span: tuple[int, int] | None) -> tuple[int, int]:
    # Of files that start together the longest comes first, so that the others lie within it.
    return (span[0], -span[1]) if span else (0, 0)


def _unclear(rows: Sequence[Row], what: str) -> NoDataError:
    return NoDataError(
        f"{len(rows)} files of one data set match and {what}:\n{listed([row.path for row in rows])}",
        "Say which by a facet (product=…, ensemble=…), or name the file itself with obs_file=….",
    )
