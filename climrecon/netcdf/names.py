"""Months in names of files and folders. Standard library alone."""

from __future__ import annotations

import re

MONTHS = re.compile(r"(?<!\d)(\d{4})-?(\d{2})\d{0,8}\s*[-_]\s*(\d{4})-?(\d{2})\d{0,8}(?!\d)")
YEARS = re.compile(r"(?<!\d)(\d{4})\s*[-_]\s*(\d{4})(?!\d)")


def span_in(text: str) -> tuple[int, int] | None:
    """First and last month (year * 12 + month - 1) that ``text`` names; None if it names none."""
    if match := MONTHS.search(text):
        first, last = int(match[1]) * 12 + int(match[2]) - 1, int(match[3]) * 12 + int(match[4]) - 1
        if first <= last and all(1 <= int(month) <= 12 for month in (match[2], match[4])):
            return first, last
    if match := YEARS.search(text):
        first, last = int(match[1]) * 12, int(match[2]) * 12 + 11
        return (first, last) if first <= last else None
    return None


#: Endings of names of netCDF files, compressed ones among them.
COMPRESSED = (".gz", ".bz2", ".xz")
NETCDF = (".nc", ".nc4", *(f"{kind}{packed}" for kind in (".nc", ".nc4") for packed in COMPRESSED))


def plain_name(name: str) -> str:
    """The name of a file without the ending of its compression."""
    return next((name.removesuffix(end) for end in COMPRESSED if name.lower().endswith(end)), name)


def address_in(path: object) -> str | None:
    """The address that a path stands for; a path may have lost one of its two slashes. None: it is a path."""
    match = re.match(r"^([a-z][a-z0-9+.-]+):/+(?=[^/])", str(path))
    return f"{match[1]}://{str(path)[match.end() :]}" if match and match[1] != "file" else None
