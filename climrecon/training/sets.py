"""Which members are learned from, which are kept for validation and for the test.

Whole members are held out. Members of one model share its errors and its climate's habits, and so do models of
one family; a network that is scored on a sister of what it learned from looks better than it is. Of a single member,
and of members that are all one history (reanalyses, an ensemble of observations), whole years are held out in blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, IntArray
from climrecon.arrays import on_disk
from climrecon.errors import InputDataError
from climrecon.frequency import YEAR, Frequency
from climrecon.grid import Grid
from climrecon.steps import Steps
from climrecon.training.calendar import NO_YEARS, Calendar, fewest_of, margin_of
from climrecon.training.fields import TrainingFields
from climrecon.training.store import Rows, StoredMember, assemble

#: Months that are looked at together.
_AT_ONCE = 2000
#: Model names -> family, by the atmosphere they share.
#: Source: Knutti, Masson & Gettelman (2013), Geophys. Res. Lett. 40:1194, doi 10.1002/grl.50256.
_FAMILIES: tuple[tuple[str, str], ...] = (
    (r"^(HadGEM|HadCM|ACCESS|UKESM|KACE)", "Hadley Centre"),
    (r"^(CCSM|CESM|NorESM|BCC-CSM|bcc-csm|FIO-ESM|BNU-ESM|TaiESM|SAM0|E3SM)", "NCAR"),
    (r"^(MPI-ESM|CMCC|ECHAM|AWI)", "MPI ECHAM"),
    (r"^GFDL", "GFDL"),
    (r"^GISS", "GISS"),
    (r"^(IPSL)", "IPSL"),
    (r"^(MIROC|NICAM)", "MIROC"),
    (r"^MRI", "MRI"),
    (r"^(CNRM)", "CNRM"),
    (r"^EC-?EARTH", "EC-EARTH"),
    (r"^(CSIRO)", "CSIRO"),
    (r"^(CanESM|CanCM|CanAM)", "CCCma"),
    (r"^(inmcm|INM)", "INM"),
    (r"^(FGOALS|CAS)", "LASG"),
    (r"^20CR", "20CR"),
)
#: Resolutions and configurations behind a model's name.
_CONFIGURATION = re.compile(r"[-_.](LR|MR|HR|VLR|P|ES|CC|AO|ME|BGC|CM|CAM5|WACCM|FASTCHEM|[A-Z]?\d+)$")
#: Share of the members that is held out, for validation and for the test each; at least one member.
HELD_OUT_SHARE = 0.05
#: Years between the halves of one member, for validation and for the test, where there are two members.
BETWEEN_HALVES = 1
#: Correlation of detrended global means above which two members are of one history.
SAME_HISTORY = 0.6
#: The same of annual means, from which weather is gone: those of eight runs of one model correlate with up to 0.64, since
#: they have the same volcanoes.
SAME_HISTORY_OF_YEARS = 0.8
#: Members whose global means agree this closely, K, hold the same fields in two forms.
SAME = 0.01


def family_of(model: str) -> str:
    """Family of a model by its name; an unknown model is its own family, whatever its configuration."""
    for pattern, family in _FAMILIES:
        if re.search(pattern, model, re.IGNORECASE):
            return family
    return _CONFIGURATION.sub("", model) or model


@dataclass(frozen=True)
class Split:
    """Members, and the months of each, by use: (number of the member, positions of its months)."""

    train: tuple[tuple[int, Rows], ...]
    validation: tuple[tuple[int, Rows], ...]
    test: tuple[tuple[int, Rows], ...]
    how: str
    caveats: tuple[str, ...] = field(default=())


ALL = slice(None)


def split(
    families: Sequence[str],
    times: Sequence[Steps],
    given: Calendar = NO_YEARS,
    common: Calendar | None = None,
    *,
    one_history: bool = False,
) -> Split:
    """Hold out whole members: whole families where there are three, else members; of one history, years.

    Months of a given calendar are held out of all members, whatever else is: they are never learned from. Held-out
    members are then scored on them alone, if they have them.

    Parameters
    ----------
    families:
        Of the members of one training set.
    times:
        Time axis of each, of one frequency.
    given:
        Years that the recipe holds out.
    common:
        The same completed by blocks, for all sets whose years are held out; None: this one's.
    one_history:
        Whether all members hold the same history.

    Raises
    ------
    InputDataError
        If too little is left to learn from or to hold out.
    """
    if len(families) == 1 or one_history:
        return _by_years(times, given, common or given.completed(times))
    chosen = _by_members(families, times)
    return _dated(chosen, times, given) if given.test or given.validation else chosen


def _by_members(families: Sequence[str], times: Sequence[Steps]) -> Split:
    total = len(families)
    sizes = {family: [i for i in range(total) if families[i] == family] for family in dict.fromkeys(families)}
    wanted = max(1, round(HELD_OUT_SHARE * total))
    if len(sizes) >= 3:
        # One family each, as large as what is wanted: many small families would cost variety.
        nearest = sorted(sizes, key=lambda family: (abs(len(sizes[family]) - wanted), family))
        train = [i for family in nearest[2:] for i in sizes[family]]
        return _whole(train, sizes[nearest[1]], sizes[nearest[0]], how="whole model families are held out")
    order = sorted(sizes, key=lambda family: (len(sizes[family]), family))
    smallest = sizes[order[0]]
    if len(sizes) == 2 and len(smallest) >= 2:
        half = len(smallest) // 2
        train = sizes[order[1]]
        return _whole(
            train,
            smallest[:half],
            smallest[half:],
            how="one model family is held out, its members for validation or for the test",
            caveats=("Validation and test members are of one model family.",),
        )
    if total == 2:
        caveat = "There are two members only: validation and test are parts of one of them."
        first, second = _halves(times[1])
        return Split(((0, ALL),), ((1, first),), ((1, second),), "one whole member is held out", (caveat,))
    held = max(1, min(wanted, (total - 1) // 2))
    members = list(range(total))
    return _whole(
        members[: -2 * held],
        members[-2 * held : -held],
        members[-held:],
        how="whole members are held out",
        caveats=("Held-out members are of a model family that was learned from.",),
    )


def _whole(
    train: Sequence[int], validation: Sequence[int], test: Sequence[int], how: str, caveats: tuple[str, ...] = ()
) -> Split:
    uses = [tuple((i, ALL) for i in sorted(group)) for group in (train, validation, test)]
    return Split(uses[0], uses[1], uses[2], how, caveats)


def _halves(time: Steps) -> tuple[slice, slice]:
    middle, between = len(time) // 2, -(-BETWEEN_HALVES * time.frequency.per_year // 2)
    return slice(0, middle - between), slice(middle + between, len(time))


def _by_years(times: Sequence[Steps], given: Calendar, common: Calendar) -> Split:
    """Years of all members, which are one history, in blocks."""
    whole = {int(year) for time in times for year in time.whole_years()}
    if not (whole & set(common.test) and whole & set(common.validation)):
        # What is held out of other sets has no year here: this set has blocks of its own.
        kept = (tuple(year for year in years if year in whole) for years in (given.test, given.validation))
        common = Calendar(*kept).completed(times)
    train, validation, test = (
        _rows_where([(number, ALL) for number in range(len(times))], times, choose)
        for choose in (lambda i: common.learned(i) & given.learned(i), common.in_validation, common.in_test)
    )
    learned = max((len(times[number][rows]) for number, rows in train), default=0)
    frequency = times[0].frequency
    if learned < fewest_of(frequency) or not (validation and test):
        raise InputDataError(
            f"Records of {max(map(len, times))} {frequency.plural} are too little to learn from and to hold some out: "
            f"{learned} {frequency.plural} would be learned from, {fewest_of(frequency)} are needed ({common}).",
            "Add members or training sets (training_data=a+b), or hold out fewer years (hold_out, validate_on).",
        )
    one = len(times) == 1
    who = "the only member" if one else "all members, which are one history,"
    return Split(
        train,
        validation,
        test,
        how=f"whole years of {who} are held out, with a margin of {_margin(frequency)}: {common}",
        caveats=(
            "There is one member only: what is held out is of the same member, in other years."
            if one
            else "All members are one history: what is held out is of the same members, in other years.",
        ),
    )


def _margin(frequency: Frequency) -> str:
    steps = margin_of(frequency)
    return f"{steps} {frequency.plural if steps > 1 else frequency.word}"


def _dated(chosen: Split, times: Sequence[Steps], given: Calendar) -> Split:
    """``chosen`` without the held-out years in what is learned from, and with them alone in the others."""

    def validated(time: Steps) -> BoolArray:
        here = given.in_validation(time)
        return here if here.any() else ~given.near_test(time)

    def tested(time: Steps) -> BoolArray:
        here = given.in_test(time)
        return here if here.any() else np.ones(len(time), bool)

    train = _rows_where(chosen.train, times, given.learned)
    validation = _rows_where(chosen.validation, times, validated)
    test = _rows_where(chosen.test, times, tested)
    if not (train and validation and test):
        raise InputDataError(
            f"Without the years held out ({given}) there are no {times[0].plural} left to learn from, to validate on "
            "or to test.",
            "Hold out fewer years (hold_out, validate_on).",
        )
    how = f"{chosen.how}; of all members, with a margin of {_margin(times[0].frequency)}, these years too: {given}"
    return Split(train, validation, test, how, chosen.caveats)


def _rows_where(
    members: Iterable[tuple[int, Rows]], times: Sequence[Steps], choose: Callable[[Steps], BoolArray]
) -> tuple[tuple[int, Rows], ...]:
    """Members with those of their steps that ``choose`` wants; without members that have none."""
    found = []
    for number, rows in members:
        positions = np.arange(len(times[number]))[rows]
        kept = positions[choose(times[number][positions])]
        if len(kept):
            found.append((number, ALL if len(kept) == len(times[number]) else kept))
    return tuple(found)


def twins(members: Sequence[StoredMember]) -> dict[int, int]:
    """Members that hold the same fields as an earlier one: number -> number of the earlier one.

    One archive may hold a reanalysis as published and in CMOR's form. Learned from one and scored on the other, a
    network would know the answer.
    """
    earlier_of: dict[int, int] = {}
    series = [np.asarray(member.about["global_mean"]) for member in members]
    stamps = [member.time.stamps for member in members]
    for number in range(len(members)):
        for earlier in range(number):
            if earlier in earlier_of:
                continue
            _, ours, theirs = np.intersect1d(stamps[number], stamps[earlier], return_indices=True)
            if len(ours) >= 24:
                difference = series[number][ours] - series[earlier][theirs]
                if float(np.sqrt(np.nanmean(difference**2))) < SAME:
                    earlier_of[number] = earlier
                    break
    return earlier_of


def shared_history(members: Sequence[StoredMember], chosen: Split) -> list[str]:
    """Held-out members whose global mean goes along with that of a member that was learned from, in words.

    Reanalyses and observations of the same years are one history, whatever their names: a network that has seen
    one of them has seen what happened in the other. Global means, less their lines over the common steps,
    correlate above ``SAME_HISTORY`` then; free-running models stay far below. What is held out by its date is not
    meant: its steps were learned from in no member.
    """
    learned = [(members[number], members[number].time[rows].stamps) for number, rows in chosen.train]
    held_dates: dict[int, list[IntArray]] = {}
    for number, rows in (*chosen.validation, *chosen.test):
        held_dates.setdefault(number, []).append(members[number].time[rows].stamps)
    caveats = []
    for number, parts in held_dates.items():
        held, dates = members[number], np.concatenate(parts)
        near = [
            (_along(held, other), other)
            for other, known in learned
            if other.key != held.key and np.isin(dates, known).any()
        ]
        most, other = max(near, key=lambda pair: pair[0], default=(0.0, held))
        if most > _same_history(held):
            caveats.append(
                f"{held.about['name']} was held out, but shares its history with {other.about['name']}, which was "
                f"learned from (their global means correlate with {most:.2f}): its scores are flattered."
            )
    return caveats


def one_history(members: Sequence[StoredMember]) -> bool:
    """Whether all members hold the same history as the first."""
    return all(_along(members[0], other) > _same_history(other) for other in members[1:])


def _same_history(member: StoredMember) -> float:
    """The correlation above which another member shares the history of ``member``."""
    return SAME_HISTORY_OF_YEARS if member.time.frequency == YEAR else SAME_HISTORY


def _along(first: StoredMember, second: StoredMember) -> float:
    """Correlation of two members' detrended global means over their common steps; 0 for a few steps."""
    time = first.time
    _, ours, theirs = np.intersect1d(time.stamps, second.time.stamps, return_indices=True)
    if len(ours) < fewest_of(time.frequency):
        return 0.0
    steps = np.arange(len(ours))
    series = []
    for member, rows in ((first, ours), (second, theirs)):
        mean = np.asarray(member.about["global_mean"])[rows]
        series.append(mean - np.polyval(np.polyfit(steps, mean, 1), steps))
    return float(np.corrcoef(series[0], series[1])[0, 1])


