"""Which numbers of a file are missing: fill values, the valid range, flags; and values unpacked from stored numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import BoolArray, FloatArray
from climrecon.errors import InputDataError
from climrecon.memory import blocks_of
from climrecon.variables import Variable

#: Values beyond this, and these, are fill values, whether a file declares them or not.
_BEYOND = 9.9e19
_FILLS = (-9999.0, -999.0, 9999.0, -99999.0)
#: One implausible value that stands in more cells than both of these (a share of those with a value) is a flag.
_FLAG_SHARE, _FLAG_CELLS = 1e-3, 20
#: A valid range that masks more than this share of the plausible values is read in the wrong units.
_LOST = 0.05
_BETWEEN_NUMBERS = re.compile(r"[\s,;]+")
_ANYTHING = (-np.inf, np.inf)


class Tally(Counter[str]):
    """Cells that were masked, by the reason in words; missing values that a file declares are not among them."""

    #: Cells that were read.
    cells = 0

    def note(self, used: float) -> list[str]:
        """``48.8 % of cells used; 3.1 % masked by valid_range`` for the ``used`` share; none where nothing is masked."""
        masked = [f"{100 * count / self.cells:.1f} % masked {reason}" for reason, count in self.items()]
        return ["; ".join([f"{100 * used:.1f} % of cells used", *masked])] if masked else []

    def add(self, other: Tally) -> None:
        """Add the cells of another file."""
        self.update(other)
        self.cells += other.cells


@dataclass
class Packing:
    """How values are made of a variable's stored numbers (CF, section 8.1), and which of them are missing.

    The netCDF library is not asked: it applies a valid range to stored numbers, whatever units the range is in, and
    neither counts what it masks nor reads attributes of another type.

    Attributes
    ----------
    scale, offset:
        None where the variable has none.
    fills, value_fills:
        Stored numbers, and values, that are missing.
    limits, range_name:
        The valid range, and the attribute that states it, "" for none.
    range_of_values:
        Whether the range is one of values, not of stored numbers.
    notes:
        Attributes that are not as CF has them, and what was decided.
    masked:
        Values so far that the range masked.
    """

    variable: netCDF4.Variable
    scale: Any
    offset: Any
    fills: tuple[Any, ...]
    value_fills: tuple[float, ...]
    limits: tuple[float, float]
    range_name: str
    range_of_values: bool
    notes: list[str]
    masked: int = 0

    @classmethod
    def of(cls, variable: netCDF4.Variable) -> Packing:
        """The packing of a variable.

        Raises
        ------
        InputDataError
            If its scale or offset is no number.
        """
        attributes, notes = variable.__dict__, []
        stated = {}
        for name in (one for one in _ATTRIBUTES if one in attributes):
            numbers = _numbers(attributes[name])
            if isinstance(attributes[name], str | list):
                used = "is not used" if numbers is None else "is read as a number"
                notes.append(f"{name} of {variable.name} is text ({attributes[name]!r}) and {used}")
            if numbers is not None:
                stated[name] = numbers
            if name in ("scale_factor", "add_offset") and (numbers is None or numbers.size != 1):
                raise InputDataError(
                    f"{name} of {variable.name} is {attributes[name]!r}; a number is expected.",
                    f"Correct it, e.g. with ncatted -a {name},{variable.name},o,f,0.01.",
                )
        scale, offset = (stated[name][0] if name in stated else None for name in ("scale_factor", "add_offset"))
        dtype = _stored_dtype(variable)
        fills, value_fills = _fills(stated, dtype)
        if "_FillValue" not in stated and dtype.itemsize > 1 and dtype.str[1:] in netCDF4.default_fillvals:
            fills.append(dtype.type(netCDF4.default_fillvals[dtype.str[1:]]))
        limits, range_name = _limits(stated)
        packed = scale is not None or offset is not None
        # A range of the type of the values refers to them (netCDF User's Guide, Attribute Conventions).
        floating = any(stated[name].dtype.kind == "f" for name in range_name.split(" and ") if name)
        of_values = packed and dtype.kind in "iu" and floating
        once = tuple(dict.fromkeys(fills)), tuple(dict.fromkeys(value_fills))
        return cls(variable, scale, offset, *once, limits, range_name, of_values, notes)

    @property
    def packed(self) -> bool:
        """Whether stored numbers are not the values."""
        return self.scale is not None or self.offset is not None

    @property
    def dtype(self) -> str:
        """``float32`` or ``float64``: what the values are."""
        factors = [factor.dtype for factor in (self.scale, self.offset) if factor is not None]
        kind = np.result_type(*factors) if factors else self.variable.dtype
        return "float64" if kind == np.float64 else "float32"

    def stored(self, chosen: Any) -> NDArray[Any]:
        """The stored numbers of a part of the variable."""
        self.variable.set_auto_maskandscale(False)
        try:
            stored = np.asarray(self.variable[chosen])
        finally:
            self.variable.set_auto_maskandscale(True)
        return stored.view(_stored_dtype(self.variable)) if _is_unsigned(self.variable) else stored

    def values(self, stored: NDArray[Any], tally: Tally | None = None) -> FloatArray:
        """Values of stored numbers, NaN where missing; ``tally`` counts what the file does not declare as missing."""
        values = self._unpacked(stored)
        missing = self._declared(stored, values)
        tally = Tally() if tally is None else tally
        if self.range_name:
            outside = _outside(values if self.range_of_values else stored, self.limits) & ~missing
            self.masked += int(outside.sum())
            tally[f"by {self.range_name}"] += int(outside.sum())
            missing |= outside
        np.copyto(values, np.nan, where=missing)
        return _undeclared(values, tally)

    def choose_range(self, parts: Iterable[Any], plausible: tuple[float, float]) -> None:
        """Decide whether the range of packed values is one of stored numbers or of values.

        The type of the attribute decides (netCDF User's Guide), unless that reading loses more than :data:`_LOST` of the
        plausible values which the other keeps, or keeps implausible ones which the other masks at no loss.

        Parameters
        ----------
        parts:
            Indices of all parts of the variable that are read.
        plausible:
            Bounds of plausible values.
        """
        if not (self.packed and self.range_name):
            return
        total, kept, implausible = 0, Counter[bool](), Counter[bool]()
        for chosen in parts:
            stored = self.stored(chosen)
            values = self._unpacked(stored)
            known = ~self._declared(stored, values) & np.isfinite(values)
            sound = known & ~_outside(values, plausible)
            total += int(sound.sum())
            for of_values, numbers in ((False, stored), (True, values)):
                inside = ~_outside(numbers, self.limits)
                kept[of_values] += int((inside & sound).sum())
                implausible[of_values] += int((inside & known & ~sound).sum())
        by_type, other = self.range_of_values, not self.range_of_values
        loses = kept[other] - kept[by_type] > _LOST * total
        admits = kept[other] == kept[by_type] and implausible[other] < implausible[by_type]
        if loses or admits:
            self.range_of_values = other
        if kept[True] != kept[False] or implausible[True] != implausible[False]:
            taken, not_taken = ("values", "packed numbers") if self.range_of_values else ("packed numbers", "values")
            lost = 100.0 * (1.0 - kept[not self.range_of_values] / max(total, 1))
            self.notes.append(
                f"{self.range_name} of {self.variable.name} ({self.limits[0]:g} to {self.limits[1]:g}) is taken as a "
                f"range of {taken}; as one of {not_taken} it would mask {lost:.1f} % of the plausible values"
            )

    def check(self, values: FloatArray) -> None:
        """Refuse a valid range that has left no value.

        Raises
        ------
        InputDataError
            If ``values``, all of them as read, are missing and the range masked some.
        """
        if self.masked and not np.isfinite(values).any():
            (low, high), name, attribute = self.limits, self.variable.name, self.range_name.split()[0]
            raise InputDataError(
                f"{self.range_name} of {name}, {low:g} to {high:g}, masks every one of its values.",
                f"Correct the attribute, or remove it: ncatted -a {attribute},{name},d,, FILE.",
            )

    def _unpacked(self, stored: NDArray[Any]) -> FloatArray:
        if self.scale is not None and self.offset is not None:
            if self.offset == 0.0 and self.scale == 1.0:
                return stored.astype(self.scale.dtype)
            return np.asarray(stored * self.scale + self.offset)
        if self.scale is not None and self.scale != 1.0:
            return np.asarray(stored * self.scale)
        if self.offset is not None and self.offset != 0.0:
            return np.asarray(stored + self.offset)
        return stored.astype(stored.dtype if stored.dtype.kind == "f" else np.float64, copy=False)

    def _declared(self, stored: NDArray[Any], values: FloatArray) -> BoolArray:
        found = [stored == fill for fill in self.fills] + [values == fill for fill in self.value_fills]
        return np.logical_or.reduce(found) if len(found) > 1 else found[0] if found else np.zeros(stored.shape, bool)


#: Attributes that state a valid range.
RANGES = ("valid_range", "valid_min", "valid_max")
_ATTRIBUTES = ("scale_factor", "add_offset", "_FillValue", "missing_value", *RANGES)


def _numbers(stated: Any) -> NDArray[Any] | None:
    """An attribute's numbers, also of text; None if there are none."""
    if isinstance(stated, str | list):
        text = " ".join([stated] if isinstance(stated, str) else map(str, stated)).strip(" []()")
        try:
            return np.array([float(word.rstrip("fFdDsSlLbB")) for word in _BETWEEN_NUMBERS.split(text)])
        except ValueError:
            return None
    return np.atleast_1d(stated)


def _is_unsigned(variable: netCDF4.Variable) -> bool:
    return str(getattr(variable, "_Unsigned", "")).lower() == "true" and variable.dtype.kind == "i"


def _stored_dtype(variable: netCDF4.Variable) -> np.dtype[Any]:
    return np.dtype(f"u{variable.dtype.itemsize}") if _is_unsigned(variable) else np.dtype(variable.dtype)


def _fills(stated: dict[str, NDArray[Any]], dtype: np.dtype[Any]) -> tuple[list[Any], list[float]]:
    """Stored numbers and values that the attributes declare as missing: what no stored number can be is a value."""
    stored: list[Any] = []
    values: list[float] = []
    for name in ("_FillValue", "missing_value"):
        for number in stated.get(name, ()):
            if np.isnan(number):
                continue
            if number.dtype.kind == "i" and dtype.kind == "u" and number.dtype.itemsize == dtype.itemsize:
                number = number.view(dtype)
            with np.errstate(over="ignore", invalid="ignore"):
                cast = number.astype(dtype)
            if dtype.kind == "f" or cast == number:
                stored.append(cast)
            else:
                values.append(float(number))
    return stored, values


def _limits(stated: dict[str, NDArray[Any]]) -> tuple[tuple[float, float], str]:
    """The valid range, open where it is not stated, and the attributes that state it."""
    both = stated.get("valid_range")
    if both is not None and len(both) == 2:
        return (float(both[0]), float(both[1])), "valid_range"
    ends = [stated.get(name) for name in ("valid_min", "valid_max")]
    names = [name for name, end in zip(("valid_min", "valid_max"), ends, strict=True) if end is not None]
    low, high = (bound if end is None else float(end[0]) for end, bound in zip(ends, _ANYTHING, strict=True))
    return (low, high), " and ".join(names)


def _outside(numbers: NDArray[Any], limits: tuple[float, float]) -> BoolArray:
    """Which numbers lie outside; bounds are rounded as the numbers are."""
    if numbers.dtype.kind == "f":
        low, high = (numbers.dtype.type(bound) for bound in limits)
        return np.asarray((numbers < low) | (numbers > high))
    return np.asarray((numbers < limits[0]) | (numbers > limits[1]))


def _reach_within(values: FloatArray, limits: tuple[float, float]) -> bool:
    """Whether all known values lie between ``limits``; most files need no more than these two numbers of them."""
    for part in blocks_of(values):
        low = np.fmin.reduce(values[part], axis=None, initial=np.inf)
        high = np.fmax.reduce(values[part], axis=None, initial=-np.inf)
        if not (limits[0] < low and high < limits[1]):
            return False
    return True


def _undeclared(values: FloatArray, tally: Tally) -> FloatArray:
    """Values in place, with NaN for fill values that files do not declare."""
    least = min(map(abs, _FILLS))
    if _reach_within(values, (-least, least)):
        return values
    sizes = np.abs(values)
    for fill in _FILLS:
        found = values == fill
        if found.any():
            tally[f"as {fill:g}, which the file does not declare as missing"] += int(found.sum())
            values[found] = np.nan
    beyond = (sizes >= _BEYOND) & np.isfinite(sizes)
    if beyond.any():
        tally["as too large to be a value"] += int(beyond.sum())
        values[beyond] = np.nan
    return values


def read_part(variable: netCDF4.Variable, chosen: Any = slice(None)) -> FloatArray:
    """Values of a part of a variable, NaN where missing by any convention."""
    packing = Packing.of(variable)
    return packing.values(packing.stored(chosen))


def flags_in(values: FloatArray, limits: tuple[float, float], description: Variable) -> dict[float, str]:
    """Values that are flags, and what they stand for: those of the variable's description, and implausible constants.

    A number outside ``limits`` that stands in many cells was not measured there.
    """
    if _reach_within(values, limits):
        return {}
    bad = _outside(values, limits)
    if not bad.any():
        return {}
    known_cells = int(np.isfinite(values).sum())
    if bad.sum() >= known_cells:  # no flags: all values are in other units
        return {}
    numbers, counts = np.unique(values[bad], return_counts=True)
    frequent = counts >= max(_FLAG_CELLS, _FLAG_SHARE * known_cells)
    known = {flag.value: flag.meaning for flag in description.flags}
    return {
        float(number): known.get(float(number), f"no {description.quantity}, and one number in many cells")
        for number, often in zip(numbers, frequent, strict=True)
        if np.isfinite(number) and (often or float(number) in known)
    }


def without_flags(values: FloatArray, limits: tuple[float, float], description: Variable, tally: Tally) -> FloatArray:
    """Values in place, with NaN where :func:`flags_in` finds flags."""
    for number, meaning in flags_in(values, limits, description).items():
        found = values == number
        tally[f"as {number:g} ({meaning})"] += int(found.sum())
        values[found] = np.nan
    return values
