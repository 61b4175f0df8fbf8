"""The commands for the store of networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from climrecon.cli.run_command import Printed, json_option
from climrecon.frequency import frequency_of


class _Networks(click.Group):
    """``climrecon networks NAME`` is short for ``climrecon networks show NAME``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Networks, invoke_without_command=True)
@json_option()
@click.pass_context
def networks(context: click.Context) -> Printed | None:
    """List, show, add and remove networks.

    'climrecon networks NAME' shows one. The list holds all methods that can fill gaps: networks, baselines and the
    methods of other packages.
    """
    if context.invoked_subcommand is not None:
        return None
    from climrecon.methods.registry import registered
    from climrecon.methods.store import list_networks
    from climrecon.settings import load_site
    from climrecon.tasks.network_store import store_places

    cards, methods = list_networks(store_places(load_site())), registered()
    titles = {method.name: method.describe() for method in methods.values()}

    def lines() -> Iterator[str]:
        yield "Networks:"
        for card, path in cards:
            yield f"  {card.name:<14} {card.title} ({card.variable})"
            yield f"  {'':<14} {path}"
        for heading, foreign in (("Baselines:", False), ("Methods of other packages:", True)):
            rows = [f"  {n:<14} {t}" for n, t in titles.items() if bool(methods[n].package) == foreign]
            yield from [heading, *rows] if rows else []
        yield "'climrecon networks NAME' shows the card of a network with its scores."

    content = [{"name": card.name, "title": card.title, "path": str(path)} for card, path in cards]
    return content + [{"name": n, "title": t, "path": None} for n, t in titles.items()], lines()


@networks.command()
@click.argument("name")
@json_option()
def show(name: str) -> Printed:
    """Show the card of a network: data, members, scores."""
    from climrecon.methods.registry import registered
    from climrecon.methods.store import find_network, load_network, stored_network
    from climrecon.settings import load_site
    from climrecon.tasks.network_store import store_places

    store, method = store_places(load_site()), registered().get(name)
    if method is not None and not (method.package and stored_network(method.name, store)):
        return {"name": method.name, "title": method.title}, [f"{method.name}: {method.title}"]
    find_network(name, store)
    card = load_network(name, store=store).card.model_dump(mode="json")
    return card, _card_lines(card)


def _card_lines(card: Mapping[str, Any]) -> Iterator[str]:
    yield f"{card['name']}: {card['title']}"
    yield (
        f"  variable {card['variable']}, {frequency_of(card).adjective} means, {card['units']}, weights sha256 "
        f"{card['weights_sha256'][:16]}…"
    )
    training = card["training"]
    for key in ("data", "held_out", "masks", "noise", "start", "hardware"):
        if training.get(key):
            yield f"  {key}: {training[key]}"
    scores = card["scores"]
    if scores:
        from climrecon.output.card import scored_on

        count, steps = scored_on(card).split()
        yield f"  scores on {count} held-out {steps}, noise seeds {scores['seeds']}:"
        columns = ("rmse", "crps", "covers_90", "annual_mean_bias", "annual_mean_r_detrended",
                   "annual_mean_trend_ratio")  # fmt: skip
        wide = 2 + max(len(name) for methods in scores["cases"].values() for name in methods)
        heads = "".join(f"{c.replace('annual_mean', 'annual'):>19}" for c in columns)
        yield f"    {'case':<16}{'method':<{wide}}{heads}"
        for case, methods in scores["cases"].items():
            for method, row in methods.items():
                shown = "".join(f"{row[c]:>19.3f}" if row.get(c) is not None else f"{'-':>19}" for c in columns)
                yield f"    {case:<16}{method:<{wide}}{shown}"
        for method, answer in scores.get("response", {}).items():
            yield f"  response of {method} to +1 {card['units']}: " + ", ".join(
                f"{m} {v:.3f}" for m, v in answer.items() if v is not None
            )
    for caveat in card["caveats"]:
        yield f"  note: {caveat}"


@networks.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="Name in the store.  [default: the card's]")
def add(folder: Path, name: str | None) -> None:
    """Copy a network (a folder with network.safetensors and card.json) into the store."""
    from climrecon.methods.store import load_network
    from climrecon.settings import load_site
    from climrecon.settings.combinations import check_name
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
