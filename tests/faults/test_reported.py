"""Reported faults that have no test elsewhere, and the table of all of them in docs/reference/faults.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climrecon.catalogue import build_catalogue
from climrecon.watch.releases import content_of
from helpers.faults import call, check_ending, check_output
from helpers.made_archive import MadeArchive

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--network", "climatology", "--compare-with", "none"]
BARE = [*QUICK, "--plots", "false", "--report", "false"]
MONTHS = np.arange(24)
AXES = {
    "year A.D.": 1960 + (MONTHS + 0.5) / 12,
    "months since 1960-01-15": MONTHS,
    "day as %Y%m%d.%f": 19600115 + MONTHS // 12 * 10000 + MONTHS % 12 * 100,
}


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIMRECON_CONFIG", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "store"))


@pytest.fixture
def mean(tmp_path: Path) -> Path:
    return MadeArchive(tmp_path).mean("5.0.2.0", 24, uncorrelated=False)


def rows() -> dict[str, tuple[list[str], list[tuple[str, str]]]]:
    """Number of a case -> cells of its row, and names of its tests."""
    text = (ROOT / "docs" / "reference" / "faults.md").read_text(encoding="utf-8")
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {
        cells[0]: (cells, re.findall(r"`(\w+/\w+\.py): (\w+)`", cells[-1])) for cells in found if cells[0].isdigit()
    }


def test_each_case_of_the_table_has_a_test() -> None:
    assert len(rows()) == 18
    for number, (cells, tests) in rows().items():
        assert len(cells) == 5, number
        assert tests, number
        for file, test in tests:
            assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), (number, file, test)


@pytest.mark.shared
def test_each_reported_case_is_in_the_table(cases: Path) -> None:
    assert {path.name[:2] for path in (cases / "faults").glob("[0-9][0-9]-*")} == set(rows())


@pytest.mark.parametrize("units", AXES)
def test_a_watch_reads_the_times_that_a_run_reads(mean: Path, tmp_path: Path, units: str) -> None:
    """Case 08: the months, not the exit code alone, are those of both."""
    with netCDF4.Dataset(mean, "a") as file:
        file["time"].delncattr("bounds")
        file["time"].delncattr("calendar")
        file["time"].units = units
    path = tmp_path / "record.nc"
    with netCDF4.Dataset(mean) as there, netCDF4.Dataset(path, "w") as file:
        for name, size in there.dimensions.items():
            file.createDimension(name, len(size))
        for name in ("time", "latitude", "longitude", "tas_mean"):
            old = there[name]
            kind = "f8" if name == "time" else old.dtype
            new = file.createVariable(name, kind, old.dimensions)
            new.setncatts({key: value for key, value in old.__dict__.items() if key != "_FillValue"})
            new[:] = AXES[units] if name == "time" else old[:]
    watch = [
        "watch",
        "--once",
        "--settle-seconds",
        "0",
        "--obs-file",
        str(path),
        *BARE,
        "--output",
        str(tmp_path / "out"),
    ]
    check_ending(call(watch, tmp_path), None)
    (release,) = content_of(tmp_path / "out")["releases"]
    assert release["stage"] == "published"
    assert release["name"].endswith("_196001-196112")


def test_an_archive_that_is_read_and_written_keeps_its_files(mean: Path, tmp_path: Path) -> None:
    """Case 04: results into the folder of the archive, whose catalogue, notes and folders are of its owner."""
    archive = mean.parent
    catalogue = build_catalogue(archive).path
    (archive / "report.html").write_text("my own notes")
    for folder in ("databrowser", ".climrecon-backup"):
        (archive / folder).mkdir()
        (archive / folder / "data.txt").write_text("precious")
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    run = [
        "reconstruct",
        "--catalogue",
        str(catalogue),
        "--model",
        "HadCRUT5",
        "--obs-members",
        "0",
        *QUICK,
        "--plots",
        "false",
    ]
    for arguments, named in (
        ([*run, "--output", str(archive), "--add-to-databrowser", "true"], "is there already"),
        (["catalogue", "build", str(archive), "--output", str(mean)], str(mean)),
    ):
        ending = call(arguments, tmp_path)
        check_ending(ending, 6, codes=(6,))
        assert named in ending.output
        assert {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()} == before


def test_a_lost_state_and_a_run_that_fails_leave_what_is_published(mean: Path, tmp_path: Path) -> None:
    """Case 02, as a person does it who follows the advice for a damaged state."""
    output = tmp_path / "out"
    watch = ["watch", "--once", "--settle-seconds", "0", "--obs-file", str(mean), *BARE, "--output", str(output)]
    check_ending(call(watch, tmp_path), None)
    published = (output / "latest").resolve()
    (output / "watch.sqlite").rename(output / "watch.sqlite.damaged")
    ending = call([*watch, "--network", "/nonexistent/net"], tmp_path)
    assert ending.code not in (0, 1), ending.output
    assert "no network" in ending.output
    assert (output / "latest").resolve() == published
    assert check_output(published, 0)
    check_ending(call(watch, tmp_path), None)
    assert (output / "latest").resolve() == published


def test_names_with_dollar_signs_and_a_month_outside_the_data(mean: Path, tmp_path: Path) -> None:
    """Cases 15 and 21: from the name of a file to figures and report; the nearest month is drawn, with a warning."""
    path, output = shutil.copy(mean, tmp_path / "cost$^$.nc"), tmp_path / "out"
    with netCDF4.Dataset(path, "a") as file:
        for name in ("title", "version"):
            file.delncattr(name)
    run = ["reconstruct", "--obs-file", str(path), *QUICK, "--plot-month", "2001-07", "--output", str(output)]
    ending = call(run, tmp_path)
    check_ending(ending, None)
    assert check_output(output, 0)
    assert "cost$^$" in (output / "manifest.json").read_text()
    assert "plot_month=2001-07 is in none of the months of 199001-199112; the nearest is drawn" in ending.output
    assert (output / "maps_1991-12.png").is_file()
