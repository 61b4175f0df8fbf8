"""The demo archive: a DRS tree of files in their producers' formats, and its catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from climrecon.catalogue.build import DESCRIPTION, build_catalogue
from climrecon.catalogue.descriptor import check_replaceable
from climrecon.demo.climate import coverage_masks, make_climate
from climrecon.demo.grids import gaussian
from climrecon.demo.producers import cmip5, hadcrut, reanalysis
from climrecon.demo.writing import is_demo
from climrecon.errors import OutputError
from climrecon.fields import Months
from climrecon.grid import Grid

FIRST_YEAR, LAST_YEAR = 1850, 2024


def write_demo(folder: Path, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the archive and its catalogue; returns the catalogue's path.

    Raises
    ------
    OutputError
        If the folder cannot be written, or holds files of others.
    """
    steps, done = 10, 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, steps)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder / "catalogue.json", DESCRIPTION)
        _refuse_others(folder)
        time = _months(FIRST_YEAR, LAST_YEAR)
        climate = make_climate(time, seed)
        masks = coverage_masks(climate, seed)
        step()
        hadcrut(folder / "observations" / "HadCRUT5", climate, masks, seed, step)
        reanalysis(folder / "reanalysis", make_climate(_months(1961, 1990), seed + 1), step)
        models = (("DEMO-GAUSS", gaussian(), "noleap"), ("DEMO-REG", Grid.regular(24, 36), "360_day"))
        for number, (model, grid, calendar) in enumerate(models):
            for member in (1, 2):
                climate = make_climate(_months(1961, 2000), seed + 10 * (number + 1) + member, events=False)
                cmip5(folder / "cmip5", climate, model, grid, calendar, member, extras=number == 0 and member == 1)
                step()
        built = build_catalogue(folder)
        step()
    except OSError as error:
        raise OutputError(
            f"The demo archive cannot be written to {folder}: {error}", "Choose another folder."
        ) from error
    return built.path


def _refuse_others(folder: Path) -> None:
    """Refuse a folder with netCDF files that are no demo's: they would be replaced, or listed beside the demo's."""
    for path in sorted(folder.rglob("*.nc")):
        if not is_demo(path):
            raise OutputError(
                f"{path} is there already and is no file of a demo archive.", "Choose another folder, e.g. a new one."
            )


def _months(first: int, last: int) -> Months:
    return Months(np.arange(first * 12, last * 12 + 12))
