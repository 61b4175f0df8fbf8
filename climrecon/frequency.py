"""Frequencies of observations: months, years, seasons and days. Standard library alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Words with a frequency that do not change it: "monthly mean", "mean_mon", "monthly-averages".
_OF_MEANS = {"mean", "means", "average", "averages", "averaged", "time", "data"}


@dataclass(frozen=True)
class Frequency:
    """Length of the steps of a time axis.

    Attributes
    ----------
    name:
        As in file names and catalogues: that of CMIP, for seasons that of CORDEX.
    word, adjective:
        ``month``, ``monthly``.
    months, first:
        Calendar months of a step, 0 for days; first month of step 0 (December for the season DJF of the year 0).
    per_year:
        Fewest steps of a whole year in any calendar.
    days:
        Least and most days of a step in any calendar, with a day to spare on either side; for a day an hour.
    operator:
        cdo's operator for such means.
    names:
        Other names in catalogues, CMOR tables among them.
    """

    name: str
    word: str
    adjective: str
    months: int
    first: int
    per_year: int
    days: tuple[float, float]
    operator: str
    names: tuple[str, ...]

    @property
    def plural(self) -> str:
        """``months``."""
        return f"{self.word}s"

    @property
    def stands_in(self) -> str:
        """``in each calendar month``: the parts of a year that have a climatology each; "" for years."""
        return {"yr": "", "sem": " in each season"}.get(self.name, " in each calendar month")

    @property
    def years(self) -> float:
        """Length of a step in years, to a day."""
        return self.months / 12.0 if self.months else 1.0 / 365.25

    def at_most(self, months: int) -> int:
        """Most steps of so many calendar months."""
        return -(-months // self.months) if self.months else 31 * months

    def of_months(self, months: Any) -> Any:
        """The steps (not of days) that hold months ``year * 12 + month - 1``, numbers or arrays of them."""
        return (months - self.first) // self.months


MONTH = Frequency(
    "mon", "month", "monthly", 1, 0, 12, (27.0, 32.0), "monmean",
    ("monthly", "month", "months", "1mon", "1month", "p1m", "amon", "omon", "lmon", "limon", "simon", "oimon"),
)  # fmt: skip
SEASON = Frequency(
    "sem", "season", "seasonal", 3, -1, 4, (89.0, 93.0), "seasmean", ("seasonal", "season", "seasons", "seas", "p3m")
)
YEAR = Frequency(
    "yr", "year", "annual", 12, 0, 1, (359.0, 367.0), "yearmean",
    ("yearly", "year", "years", "annual", "1yr", "1year", "p1y"),
)  # fmt: skip
DAY = Frequency(
    "day", "day", "daily", 0, 0, 360, (23.0 / 24.0, 25.0 / 24.0), "daymean", ("daily", "days", "1day", "p1d")
)
FREQUENCIES = {one.name: one for one in (MONTH, SEASON, YEAR, DAY)}
_BY_NAME = {name: one for one in FREQUENCIES.values() for name in (one.name, *one.names)}


def plain_words(text: str) -> str:
    """The name of a frequency in a text, without words such as ``mean``."""
    return "".join(word for word in re.split(r"[\s_-]+", text.strip().lower()) if word not in _OF_MEANS)


def frequency_of(content: Mapping[str, Any]) -> Frequency:
    """The frequency that a card or the content of a report states by its name; months where none is stated."""
    return FREQUENCIES[str(content.get("frequency", MONTH.name))]


def frequency_named(text: Any) -> Frequency | None:
    """The frequency that a text names, e.g. ``yr``, ``annual`` or ``P1Y``; None if it names none of these."""
    return _BY_NAME.get(plain_words(str(text)))
