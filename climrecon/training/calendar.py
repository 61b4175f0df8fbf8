"""Which years are held out by their date: given as periods, or chosen in blocks spread over a record.

Several blocks, since a contiguous tenth of a record is one climate: its end is warmer than all that was learned from, and
its beginning has other gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from climrecon.array_types import BoolArray
from climrecon.frequency import DAY, YEAR, Frequency
from climrecon.settings.periods import parse_period
from climrecon.steps import Steps

#: Steps left out on both sides of a block. What is alike in neighbouring months must not be learned from; the networks
#: see one month on either side, and the folds and the masks keep the same distance. A year, as next to a single block,
#: would cost as many months as the blocks hold. Years are as many as two blocks are apart; weather is forgotten in weeks.
MARGIN, MARGIN_OF_YEARS, MARGIN_OF_DAYS = 2, 1, 30
#: Share of the whole years for the test and for validation, each; blocks of so many years; fewest blocks.
SHARE, SHORTEST, LONGEST, BLOCKS = 0.1, 3, 5, 2
#: Whole years below which blocks may be shorter.
LONG_RECORD = 36
#: Fewest years to learn from, and fewest steps: a covariance of fewer fields is noise.
FEWEST_YEARS, FEWEST_STEPS = 10, 60


def years_of(periods: Iterable[str]) -> tuple[int, ...]:
    """The years of periods as users write them, in order.

    Raises
    ------
    ValueError
        If one is no period of whole years with both ends.
    """
    years: set[int] = set()
    for text in periods:
        period = parse_period(str(text))
        if period.start is None or period.end is None or period.start % 12 or period.end % 12 != 11:
            raise ValueError(f"{text!r} is no period of whole years; write e.g. 1963-1967")
        years |= set(range(period.start // 12, period.end // 12 + 1))
    return tuple(sorted(years))


def spans(years: Sequence[int]) -> str:
    """Years in words: ``1963-1967, 1973``."""
    runs = np.split(np.asarray(years), np.flatnonzero(np.diff(years) != 1) + 1) if len(years) else []
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


@dataclass(frozen=True)
class Calendar:
    """Years of the test and of validation; empty: not given."""

    test: tuple[int, ...] = ()
    validation: tuple[int, ...] = ()

    @classmethod
    def of(cls, hold_out: Iterable[str] = (), validate_on: Iterable[str] = ()) -> Calendar:
        """Of a recipe's ``hold_out`` and ``validate_on``."""
        test = years_of(hold_out)
        return cls(test, tuple(year for year in years_of(validate_on) if year not in test))

    def completed(self, records: Sequence[Steps]) -> Calendar:
        """With blocks, where years are not given, of the years that are whole in any of the ``records``.

        Blocks of the test and of validation take turns. Deterministic.
        """
        whole = sorted({int(year) for time in records for year in time.whole_years()})
        wanted = SHARE * len(whole)
        count = max(BLOCKS, round(wanted / (0.5 * (SHORTEST + LONGEST))))
        length = round(min(LONGEST, max(SHORTEST if len(whole) >= LONG_RECORD else 1, wanted / count)))
        test = self.test or _blocks(whole, self.validation, count, length, 0.75)
        return Calendar(test, self.validation or _blocks(whole, test, count, length, 0.25))

    def in_test(self, time: Steps) -> BoolArray:
        """(T,) which steps are the test's."""
        return np.isin(time.year, self.test)

    def in_validation(self, time: Steps) -> BoolArray:
        """(T,) which steps are for validation: of its years, and at a distance from the test's."""
        return np.isin(time.year, self.validation) & ~self.near_test(time)

    def learned(self, time: Steps) -> BoolArray:
        """(T,) which steps may be learned from: at a distance from those of the test and of validation."""
        return ~self.near_test(time) & ~_near(time, self.validation)

    def near_test(self, time: Steps) -> BoolArray:
        """(T,) which steps are the test's, or within the margin of them."""
        return _near(time, self.test)

    def __str__(self) -> str:
        uses = (("validation", self.validation), ("test", self.test))
        return "; ".join(f"{use} {spans(years)}" for use, years in uses if years)


#: None given.
NO_YEARS = Calendar()


def margin_of(frequency: Frequency) -> int:
    """Steps of ``frequency`` between what is learned from and what is held out."""
    return {YEAR: MARGIN_OF_YEARS, DAY: MARGIN_OF_DAYS}.get(frequency, MARGIN)


def fewest_of(frequency: Frequency) -> int:
    """Fewest steps of ``frequency`` to learn from."""
    return max(FEWEST_STEPS, FEWEST_YEARS * frequency.per_year)


def _near(time: Steps, years: Sequence[int]) -> BoolArray:
    """(T,) which steps are of ``years``, or within the margin of them."""
    margin, near = margin_of(time.frequency), np.zeros(len(time), bool)
    for year in years:
        first, behind = time.of_year(year)
        near |= (time.index >= first - margin) & (time.index < behind + margin)
    return near


def _blocks(whole: Sequence[int], taken: Sequence[int], count: int, length: int, phase: float) -> tuple[int, ...]:
    """Years of ``count`` blocks of ``length`` consecutive years of ``whole``, a year away from each other and ``taken``.

    Parameters
    ----------
    phase:
        Where in its part of the record each block would best lie, 0 to 1.
    """
    chosen: list[int] = []
    there, used = set(whole), set(taken)
    for number in range(count):
        centre = whole[int((number + phase) / count * len(whole))] if whole else 0
        around = used | {year + step for year in used for step in (-1, 1)}
        starts = [y for y in whole if all(y + n in there and y + n not in around for n in range(length))]
        if starts:
            start = min(starts, key=lambda year: abs(year + 0.5 * (length - 1) - centre))
            chosen += range(start, start + length)
            used |= set(chosen)
    return tuple(sorted(chosen))
