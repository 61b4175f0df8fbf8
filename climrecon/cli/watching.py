"""Commands of scheduled reruns: ``watch``, ``releases``, ``schedule``."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from climrecon.cli.progress import make_reporter
from climrecon.cli.run_command import F, Printed, given, json_option, parameter_options, wants_json
from climrecon.errors import UsageError, explained
from climrecon.interruption import end_if_stopped
from climrecon.parameters import RECONSTRUCT, of_task
from climrecon.redaction import redacted


class _Seconds(click.FloatRange):
    """Seconds up to a year; ``nan`` is a float without being in any range."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


SECONDS = _Seconds(0.0, 366 * 86400.0)
EPILOG = (
    "Exit codes: 0 nothing to do, or a new release was run, checked and published; 20 waiting (files are still being "
    "copied, or another watcher is at work); 21 held (the newest result did not pass its checks, the release before "
    "it stays current); 22 stopped (a release was withdrawn, renamed, shortened or changed); else the code of what "
    "failed: 2 wrong parameters; 3 catalogue not reachable, or nothing found; 4 input unusable; 5 network unusable; "
    "6 result or state cannot be written; 7 a program is missing; 1 unexpected error; 130 interrupted."
)
_WATCH_OPTIONS = ("once", "interval", "settle_seconds", "keep", "rebuild", "through", "freva", "on_event")
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_NAME = click.option("--name", default="climrecon", show_default=True, help="Distinguishes several schedules.")
_KIND = click.option("--kind", type=click.Choice(["cron", "scrontab", "systemd"]), default="cron", show_default=True,
                     help="The program that calls the watch.")  # fmt: skip


def _decorated(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_watch_options = _decorated(
    parameter_options(of_task(RECONSTRUCT)),
    click.option("--settle-seconds", type=SECONDS, metavar="S", help="A file that nobody wrote to for S seconds counts "
                 "as complete; a younger one does so when a second look finds it unchanged.  [default: the site's, 900]"),
    click.option("--keep", type=int, metavar="N", help="Published releases that stay; 0: all.  "
                 "[default: the site's, 0]"),
    click.option("--rebuild", type=_FOLDER, metavar="DIR", help="Write --catalogue anew over the files below DIR "
                 "whenever one came, went or changed."),
    click.option("--through", type=click.Choice(["local", "freva"]), default="local", show_default=True,
                 help="Run here, or through Freva, so that the runs are in its history."),
    click.option("--freva", metavar="FILE", help="The program freva.  [default: the one on PATH]"),
    click.option("--on-event", multiple=True, metavar="COMMAND", help="Run COMMAND (no shell) when a release is "
                 "published or held, the watch stops, or a run fails: the event is JSON on its standard input. May be "
                 "given several times.  [default: the site's]"),
)  # fmt: skip
_schedule_options = _decorated(
    _watch_options,
    _KIND,
    click.option("--at", metavar="SPEC", help="When: five fields as in a crontab, or for systemd a calendar expression."
                 "  [default: 17 minutes past each hour]"),
    click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="File for its output.  "
                 "[default: watch.log in --output]"),
    _NAME,
)  # fmt: skip


@click.command(epilog=EPILOG)
@_watch_options
@click.option("--once", is_flag=True, help="Look once and end, as a scheduled line does.")
@click.option("--interval", type=SECONDS, metavar="S", help="Seconds between looks.  [default: the site's, 3600]")
@json_option("Print JSON, one line for each look.")
def watch(**values: Any) -> None:
    """Reconstruct and publish each new release.

    A release of the observations that appears is reconstructed, checked and published.

    The folder --output gets one folder for each release in releases/, and a link, latest, to the newest that
    passed its checks. All other options are those of a run and stay the same from release to release.
    """
    from climrecon.settings import load_site
    from climrecon.watch.watcher import look

    chosen, raw = _split(values)
    site = load_site()
    options = _options(chosen, site)
    while True:
        progress = make_reporter()
        try:
            answer = look(raw, site, options, progress).as_dict()
        except Exception as error:
            known = explained(error)
            if known is None or chosen["once"] or isinstance(known, UsageError):
                raise
            answer = {"code": known.exit_code, "message": str(known)}
        finally:
            progress.close()
        click.echo(json.dumps(answer) if wants_json() else answer["message"])
        end_if_stopped()
        if chosen["once"]:
            raise SystemExit(answer["code"])
        time.sleep(max(chosen["interval"] or site.file.watch.interval_seconds, 0.05))


