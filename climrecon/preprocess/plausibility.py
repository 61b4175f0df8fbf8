"""Plausibility of what files state: the spread of anomalies, the errors of cells, the members of an ensemble.

Single values are checked where they are read (:func:`climrecon.preprocess.values.check_values`). Here whole fields are
compared with bounds of the variable's description, and members with the observations. A value that might be right is a
warning; one that cannot be is refused.
"""

from __future__ import annotations

import numpy as np

from climrecon.array_types import BoolArray, FloatArray
from climrecon.errors import InputDataError
from climrecon.fields import Observations
from climrecon.preprocess.chunks import some
from climrecon.variables import Variable

#: Months, evenly over the record, whose spread is worked out.
_MONTHS = 120
#: Fewest cells of a month for a spread.
_FEWEST_CELLS = 30
#: A median error below this share of the smallest spread on Earth is doubted.
_SMALLEST_ERROR = 0.01
#: A member differs from the observations by less than this share of their variance.
_MOST_OF_VARIANCE = 0.5


def doubtful_spread(values: FloatArray, mask: BoolArray, description: Variable, variable: str) -> str:
    """A warning if anomalies vary more or less than the variable does on Earth; "" if they do not.

    Parameters
    ----------
    values, mask:
        (T, H, W) anomalies in the variable's units, and where they are observed.
    variable:
        Name of the variable in its file.
    """
    low, high = description.anomaly_spread
    spread = _median_spread(values, mask)
    if spread is None or low <= spread <= high:
        return ""
    units, multiple = description.units, 0.1 if spread > high else 10.0
    what = "anomalies" if description.kind == "anomaly" else "values"
    return (
        f"the {what} have a standard deviation of {spread:.2g} {units} over the cells of a month (median); "
        f"{description.label} has {low:g} to {high:g} {units}. If the values are in other units, state these in the "
        f"file, e.g. with ncatted -a units,{variable},o,c,'{multiple:g} {units}'"
    )


def _median_spread(values: FloatArray, mask: BoolArray) -> float | None:
    """Median over months of the standard deviation over cells; None where all months have few cells."""
    chosen = np.unique(np.linspace(0, len(values) - 1, _MONTHS).astype(int))
    spreads = [np.std(values[t][mask[t]]) for t in chosen if mask[t].sum() >= _FEWEST_CELLS]
    return float(np.median(spreads)) if spreads else None


def check_errors(errors: FloatArray, like: Observations, description: Variable, name: str) -> str:
    """A warning if the one-sigma errors (T, H, W) of the file ``name`` are doubtful at the observed cells, else "".

    Raises
    ------
    InputDataError
        If an error is larger than any anomaly, or the median larger than the variable's spread on Earth.
    """
    stated = errors[like.mask & (errors > 0)]
    units, (smallest, largest) = description.units, description.anomaly_spread
    middle, most = float(np.median(stated)), float(stated.max())
    in_words = f"{name} states errors of {middle:.2g} {units} (median), at most {most:.4g} {units}"
    if most > description.largest_anomaly or middle > largest:
        raise InputDataError(
            f"{in_words}; {largest:g} {units} is expected as a median and {description.largest_anomaly:g} {units} as the "
            "largest error, at most.",
            f"State the file's units in its attribute units, e.g. '0.01 {units}', or leave the file out.",
        )
    spread = _median_spread(like.values, like.mask)
    if middle < _SMALLEST_ERROR * smallest or (spread is not None and middle > spread):
        varies = "" if spread is None else f"; the observations vary by {spread:.2g} {units} over the cells of a month"
        return f"{in_words}{varies}. Check the file's units"
    return ""


def check_member(values: FloatArray, like: Observations, description: Variable) -> tuple[str, str]:
    """Why a member (T, H, W) cannot be one of the ensemble of ``like``, "" if it can; and a warning on single months.

    Members of an ensemble share the weather of the observations. A member that is off by kelvins, constant, or of other
    months does not.
    """
    both = np.isfinite(values) & like.mask
    cells = np.maximum(both.sum(axis=(1, 2)), 1)
    observed = np.where(both, like.values, 0.0)
    off = np.where(both, values, 0.0) - observed
    departure = np.einsum("thw,thw->t", off, off) / cells
    variance = np.einsum("thw,thw->t", observed, observed) / cells - (observed.sum(axis=(1, 2)) / cells) ** 2
    counted = both.sum(axis=(1, 2)) >= _FEWEST_CELLS
    if not counted.any():
        return "", ""
    least, units = description.anomaly_spread[0], description.units
    weights = cells[counted]
    typical, varied = (float(np.sqrt(np.average(one[counted], weights=weights))) for one in (departure, variance))
    if typical > max(_MOST_OF_VARIANCE**0.5 * varied, least):
        return (
            f"differs from the observations by {typical:.2g} {units} (root mean square), while these vary by "
            f"{varied:.2g} {units} over the cells of a month",
            "",
        )
    bad = np.flatnonzero(counted & (departure > np.maximum(variance, least**2)))
    if not len(bad):
        return "", ""
    labels = some(like.time[bad].labels())
    return "", f"differs from the observations by more than these vary in {len(bad)} {like.time.plural}: {labels}"
