"""Gaps that a producer has filled.

Cells that a file marks as filled may be seen, but are neither learned from nor scored. Products whose gaps are filled
are recognised by what the file states, or by the share of the area that is covered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import netCDF4
import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.datasets import DataSet, Stated, why_infilled
from climrecon.grid import Grid, coverage

#: Name of the flags where they stand by themselves: other than zero where a cell was filled.
FILLED = "was_missing"
#: Meanings of flags (CF 3.5) that say so.
_MEANS_FILLED = re.compile(r"missing|fill|interpolat|estimat|reconstruct|extrapolat", re.IGNORECASE)
_MEANS_KNOWN = re.compile(r"^(not?|non|un|never)[-_]?", re.IGNORECASE)

#: What to do about a product whose gaps are filled.
INSTEAD = (
    "Use the product with its real gaps, for HadCRUT5 the non-infilled 'anomalies' files; if its gaps are not filled, "
    "state allow_infilled=true."
)
#: A product with fewer gaps than this has been filled already, or has none to fill.
COMPLETE_COVERAGE = 0.97
#: A region that is missing in every month is a gap to fill if it has this share of the area (a country); at a pole, where
#: products with filled gaps end, this one.
REGION, POLAR_REGION = 0.001, 0.01
#: Months at the end that must be complete for a record that became complete.
_COMPLETE_MONTHS = 12
#: Most rows of a grid of five degrees: on coarser ones means cover more than the observations do.
_COARSE_ROWS = 36


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


def reason_against(
    mask: BoolArray, grid: Grid, stated: Stated, data_set: DataSet | None, *, anomaly: bool
) -> str | None:
    """Why gaps are known or likely to be filled; None if there are gaps to reconstruct.

    Parameters
    ----------
    mask:
        (T, H, W) True where there is a value.
    anomaly:
        Whether the values are anomalies, as those of observations are.

    Raises
    ------
    InputDataError
        If the file contradicts itself.
    """
    if reason := why_infilled(stated, data_set):
        return reason
    covered = coverage(mask, grid.area)
    if float(covered.mean()) > COMPLETE_COVERAGE:
        if _lacks_region(mask, grid):
            return None
        return f"{100 * covered.mean():.1f} % of its area is covered, so there is nothing to reconstruct"
    if data_set and data_set.most_covered < 1.0 and mask.shape[1] >= _COARSE_ROWS:
        dense = covered > data_set.most_covered
        if dense.sum() >= min(_COMPLETE_MONTHS, len(covered)):
            return (
                f"up to {100 * covered.max():.0f} % of the area is covered in a month; {data_set.name} with its real "
                f"gaps never covers more than {100 * data_set.most_covered:.0f} %"
            )
    # Blends of which there is no other product (GISTEMP's stations reach 1200 km) may become complete.
    if anomaly and (data_set is None or data_set.infilled or not data_set.blended):
        gappy = np.flatnonzero(covered <= COMPLETE_COVERAGE)
        complete = len(covered) - 1 - int(gappy[-1])
        if complete >= _COMPLETE_MONTHS and not _lacks_region(mask[-complete:], grid):
            return f"its last {complete} months are complete, as those of an infilled product are"
    return None


def _lacks_region(mask: BoolArray, grid: Grid) -> bool:
    """Whether a connected region is missing in every month."""
    from scipy.ndimage import label

    # Twice around the Earth, so that a region across the date line is one.
    times = 2 if grid.wraps else 1
    regions, count = label(np.tile(~mask.any(axis=0), times))
    shares = np.bincount(regions.ravel(), weights=np.tile(grid.area, times).ravel(), minlength=count + 1)
    poles = [row for row, pole in ((0, -90.0), (-1, 90.0)) if np.isclose(grid.lat_edges[row], pole)]
    polar = np.isin(np.arange(count + 1), regions[poles])
    return bool((shares[1:] >= np.where(polar, POLAR_REGION, REGION)[1:]).any())
