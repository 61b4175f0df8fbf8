"""Acceptance checks: what a result must pass before it becomes the current one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray
from climrecon.fields import Months
from climrecon.output.product import OBSERVED
from climrecon.settings.watch import Checks
from climrecon.variables import VARIABLES
from climrecon.watch.changes import Changes

#: Months before and after its own that a network may look at.
REACH = 2
PASSED, FAILED, SKIPPED, NOT_COUNTED = "passed", "failed", "skipped", "failed, not counted"
#: Outcome of a check, and why.
Verdict = tuple[str, str]


@dataclass(frozen=True)
class Check:
    """One check: its name, its outcome, and what was found."""

    name: str
    outcome: str
    found: str


@dataclass(frozen=True)
class ExpectedResult:
    """What the checks compare a result with.

    Attributes
    ----------
    months:
        (T,) months of the input within the period asked for.
    why_not_kept:
        Why observed cells need not come back unchanged; "" if they must.
    same_method:
        Whether settings and network are those of the release before.
    lost_allowed:
        Whether a person confirmed that months of the release before may be missing.
    """

    months: NDArray[np.int64]
    why_not_kept: str
    same_method: bool
    lost_allowed: bool = False


def run_checks(changes: Changes, expected: ExpectedResult, limits: Checks) -> list[Check]:
    """All checks, each independent of the others."""
    limits = limits.of(VARIABLES[changes.new.variable].scale)
    verdicts = {
        "complete": _complete(changes, expected),
        "finite": _finite(changes),
        "observed_unchanged": _observed(changes, expected),
        "unchanged_input": _unchanged(changes, expected, limits),
        "global_mean": _global_mean(changes, limits),
        "new_months": _new_months(changes, limits),
        "uncertainty": _uncertainty(changes, expected, limits),
    }
    return [
        Check(name, NOT_COUNTED if outcome == FAILED and name in limits.skip else outcome, found)
        for name, (outcome, found) in verdicts.items()
    ]


def failures(checks: Sequence[Check]) -> list[str]:
    """Why a release is held; empty if it is not."""
    return [f"{check.name}: {check.found}" for check in checks if check.outcome == FAILED]


def from_state(content: Any) -> list[Check]:
    """Checks as the state holds them."""
    return [Check(**entry) for entry in content or []]


def _verdict(passed: Any, found: str) -> Verdict:
    return (PASSED if passed else FAILED), found


def _complete(changes: Changes, expected: ExpectedResult) -> Verdict:
    new = changes.new
    problems = [new.damaged] if new.damaged else []
    missing = np.setdiff1d(expected.months, new.months)
    if len(missing):
        problems.append(f"{len(missing)} months of the input are missing, {_first(missing)}")
    if len(changes.lost) and not expected.lost_allowed:
        problems.append(f"{len(changes.lost)} months of the release before are missing, {_first(changes.lost)}")
    if not np.all(np.diff(new.months) > 0):
        problems.append("months are not in order")
    return _verdict(not problems, "; ".join(problems) or f"{len(new.months)} months, as many as the input")


def _finite(changes: Changes) -> Verdict:
    new = changes.new
    parts = {"field": new.field, "analysis": new.analysis, "standard deviation": new.stddev}
    counts = {name: int((~np.isfinite(values)).sum()) for name, values in parts.items() if values is not None}
    problems = [f"{n} values of the {name} are missing or infinite" for name, n in counts.items() if n]
    return _verdict(not problems, "; ".join(problems) or "all values are finite")


def _observed(changes: Changes, expected: ExpectedResult) -> Verdict:
    new = changes.new
    if expected.why_not_kept or new.observed is None:
        return SKIPPED, expected.why_not_kept or "the input is not known"
    observed = np.isfinite(new.observed)
    flagged = int((observed != (new.status == OBSERVED)).sum())
    with np.errstate(invalid="ignore"):
        changed = np.abs(new.field.astype(np.float64) - new.observed) > 1e-4 * VARIABLES[new.variable].scale
    moved = int((changed & observed).sum())
    if moved or flagged:
        found = f"{moved} observed cells have another value than the input, {flagged} have a wrong status"
        return FAILED, found
    return PASSED, f"{int(observed.sum())} observed cells are as in the input"


def _unchanged(changes: Changes, expected: ExpectedResult, limits: Checks) -> Verdict:
    touched = changes.touched
    if touched is None or not len(changes.here):
        return SKIPPED, "there is no release to compare with"
    if not expected.same_method:
        return SKIPPED, "settings or network are others than those of the release before"
    still = ~touched & ~_near(changes.months, [changes.months[touched], changes.added, changes.lost])
    if not still.any():
        return SKIPPED, "the input changed in or near every month"
    square = changes.analysis_change[still].astype(np.float64) ** 2
    rms = np.sqrt((square * changes.new.area).sum((1, 2)))
    worst = int(np.argmax(np.nan_to_num(rms, nan=np.inf)))
    return _verdict(
        rms[worst] <= limits.unchanged_rms,
        f"in {int(still.sum())} months without a change of input near them the reconstruction changed by at most "
        f"{_in_words(changes, rms[worst], 2)} (RMS, {_first(changes.months[still][worst:][:1])}; allowed "
        f"{_in_words(changes, limits.unchanged_rms)})",
    )


def _near(months: NDArray[Any], changed: Sequence[NDArray[Any]]) -> BoolArray:
    """Which months lie so close to one that changed, came or went that a network may look at it."""
    steps = np.arange(-REACH, REACH + 1)
    return np.isin(months, np.concatenate([*changed])[:, None] + steps)


def _global_mean(changes: Changes, limits: Checks) -> Verdict:
    if not len(changes.here):
        return SKIPPED, "there is no release to compare with"
    size = np.nan_to_num(np.abs(changes.mean_change), nan=np.inf)
    worst = int(np.argmax(size))
    return _verdict(
        size[worst] <= limits.global_mean_jump,
        f"the area mean changed by at most {_in_words(changes, size[worst], 1)} "
        f"({_first(changes.months[worst:][:1])}; allowed {_in_words(changes, limits.global_mean_jump)})",
    )


def _new_months(changes: Changes, limits: Checks) -> Verdict:
    new = changes.new
    if changes.previous is None or not len(changes.added):
        return SKIPPED, "there is no new month, or no release to compare with"
    steps = np.nan_to_num(np.abs(np.diff(new.global_mean)), nan=np.inf)
    late = np.isin(new.months[1:], changes.added)
    if not late.any():
        return SKIPPED, "the new month is the first of all"
    largest = float(steps[late].max())
    return _verdict(
        largest <= limits.new_month_jump,
        f"from month to month the area mean of the {len(changes.added)} new months steps by at most "
        f"{_in_words(changes, largest, 0)} (allowed {_in_words(changes, limits.new_month_jump)})",
    )


def _uncertainty(changes: Changes, expected: ExpectedResult, limits: Checks) -> Verdict:
    new, previous = changes.new, changes.previous
    if new.stddev is None:
        return SKIPPED, "the method gives no standard deviation"
    low, high = float(np.nanmin(new.stddev)), float(np.nanmax(new.stddev))
    units = VARIABLES[new.variable].units
    problems = []
    if not low > 0.0:
        problems.append(f"the smallest standard deviation is {low:g} {units}; it must be above 0")
    if not high <= limits.largest_stddev:
        problems.append(
            f"the largest standard deviation is {high:.3g} {units} (allowed {_in_words(changes, limits.largest_stddev)})"
        )
    found = f"standard deviations from {low:.3g} to {high:.3g} {units}"
    if previous and previous.stddev is not None and expected.same_method and len(changes.here):
        ratio = float(np.nanmean(new.stddev[changes.here]) / np.nanmean(previous.stddev[changes.there]))
        found += f", on average {ratio:.3f} times that of the release before"
        if not 1.0 / limits.stddev_ratio <= ratio <= limits.stddev_ratio:
            problems.append(
                f"on average it is {ratio:.2f} times that of the release before (allowed "
                f"{1 / limits.stddev_ratio:.2f} to {limits.stddev_ratio:g})"
            )
    return _verdict(not problems, "; ".join(problems) or found)


def _in_words(changes: Changes, value: float, more: int | None = None) -> str:
    """``value`` with units, and so many decimals more than the variable's; None: as many as it has."""
    variable = VARIABLES[changes.new.variable]
    number = f"{value:g}" if more is None else f"{value:.{variable.decimals + more}f}"
    return f"{number} {variable.units}"


def _first(months: NDArray[Any]) -> str:
    """The first three months."""
    return ", ".join(Months(months[:3]).labels()) + (" …" if len(months) > 3 else "")
