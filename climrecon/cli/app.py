"""The commands. Each imports what it needs when it is called, so that ``--help`` is quick."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

import click

from climrecon import parameters as p
from climrecon.cli.evaluation import evaluate
from climrecon.cli.options import parameter_options
from climrecon.cli.run_command import make_reporter, read_config, run_parameters
from climrecon.cli.training import networks, train
from climrecon.cli.watching import releases, schedule, watch
from climrecon.errors import ClimReconError, Interrupted
from climrecon.version import __version__
from climrecon.workflow.run_info import run_info

EPILOG = (
    "Exit codes: 0 done; 1 unexpected error; 2 wrong parameters; 3 nothing found, or more than one thing; "
    "4 input unusable; 5 network unusable; 6 result cannot be written; 7 a program is missing; "
    "8 a batch job failed; 20 to 22 see 'climrecon watch --help'; 75 stopped, the same call continues; "
    "130 interrupted."
)


_PLAIN_FORMAT = warnings.formatwarning


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="climrecon")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(debug: bool) -> None:
    """Fill the gaps of historical climate observations with neural networks, with standard deviations.

    \b
    Try it:   climrecon demo demo
              climrecon reconstruct --catalogue demo/catalogue.json --output result
    Own file: climrecon reconstruct --obs-file HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc --output result
    """  # noqa: D301 - \b keeps click from wrapping the examples
    if debug:
        os.environ["CLIMRECON_DEBUG"] = "1"


for _command in (watch, releases, schedule):
    app.add_command(_command)


@app.command(epilog=EPILOG)
@parameter_options(p.of_task(p.RECONSTRUCT))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON on standard output.")
def reconstruct(as_json: bool, **values: Any) -> None:
    """Reconstruct observations: a netCDF file, figures, provenance and a report in --output."""
    given = {name: value for name, value in values.items() if value is not None}
    run_parameters(given, run_info(), as_json)


@app.command(epilog=EPILOG)
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON on standard output.")
def run(config: Path, as_json: bool) -> None:
    """Run the task in a JSON file of parameters, as Freva does."""
    parameters, info = read_config(config.read_text(encoding="utf-8"), str(config))
    run_parameters(parameters, info, as_json)


@app.command(epilog=EPILOG)
@click.argument("name")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--part", type=int, default=0, show_default=True, help="Part of a stage that has several.")
@click.option(
    "--record",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a batch job's records, for its progress and outcome.",
)
def stage(name: str, config: Path, part: int, record: Path | None) -> None:
    """Run one stage of a task, as batch jobs do. Exit code 75: its state is saved, the same call continues."""
    from climrecon.cli.recording import ending_told

    with ending_told(record, name, part):
        _run_stage(name, config, part, record)


def _run_stage(name: str, config: Path, part: int, record: Path | None) -> None:
    from climrecon.cli.recording import RecordingReporter, is_first_process
    from climrecon.settings import load_site, validate
    from climrecon.tasks.run import stages_of
    from climrecon.workflow.dispatch import leave_outcome
    from climrecon.workflow.progress import Quiet
    from climrecon.workflow.stage import one_stage

    parameters, info = read_config(config.read_text(encoding="utf-8"), str(config))
    site = load_site()
    chosen = one_stage(stages_of(validate(parameters, site), site, info), name, part)
    first = is_first_process()
    reporter = make_reporter()
    if record is not None and first:
        reporter = RecordingReporter(reporter, record / "progress" / f"{name}-{part}.json")
    # Of several processes that do the same one talks.
    outcome = None if chosen.is_done(part) else chosen.run(part, reporter if first else Quiet())
    reporter.close()
    if record is not None and first:
        leave_outcome(outcome, record, name, part)
    for line in outcome.summary if outcome else []:
        click.echo(line)


@app.command()
@click.argument("config", default="-")
def check(config: str) -> None:
    """Check a JSON file (- for standard input) of parameters without running; prints one JSON object."""
    from climrecon.errors import ProblemList
    from climrecon.settings import load_site, validate

    answer: dict[str, Any] = {"problems": [], "hint": None, "extra_scheduler_options": ""}
    try:
        text = sys.stdin.read() if config == "-" else Path(config).read_text(encoding="utf-8")
        parameters, _ = read_config(text, config)
        site = load_site()
        answer["extra_scheduler_options"] = site.batch_options
        chosen = validate(parameters, site)
        answer["extra_scheduler_options"] = site.batch_options_of(chosen.task)
    except ProblemList as error:
        answer.update(problems=error.problems, hint=error.hint)
    except ClimReconError as error:
        answer.update(problems=[error.message], hint=error.hint)
    click.echo(json.dumps(answer))
    if answer["problems"]:
        raise SystemExit(2)


@app.command()
@click.argument("provenance", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the repeat."
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def rerun(provenance: Path, output: Path, as_json: bool) -> None:
    """Repeat a run from its provenance.json and compare the results."""
    from climrecon.settings import load_site
    from climrecon.tasks.rerun import rerun as repeat

    comparison = repeat(provenance, output, load_site(), make_reporter())
    if as_json:
        click.echo(json.dumps(comparison.as_dict(), indent=1))
    else:
        for line in comparison.lines():
            click.echo(line)
    if not comparison.agrees:
        raise SystemExit(1)


@app.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def settings(as_json: bool) -> None:
    """Show the defaults of this site, each with the site file that sets it."""
    from climrecon.settings.site import candidates, load_site

    site = load_site()
    rows = [(q.name, site.default(q.name), site.origin.get(f"defaults.{q.name}", "built in")) for q in p.PARAMETERS]
    others = site.file.model_dump(exclude={"defaults", "schema_version"})
    if as_json:
        values = {name: {"default": value, "from": origin} for name, value, origin in rows}
        click.echo(json.dumps({"parameters": values, **others, "origin": dict(site.origin)}, indent=1))
        return
    click.echo("Site files, the first that gives a value wins:")
    for path in candidates():
        click.echo(f"  {path}{'' if path.is_file() else '  (absent)'}")
    click.echo("\nDefaults:")
    width = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        shown = "" if value is None else value
        click.echo(f"  {name:<{width}}  {shown!s:<14}  {origin}")
    for key, value in others.items():
        click.echo(f"\n[{key}] {json.dumps(value)}")


app.add_command(train)
app.add_command(evaluate)
app.add_command(networks)


@app.group()
def catalogue() -> None:
    """Build and search intake-esm catalogues."""


@catalogue.command("build")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: catalogue.json in the folder]",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def catalogue_build(folder: Path, output: Path | None, as_json: bool) -> None:
    """Write an intake-esm catalogue over the netCDF files below FOLDER."""
    from climrecon.cli.listing import build_lines

    for line in build_lines(folder, output, make_reporter(), as_json):
        click.echo(line)


@catalogue.command("search")
@parameter_options(p.BY_NAME[name] for name in (*p.FACETS, "catalogue"))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def catalogue_search(as_json: bool, **values: Any) -> None:
    """Show the files that a search takes, and the reasons for leaving out others."""
    from climrecon.cli.listing import search_lines

    for line in search_lines({k: v for k, v in values.items() if v is not None}, as_json):
        click.echo(line)


@app.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the generated fields.")
def demo(folder: Path, seed: int) -> None:
    """Write a small archive of generated model, reanalysis and observation files with its catalogue."""
    from climrecon.demo import write_demo

    reporter = make_reporter()
    reporter.stage(f"Writing the demo archive to {folder}")
    path = write_demo(folder, seed=seed, progress=reporter.step)
    reporter.close()
    click.echo(f"Catalogue: {path}")
    click.echo(f"Try: climrecon reconstruct --catalogue {path} --output result")


@app.group()
def jobs() -> None:
    """List, show, follow and cancel the batch jobs of your runs."""


@jobs.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--all", "everything", is_flag=True, help="Also those that ended more than a week ago.")
def jobs_list(as_json: bool, everything: bool) -> None:
    """List your runs that were submitted as batch jobs, the newest first."""
    from climrecon.cli.jobs import list_lines

    for line in list_lines(as_json, everything):
        click.echo(line)


@jobs.command("show")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def jobs_show(run: str, as_json: bool) -> None:
    """Show the jobs of a RUN: its id, the number of one of its jobs, or its output folder."""
    from climrecon.cli.jobs import show_lines

    for line in show_lines(run, as_json):
        click.echo(line)


@jobs.command("follow", epilog=EPILOG)
@click.argument("run")
def jobs_follow(run: str) -> None:
    """Wait for the jobs of a RUN and report their progress; Ctrl-C ends the waiting, not the jobs."""
    from climrecon.cli.jobs import follow_lines

    for line in follow_lines(run, make_reporter()):
        click.echo(line)


@jobs.command("cancel")
@click.argument("run")
def jobs_cancel(run: str) -> None:
    """Cancel the jobs of a RUN that have not ended."""
    from climrecon.cli.jobs import cancel_lines

    for line in cancel_lines(run):
        click.echo(line)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into an exception, so that half results are cleaned up on the way out."""
    # A second signal must not break the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise Interrupted(f"Stopped by {signal.Signals(number).name}; no result was left behind.")


def run_app(arguments: list[str] | None = None) -> None:
    """Run the command line; every error ends in one message and a documented exit code."""
    signal.signal(signal.SIGTERM, _on_signal)
    signal.signal(signal.SIGINT, _on_signal)
    warnings.formatwarning = _format_warning
    try:
        app.main(args=arguments, prog_name="climrecon", standalone_mode=False)
    except click.exceptions.Exit as stop:
        raise SystemExit(stop.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        raise SystemExit(Interrupted.exit_code) from None
    except ClimReconError as error:
        _show(error, str(error))
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # The reader of a pipe went away (`climrecon networks | head`): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        _show(
            error,
            f"Unexpected {type(error).__name__}: {error}\n  -> Run again with 'climrecon --debug …' and report it.",
        )
        raise SystemExit(1) from None


def _format_warning(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
    """Old names of parameters are a note to the user; warnings of libraries keep their form."""
    if issubclass(category, p.OldName):
        return f"Note: {message}.\n"
    return _PLAIN_FORMAT(message, category, *place, **line)


def _show(error: BaseException, text: str) -> None:
    if os.environ.get("CLIMRECON_DEBUG"):
        traceback.print_exception(error)
    click.echo(f"Error: {text}", err=True)
