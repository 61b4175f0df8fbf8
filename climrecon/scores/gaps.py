"""Which gaps a truth is seen through, by date."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import BoolArray, IntArray
from climrecon.fields import Steps
from climrecon.frequency import DAY

#: The masks go by calendar date where at least this share of the truth's steps has one of its date.
BY_DATE = 0.5
#: Of a record of masks shorter than so many months (or days) each stands for a whole year in turn, else the record is
#: repeated.
FEW_MASKS = 24


def masks_for(time: Steps, seen: Steps) -> tuple[IntArray, BoolArray, str]:
    """Which step's mask each step of the truth is seen through.

    Parameters
    ----------
    time, seen:
        Steps of the truth, and of the masks, of one frequency; days may be of different calendars.

    Returns
    -------
    (T,) positions in ``seen``; (T,) which steps of the truth have one; and the rule, in words.
    """
    ours, theirs = time.stamps, seen.stamps
    found = np.minimum(np.searchsorted(theirs, ours), len(seen) - 1)
    same = theirs[found] == ours
    if same.mean() >= BY_DATE:
        rule = f"each {time.word} is seen through the gaps of its own date"
        if not same.all():
            rule += f"; {int((~same).sum())} {time.plural} without observations of their date are left out"
        return found, same, rule
    everything = np.ones(len(time), dtype=bool)
    if len(seen) < FEW_MASKS // max(time.frequency.months, 1):
        labels = ", ".join(seen.labels())
        rule = f"the dates do not meet, so each whole year is seen through one of the masks in turn: {labels}"
        return (time.year - time.year[0]) % len(seen), everything, rule
    # Whole years of the masks are repeated, calendar months (seasons, dates) staying what they are.
    found, span = _days_in_turn(time, seen) if time.frequency == DAY else _steps_in_turn(time, seen)
    if not span:
        rule = "the dates do not meet, so the masks are taken one after the other, again and again"
        return np.arange(len(time)) % len(seen), everything, rule
    rule = f"the dates do not meet, so the truth's years are seen through those of the masks in turn ({span})"
    return found, everything, rule


def _steps_in_turn(time: Steps, seen: Steps) -> tuple[IntArray, str]:
    """Positions of masks, whose whole years are repeated, and the span of these; "" where years are not whole."""
    per_year = time.frequency.per_year
    first = int(np.flatnonzero(seen.place == 0)[0]) if (seen.place == 0).any() else 0
    whole = (len(seen) - first) // per_year * per_year
    usable = seen[first : first + whole]
    if not whole or (np.diff(usable.index) != 1).any():
        return seen.index, ""
    return first + (time.index - time.index[0] + time.place[0]) % whole, usable.span()


def _days_in_turn(time: Steps, seen: Steps) -> tuple[IntArray, str]:
    """As :func:`_steps_in_turn`: a day has the mask of its date, or of the last one before that there is."""
    years = seen.whole_years()
    if not len(years) or (np.diff(years) != 1).any():
        return seen.index, ""
    own = time.year
    wanted = time.stamps + (years[(own - own[0]) % len(years)] - own) * 10_000
    position = np.searchsorted(seen.stamps, wanted, side="right") - 1
    return np.maximum(position, 0), f"{years[0]}-{years[-1]}"
