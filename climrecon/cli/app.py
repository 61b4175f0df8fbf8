"""The commands. Each imports what it needs when it is called, so that ``--help`` is quick."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from climrecon import parameters as p
from climrecon.cli.benchmark import benchmark
from climrecon.cli.catalogue import catalogue
from climrecon.cli.jobs import jobs
from climrecon.cli.networks import networks
from climrecon.cli.progress import make_reporter
from climrecon.cli.run_command import (
    EPILOG,
    Printed,
    json_option,
    print_result,
    read_config,
    run_parameters,
    task_command,
)
from climrecon.cli.watching import releases, schedule, watch
from climrecon.errors import ClimReconError, Explained, Interrupted, explained, unexpected
from climrecon.files import FOLDER, unchanged_inputs, why_unreadable
from climrecon.interruption import end_if_stopped, signals_end_run
from climrecon.redaction import redacted
from climrecon.version import __version__

_PLAIN_FORMAT = warnings.formatwarning
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    result_callback=print_result,
)
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


_TASKS = {
    p.RECONSTRUCT: """Reconstruct observations.

    The folder --output gets a netCDF file, figures, provenance and a report.
    """,
    p.TRAIN: """Train a network on fields of models or reanalyses.

    The fields are masked with the gaps of observations; see docs/how-to/train.md. Members are prepared once, in
    --cachedir; a training that was stopped goes on when the same command is given again. The network is stored under
    --network-name and used with --network NAME.
    """,
    p.EVALUATE: """Score networks and baselines on known fields, or on withheld observations.

    Known fields are masked with the gaps of observations. With --withhold observed cells are withheld in turn and
    reconstructed from the others; no other fields are needed. See docs/how-to/evaluate.md. A stopped evaluation goes
    on when the same command is given again.

    \b
    Complete real months:    climrecon evaluate --truth-file FIELDS.nc --compare-with kriging,oi,pca --output scores
    A model that was left out of a training:  climrecon evaluate --network NAME --training-data cmip5 --output scores
    Blocks of 20 degrees:    climrecon evaluate --obs-file OBSERVATIONS.nc --withhold blocks --compare-with kriging,oi
    """,
    p.COMPARE: """Compare infilled products.

    Annual means with trends, ranks of years, events, and maps of differences, on a common grid, base period and
    coverage; see docs/how-to/compare.md. A product may be a result of climrecon, or the file, zip or folder of any data
    set. A stopped comparison goes on when the same command is given again.

    \b
    climrecon compare --products ours=climrecon-result,GISTEMP=gistemp1200_GHCNv4_ERSSTv5.nc --output comparison
    climrecon compare --products-folder PRODUCTS --trend-periods 1901-2018,1979-2018 --output comparison
    """,
    p.EXPLAIN: """Explain which observations the reconstructed value of a month comes from.

    The value is a place, a box, an index of the variable or a mean; see docs/how-to/explain.md. Observations are read,
    and methods calibrated, as in a reconstruction. The folder --output gets maps of what each observation contributes, of
    what changes without it, and of where one more observation helps most.

    \b
    An index:  climrecon explain --obs-file FILE.nc --month 1877-09 --region nino34 --output why
    A box:     climrecon explain --obs-file FILE.nc --month 1877-09 --region 30,60,-10,40 --compare-with kriging,oi
    A place:   climrecon explain --obs-file FILE.nc --month 1877-09 --region 52.5,13.4
    """,
}
for _command in (*(task_command(*task) for task in _TASKS.items()), networks, catalogue, jobs, watch, releases,
                 schedule, benchmark):  # fmt: skip
    app.add_command(_command)


@app.command(epilog=EPILOG)
@click.argument("config", type=_FILE)
@json_option("Print the manifest as JSON on standard output.")
def run(config: Path) -> Printed:
    """Run the task in a JSON file of parameters, as Freva does."""
    return run_parameters(*read_config(config.read_bytes(), str(config)))


@app.command(epilog=EPILOG)
@click.argument("name")
@click.argument("config", type=_FILE)
@click.option("--part", type=int, default=0, show_default=True, help="Part of a stage that has several.")
@click.option("--record", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of a batch job's records, for its progress and outcome.")  # fmt: skip
def stage(name: str, config: Path, part: int, record: Path | None) -> None:
    """Run one stage of a task, as batch jobs do.

    Exit code 75: its state is saved, the same call continues.
    """
    from climrecon.cli.recording import RecordingReporter, ending_recorded, is_first_process
    from climrecon.settings import load_site, validate
    from climrecon.tasks.run import stages_of
    from climrecon.workflow.dispatch import leave_outcome
    from climrecon.workflow.progress import Quiet
    from climrecon.workflow.run_info import run_info
    from climrecon.workflow.stage import one_stage

    with ending_recorded(record, name, part), unchanged_inputs():
        parameters, known = read_config(config.read_bytes(), str(config))
        site = load_site()
        chosen = one_stage(stages_of(validate(parameters, site), site, run_info(known)), name, part)
        first = is_first_process()
        reporter = make_reporter()
        if record is not None and first:
            reporter = RecordingReporter(record / "progress" / f"{name}-{part}.json")
        # Of several processes that do the same one reports.
        outcome = None if chosen.is_done(part) else chosen.run(part, reporter if first else Quiet())
        reporter.close()
        if record is not None and first:
            leave_outcome(outcome, record, name, part)
        for line in outcome.summary if outcome else []:
            click.echo(redacted(line))


@app.command()
@click.argument("config", default="-")
def check(config: str) -> None:
    """Check a JSON file of parameters without running.

    CONFIG is the file, or - for standard input. Prints one JSON object.
    """
    from climrecon.errors import ProblemList
    from climrecon.netcdf.forms import check_there
    from climrecon.settings import load_site, validate
    from climrecon.settings.benchmark import check_folders

    answer: dict[str, Any] = {"problems": [], "hint": None, "extra_scheduler_options": ""}
    try:
        text = sys.stdin.buffer.read() if config == "-" else Path(config).read_bytes()
        parameters, _ = read_config(text, config)
        site = load_site()
        chosen = validate(parameters, site)
        answer["extra_scheduler_options"] = site.host_batch_options(chosen.task)
        for name, file in (("obs_file", chosen.obs_file), ("truth_file", chosen.truth_file)):
            if file:
                check_there(file, name)
        for path in chosen.product_paths.values():
            if why_unreadable(path) != FOLDER:
                check_there(path, "products")
        check_folders(chosen)
    except ProblemList as error:
        answer.update(problems=error.problems, hint=error.hint)
    except ClimReconError as error:
        answer.update(problems=[error.message], hint=error.hint)
    click.echo(json.dumps(answer))
    if answer["problems"]:
        raise SystemExit(2)


@app.command()
@click.argument("provenance", type=_FILE)
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the repeat.")  # fmt: skip
@json_option("Print the comparison as JSON.")
def rerun(provenance: Path, output: Path) -> None:
    """Repeat a run from its provenance.json and compare."""
    from climrecon.settings import load_site
    from climrecon.tasks.rerun import rerun as repeat

    comparison = repeat(provenance, output, load_site(), make_reporter())
    print_result((comparison.as_dict(), comparison.lines()))
    if not comparison.agrees:
        raise SystemExit(1)


@app.command()
@json_option()
def settings() -> Printed:
    """Show the defaults of this site and their origin."""
    from climrecon.settings.site import candidates, load_site

    site = load_site()
    rows = [(q.name, site.default(q.name), site.origin.get(f"defaults.{q.name}", "built in")) for q in p.PARAMETERS]
    others = site.file.model_dump(exclude={"defaults", "schema_version"})
    values = {name: {"default": value, "from": origin} for name, value, origin in rows}

    def lines() -> Iterator[str]:
        yield "Site files, the first that gives a value wins:"
        for path in candidates():
            why = why_unreadable(path)
            yield f"  {path}{f'  ({why})' if why else ''}"
        yield "\nDefaults:"
        width = max(len(name) for name in values)
        for name, value, origin in rows:
            yield f"  {name:<{width}}  {'' if value is None else value!s:<14}  {origin}"
        for key, value in others.items():
            yield f"\n[{key}] {json.dumps(value)}"

    return {"parameters": values, **others, "origin": dict(site.origin)}, lines()


@app.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the generated fields.")
def demo(folder: Path, seed: int) -> None:
    """Write a small archive of generated files with its catalogue.

    The files hold fields of models, a reanalysis and gappy observations.
    """
    from climrecon.demo import write_demo

    reporter = make_reporter()
    reporter.stage(f"Writing the demo archive to {folder}")
    path = write_demo(folder, seed=seed, progress=reporter.step)
    reporter.close()
    click.echo(f"Catalogue: {path}")
    click.echo(f"Try: climrecon reconstruct --catalogue {path} --output result")


def run_app(arguments: list[str] | None = None) -> None:
    """Run the command line; every error ends in one message and a documented exit code."""
    warnings.formatwarning = _format_warning
    try:
        with signals_end_run():
            app.main(args=arguments, prog_name="climrecon", standalone_mode=False)
            end_if_stopped()
    except click.exceptions.Exit as stop:
        raise SystemExit(stop.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        raise SystemExit(Interrupted.exit_code) from None
    except Explained as error:
        raise SystemExit(_show(error, error)) from None
    except Exception as error:
        raise SystemExit(_show(error, explained(error) or unexpected(error))) from None


def _format_warning(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
    """Old names of parameters are a note to the user; warnings of libraries keep their form."""
    if issubclass(category, p.OldName):
        return f"Note: {message}.\n"
    return _PLAIN_FORMAT(message, category, *place, **line)


def _show(error: BaseException, meaning: Explained) -> int:
    """Show what ended the command; its exit code."""
    if os.environ.get("CLIMRECON_DEBUG"):
        click.echo(redacted("".join(traceback.format_exception(error))), err=True)
    click.echo(f"Error: {redacted(str(meaning))}", err=True)
    # Ends generators at work, and with them their threads: else the process would wait for all that is begun.
    traceback.clear_frames(error.__traceback__)
    return meaning.exit_code
