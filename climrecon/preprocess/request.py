"""What is wanted of files of observations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from climrecon.errors import UsageError

_BOUND = re.compile(r"(?P<year>\d{4})(?:-?(?P<month>0[1-9]|1[0-2]))?")


@dataclass(frozen=True)
class PrepareRequest:
    """What is wanted of files.

    Attributes
    ----------
    variable:
        CMOR name.
    values:
        ``auto``, ``anomaly`` or ``absolute``.
    period:
        First and last month wanted, as ``1850-01`` or ``year * 12 + month - 1``; None is open.
    reference_period:
        First and last year of the climatology taken off absolute values.
    facets:
        From the catalogue; may be empty.
    allow_complete:
        Read fields without gaps too (for evaluation).
    """

    variable: str = "tas"
    values: str = "auto"
    period: tuple[int | str | None, int | str | None] = (None, None)
    reference_period: tuple[int, int] = (1961, 1990)
    facets: dict[str, str] = field(default_factory=dict)
    allow_complete: bool = False

    @property
    def months(self) -> tuple[int | None, int | None]:
        """The period as month numbers.

        Raises
        ------
        UsageError
            If a bound is not a month or a year.
        """
        return _month(self.period[0], 1), _month(self.period[1], 12)


def _month(bound: int | str | None, default: int) -> int | None:
    if bound is None or isinstance(bound, int):
        return bound
    match = _BOUND.fullmatch(bound.strip())
    if match is None:
        raise UsageError(f"{bound!r} is not a month.", "Write it as 1850-01, 185001 or 1850.")
    return int(match["year"]) * 12 + int(match["month"] or default) - 1
