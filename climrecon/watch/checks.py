"""Acceptance checks: what a result must pass before it becomes the current one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from climrecon.output.product import OBSERVED
from climrecon.settings.watch import Checks
from climrecon.watch.changes import Changes

#: Months before and after its own that a network may look at.
REACH = 2
PASSED, FAILED, SKIPPED, TOLD = "passed", "failed", "skipped", "failed, not counted"


@dataclass(frozen=True)
class Check:
    """One check: its name, how it ended, and what was found."""

    name: str
    outcome: str
    found: str

    def as_dict(self) -> dict[str, str]:
        """For the state and ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class ExpectedResult:
    """What the checks compare a result with.

    Attributes
    ----------
    months:
        (T,) months of the input within the period asked for.
    kept:
        Whether observed cells must come back unchanged; else why not is in ``why``.
    same_method:
        Whether settings and network are those of the release before.
    lost_allowed:
        Whether a person confirmed that months of the release before may be missing.
    """

    months: NDArray[np.int64]
    kept: bool
    why: str
    same_method: bool
    lost_allowed: bool = False


def run_checks(changes: Changes, asked: ExpectedResult, limits: Checks) -> list[Check]:
    """All checks, each independent of the others."""
    checks: dict[str, Callable[[], tuple[str, str]]] = {
        "complete": lambda: _complete(changes, asked),
        "finite": lambda: _finite(changes),
        "observed_unchanged": lambda: _observed(changes, asked),
        "unchanged_input": lambda: _unchanged(changes, asked, limits),
        "global_mean": lambda: _global_mean(changes, limits),
        "new_months": lambda: _new_months(changes, limits),
        "uncertainty": lambda: _uncertainty(changes, asked, limits),
    }
    done = []
    for name, check in checks.items():
        outcome, found = check()
        done.append(Check(name, TOLD if outcome == FAILED and name in limits.skip else outcome, found))
    return done


def failures(checks: list[Check]) -> list[str]:
    """Why a release is held, in words; empty if it is not."""
    return [f"{check.name}: {check.found}" for check in checks if check.outcome == FAILED]


def _verdict(good: bool) -> str:
    return PASSED if good else FAILED


def _complete(changes: Changes, asked: ExpectedResult) -> tuple[str, str]:
    new = changes.new
    problems = [new.damaged] if new.damaged else []
    missing = np.setdiff1d(asked.months, new.months)
    if len(missing):
        problems.append(f"{len(missing)} months of the input are missing, {_months(missing)}")
    if len(changes.lost) and not asked.lost_allowed:
        problems.append(
            f"{len(changes.lost)} months of the release before are missing, {_months(changes.lost)}"
        )
    if not np.all(np.diff(new.months) > 0):
        problems.append("months are not in order")
    return _verdict(not problems), "; ".join(problems) or f"{len(new.months)} months, as many as the input"


def _finite(changes: Changes) -> tuple[str, str]:
    new = changes.new
    parts = {"field": new.field, "analysis": new.analysis, "standard deviation": new.stddev}
    bad = {
        name: int((~np.isfinite(values)).sum())
        for name, values in parts.items()
        if values is not None and not np.isfinite(values).all()
    }
    told = "; ".join(f"{count} values of the {name} are missing or infinite" for name, count in bad.items())
    return _verdict(not bad), told or "all values are finite"


def _observed(changes: Changes, asked: ExpectedResult) -> tuple[str, str]:
    new = changes.new
    if not asked.kept or new.observed is None:
        return SKIPPED, asked.why or "the input is not known"
    seen = np.isfinite(new.observed)
    flagged = int((seen != (new.status == OBSERVED)).sum())
    with np.errstate(invalid="ignore"):
        off = np.abs(new.field.astype(np.float64) - new.observed) > 1e-4
    moved = int((off & seen).sum())
    if moved or flagged:
        return (
            FAILED,
            f"{moved} observed cells have another value than the input, {flagged} have a wrong status",
        )
    return PASSED, f"{int(seen.sum())} observed cells are as in the input"


