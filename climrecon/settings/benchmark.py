"""Benchmark sets as users ask for them: periods of gaps by name, and which parameters go together.

Without numpy: each call of ``climrecon check`` would wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from climrecon import parameters as p
from climrecon.errors import InputDataError
from climrecon.files import FOLDER, why_unreadable
from climrecon.settings._fields import Fields
from climrecon.settings.periods import Period, parse_period

#: Parameters that make a set; one that is there has them already.
_OF_A_NEW_SET = ("masks", "gaps", "period", "seed")


@dataclass(frozen=True)
class Stretch:
    """Years whose gaps are taken, and the name of their cases."""

    name: str
    period: Period

    @classmethod
    def of(cls, text: str) -> Stretch:
        """Read ``sparse=1851-1880``.

        Raises
        ------
        ValueError
            If it is no such text.
        """
        name, _, years = text.strip().partition("=")
        if not (name.isascii() and name.replace("_", "").isalnum() and len(name) <= 40):
            raise ValueError(f"{text.strip()!r}: {name!r} is no name; names have letters, digits and underscores")
        return cls(name, whole_years(years))


def stretches(text: str | None) -> list[Stretch]:
    """Read ``sparse=1851-1880,dense=1951-1980``; none for an empty text.

    Raises
    ------
    ValueError
        If a part is none, or two have one name.
    """
    found = [Stretch.of(part) for part in (text or "").split(",") if part.strip()]
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"the name {twice[0]!r} is given twice; give each period of gaps a name of its own")
    return found


def whole_years(text: str) -> Period:
    """Read a period with both ends.

    Raises
    ------
    ValueError
        If it is none.
    """
    period = parse_period(text)
    period.years  # noqa: B018 - raises for an open period
    return period


def problems(values: Mapping[str, Any], given: frozenset[str]) -> list[str]:
    """Problems of a benchmark, and of its parameters with another task.

    Parameters
    ----------
    values:
        All parameters, as they were given or with their defaults.
    given:
        Names of those that are not empty.
    """
    task = str(values["task"]).strip().lower()
    changed = {name for name in given if str(values[name]) != str(p.BY_NAME[name].default)}
    if task != p.BENCHMARK:
        own = (one.name for one in p.PARAMETERS if one.tasks == (p.BENCHMARK,) and one.default is None)
        return [f"{name}: belongs to task=benchmark; task={task} takes none" for name in own if name in given]
    found = [
        f"{one.name}: task=benchmark takes none; a benchmark set is of monthly anomalies of tas on 5 degrees"
        for one in p.PARAMETERS
        if one.name in changed and one.tasks and task not in one.tasks
    ]
    for name, read in (("gaps", stretches), ("period", whole_years)):
        try:
            if name in given:
                read(str(values[name]))
        except ValueError as error:
            found.append(
                f"{name}: {error}; whole years are needed, e.g. {'sparse=' if name == 'gaps' else ''}1851-1880"
            )
    if str(values["realisations"]).strip() == "1":
        found.append("realisations: a single one has no spread; give 0 for none, or two and more, e.g. 20")
    if "leaderboard" in given and not str(values["leaderboard"]).strip().lower().endswith((".html", ".htm")):
        found.append(f"leaderboard: {str(values['leaderboard'])!r} is no page; give it a name that ends in .html")
    if "truth_file" in given and "training_data" in given:
        found.append("truth_file: training_data is given too; name one truth")
    if "benchmark" in given:
        found += [
            f"{name}: belongs to a set that is exported; the set in benchmark has its own"
            for name in _OF_A_NEW_SET
            if name in changed
        ]
        if not names_in(values["methods"]) and "submissions" not in given:
            found.append("methods: there is nothing to score; name methods or submissions")
    elif "key" in given:
        found.append("key: belongs to a set with a hidden seed; name its folder with benchmark")
    return found


def names_in(text: Any) -> list[str]:
    """Names in a text, separated by commas, each once; ``none`` is none."""
    names = [name.strip() for name in str(text or "").split(",")]
    return [name for name in dict.fromkeys(names) if name and name.lower() != "none"]


def check_folders(settings: Fields) -> None:
    """Refuse submissions and sets that are no folders.

    Raises
    ------
    InputDataError
        With all of them.
    """
    named = [("submissions", path) for path in paths_in(settings.submissions)]
    named += [("benchmark", settings.benchmark)] if settings.benchmark else []
    reasons = [(name, path, why_unreadable(path)) for name, path in named]
    if lost := [f"{name}: {path}: {why or 'it is a file'}" for name, path, why in reasons if why != FOLDER]:
        raise InputDataError(f"{'; '.join(lost)}.", "Name folders; several submissions are separated by commas.")


def paths_in(text: str | None) -> list[Path]:
    """Paths in a text, separated by commas."""
    return [Path(part.strip()).expanduser() for part in (text or "").split(",") if part.strip()]
