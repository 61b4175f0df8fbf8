"""Parts that the commands share: options, what they print, as text or as JSON, and how they run a task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from climrecon import parameters as p
from climrecon.cli.progress import make_reporter
from climrecon.cli.streams import output_lost
from climrecon.errors import OutputError, UsageError
from climrecon.files import parse_json
from climrecon.redaction import redacted

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
    p.FOLDERS: "DIR,…",
    p.PERIOD: "PERIOD",
    p.PERIODS: "PERIOD,…",
    p.MONTH: "YYYY-MM",
    p.MONTHS: "YYYY-MM,…",
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


EPILOG = (
    "Exit codes: 0 done; 1 unexpected error; 2 wrong parameters; 3 nothing found, or more than one thing; "
    "4 input unusable; 5 network unusable; 6 result cannot be written, or no memory; 7 a program is missing; "
    "8 a batch job failed; 20 to 22 see 'climrecon watch --help'; 75 stopped, the same call continues; "
    "130 interrupted."
)
#: The return value of a command: its answer for programs, and the lines for people.
Printed = tuple[Any, Iterable[str]]
_JSON = "climrecon.json"
_EXPECTED = 'Give {"variable": "tas"}, or {"parameters": {…}, "run": {…}}.'


def json_option(text: str = "Print as JSON.") -> Callable[[F], F]:
    """The option ``--json``; a command that has it returns :data:`Printed`."""

    def note(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.meta[_JSON] = True

    return click.option("--json", is_flag=True, expose_value=False, callback=note, help=text)


def wants_json() -> bool:
    """Whether ``--json`` was given to this command or the group above it."""
    return bool(click.get_current_context().meta.get(_JSON))


def print_result(result: Printed | None, **_: Any) -> None:
    """Print what a command returned.

    Raises
    ------
    OutputError
        If standard output takes no more. A task or a watch has its results in a folder: a warning is enough there.
    """
    content, lines = result or (None, ())
    for line in [json.dumps(content, indent=1)] if result and wants_json() else lines:
        click.echo(redacted(line))
    if error := output_lost():
        if click.get_current_context().invoked_subcommand not in ("networks", "catalogue", "jobs", "releases", "settings",
                                                                  "schedule", "check", "benchmark"):  # fmt: skip
            click.echo(f"Standard output took no more: {error}. The results are not touched by that.", err=True)
            return
        raise OutputError(f"Standard output took no more: {error}.", "Print to a place with room for it.")


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that stand on the command line."""
    return {name: value for name, value in values.items() if value is not None}


def read_config(text: str | bytes, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and run information of a configuration: ``{"parameters": …, "run": …}`` or flat.

    Raises
    ------
    UsageError
        If it is no such JSON.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise UsageError(f"{name} is no valid JSON: {error}", _EXPECTED) from error
    if not isinstance(content, dict):
        raise UsageError(f"{name} holds a {type(content).__name__}; expected one JSON object of parameters.", _EXPECTED)
    parameters = content.get("parameters", content)
    run = content.get("run", {}) if "parameters" in content else {}
    if not isinstance(parameters, dict) or not isinstance(run, dict):
        raise UsageError(f"{name}: 'parameters' and 'run' must be JSON objects.", _EXPECTED)
    return parameters, run


def run_parameters(parameters: Mapping[str, Any], run: Mapping[str, Any]) -> Printed:
    """Run the task of ``parameters``; its manifest, and the lines at its end.

    ``run`` holds ``id``, ``user`` and ``host``, as far as they are known.
    """
    from climrecon.settings import load_site, validate
    from climrecon.tasks.run import run_task
    from climrecon.workflow.run_folder import own_folder
    from climrecon.workflow.run_info import run_info

    site = load_site()
    reporter = make_reporter()
    with own_folder(validate(parameters, site)) as chosen:
        outcome = run_task(chosen, site, reporter, run_info(run))
    reporter.close()
    return outcome.manifest, outcome.summary


def task_command(task: str, text: str) -> click.Command:
    """The command that runs ``task``, with the options of its parameters and ``text`` as its help."""

    @click.command(p.command_of(task).split()[-1], help=text, epilog=EPILOG)
    @parameter_options(p.of_task(task))
    @json_option("Print the manifest as JSON on standard output.")
    def command(**values: Any) -> Printed:
        return run_parameters({**given(values), "task": task}, {})

    return command
