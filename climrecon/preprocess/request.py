"""The request for observations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from climrecon.frequency import MONTH, Frequency


@dataclass(frozen=True)
class PrepareRequest:
    """Variable, kind of values and period that files of observations are read for.

    Attributes
    ----------
    variable:
        CMOR name.
    frequency:
        Of the fields: months, or other steps of time.
    values:
        ``auto``, ``anomaly`` or ``absolute``.
    period:
        First and last month, ``year * 12 + month - 1``; None is open.
    reference_period:
        First and last year of the climatology taken off absolute values.
    facets:
        From the catalogue; may be empty.
    obs_variable:
        Name of the variable in the file; "" where its names and attributes decide.
    data_set:
        The data set as the user names it; "" where the file decides.
    grid:
        The regular grid that files are remapped to, see :mod:`climrecon.preprocess.remapping`; "": their own.
    as_written:
        With ``grid``: values on the cells of the file, as they are there, and not remapped.
    domain:
        ``auto``, ``everywhere``, ``sea`` or ``land``: see :func:`climrecon.geography.with_domain`.
    allow_infilled:
        Read products whose gaps are filled too.
    allow_complete:
        Read fields without gaps too (for evaluation).
    scratch:
        Folder for arrays that are too large for the memory; None: they stay in memory.
    """

    variable: str = "tas"
    frequency: Frequency = MONTH
    values: str = "auto"
    period: tuple[int | None, int | None] = (None, None)
    reference_period: tuple[int, int] = (1961, 1990)
    facets: dict[str, str] = field(default_factory=dict)
    obs_variable: str = ""
    data_set: str = ""
    grid: str = ""
    as_written: bool = False
    domain: str = "auto"
    allow_infilled: bool = False
    allow_complete: bool = False
    scratch: Path | None = None
