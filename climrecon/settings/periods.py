"""Periods and months as users write them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_YEARS = re.compile(r"^\s*(\d{4})?\s*[-:/]\s*(\d{4})?\s*$")
_COMPACT = re.compile(r"^\s*(\d{6})?\s*[-:/]\s*(\d{6})?\s*$")
_DASHED = re.compile(r"^\s*(\d{4}-\d{2})?\s*[:/]\s*(\d{4}-\d{2})?\s*$")
_SINGLE = re.compile(r"^\s*(\d{4})\s*$")
_MONTH = re.compile(r"^\s*(\d{4})-?(\d{2})\s*$")

#: December 9999.
_LAST = 9999 * 12 + 11
FORMS = "1850-2025, 1850:2025, 185001-202512 or with one end open, e.g. 1950-"


class Period(NamedTuple):
    """Months from ``start`` to ``end``, both included, as ``year * 12 + month - 1``; None is open."""

    start: int | None
    end: int | None

    @property
    def years(self) -> tuple[int, int]:
        """First and last year; both ends must be given."""
        if self.start is None or self.end is None:
            raise ValueError("an open period has no last or first year")
        return self.start // 12, self.end // 12

    def holds(self, index: Any) -> Any:
        """Whether months, numbers or arrays of them, lie within."""
        return (index >= (self.start or 0)) & (index <= (_LAST if self.end is None else self.end))

    def __str__(self) -> str:
        return f"{_label(self.start)}-{_label(self.end)}"


def _label(index: int | None) -> str:
    return "" if index is None else f"{index // 12:04d}{index % 12 + 1:02d}"


def _index(text: str) -> int:
    digits = text.replace("-", "")
    year, month = int(digits[:4]), int(digits[4:6])
    if not 1 <= month <= 12:
        raise ValueError(f"{text!r} names month {month:02d}; months run from 01 to 12")
    return year * 12 + month - 1


def parse_period(text: str) -> Period:
    """Read ``1850-2025``, ``1850:2025``, ``185001-202512``, ``1850-01:2025-12``, ``1950-`` or ``-1950``.

    Raises
    ------
    ValueError
        If ``text`` is none of these, or ends before it starts.
    """
    if match := _SINGLE.match(text):
        year = int(match[1])
        return Period(year * 12, year * 12 + 11)
    if (match := _YEARS.match(text)) and any(match.groups()):
        first, last = match.groups()
        period = Period(int(first) * 12 if first else None, int(last) * 12 + 11 if last else None)
    elif (match := _COMPACT.match(text) or _DASHED.match(text)) and any(match.groups()):
        first, last = match.groups()
        period = Period(_index(first) if first else None, _index(last) if last else None)
    else:
        raise ValueError(f"{text!r} is no period; write {FORMS}")
    if period.start is not None and period.end is not None and period.start > period.end:
        raise ValueError(f"{text!r} ends before it starts")
    return period


def parse_periods(text: str) -> tuple[Period, ...]:
    """Read periods of whole years with both ends, separated by commas: ``1850-2018,1901-2018``.

    Raises
    ------
    ValueError
        If one is none of these, or there is none.
    """
    found = tuple(parse_period(part) for part in text.split(",") if part.strip())
    for one in found:
        if one.start is None or one.end is None or one.start % 12 or one.end % 12 != 11:
            raise ValueError(f"{str(one)!r} is no period of whole years with both ends, e.g. 1901-2018")
    if not found:
        raise ValueError("names no period; periods like 1901-2018 are separated by commas")
    return tuple(dict.fromkeys(found))


def parse_month(text: str) -> int:
    """Read ``1877-11`` or ``187711`` as ``year * 12 + month - 1``.

    Raises
    ------
    ValueError
        If ``text`` is neither.
    """
    if not _MONTH.match(text):
        raise ValueError(f"{text!r} is no month; write YYYY-MM, e.g. 1877-11")
    return _index(text.strip())
