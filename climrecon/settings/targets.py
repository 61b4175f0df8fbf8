"""What is explained: a place, a box, an index of the variable, or the mean of the grid, as users write it.

Without numpy: each call of ``climrecon check`` would wait for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from climrecon.variables import VARIABLES, Box, Index

#: Of the grid's own mean; on a regional grid it is the region's.
WHOLE = "global"
_HEMISPHERES = {"nh": (0.0, 90.0, -180.0, 180.0), "sh": (-90.0, 0.0, -180.0, 180.0)}
_NUMBERS = re.compile(r"[-+.\d\s,]+")
_NUMBER = re.compile(r"[-+]?\d{1,3}(\.\d{1,6})?")


@dataclass(frozen=True)
class Target:
    """Cells whose weighted sum is explained.

    Attributes
    ----------
    name:
        In titles: ``Nino 3.4``, ``global``, ``10S-10N, 170W-120W``, ``the cell at 17.5S, 149.5W``.
    index, box, place:
        One of these, or none: the mean of the grid. A place is latitude and longitude, degrees.
    """

    name: str
    index: Index | None = None
    box: Box | None = None
    place: tuple[float, float] | None = None

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Boxes to draw on maps."""
        boxes = self.index.boxes if self.index else tuple(filter(None, [self.box]))
        return tuple(box for box in boxes if box not in _HEMISPHERES.values())


def of_index(index: Index) -> Target:
    """The value of an index."""
    return Target(index.title, index=index)


def parse_target(text: str, variable: str) -> Target:
    """Read ``nino34``, ``global``, ``nh``, ``sh``, a box ``lat0,lat1,lon0,lon1`` or a place ``lat,lon``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    named = re.sub(r"[^a-z0-9]", "", text.lower())
    indices = {index.name.replace("_", ""): index for index in VARIABLES[variable].indices}
    if _NUMBERS.fullmatch(text) and "," in text:
        return _of_numbers(text)
    if named == WHOLE:
        return Target(WHOLE)
    if named in _HEMISPHERES:
        return Target(named.upper(), box=_HEMISPHERES[named])
    if named in indices:
        return of_index(indices[named])
    known = ", ".join([*(index.name for index in indices.values()), WHOLE, *_HEMISPHERES])
    raise ValueError(f"{text!r} is none of {known}, no box lat0,lat1,lon0,lon1, and no place lat,lon")


def _of_numbers(text: str) -> Target:
    words = [word.strip() for word in text.split(",")]
    if len(words) not in (2, 4) or not all(map(_NUMBER.fullmatch, words)):
        raise ValueError(f"{text!r} has neither two numbers, lat,lon, nor four, lat0,lat1,lon0,lon1")
    *lat, first, last = map(float, words)
    if len(words) == 2:
        lat, lon = [first], [last]
    else:
        lat, lon = lat, [first, last]
    if any(abs(one) > 90.0 for one in lat) or any(not -180.0 <= one <= 360.0 for one in lon):
        raise ValueError(f"{text!r}: latitudes lie within -90..90, longitudes within -180..360")
    if len(words) == 2:
        return Target(f"the cell at {_degrees(lat[0], 'N', 'S')}, {_degrees(_west_east(lon[0]), 'E', 'W')}",
                      place=(lat[0], lon[0]))  # fmt: skip
    if lat[0] >= lat[1] or lon[0] == lon[1] or lon[1] - lon[0] > 360.0:
        raise ValueError(f"{text!r}: lat0 is the southern end, lat1 the northern; lon0 the western, lon1 the eastern")
    whole_circle = lon[1] - lon[0] == 360.0
    west, east = (-180.0, 180.0) if whole_circle else (_west_east(lon[0]), _west_east(lon[1], east=True))
    ends = "-".join(_degrees(one, "N", "S") for one in lat)
    across = "all longitudes" if whole_circle else "-".join(_degrees(one, "E", "W") for one in (west, east))
    return Target(f"{ends}, {across}", box=(lat[0], lat[1], west, east))


def _west_east(lon: float, east: bool = False) -> float:
    """A longitude within -180..180; 180 itself as the western or eastern end of a box."""
    turned = (lon + 180.0) % 360.0 - 180.0
    return 180.0 if east and turned == -180.0 else turned


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):g}{positive if value > 0 else negative if value < 0 else ''}"