def _split(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a watch, and the parameters of a run that were given."""
    chosen = {name: values.get(name) for name in _WATCH_OPTIONS}
    return chosen, {name: value for name, value in given(values).items() if name not in chosen}


def _options(chosen: dict[str, Any], site: Any) -> Any:
    from pydantic import ValidationError

    from climrecon.settings.watch import Watch
    from climrecon.watch.commands import find
    from climrecon.watch.context import FREVA, Options

    given = {name: chosen[name] for name in ("settle_seconds", "keep") if chosen[name] is not None}
    if chosen["on_event"]:
        given |= {"on_event": list(chosen["on_event"]), "notify": [], "mail_to": ""}
    try:
        settings = Watch.model_validate({**site.file.watch.model_dump(), **given})
    except ValidationError as error:
        problems = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise UsageError(f"These options cannot be used: {problems}.", "See 'climrecon watch --help'.") from error
    freva = (chosen["freva"] or find("freva") or "") if chosen["through"] == FREVA else ""
    freva = str(Path(freva).absolute()) if "/" in freva else freva
    rebuild = chosen["rebuild"].absolute() if chosen["rebuild"] else None
    return Options(settings, rebuild, chosen["through"], freva)


@click.command(epilog=EPILOG)
@click.option("--output", required=True, type=_FOLDER, help="Folder of the releases.")
@click.option("--accept", metavar="NAME", help="Publish a release that is held, at the next look.")
@click.option("--confirm", is_flag=True, help="The event that stops the watch is intended: the next look goes on.")
@click.option("--retry", is_flag=True, help="Try a failed run again at the next look.")
@json_option()
def releases(output: Path, accept: str | None, confirm: bool, retry: bool) -> Printed:
    """List the releases of a watch; accept, confirm, retry.

    Each release stands with its stage: found, run, checked, published.
    """
    from climrecon.watch.releases import content_of, decide, lines

    for line in decide(output, accept=accept, confirm=confirm, retry=retry):
        click.echo(line, err=wants_json())
    content = content_of(output)
    return content, lines(output, content)


@click.group()
def schedule() -> None:
    """Schedule a watch with cron, Slurm or systemd.

    The user's crontab, Slurm's scrontab or a systemd user timer calls 'climrecon watch --once'.
    """


@schedule.command("install")
@_schedule_options
@_YES
def schedule_install(kind: str, yes: bool, **values: Any) -> None:
    """Show a line or units, ask, and install them.

    Lines of others in the same table stay as they are.
    """
    from climrecon.watch.schedule import back_end

    job, batch_options = _job(**values)
    _apply(back_end(kind).installing(kind, job, batch_options), yes)


@schedule.command("print")
@_schedule_options
def schedule_print(kind: str, **values: Any) -> None:
    """Print a line or units without installing them.

    For a table that someone else keeps.
    """
    from climrecon.watch.schedule import back_end

    job, batch_options = _job(**values)
    click.echo(redacted(back_end(kind).printed(kind, job, batch_options).rstrip("\n")))


def _job(at: str | None, log: Path | None, name: str, **values: Any) -> tuple[Any, str]:
    """The scheduled call, and the site's batch options."""
    from climrecon.settings import load_site
    from climrecon.watch.schedule.job import job_of
    from climrecon.watch.watcher import settings_of

    chosen, raw = _split(values)
    site = load_site()
    options = _options(chosen, site)
    if chosen["through"] == "freva" and not options.freva:
        raise UsageError("The program freva is not found.", "Load its module, or give --freva /path/to/freva.")
    chosen |= {"rebuild": options.rebuild, "freva": options.freva}
    output = Path(settings_of(raw, site).outputdir or "")
    return job_of(raw, chosen, name, at, log, output), site.batch_options


@schedule.command("show")
@_KIND
def schedule_show(kind: str) -> None:
    """Show the lines or units that were installed."""
    from climrecon.watch.schedule import back_end

    shown = back_end(kind).installed(kind)
    click.echo(redacted(shown.rstrip("\n")) if shown else f"No line of climrecon is in the {kind} table.")


@schedule.command("remove")
@_KIND
@_NAME
@_YES
def schedule_remove(kind: str, name: str, yes: bool) -> None:
    """Show a line or units, ask, and take them out.

    Lines of others in the same table stay as they are.
    """
    from climrecon.watch.schedule import back_end

    change = back_end(kind).removing(kind, name)
    if change is None:
        click.echo(f"No line of climrecon called {name} is in the {kind} table.")
    else:
        _apply(change, yes)


def _apply(change: Any, yes: bool) -> None:
    click.echo(redacted(change.shown.rstrip("\n")))
    if not yes:
        click.confirm(change.question, abort=True, err=True)
    click.echo(change.apply())
