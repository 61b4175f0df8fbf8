"""The commands for catalogues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from climrecon import parameters as p
from climrecon.cli.progress import make_reporter
from climrecon.cli.run_command import Printed, given, json_option, parameter_options


@click.group()
def catalogue() -> None:
    """Build and search intake-esm catalogues."""


@catalogue.command("build")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: catalogue.json in the folder]",
)
@json_option()
def catalogue_build(folder: Path, output: Path | None) -> Printed:
    """Write an intake-esm catalogue over the netCDF files below FOLDER."""
    from climrecon.catalogue import build_catalogue

    reporter = make_reporter()
    reporter.stage(f"Looking at the files below {folder}")
    built = build_catalogue(folder, output or folder / "catalogue.json", reporter.step)
    reporter.close()
    lines = [f"{built.n_files} files in {built.path}"]
    lines += [f"  left out: {item.path}: {item.reason}" for item in built.left_out]
    left_out = [item._asdict() for item in built.left_out]
    return {"path": str(built.path), "files": built.n_files, "left_out": left_out}, lines


@catalogue.command("search")
@parameter_options(p.BY_NAME[name] for name in (*p.FACETS, "catalogue"))
@json_option()
def catalogue_search(**values: Any) -> Printed:
    """Show the files that a search takes, and the reasons for leaving out others."""
    from climrecon.cli.progress import LogReporter
    from climrecon.settings import load_site, validate
    from climrecon.tasks.inputs import resolve

    site = load_site()
    inputs = resolve(validate(given(values), site), site, LogReporter())

    def lines() -> Iterator[str]:
        yield "Found:"
        yield from (f"  {path}" for path in inputs.main)
        if inputs.members:
            yield f"  and {len(inputs.members)} members"
        if inputs.uncorrelated:
            yield f"  cell errors: {inputs.uncorrelated}"
        yield from (f"  left out: {path}: {reason}" for path, reason in inputs.left_out)

    content = {
        "main": [str(path) for path in inputs.main],
        "members": [str(path) for path in inputs.members],
        "uncorrelated": str(inputs.uncorrelated) if inputs.uncorrelated else None,
        "facets": inputs.facets,
        "left_out": inputs.left_out,
    }
    return content, lines()
