"""What training months reached, for the card's training range."""

from __future__ import annotations

import numpy as np

from climrecon.methods.training_range import TrainingRange
from climrecon.training.fields import TrainingFields

#: Values of a cell and calendar month below which it has no range.
FEWEST = 20


def reached_by(fields: TrainingFields) -> TrainingRange:
    """Lowest and highest value and standard deviation of each cell and calendar month, of all months together.

    Read calendar month by calendar month, so that an archive of many members needs a twelfth of its size.
    """
    shape = (12, *fields.grid.shape)
    lowest, highest, sd = (np.full(shape, np.nan) for _ in range(3))
    month = np.asarray(fields.month)
    for number in range(12):
        values = fields.known(np.flatnonzero(month == number + 1))
        enough = np.isfinite(values).sum(axis=0) >= FEWEST
        if enough.any():
            own = values[:, enough]
            lowest[number, enough], highest[number, enough] = np.nanmin(own, axis=0), np.nanmax(own, axis=0)
            sd[number, enough] = np.nanstd(own, axis=0, ddof=1)
    return TrainingRange(lowest, highest, sd)
