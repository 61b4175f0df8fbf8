"""Commands of scheduled reruns: ``watch``, ``releases``, ``schedule``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from climrecon.cli.options import parameter_options
from climrecon.errors import ClimReconError, UsageError
from climrecon.parameters import RECONSTRUCT, of_task

EPILOG = (
    "Exit codes: 0 nothing to do, or a new release was run, checked and published; 20 waiting (files are still being "
    "copied, or another watcher is at work); 21 held (the newest result did not pass its checks, the release before "
    "it stays current); 22 stopped (a release was withdrawn, renamed, shortened or changed); else the code of what "
    "failed: 2 wrong parameters; 3 catalogue not reachable, or nothing found; 4 input unusable; 5 network unusable; "
    "6 result or state cannot be written; 7 a program is missing; 1 unexpected error; 130 interrupted."
)
F = TypeVar("F", bound=Callable[..., Any])
_OWN = ("once", "interval", "settle_seconds", "keep", "rebuild", "through", "freva", "as_json")


def _watch_options(function: F) -> F:
    """What ``watch`` and ``schedule install`` share, beside the parameters of a run."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    options = (
        click.option("--settle-seconds", type=float, metavar="S", help="A file nobody wrote to for so long is "
                     "whole at the first look; else the second look that finds it the same takes it.  "
                     "[default: the site's, 900]"),
        click.option("--keep", type=int, metavar="N", help="Published releases that stay; 0: all.  "
                     "[default: the site's, 0]"),
        click.option("--rebuild", type=folder, metavar="DIR", help="Write --catalogue anew over the files below DIR "
                     "whenever one came, went or changed: by itself a catalogue does not know of new files."),
        click.option("--through", type=click.Choice(["local", "freva"]), default="local", show_default=True,
                     help="Run here, or through Freva, so that the runs are in its history."),
        click.option("--freva", metavar="FILE", help="The program freva.  [default: the one on PATH]"),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.command(epilog=EPILOG)
@parameter_options(of_task(RECONSTRUCT))
@_watch_options
@click.option("--once", is_flag=True, help="Look once and end; this is what a scheduled line does.")
@click.option(
    "--interval", type=float, metavar="S", help="Seconds between looks.  [default: the site's, 3600]"
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the outcome of each look as one line of JSON on standard output.",
)
def watch(**values: Any) -> None:
    """Reconstruct every new release of the observations, check it and publish it in --output.

    --output gets one folder for each release in releases/, and a link, latest, to the newest that passed its
    checks. All other options are those of a run and stay the same from release to release.
    """
    from climrecon.cli.progress import reporter
    from climrecon.settings import load_site
    from climrecon.watch.watcher import look

    own, raw = _split(values)
    site = load_site()
    options = _options(own, site)
    while True:
        told = reporter()
        try:
            answer = look(raw, site, options, told)
            code, shown = answer.code, answer.as_dict()
        except ClimReconError as error:
            if own["once"] or error.exit_code in (2, 130):
                raise
            code, shown = error.exit_code, {"code": error.exit_code, "message": str(error)}
        finally:
            told.close()
        click.echo(json.dumps(shown) if own["as_json"] else shown["message"])
        if own["once"]:
            raise SystemExit(code)
        time.sleep(max(own["interval"] or site.file.watch.interval_seconds, 0.05))


