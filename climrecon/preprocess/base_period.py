"""The reference period of anomalies, in the words of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from climrecon.datasets import Stated

Period = tuple[int, int]

_YEAR = r"(?<!\d)(1[6-9]\d\d|20\d\d)"
#: Month, day and hour behind a year, and those before one.
_DATE = r"(?:[-/.]?(?:0[1-9]|1[0-2])(?:[-/.]?[0-3]\d)?(?:[T ][\d:]+Z?)?(?!\d))?"
_BEFORE = r"(?:(?:\d{1,2}\.?\s+)?[A-Za-z]{3,9}\.?\s+(?:\d{1,2},?\s+)?)?"
_TO = r"\s*(?:-|–|—|−|:|/|\.{2,}|\b(?:to|until|till|through|thru|and|bis)\b)\s*"
_PERIOD = re.compile(rf"{_YEAR}{_DATE}{_TO}{_BEFORE}(1[6-9]\d\d|20\d\d|(?<=[-–/])[2-9]\d){_DATE}(?!\d)", re.IGNORECASE)
#: As an attribute made for it has it: two numbers.
_PAIR = re.compile(rf"{_YEAR}[\s,;]+(1[6-9]\d\d|20\d\d)(?!\d)")
_ATTRIBUTE = re.compile(
    r"(?:\w+_)?(?:ref(?:erence)?|base(?:line)?|clim(?:o|atology)?|normals?)_?(?:period|years?|range|interval)?",
    re.IGNORECASE,
)
#: Citations, as a rule.
_CITATION = ("reference", "ref")
#: Words right before a period that is a reference period, however long.
_RELATIVE = re.compile(
    r"(?:relative to|with (?:respect|reference|regard) to|normali[sz]ed to|cent(?:er|re)d on"
    r"|refer\w* to|re-?based? (?:to|on)|(?:departure|deviation)s? from"
    r"|differences? (?:from|to)|compared (?:to|with)|anomal\w+ (?:from|to|against|versus|vs\.?|on)|minus"
    r"|(?<!data)(?<!data )\bbase(?:line)?(?:[ _-]?(?:period|years?))?"
    r"|(?:reference|normal|climatolog\w+)[ _-](?:period|years?)"
    r"|zero (?:mean )?(?:over|in|for)|based on)\W*(?:\w+\W+){0,6}$",
    re.IGNORECASE,
)
#: Words near a period that may be the span of the data as well.
_NEAR_BEFORE = re.compile(r"\b(?:climatolog|climo|clim\b|reference|normals?\b|base)\w*[^.;]{0,60}$", re.IGNORECASE)
_NEAR_AFTER = re.compile(
    r"[\s)\]]*(?:=\s*0|(?:\w+\s+)?(?:average|mean|climatolog\w*|climo|normals?|base\w*|reference)\b)", re.IGNORECASE
)
_ANOMALY = re.compile(r"anomal", re.IGNORECASE)
_LONGEST_NEAR, _LENGTHS_OF_ANOMALY = 60, (10, 40)
_IN_NAME = re.compile(
    r"(?:re-?base[dl]?|base(?:line|period)?|ref(?:period)?|relative|wrt|clim(?:atology)?)[\W_]*(?:to[\W_]*)?"
    rf"(?:{_YEAR}[\W_]*(?:to[\W_]*)?(1[6-9]\d\d|20\d\d)|(\d\d)(\d\d))(?!\d)",
    re.IGNORECASE,
)
#: Attributes in which words near a period count too; in others only words right before one.
_DESCRIPTIONS = ("long_name", "comment", "title", "description", "units", "summary")
#: How sure a statement is: made for it, by words near, by the file's name, by the word anomaly alone; a period of another
#: kind is none.
_SURE, _LIKELY, _NAME, _PERHAPS, _MENTION = range(5)


@dataclass(frozen=True)
class Statement:
    """A reference period, and where it is stated."""

    period: Period
    where: str


def base_period(stated: Stated, years: Period) -> tuple[Statement | None, tuple[Statement, ...]]:
    """The statement of the reference period that counts most, and those that are as sure but state another period.

    Without a statement the others are periods that a description mentions, and that may or may not be reference periods.

    The variable counts before the file, the file before its name. A period as long as the data is a reference period only
    where its words leave no doubt.

    Parameters
    ----------
    years:
        First and last year of the data.
    """
    found = sorted(_statements(stated, years), key=lambda pair: pair[0])
    mentions = tuple(one for rank, one in found if rank == _MENTION)
    if len(mentions) == len(found):
        return None, mentions
    sure, first = found[0]
    others = {one.period: one for rank, one in found if rank == sure == _SURE and one.period != first.period}
    return first, tuple(others.values())


def _statements(stated: Stated, years: Period) -> Iterator[tuple[int, Statement]]:
    for holder, of in ((stated.variable, " of its variable"), (stated.attributes, "")):
        ordered = sorted(holder, key=lambda key: _DESCRIPTIONS.index(key) if key in _DESCRIPTIONS else -1)
        for key in ordered:
            text = " ".join(str(holder[key]).split())
            for rank, period, words in _in_attribute(key, text, years):
                yield rank, Statement(period, f"the {key}{of} ({words!r})" if of else f"its {key} ({words!r})")
        yield from _from_pair_of_attributes(holder, of)
    if match := _IN_NAME.search(stated.name):
        named = _period(match[1], match[2]) if match[1] else _period(f"19{match[3]}", match[4])
        if named:
            yield _NAME, Statement(named, f"its name ({stated.name!r})")


def _in_attribute(key: str, text: str, years: Period) -> Iterator[tuple[int, Period, str]]:
    if key == "references" or key.startswith(("time_coverage", "Conventions")):
        return
    made_for_it = bool(_ATTRIBUTE.fullmatch(key))
    text = re.sub(r"w\.?\s?r\.?\s?t\.?(?=\W)", "relative to", text, flags=re.IGNORECASE)
    for match in [*_PERIOD.finditer(text), *(_PAIR.finditer(text) if made_for_it else ())]:
        period = _period(match[1], match[2])
        if period is None:
            continue
        before = re.split(r";|\.\s+(?=[A-Z])|\)", text[: match.start()])[-1]
        after = text[match.end() :]
        words = _around(text, match)
        length, spans_data = period[1] - period[0] + 1, period[0] <= years[0] and years[1] <= period[1]
        alone = match[0] == text.strip("[]() ")
        if key == "history":  # of former states too
            if _RELATIVE.search(before):
                yield _PERHAPS, period, words
            continue
        if (made_for_it and (alone or key not in _CITATION)) or _RELATIVE.search(before):
            yield _SURE, period, words
        elif key not in _DESCRIPTIONS or spans_data:
            continue
        elif length <= _LONGEST_NEAR and (_NEAR_BEFORE.search(before) or _NEAR_AFTER.match(after)):
            yield _LIKELY, period, words
        elif _LENGTHS_OF_ANOMALY[0] <= length <= _LENGTHS_OF_ANOMALY[1] and _ANOMALY.search(before[-60:] + after[:30]):
            yield _PERHAPS, period, words
        else:
            yield _MENTION, period, words


def _from_pair_of_attributes(holder: Mapping[str, Any], of: str) -> Iterator[tuple[int, Statement]]:
    """``base_period_start`` and ``base_period_end``, and their like."""
    for key in holder:
        parts = re.fullmatch(r"(.*?)_?(start|begin|first|from)(_?years?)?", key)
        if not parts or not _ATTRIBUTE.fullmatch(parts[1]):
            continue
        for end in holder:
            if re.fullmatch(rf"{parts[1]}_?(?:end|last|stop|to)(?:_?years?)?", end):
                start, stop = (re.search(_YEAR, str(holder[name])) for name in (key, end))
                if start and stop and (period := _period(start[1], stop[1])):
                    yield _SURE, Statement(period, f"the {key} and {end}{of}")


def _period(first: str, last: str) -> Period | None:
    """From two years, of which the second may have two digits; None if they are none."""
    start = int(first)
    end = int(last) if len(last) == 4 else start // 100 * 100 + int(last)
    end += 100 if len(last) == 2 and end < start else 0
    return (start, end) if start <= end else None


def _around(text: str, match: re.Match[str]) -> str:
    """The period with the words around it, ``text`` where it is short."""
    if len(text) <= 80:
        return text
    first, last = max(0, match.start() - 45), min(len(text), match.end() + 25)
    return f"{'...' if first else ''}{text[first:last].strip()}{'...' if last < len(text) else ''}"
