"""Command-line options made from the table of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from climrecon import parameters as p

F = TypeVar("F", bound=Callable[..., Any])

_METAVAR = {
    p.FACET: "TEXT",
    p.TEXT: "TEXT",
    p.BOOL: "BOOL",
    p.INT: "N",
    p.FLOAT: "X",
    p.FILE: "FILE",
    p.FOLDER: "DIR",
    p.OUTPUT: "DIR",
    p.FILE_OR_URL: "FILE|URL",
    p.NAME_OR_PATH: "NAME|PATH",
    p.NAMES_OR_PATHS: "NAME|PATH,…",
    p.NAMED_FILES: "NAME=FILE,…",
    p.PERIOD: "PERIOD",
    p.MONTH: "YYYY-MM",
}


def _option(parameter: p.Parameter) -> click.Option:
    names = _spellings(parameter.name)
    if parameter.kind == p.OUTPUT:
        names.insert(0, "--output")
    default = "" if parameter.default is None else f"  [default: {p.shown(parameter.default)}]"
    # Values stay texts: what they may be is checked in climrecon.settings, with all problems at once.
    flag: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if parameter.kind == p.BOOL else {}
    return click.Option(
        [*names, parameter.name],
        type=str,
        default=None,
        metavar="|".join(parameter.choices) if parameter.choices else _METAVAR[parameter.kind],
        help=parameter.help + default,
        **flag,
    )


def _spellings(name: str) -> list[str]:
    """``--obs-file``, and ``--obs_file`` as Freva spells it, so that a call can be carried over."""
    return list(dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")))


def parameter_options(parameters: Iterable[p.Parameter]) -> Callable[[F], F]:
    """Decorate a command with the options of ``parameters``; their old names are hidden options."""
    chosen = list(parameters)
    options = [_option(parameter) for parameter in chosen]
    names = {parameter.name for parameter in chosen}
    options += [
        click.Option([*_spellings(old), old], type=str, hidden=True) for old, new in p.OLD_NAMES.items() if new in names
    ]

    def decorate(function: F) -> F:
        # Click collects the options of a plain function from this attribute, last one first.
        collected = [*getattr(function, "__click_params__", []), *reversed(options)]
        function.__dict__["__click_params__"] = collected
        return function

    return decorate