def fields_of(
    members: Sequence[StoredMember], chosen: Sequence[tuple[int, Rows]], grid: Grid, folder: Path
) -> TrainingFields:
    """The chosen members as one array; ``scored`` is None where no cell is missing.

    Parameters
    ----------
    folder:
        For a joined file, where the members are too large for memory.
    """
    parts = [(members[number], rows) for number, rows in chosen]
    values = assemble(parts, folder)
    times = [member.time[rows] for member, rows in parts]
    number = np.repeat(np.arange(len(parts)), [len(time) for time in times])
    gappy = any(member.about.get("missing", 0) for member, _ in parts)
    return TrainingFields(
        values=values,
        month=np.concatenate([time.month for time in times]),
        index=np.concatenate([time.index for time in times]),
        member=number,
        names=tuple(str(member.about["name"]) for member, _ in parts),
        grid=grid,
        scored=_finite(values, folder) if gappy else None,
        sets=tuple(str(member.about["set"]) for member, _ in parts),
        frequency=times[0].frequency,
        calendars=tuple(time.calendar for time in times),
    )


def _finite(values: NDArray[Any], folder: Path) -> NDArray[np.bool_]:
    """Where (N, H, W) ``values`` are known; on disk where they are."""
    if not isinstance(values, np.memmap):
        return np.asarray(np.isfinite(values))
    folder.mkdir(parents=True, exist_ok=True)
    finite: NDArray[np.bool_] = on_disk(folder, np.bool_, values.shape)
    for start in range(0, len(values), _AT_ONCE):
        finite[start : start + _AT_ONCE] = np.isfinite(values[start : start + _AT_ONCE])
    return finite


