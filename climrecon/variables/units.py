"""Units as files spell them, and conversions between them; the library of units is imported when it is first needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Spellings of temperatures that the library does not know, or takes for coulombs and farads.
_TEMPERATURE = re.compile(
    r"(?<!\w)(?:°|deg(?:ree)?s?)?[ _.]*(?:(c)(?:elsius|entigrade)?|(k)(?:elvins?)?|(f)(?:ahrenheit)?)(?![A-Za-z])",
    re.IGNORECASE,
)
#: CF writes powers without a sign: ``m-2``, ``s2``.
_POWER = re.compile(r"(?<=[A-Za-z])(?<!\d[eE])(?=[+-]?\d)")
#: ``0.01 degC``: numbers are values of a hundredth of a degree.
_MULTIPLE = re.compile(r"([+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*\*?\s*(?=[^\d\s])(.*)", re.IGNORECASE)
#: Density of water, kg m-3: a depth of precipitation is its mass on an area.
_WATER = 1000.0


@dataclass(frozen=True)
class Conversion:
    """From one unit to another: values are multiplied and shifted; differences (anomalies) are multiplied only."""

    factor: float = 1.0
    offset: float = 0.0

    def __call__(self, values: NDArray[np.floating[Any]], *, difference: bool) -> NDArray[np.floating[Any]]:
        """(...) converted values, in their own dtype."""
        number = values.dtype.type
        if self.factor != 1.0:
            values = values * number(self.factor)
        if self.offset and not difference:
            values = values + number(self.offset)
        return values

    def back(self, value: float) -> float:
        """The value that is converted to ``value``."""
        return (value - self.offset) / self.factor


@cache
def conversion(units: str, to: str) -> Conversion | None:
    """The conversion of values in ``units``, as a file spells them, to ``to``; None if they are other quantities.

    Precipitation may be a flux of mass or a depth of water in time.
    """
    text = _spelled(units)
    if text == _spelled(to):
        return Conversion()
    if not text:
        return None
    multiple, single = 1.0, text
    if match := _MULTIPLE.fullmatch(text):
        multiple, single = float(match[1]), match[2]
    quantity = _registry().Quantity
    try:
        offset = float(quantity(0.0, single).to(_spelled(to)).magnitude)
        factor = float(quantity(1.0, _difference(single)).to(_difference(_spelled(to))).magnitude)
    except Exception:  # of text that is no unit the parser raises whatever it meets
        return None
    return Conversion(multiple * factor, offset)


def _difference(units: str) -> str:
    """The library's unit of differences."""
    return f"delta_{units}" if units in ("degC", "degF") else units


def _spelled(units: str) -> str:
    """Units in the library's spelling."""
    text = " ".join(units.replace("º", "°").replace("℃", "°C").split())
    text = _TEMPERATURE.sub(lambda match: "K" if match[2] else f"deg{(match[1] or match[3]).upper()}", text)
    return _POWER.sub("**", text)


@cache
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry()
    registry.define("mb = millibar")
    registry.define("@alias month = mon")
    water: Any = pint.Context()
    density = _WATER * registry.kilogram / registry.meter**3
    water.add_transformation("[length] / [time]", "[mass] / [length]**2 / [time]", lambda _, depth: depth * density)
    registry.enable_contexts(water)
    return registry
