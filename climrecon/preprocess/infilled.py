"""Products whose gaps the producer has filled: by what the file states, or by the share of the area that is covered."""

from __future__ import annotations

import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.datasets import DataSet, Stated, why_infilled
from climrecon.grid import Grid, coverage

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
        if _lacks_region(mask, grid.area):
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
        if complete >= _COMPLETE_MONTHS and not _lacks_region(mask[-complete:], grid.area):
            return f"its last {complete} months are complete, as those of an infilled product are"
    return None


def _lacks_region(mask: BoolArray, area: FloatArray) -> bool:
    """Whether a connected region is missing in every month."""
    from scipy.ndimage import label

    # Twice around the Earth, so that a region across the date line is one.
    regions, count = label(np.tile(~mask.any(axis=0), 2))
    shares = np.bincount(regions.ravel(), weights=np.tile(area, 2).ravel(), minlength=count + 1)
    polar = np.isin(np.arange(count + 1), regions[[0, -1]])
    return bool((shares[1:] >= np.where(polar, POLAR_REGION, REGION)[1:]).any())