def with_auxiliary(
    fields: TrainingFields,
    members: Sequence[StoredMember],
    auxiliary: Sequence[Mapping[str, StoredMember]],
    chosen: Sequence[tuple[int, Rows]],
    folder: Path,
) -> TrainingFields:
    """``fields`` of the ``chosen`` of ``members`` with the auxiliary variables of the same months, NaN where absent.

    Parameters
    ----------
    auxiliary:
        Of each member, by name; none: ``fields`` as they are.
    """
    variables = {}
    for name in auxiliary[0] if auxiliary else ():
        parts = [(_aligned(auxiliary[number][name], members[number]), rows) for number, rows in chosen]
        variables[name] = assemble(parts, folder)
    return replace(fields, auxiliary=variables)


def _aligned(other: StoredMember, member: StoredMember) -> StoredMember:
    """``other`` in the months of ``member``; itself where they are the same."""
    ours_of, theirs_of = member.time.stamps, other.time.stamps
    if np.array_equal(theirs_of, ours_of):
        return other
    values = np.full((len(member.index), *other.values.shape[1:]), np.nan, np.float32)
    _, ours, theirs = np.intersect1d(ours_of, theirs_of, return_indices=True)
    values[ours] = other.values[theirs]
    return replace(other, key=f"{other.key}-{member.key}", values=values, index=member.index)