def _split(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    own = {name: values.get(name) for name in _OWN}
    raw = {name: value for name, value in values.items() if name not in _OWN and value is not None}
    return own, raw


def _options(own: dict[str, Any], site: Any) -> Any:
    from pydantic import ValidationError

    from climrecon.settings.watch import Watch
    from climrecon.watch.watcher import FREVA, Options

    said = {name: own[name] for name in ("settle_seconds", "keep") if own[name] is not None}
    try:
        settings = Watch.model_validate({**site.file.watch.model_dump(), **said})
    except ValidationError as error:
        problems = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise UsageError(f"These options cannot be used: {problems}.") from error
    freva = ""
    if own["through"] == FREVA:
        from climrecon.watch.commands import find

        freva = own["freva"] or find("freva") or ""
        freva = str(Path(freva).absolute()) if "/" in freva else freva
    rebuild = own["rebuild"].absolute() if own["rebuild"] else None
    return Options(settings, rebuild, own["through"], freva)


@click.command(epilog=EPILOG)
@click.option("--output", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the releases.")  # fmt: skip
@click.option("--accept", metavar="NAME", help="Publish a release that is held, at the next look.")
@click.option("--confirm", is_flag=True, help="What stops the watch is right: the next look goes on.")
@click.option("--retry", is_flag=True, help="Try a failed run again at the next look.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def releases(output: Path, accept: str | None, confirm: bool, retry: bool, as_json: bool) -> None:
    """Show what was seen, run, checked and published; decide where a person has to."""
    from climrecon.watch.decisions import decide
    from climrecon.watch.listing import lines

    for line in decide(output, accept=accept, confirm=confirm, retry=retry):
        click.echo(line, err=as_json)
    for line in lines(output, as_json):
        click.echo(line)


@click.group()
def schedule() -> None:
    """Let cron, Slurm's scrontab or a systemd user timer call 'climrecon watch --once'."""


_KIND = click.Choice(["cron", "scrontab", "systemd"])
_NAME = click.option("--name", default="climrecon", show_default=True, help="Tells several schedules apart.")


@schedule.command("install")
@parameter_options(of_task(RECONSTRUCT))
@_watch_options
@click.option("--kind", type=_KIND, default="cron", show_default=True, help="What calls it.")
@click.option("--at", metavar="SPEC", help="When: five fields as in a crontab, or for systemd a calendar expression.  "
              "[default: 17 minutes past each hour]")  # fmt: skip
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where its lines go.  [default: watch.log in --output]",
)
@_NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
def schedule_install(
    kind: str, at: str | None, log: Path | None, name: str, yes: bool, **values: Any
) -> None:
    """Show the line, ask, and add it; lines of others stay as they are."""
    from climrecon.settings import load_site
    from climrecon.watch import schedule as scheduling
    from climrecon.watch.schedule.job import job_of
    from climrecon.watch.watcher import settings_of

    own, raw = _split(values)
    site = load_site()
    options = _options(own, site)
    if own["through"] == "freva" and not options.freva:
        raise UsageError(
            "The program freva is not found.", "Load its module, or give --freva /path/to/freva."
        )
    settings = settings_of(raw, site)
    assert settings.outputdir is not None  # settings_of refuses a watch without
    job = job_of(
        raw, {**own, "rebuild": options.rebuild, "freva": options.freva}, name, at, log, settings.outputdir
    )
    change = scheduling.installing(kind, job, site.batch_options)
    _apply(change, yes)


@schedule.command("show")
@click.option("--kind", type=_KIND, default="cron", show_default=True, help="What calls it.")
def schedule_show(kind: str) -> None:
    """Show the lines that were installed."""
    from climrecon.watch import schedule as scheduling

    shown = scheduling.installed(kind)
    click.echo(shown.rstrip("\n") if shown else f"No line of climrecon is in the {kind} table.")


@schedule.command("remove")
@click.option("--kind", type=_KIND, default="cron", show_default=True, help="What calls it.")
@_NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
def schedule_remove(kind: str, name: str, yes: bool) -> None:
    """Show the line, ask, and take it out; lines of others stay as they are."""
    from climrecon.watch import schedule as scheduling

    change = scheduling.removing(kind, name)
    if change is None:
        click.echo(f"No line of climrecon called {name} is in the {kind} table.")
        return
    _apply(change, yes)


def _apply(change: Any, yes: bool) -> None:
    click.echo(change.shown.rstrip("\n"))
    if not yes:
        click.confirm(change.question, abort=True, err=True)
    click.echo(change.apply())
