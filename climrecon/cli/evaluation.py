"""The command that evaluates networks on known fields."""

from __future__ import annotations

from typing import Any

import click

from climrecon.cli.options import parameter_options
from climrecon.cli.run_command import run_parameters
from climrecon.parameters import EVALUATE, of_task
from climrecon.workflow.run_info import run_info


@click.command()
@parameter_options(of_task(EVALUATE))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON on standard output.")
def evaluate(as_json: bool, **values: Any) -> None:
    """Score networks and baselines on complete fields, masked with the gaps of observations; see docs/how-to/evaluate.md.

    \b
    Complete real months:    climrecon evaluate --truth-file FIELDS.nc --compare-with kriging,oi,pca --output scores
    A model that was left out of a training:  climrecon evaluate --network NAME --training-data cmip5 --output scores
    An evaluation that was stopped goes on when the same command is given again.
    """  # noqa: D301 - \b keeps click from wrapping
    given = {name: value for name, value in values.items() if value is not None}
    run_parameters({**given, "task": EVALUATE}, run_info(), as_json)
