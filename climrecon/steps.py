"""Time axes: steps of one frequency, from days to years.

numpy and cftime alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cftime
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray, IntArray
from climrecon.frequency import DAY, MONTH, SEASON, YEAR, Frequency

#: Days are counted from here: the calendars standard and proleptic_gregorian have one number for a date from there on.
#: Numbers stay positive, since they are seeds of random numbers.
_ORIGIN, _NUMBER_OF_ORIGIN = "days since 1600-01-01", 1_000_000
_SEASONS = ("DJF", "MAM", "JJA", "SON")


def day_number(dates: NDArray[Any], calendar: str) -> IntArray:
    """(T,) ``index`` of the days that hold cftime ``dates`` of ``calendar``."""
    days = np.asarray(cftime.date2num(dates, _ORIGIN, calendar=calendar), np.float64)
    return np.asarray(np.floor(days), np.int64) + _NUMBER_OF_ORIGIN


@dataclass(frozen=True)
class Steps:
    """A time axis; steps may be absent, but the index increases strictly.

    Attributes
    ----------
    index:
        (T,) number of each step. Months count from 0000-01, so that ``year * 12 + month - 1``; years from the year 0;
        seasons from DJF of the year 0, which begins in December of the year before; days increase by one a day.
    calendar:
        CF's name of the calendar of days.
    """

    index: IntArray
    frequency: Frequency = MONTH
    calendar: str = "standard"

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, part: Any) -> Steps:
        """The steps of a slice, a mask or positions."""
        return replace(self, index=self.index[part])

    def dates(self) -> NDArray[Any]:
        """(T,) cftime dates of the beginning of each day; for days alone."""
        numbers = np.atleast_1d(self.index) - _NUMBER_OF_ORIGIN
        return np.asarray(cftime.num2date(numbers, _ORIGIN, calendar=self.calendar, only_use_cftime_datetimes=True))

    @property
    def months(self) -> IntArray:
        """(T,) ``year * 12 + month - 1`` of the month in the middle of each step."""
        if not self.frequency.months:
            return np.array([date.year * 12 + date.month - 1 for date in self.dates()], np.int64)
        return self._first_months + self.frequency.months // 2

    @property
    def _first_months(self) -> IntArray:
        return self.index * self.frequency.months + self.frequency.first

    @property
    def year(self) -> IntArray:
        """(T,) calendar years; a winter has that of its January."""
        return self.months // 12

    @property
    def month(self) -> IntArray:
        """(T,) calendar months 1..12 in the middle of each step."""
        return self.months % 12 + 1

    @property
    def place(self) -> IntArray:
        """(T,) numbers, from 0, of the calendar months or seasons; zeros for years. For days those of their months."""
        if self.frequency.months:
            return self.index % self.frequency.per_year
        return self.months % 12

    @property
    def stamps(self) -> IntArray:
        """(T,) rising numbers of the dates, alike in all calendars: ``YYYYMMDD`` of days, else ``index``."""
        if self.frequency.months:
            return self.index
        return np.array([(date.year * 100 + date.month) * 100 + date.day for date in self.dates()], np.int64)

    def whole_years(self) -> IntArray:
        """Years of which all steps are there; of days :attr:`Frequency.per_year`, as the shortest year has."""
        years, counts = np.unique(self.year, return_counts=True)
        return np.asarray(years[counts >= self.frequency.per_year])

    def of_year(self, year: int) -> tuple[int, int]:
        """``index`` of the first step of a year, and of that behind its last."""
        if self.frequency.months:
            return year * self.frequency.per_year, (year + 1) * self.frequency.per_year
        ends = np.array([cftime.datetime(one, 1, 1, calendar=self.calendar) for one in (year, year + 1)])
        first, behind = day_number(ends, self.calendar).tolist()
        return first, behind

    @property
    def in_years(self) -> FloatArray:
        """(T,) the middle of each step in years: 1900.5 for 1900."""
        if self.frequency.months:
            return np.asarray((self._first_months + self.frequency.months / 2.0) / 12.0)
        dates = self.dates()
        days = {year: _days_of_year(year, self.calendar) for year in {date.year for date in dates}}
        return np.array([date.year + (date.dayofyr - 0.5) / days[date.year] for date in dates])

    @property
    def word(self) -> str:
        """``month``."""
        return self.frequency.word

    @property
    def plural(self) -> str:
        """``months``."""
        return self.frequency.plural

    def counted(self) -> str:
        """``2115 months``."""
        return f"{len(self)} {self.plural if len(self) != 1 else self.word}"

    def absent(self) -> Steps:
        """The steps between the first and the last that are not there."""
        return replace(self, index=np.setdiff1d(np.arange(self.index[0], self.index[-1] + 1), self.index))

    def nearest(self, month: int) -> int:
        """Position of the first of the steps that are nearest to a month ``year * 12 + month - 1``."""
        return int(np.argmin(np.abs(self.months - month)))

    def holds(self, month: int, position: int) -> bool:
        """Whether the step at ``position`` is in the month ``year * 12 + month - 1``, or the month in the step."""
        if self.frequency.months:
            return bool(self.frequency.of_months(month) == self.index[position])
        return bool(self[position : position + 1].months[0] == month)

    def edges(self, calendar: str) -> NDArray[Any]:
        """(T, 2) cftime dates of the beginning of each step and of the next one, in ``calendar``."""
        if not self.frequency.months:
            both = (self.dates(), replace(self, index=self.index + 1).dates())
        else:
            first = self._first_months
            months = (first, first + self.frequency.months)
            both = tuple(  # type: ignore[assignment]
                np.array([cftime.datetime(int(i // 12), int(i % 12 + 1), 1, calendar=calendar) for i in one])
                for one in months
            )
        return np.stack(both, axis=1)

    def labels(self) -> list[str]:
        """``YYYY-MM`` of each month, ``YYYY`` of years, ``YYYY-DJF`` of seasons, ``YYYY-MM-DD`` of days."""
        if self.frequency == DAY:
            return [f"{date.year:04d}-{date.month:02d}-{date.day:02d}" for date in self.dates()]
        if self.frequency == YEAR:
            return [f"{year:04d}" for year in self.year]
        if self.frequency == SEASON:
            return [f"{y:04d}-{_SEASONS[place]}" for y, place in zip(self.year, self.place, strict=True)]
        return [f"{y:04d}-{m:02d}" for y, m in zip(self.year, self.month, strict=True)]

    def span(self) -> str:
        """The first and the last step as in file names: ``YYYYMM-YYYYMM`` for months and seasons, also YYYY, YYYYMMDD."""
        ends = self[np.array([0, -1])]
        if self.frequency == SEASON:
            ends = Steps(np.array([ends._first_months[0], ends._first_months[1] + 2]))
        return "-".join(label.replace("-", "") for label in ends.labels())


def _days_of_year(year: int, calendar: str) -> int:
    last = cftime.datetime(year, 12, 30 if calendar == "360_day" else 31, calendar=calendar)
    return int(last.dayofyr)


class Months(Steps):
    """A monthly time axis: ``index`` (T,) counts months since 0000-01, so that ``year * 12 + month - 1``."""

    @classmethod
    def of(cls, year: Any, month: Any) -> Months:
        """From calendar ``year`` and ``month`` (1..12), scalars or arrays."""
        return cls(np.atleast_1d(np.asarray(year, dtype=np.int64) * 12 + np.asarray(month, dtype=np.int64) - 1))
