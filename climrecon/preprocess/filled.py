"""Cells that a producer filled, as files mark them: they may be seen, but are neither learned from nor scored."""

from __future__ import annotations

import re
from dataclasses import dataclass

import netCDF4
import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray

#: Name of the flags where they stand by themselves: other than zero where a cell was filled.
FILLED = "was_missing"
#: Meanings of flags (CF 3.5) that say so.
_MEANS_FILLED = re.compile(r"missing|fill|interpolat|estimat|reconstruct|extrapolat", re.IGNORECASE)
_MEANS_KNOWN = re.compile(r"^(not?|non|un|never)[-_]?", re.IGNORECASE)


@dataclass(frozen=True)
class Flags:
    """The variable that marks filled cells, and the values that say so; none: whatever is not zero."""

    name: str
    values: tuple[int, ...] = ()

    @property
    def expression(self) -> str:
        """For cdo's ``expr``: 1 where a cell was filled, else 0; the result has the flags' name."""
        tests = "||".join(f"({self.name}=={value})" for value in self.values) or f"({self.name}!=0)"
        return f"{self.name}=({tests})"

    def filled(self, values: FloatArray | IntArray) -> BoolArray:
        """Which cells were filled; a missing flag marks none."""
        known = np.isfinite(values)
        found = np.isin(values, self.values) if self.values else values != 0
        return np.asarray(known & found)


def flags_of(file: netCDF4.Dataset, variable: netCDF4.Variable) -> Flags | None:
    """The flags of ``variable``: among its ``ancillary_variables`` those with a meaning that says filled, else by name.

    Flags without ``flag_meanings`` are those called ``was_missing`` alone: others (quality, number of stations) may mark
    anything.
    """
    ancillary = str(getattr(variable, "ancillary_variables", "")).split()
    for name in dict.fromkeys([*ancillary, FILLED]):
        flags = file.variables.get(name)
        if flags is None or flags.dimensions != variable.dimensions:
            continue
        meanings = str(getattr(flags, "flag_meanings", "")).split()
        numbers = np.atleast_1d(getattr(flags, "flag_values", ())).tolist()
        chosen = tuple(
            int(number)
            for number, meaning in zip(numbers, meanings, strict=False)
            if _MEANS_FILLED.search(meaning) and not _MEANS_KNOWN.match(meaning)
        )
        if chosen:
            return Flags(name, chosen)
        if name == FILLED and not meanings:
            return Flags(name)
    return None