def _unchanged(changes: Changes, asked: ExpectedResult, limits: Checks) -> tuple[str, str]:
    touched = changes.touched
    if touched is None or not len(changes.here):
        return SKIPPED, "there is no release to compare with"
    if not asked.same_method:
        return SKIPPED, "settings or network are others than those of the release before"
    still = ~touched & ~_near(changes.months, [changes.months[touched], changes.added, changes.lost])
    if not still.any():
        return SKIPPED, "the input changed in or near every month"
    square = changes.analysis_change[still].astype(np.float64) ** 2
    rms = np.sqrt((square * changes.new.area).sum((1, 2)))
    worst = int(np.argmax(np.nan_to_num(rms, nan=np.inf)))
    month = changes.months[still][worst]
    told = (
        f"in {int(still.sum())} months without a change of input near them the reconstruction changed by at most "
        f"{rms[worst]:.4f} K (RMS, {_months(np.array([month]))}; allowed {limits.unchanged_rms:g} K)"
    )
    return _verdict(bool(rms[worst] <= limits.unchanged_rms)), told


def _near(months: NDArray[Any], changed: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """Which months lie so close to one that changed, came or went that a network may look at it."""
    spots = np.unique(np.concatenate([*changed]))
    reached = np.unique(np.concatenate([spots + step for step in range(-REACH, REACH + 1)]))
    return np.isin(months, reached)


def _global_mean(changes: Changes, limits: Checks) -> tuple[str, str]:
    if not len(changes.here):
        return SKIPPED, "there is no release to compare with"
    size = np.nan_to_num(np.abs(changes.mean_change), nan=np.inf)
    worst = int(np.argmax(size))
    month = _months(changes.months[worst : worst + 1])
    told = f"the global mean changed by at most {size[worst]:.3f} K ({month}; allowed {limits.global_mean_jump:g} K)"
    return _verdict(bool(size[worst] <= limits.global_mean_jump)), told


def _new_months(changes: Changes, limits: Checks) -> tuple[str, str]:
    new = changes.new
    if changes.previous is None or not len(changes.added):
        return SKIPPED, "there is no new month, or no release to compare with"
    steps = np.nan_to_num(np.abs(np.diff(new.global_mean)), nan=np.inf)
    late = np.isin(new.months[1:], changes.added)
    if not late.any():
        return SKIPPED, "the new month is the first of all"
    largest = float(steps[late].max())
    told = (
        f"from month to month the global mean of the {len(changes.added)} new months steps by at most "
        f"{largest:.2f} K (allowed {limits.new_month_jump:g} K)"
    )
    return _verdict(largest <= limits.new_month_jump), told


def _uncertainty(changes: Changes, asked: ExpectedResult, limits: Checks) -> tuple[str, str]:
    new, previous = changes.new, changes.previous
    if new.stddev is None:
        return SKIPPED, "the method gives no standard deviation"
    low, high = float(np.nanmin(new.stddev)), float(np.nanmax(new.stddev))
    problems = []
    if not low > 0.0:
        problems.append(f"the smallest standard deviation is {low:g} K; it must be above 0")
    if not high <= limits.largest_stddev:
        problems.append(
            f"the largest standard deviation is {high:.3g} K (allowed {limits.largest_stddev:g} K)"
        )
    told = f"standard deviations from {low:.3g} to {high:.3g} K"
    if previous is not None and previous.stddev is not None and asked.same_method and len(changes.here):
        ratio = float(np.nanmean(new.stddev[changes.here]) / np.nanmean(previous.stddev[changes.there]))
        told += f", on average {ratio:.3f} times that of the release before"
        if not 1.0 / limits.stddev_ratio <= ratio <= limits.stddev_ratio:
            problems.append(
                f"on average it is {ratio:.2f} times that of the release before (allowed "
                f"{1 / limits.stddev_ratio:.2f} to {limits.stddev_ratio:g})"
            )
    return _verdict(not problems), "; ".join(problems) or told


def _months(months: NDArray[Any]) -> str:
    labels = [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in months.tolist()]
    return ", ".join(labels[:3]) + (" …" if len(labels) > 3 else "")


def failed_to_read(reason: str) -> list[Check]:
    """The outcome where a result cannot even be read."""
    return [Check("complete", FAILED, reason)]


def of_state(content: Any) -> list[Check]:
    """Checks as the state holds them."""
    return [Check(**entry) for entry in content or []]
