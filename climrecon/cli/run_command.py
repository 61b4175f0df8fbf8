"""Parts that the commands for tasks share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from climrecon.errors import UsageError
from climrecon.workflow.run_info import RunInfo, run_info


def make_reporter() -> Any:
    """The reporter that suits where messages go."""
    from climrecon.cli.progress import reporter

    return reporter()


def read_config(text: str, name: str) -> tuple[dict[str, Any], RunInfo]:
    """Parameters and run information of a configuration: ``{"parameters": …, "run": …}`` or flat."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{name} is no valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{name} holds a {type(content).__name__}; expected one JSON object of parameters.")
    parameters = content.get("parameters", content)
    given = content.get("run", {}) if "parameters" in content else {}
    if not isinstance(parameters, dict) or not isinstance(given, dict):
        raise UsageError(f"{name}: 'parameters' and 'run' must be JSON objects.")
    return parameters, run_info(given)


def run_parameters(parameters: Mapping[str, Any], run: RunInfo, as_json: bool) -> None:
    """Run the task of ``parameters``, and print its outcome."""
    from climrecon.settings import load_site, validate
    from climrecon.tasks.run import run_task

    site = load_site()
    chosen = validate(parameters, site)
    reporter = make_reporter()
    outcome = run_task(chosen, site, reporter, run)
    reporter.close()
    if as_json:
        click.echo(json.dumps(outcome.manifest, indent=1))
        return
    for line in outcome.summary:
        click.echo(line)
