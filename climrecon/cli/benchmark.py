"""The commands of the benchmark set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from climrecon import parameters as p
from climrecon.cli.progress import make_reporter
from climrecon.cli.run_command import EPILOG, Printed, json_option, task_command

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW = click.Path(file_okay=False, path_type=Path)
_PAGE = click.Path(dir_okay=False, path_type=Path)


@click.group(epilog=EPILOG)
def benchmark() -> None:
    """Score reconstructions of any tool on a benchmark set.

    \b
    All in one call: climrecon benchmark leaderboard --submissions MINE --output board
    The set:         climrecon benchmark export set
    Our methods:     climrecon benchmark run kriging punet6 --benchmark set --output submissions
    A leaderboard:   climrecon benchmark score submissions/* --benchmark set --leaderboard board.html
    """  # noqa: D301 - \b keeps click from wrapping the examples


@benchmark.command("export", epilog=EPILOG)
@click.argument("folder", metavar="DIR", type=_NEW)
@click.option("--truth", type=_FILE, help="Monthly fields to reconstruct, e.g. of a reanalysis.  [default: generated]")
@click.option(
    "--years",
    default="",
    metavar="PERIOD",
    help="Years of the truth, e.g. 1900-1927.  [default: all of --truth, or 1911-1940]",
)
@click.option("--masks", type=_FILE, help="Observations whose gaps are taken, e.g. HadCRUT5.  [default: generated]")
@click.option("--gaps", multiple=True, metavar="NAME=PERIOD",
              help="Years of the gaps, and the name of their cases; may be repeated.  "
              "[default: sparse=1851-1880 dense=1951-1980]")  # fmt: skip
@click.option("--seed", type=int, help="Seed of generated truth, gaps and errors, which is public.  [default: 0]")
@click.option("--hidden", "key", type=_PAGE, metavar="FILE",
              help="Take a random seed instead, and write it to this key, for the scorer alone.")  # fmt: skip
@click.option("--name", default="", help="Name of the set.")
@click.option("--licence", default="", help="Licence of the inputs.")
@json_option("Print the card as JSON.")
def benchmark_export(folder: Path, **options: Any) -> Printed:
    """Write the inputs of a benchmark set.

    DIR gets the inputs without truth, a card and a README. Each period of gaps gives two cases, clean and noisy. The
    truth is generated, or the months of --truth, which are shared out among the cases; it is never copied into DIR.
    """
    from climrecon.benchmark_set import export_set

    reporter = make_reporter()
    card = export_set(folder, reporter=reporter, **options)
    reporter.close()
    lines = [f"Benchmark set {card.identity} in {folder}:"]
    lines += [
        f"  {case.file}: {case.n_months} months, {100 * case.observed_share:.0f} % of the area observed, "
        f"errors {case.noise:g} K"
        for case in card.cases
    ]
    lines.append(f"The form of a submission is in {folder / 'README.md'}.")
    if options["key"]:
        lines.append(f"Keep {options['key']}: without it nobody can score this set.")
    return card.model_dump(mode="json"), lines


@benchmark.command("run", epilog=EPILOG)
@click.argument("methods", metavar="METHOD…", nargs=-1, required=True)
@click.option("--benchmark", "folder", required=True, type=_FOLDER, help="Folder of the benchmark set.")
@click.option("--output", required=True, type=_NEW, help="Folder for the submissions, one a method.")
@click.option("--members", type=int, default=0, show_default=True, help="Equally likely fields to draw.")
@json_option("Print the folders as JSON.")
def benchmark_run(methods: tuple[str, ...], folder: Path, output: Path, members: int) -> Printed:
    """Write submissions of networks and baselines.

    METHOD is a name of 'climrecon networks' or the path of a network. A network that learned from months of the truth
    is refused. The processor time of each method stands in its files.
    """
    from climrecon.settings import load_site
    from climrecon.tasks.benchmark.runs import run_methods

    reporter = make_reporter()
    folders = run_methods(methods, folder, output, load_site(), members=members, reporter=reporter)
    reporter.close()
    return [str(one) for one in folders], [f"Submission: {one}" for one in folders]


@benchmark.command("score", epilog=EPILOG)
@click.argument("submissions", metavar="SUBMISSION…", nargs=-1, required=True, type=_NEW)
@click.option("--benchmark", "folder", required=True, type=_FOLDER, help="Folder of the benchmark set.")
@click.option("--truth", type=_FILE, help="File of the truth, of a set that was exported with one.")
@click.option("--key", type=_FILE, help="File of the hidden seed.")
@click.option("--leaderboard", type=_PAGE, metavar="FILE.html",
              help="Page to enter the rows in; FILE.json has them.  [default: the scores are printed alone]")  # fmt: skip
@json_option("Print the rows as JSON.")
def benchmark_score(
    submissions: tuple[Path, ...], folder: Path, truth: Path | None, key: Path | None, leaderboard: Path | None
) -> Printed:
    """Check and score submissions.

    SUBMISSION is a folder with a netCDF file for each case, as the README.md of the set describes it. A row replaces that
    of the same method and version. Nothing is entered if one of the submissions does not have the form.
    """
    from climrecon.benchmark_set import score_submissions
    from climrecon.benchmark_set.leaderboard import lines_of

    reporter = make_reporter()
    rows = score_submissions(submissions, folder, truth=truth, key=key, board=leaderboard, reporter=reporter)
    reporter.close()

    return rows, [*lines_of(rows), *([f"Leaderboard: {leaderboard}"] if leaderboard else [])]


benchmark.add_command(
    task_command(
        p.BENCHMARK,
        """Export a set, run methods, score submissions, and write the leaderboard, in one call.

        A set is exported if --benchmark names none, and is part of the result: others may submit to it. The folder
        --output gets the leaderboard as page, figure and JSON, the set, provenance and a report. What a stopped call has
        done is kept in --cachedir. --methods none exports alone. See docs/how-to/benchmark.md.

        \b
        The embedded set:   climrecon benchmark leaderboard --output board
        Submissions to it:  climrecon benchmark leaderboard --benchmark board --submissions MINE,OTHERS --output board2
        A set of files:     climrecon benchmark leaderboard --truth-file FIELDS.nc --masks HADCRUT.nc --gaps a=1861-1890
        """,
    )
)
