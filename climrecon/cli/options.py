"""Command-line options made from the table of parameters."""

from __future__ import annotations

from collections.abc import Callable
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
    p.PERIOD: "PERIOD",
    p.MONTH: "YYYY-MM",
}


def _option(parameter: p.Parameter) -> click.Option:
    names = [f"--{parameter.name.replace('_', '-')}"]
    if parameter.kind == p.FOLDER:
        names.insert(0, "--output")
    if parameter.name.replace("_", "-") != parameter.name:
        names.append(f"--{parameter.name}")  # as Freva spells it, so that a call can be carried over
    default = "" if parameter.default is None else f"  [default: {_shown(parameter.default)}]"
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


def _shown(default: p.Default) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def parameter_options(*names: str) -> Callable[[F], F]:
    """Decorate a command with the options of the named parameters, or of all that neither train nor evaluate."""
    chosen = [p.BY_NAME[name] for name in names] or [
        q
        for q in p.PARAMETERS
        if not (p.is_training(q) or p.is_evaluation(q)) and q.name not in ("task", "extra_scheduler_options")
    ]

    def decorate(function: F) -> F:
        # Click collects the options of a plain function from this attribute, last one first.
        collected = [*getattr(function, "__click_params__", []), *map(_option, reversed(chosen))]
        function.__dict__["__click_params__"] = collected
        return function

    return decorate
