"""Climatologies of each frequency, and anomalies from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.errors import InputDataError
from climrecon.frequency import DAY, Frequency
from climrecon.memory import blocks_of, release
from climrecon.steps import Steps

#: Years of a reference period that each calendar month or season needs, of thirty.
NEEDED_SHARE = 20.0 / 30.0
#: Harmonics of the annual cycle of days besides its mean. Source: Narapusetty, DelSole & Tippett (2009), J. Climate
#: 22:4845, who find that a few describe the climatology of daily fields better than means of each day.
HARMONICS = 4
#: Days that enter the normal equations at once.
_AT_ONCE = 512
#: Days that each month of all calendars has.
_DAYS_OF_MONTH = 28


@dataclass(frozen=True)
class Climatology:
    """A climatology in the units of its values.

    Attributes
    ----------
    parts:
        (N, H, W), NaN where unknown: the mean of each calendar month or season, or of years; for days the coefficients
        of mean and harmonics.
    """

    parts: FloatArray
    frequency: Frequency

    def at(self, time: Steps) -> FloatArray:
        """(T, H, W) the climatology of each step."""
        if self.frequency == DAY:
            return np.asarray(np.tensordot(_annual_cycle(time), self.parts, axes=1))
        return np.asarray(self.parts[time.place])

    def taken_off(self, values: FloatArray, time: Steps, out: FloatArray | None = None) -> FloatArray:
        """(T, H, W) ``values`` less the climatology, in their dtype; in ``out``, which may be ``values``, if given."""
        anomalies = np.empty_like(values) if out is None else out
        for part in blocks_of(values, anomalies):
            anomalies[part] = values[part] - self.at(time[part])
        return anomalies


def _annual_cycle(time: Steps) -> FloatArray:
    """(T, 2 * HARMONICS + 1): one, and cosine and sine of each harmonic of the year."""
    angle = 2.0 * np.pi * time.in_years[:, None] * np.arange(1, HARMONICS + 1)
    return np.concatenate([np.ones((len(time), 1)), np.cos(angle), np.sin(angle)], axis=1)


def check_covered(time: Steps, period: tuple[int, int]) -> int:
    """Years needed in each calendar month or season of ``period``, after making sure that ``time`` has them.

    Raises
    ------
    InputDataError
        If a calendar month or season has fields in fewer than two thirds of the years; with the counts.
    """
    inside = time[_within(time, period)]
    years = period[1] - period[0] + 1
    needed = int(np.ceil(NEEDED_SHARE * years - 1e-9))
    frequency = time.frequency
    # Of days each month counts once that has any; cells are then counted by day.
    places = np.unique(inside.index if frequency.months else inside.months) % _places(frequency)
    counts = np.bincount(places, minlength=_places(frequency))
    if counts.min() < needed:
        few = np.flatnonzero(counts < needed)
        counted = str(counts.min()) if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
        if 0 < len(few) < len(counts):
            which = "season" if frequency.per_year == 4 else "month"
            counted += f" (too few in {which} {', '.join(str(m + 1) for m in few)})"
        raise InputDataError(
            f"The climatology of {period[0]}-{period[1]} needs {needed} years of its {years}{frequency.stands_in}; "
            f"there are {counted}.",
            "Choose a reference_period that the data covers, or give anomalies.",
        )
    return needed


def _places(frequency: Frequency) -> int:
    return frequency.per_year if frequency.months else 12


def _within(time: Steps, period: tuple[int, int]) -> BoolArray:
    year = time.year
    return np.asarray((year >= period[0]) & (year <= period[1]))


def climatology_of(values: FloatArray, time: Steps, period: tuple[int, int]) -> Climatology:
    """The climatology over the years of ``period``; a cell with too few of them is NaN.

    Months, seasons and years have the mean of each calendar month, each season, of all years. Days have an annual cycle
    of :data:`HARMONICS` harmonics by least squares, in cells with two thirds of the days
    (of 28) of each calendar month.

    Parameters
    ----------
    values:
        (T, H, W), NaN where missing; any unit.

    Raises
    ------
    InputDataError
        If a calendar month or season has fields in fewer than two thirds of the years.
    """
    needed = check_covered(time, period)
    inside = _within(time, period)
    if time.frequency == DAY:
        return Climatology(_harmonics(values, time, np.flatnonzero(inside), needed * _DAYS_OF_MONTH), DAY)
    places, place = _places(time.frequency), time.place
    climatology = np.full((places, *values.shape[1:]), np.nan)
    for number in range(places):
        fields = values[inside & (place == number)]
        present = np.isfinite(fields).sum(axis=0)
        mean = np.nansum(fields, axis=0, dtype=np.float64) / np.where(present > 0, present, 1)
        climatology[number] = np.where(present >= needed, mean, np.nan)
    return Climatology(climatology, time.frequency)


def _harmonics(values: FloatArray, time: Steps, positions: IntArray, needed: float) -> FloatArray:
    """(2 * HARMONICS + 1, H, W) coefficients from the days at ``positions``; NaN in cells with too few days.

    Each cell has normal equations of its own: the days that it is observed on differ.
    """
    size = 2 * HARMONICS + 1
    cells = int(np.prod(values.shape[1:]))
    squares, products = np.zeros((cells, size * size)), np.zeros((cells, size))
    counts = np.zeros((12, cells))
    for start in range(0, len(positions), _AT_ONCE):
        chosen = positions[start : start + _AT_ONCE]
        cycle, month = _annual_cycle(time[chosen]), time[chosen].place
        given = values[chosen].reshape(len(chosen), cells)
        seen = np.isfinite(given)
        squares += seen.T.astype(np.float64) @ (cycle[:, :, None] * cycle[:, None, :]).reshape(len(chosen), -1)
        products += np.where(seen, given, 0.0).T.astype(np.float64) @ cycle
        for number in np.unique(month):
            counts[number] += seen[month == number].sum(axis=0)
        release(values)
    enough = (counts >= needed).all(axis=0)
    coefficients = np.full((cells, size), np.nan)
    coefficients[enough] = np.linalg.solve(squares[enough].reshape(-1, size, size), products[enough, :, None])[:, :, 0]
    return coefficients.T.reshape(size, *values.shape[1:])


def anomalies_of(
    values: FloatArray,
    time: Steps,
    period: tuple[int, int],
    *,
    ratio_from: float | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Absolute (T, H, W) values less their climatology over ``period``, or in per cent of it.

    Cells whose climatology cannot be worked out become missing.

    Parameters
    ----------
    ratio_from:
        The least climatology that values are divided by; where it is less they become missing. None: differences.
    out:
        Takes the anomalies; may be ``values``. None: a new array.

    Raises
    ------
    InputDataError
        If the period is not covered.
    """
    climatology = climatology_of(values, time, period)
    if ratio_from is None:
        return climatology.taken_off(values, time, out)
    ratios = np.empty_like(values) if out is None else out
    for part in blocks_of(values, ratios):
        usual = climatology.at(time[part])
        ratios[part] = 100.0 * values[part] / np.where(usual > ratio_from, usual, np.nan)
    return ratios


def rebase_complete(field: FloatArray, time: Steps, period: tuple[int, int]) -> Climatology:
    """The climatology to subtract so that complete anomalies refer to ``period``.

    A field with gaps is never re-based cell by cell: cells with few years would get another base than
    their neighbours.

    Raises
    ------
    InputDataError
        If the field has gaps, or the period has fewer than two thirds of its years.
    """
    if not all(np.isfinite(field[part]).all() for part in blocks_of(field)):
        raise InputDataError("A field with gaps cannot be re-based cell by cell.", "Reconstruct it first.")
    return climatology_of(field, time, period)
