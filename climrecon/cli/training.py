"""The commands for training and for the store of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from climrecon.cli.options import parameter_options
from climrecon.cli.run_command import run_parameters
from climrecon.parameters import TRAIN, of_task
from climrecon.workflow.run_info import run_info


@click.command()
@parameter_options(of_task(TRAIN))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON on standard output.")
def train(as_json: bool, **values: Any) -> None:
    """Train a network on model or reanalysis fields, masked with the gaps of observations; see docs/how-to/train.md.

    \b
    Members are prepared once, in --cachedir; a training that was stopped goes on when the same command
    is given again. The network is stored under --network-name and used with --network NAME.
    """  # noqa: D301 - \b keeps click from wrapping
    given = {name: value for name, value in values.items() if value is not None}
    run_parameters({**given, "task": TRAIN}, run_info(), as_json)


class _Networks(click.Group):
    """``climrecon networks NAME`` is short for ``climrecon networks show NAME``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Networks, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def networks(context: click.Context, as_json: bool) -> None:
    """List the networks and baselines that can fill gaps; show, add or remove one.

    'climrecon networks NAME' shows the card of one.
    """
    if context.invoked_subcommand is None:
        _say(None, as_json)
    else:
        context.obj = as_json


@networks.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def show(context: click.Context, name: str, as_json: bool) -> None:
    """Show the card of a network: data, members, scores."""
    _say(name, as_json or bool(context.obj))


@networks.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="Name in the store.  [default: the card's]")
def add(folder: Path, name: str | None) -> None:
    """Copy a network (a folder with network.safetensors and card.json) into the store."""
    from climrecon.methods.store import load_network
    from climrecon.settings import load_site
    from climrecon.settings.run import check_name
    from climrecon.tasks.network_store import add_network

    chosen = name or load_network(str(folder)).card.name
    check_name(chosen)
    stored = add_network(folder, chosen, load_site())
    click.echo(f"Stored in {stored}; use it with network={chosen}.")


@networks.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove a trained network from the store. Shipped ones stay."""
    from climrecon.settings import load_site
    from climrecon.tasks.network_store import remove_network

    if not yes:
        click.confirm(f"Remove the network {name} for good?", abort=True)
    click.echo(f"Removed {remove_network(name, load_site())}.")


def _say(name: str | None, as_json: bool) -> None:
    from climrecon.cli.listing import network_lines

    for line in network_lines(name, as_json):
        click.echo(line)
