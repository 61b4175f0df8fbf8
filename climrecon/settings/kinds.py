"""The type of each kind of parameter, with the reading of texts as users and the host write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from climrecon.netcdf.names import address_in
from climrecon.settings.periods import Period as Months
from climrecon.settings.periods import parse_month, parse_period, parse_periods

TRUE, FALSE = {"true", "t", "yes", "y", "on", "1"}, {"false", "f", "no", "n", "off", "0"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FACET = re.compile(r"^[\w .:,/*+()\-]{1,200}$")


def _text(value: Any) -> str:
    text = str(value).strip()
    if _CONTROL.search(text):
        raise ValueError("holds a line break or another control character")
    if len(text) > 4096:
        raise ValueError("is longer than 4096 characters")
    return text


def _facet(value: Any) -> str:
    text = _text(value)
    if not _FACET.match(text):
        raise ValueError(f"{text!r} is no facet value; letters, digits and . : , / * + ( ) - _ are allowed")
    return text


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in TRUE | FALSE:
        return text in TRUE
    raise ValueError(f"{value!r} is neither true nor false")


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no number")  # noqa: TRY004 - pydantic collects ValueErrors only
    if str(value).strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise ValueError(f"{value!r} is no finite number")
    return value


def read_period(value: Any) -> Months:
    """A period from a text, or from the list that the host makes of it.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, list | tuple):
        value = "-".join(str(part) for part in (*value[:1], *value[-1:]))
    return parse_period(str(value))


def _periods(value: Any) -> tuple[Months, ...]:
    return value if isinstance(value, tuple) else parse_periods(_text(value))


def _month(value: Any) -> str:
    index = parse_month(str(value))
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def _months(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, tuple) else _text(value).split(",")
    found = tuple(dict.fromkeys(_month(part) for part in parts if part.strip()))
    if not found:
        raise ValueError("names no month; months like 1877-09 are separated by commas")
    return found


class Address(type(Path())):  # type: ignore[misc]
    """An address in the place of a path; a path would lose one of its two slashes."""

    def __str__(self) -> str:
        return address_in(super().__str__()) or super().__str__()


def _path(value: Any) -> Path:
    text = _text(value)
    return Address(text) if address_in(text) else Path(text.removeprefix("file://")).expanduser()


Facet = Annotated[str, BeforeValidator(_facet)]
Text = Annotated[str, BeforeValidator(_text)]
Bool = Annotated[bool, BeforeValidator(_bool)]
Int = Annotated[int, BeforeValidator(_number)]
Float = Annotated[float, BeforeValidator(_number)]
File = Annotated[Path, BeforeValidator(_path)]
Period = Annotated[Months, BeforeValidator(read_period)]
Periods = Annotated[tuple[Months, ...], BeforeValidator(_periods)]
Month = Annotated[str, BeforeValidator(_month)]
MonthList = Annotated[tuple[str, ...], BeforeValidator(_months)]
#: Beside the ``Literal`` of a choice.
LOWER_CASE = BeforeValidator(lambda value: str(value).strip().lower())
