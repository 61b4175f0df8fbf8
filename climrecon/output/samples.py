"""A held-out month as it is shown in figures."""

from __future__ import annotations

from dataclasses import dataclass

from climrecon.array_types import FloatArray


@dataclass(frozen=True)
class Sample:
    """One month that was never learned from.

    Attributes
    ----------
    member, month, gaps:
        Whose month; ``YYYY-MM``; the month of observations whose gaps it is seen through.
    truth, seen, mean:
        (H, W) K: the true field, NaN where it is not known; what was shown of it, with errors, NaN elsewhere; the
        estimate.
    rmse:
        Area-weighted, K, over the cells that were not seen.
    """

    member: str
    month: str
    gaps: str
    truth: FloatArray
    seen: FloatArray
    mean: FloatArray
    rmse: float
