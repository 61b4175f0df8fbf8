"""Explanations in the report of a reconstruction, in one go and in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon.errors import InputDataError, ProblemList
from climrecon.fields import Months, Observations, Source
from climrecon.frequency import SEASON
from climrecon.grid import Grid
from climrecon.settings import Site, load_site, validate
from climrecon.settings.site import SiteFile
from climrecon.steps import Steps
from climrecon.tasks.explained.value import months_at
from climrecon.tasks.run import stages_of
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from climrecon.workflow.stage import run_stages

MONTHS = ("1877-09", "1878-01")
RECONSTRUCTION = {"realisations": 2, "obs_members": 2}


class Stages(Quiet):
    """Keeps the names of stages."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def stage(self, text: str) -> None:
        self.names.append(text)


def run(
    folder: Path, demo: Path, values_per_part: int = 10**9, reporter: Quiet | None = None, **parameters: Any
) -> list[str]:
    """Run a task on ten years of the demo archive; the names of its stages."""
    site = Site(SiteFile.model_validate({"slurm": {"values_per_part": values_per_part}}))
    given = {
        "catalogue": str(demo / "catalogue.json"), "period": "1870-1879", "compare_with": "none",
        "cachedir": str(folder / "cache"), "outputdir": str(folder / "o"), **parameters,
    }  # fmt: skip
    stages = stages_of(validate(given, site), site, run_info({"id": "7"}))
    run_stages(stages, reporter or Quiet())
    return [stage.name for stage in stages]


def manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "o" / "manifest.json").read_text())
    return content


def result(folder: Path) -> tuple[str, str]:
    """Hash of the reconstruction's data, and the fingerprint."""
    (one,) = (entry for entry in manifest(folder)["outputs"] if entry["role"] == "reconstruction")
    return one["content_sha256"], manifest(folder)["fingerprint"]


def explanations(folder: Path) -> dict[str, str]:
    """Hashes of the data of the maps."""
    return {
        entry["path"]: entry["content_sha256"]
        for entry in manifest(folder)["outputs"]
        if entry["role"] == "explanation" and entry["path"].endswith(".nc")
    }


def numbers(path: Path) -> dict[str, Any]:
    """Numbers and notes of the network."""
    one: dict[str, Any] = json.loads(path.read_text())["methods"]["punet6"]
    return one


@pytest.fixture(scope="module")
def explained(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reconstruction that explains two months, in one go."""
    folder = tmp_path_factory.mktemp("explained")
    assert run(folder, demo, explain_months=",".join(MONTHS), region="nino34", **RECONSTRUCTION) == ["reconstruct"]
    return folder


def test_the_reconstruction_stays_the_same_to_the_bit(explained: Path, demo: Path, tmp_path: Path) -> None:
    run(tmp_path, demo, plots="false", report="false", **RECONSTRUCTION)
    assert result(explained) == result(tmp_path)
    assert not explanations(tmp_path)


def test_numbers_and_maps_are_those_of_task_explain(explained: Path, demo: Path, tmp_path: Path) -> None:
    for month in MONTHS:
        run(tmp_path / month, demo, task="explain", month=month, region="nino34", plots="false", report="false")
        ours, theirs = explained / "o" / f"explanation_{month}.json", tmp_path / month / "o" / "explanation.json"
        assert numbers(ours) == numbers(theirs)
        (digest,) = explanations(tmp_path / month).values()
        assert explanations(explained)[f"explanation_{month}.nc"] == digest


def test_parts_write_the_same_explanations(explained: Path, demo: Path, tmp_path: Path) -> None:
    # 120 months x 2,592 cells x (3 + 2 + 2) values in two parts.
    given = {"explain_months": ",".join(MONTHS), "region": "nino34", "plots": "false", "report": "false"}
    assert run(tmp_path, demo, 1_200_000, **given, **RECONSTRUCTION) == ["prepare", "reconstruct", "collect"]
    assert result(tmp_path) == result(explained)
    assert explanations(tmp_path) == explanations(explained)
    for month in MONTHS:
        name = f"explanation_{month}.json"
        assert json.loads((tmp_path / "o" / name).read_text()) == json.loads((explained / "o" / name).read_text())


def test_the_report_has_a_section_and_the_manifest_captions(explained: Path) -> None:
    listed = {entry["path"]: entry for entry in manifest(explained)["outputs"]}
    page = (explained / "o" / "report.html").read_text()
    for month in MONTHS:
        own = {path: entry["role"] for path, entry in listed.items() if f"explanation_{month}" in path}
        assert sorted(own.values()) == ["explanation", "explanation", "figure"]
        assert all(month in listed[path]["caption"] for path in own)
        assert page.count(f"Where Nino 3.4 of {month} comes from") == 1
        section = page.split(f"Where Nino 3.4 of {month} comes from")[1].split("</section>")[0]
        one = numbers(explained / "o" / f"explanation_{month}.json")
        assert f"<strong>{one['estimate']:+.2f} K</strong>" in section
        assert section.count("<img ") == 1
        for row in (*one["blocks"], *one["regions"]):
            place = row.get("block") or row["region"]
            assert f"<td>{place}</td><td>{row['observed']}</td><td>{row['contribution']:+.3f}</td>" in section
        assert f"most at {one['wanted'][0]['cell']}" in section
        assert "misses the value by" in section
    # Each figure once: those of explanations in their sections, the others at the top.
    assert page.count("<img ") == sum(entry["role"] == "figure" for entry in listed.values())
    recorded = json.loads((explained / "o" / "provenance.json").read_text())
    text = json.dumps(recorded)
    assert ",".join(MONTHS) in text
    assert all(f"explanation_{month}.nc" in text for month in MONTHS)
    # The catalogue is one of reconstructions.
    assert "explanation" not in (explained / "o" / "catalogue.json").read_text()


def test_regions_of_the_netcdf_are_those_of_the_numbers(explained: Path) -> None:
    one = numbers(explained / "o" / f"explanation_{MONTHS[0]}.json")
    with netCDF4.Dataset(explained / "o" / f"explanation_{MONTHS[0]}.nc") as file:
        names = file["region"].flag_meanings.split()
        number, observed = file["region"][:], ~np.ma.getmaskarray(file["observation"][:])
        place = [row["month"] for row in one["months"]].index(MONTHS[0])
        for row in one["regions"]:
            cells = number == names.index(row["region"].lower().replace(" ", "_"))
            assert observed[place][cells].sum() == row["observed"]
            np.testing.assert_allclose(file["contribution_of_region"][:][cells], row["contribution"], rtol=1e-5)
            np.testing.assert_allclose(file["change_of_region"][:][cells], row["change"], rtol=1e-5)
            parts = np.ma.filled(file["contribution"][place], 0.0)[cells]
            assert parts.sum() == pytest.approx(row["contribution"], abs=1e-5)
    assert sum(row["observed"] for row in one["regions"]) == one["months"][place]["observed"]


@pytest.mark.parametrize(
    "given", [{}, {"dryrun": "true"}, {"values_per_part": 1_200_000}], ids=["whole", "dry", "parts"]
)
def test_months_are_checked_before_the_calibration(given: dict[str, Any], demo: Path, tmp_path: Path) -> None:
    reporter = Stages()
    with pytest.raises(InputDataError, match="1890-01, to be explained, is in none of the 120 months"):
        run(tmp_path, demo, reporter=reporter, explain_months="1877-09,1890-01", **given)
    assert reporter.names[-1].startswith(("Reading HadCRUT", "Dry run")), "nothing was done after reading"
    assert not (tmp_path / "o" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"explain_months": "1877-13"}, "explain_months: '1877-13' names month 13; months run from 01 to 12"),
        ({"explain_months": "1877-09;1878-01"}, "explain_months: '1877-09;1878-01' is no month; write YYYY-MM"),
        ({"explain_months": ","}, "explain_months: names no month"),
        ({"explain_months": ",".join(f"1877-{month:02d}" for month in range(1, 8))}, "names 7 months, at most 6"),
        ({"explain_months": "1877-09", "region": "nino5"}, "'nino5' is none of nino34, global, nh, sh"),
        ({"region": "nino34"}, "region: is the value that explain_months explains"),
        ({"month": "1877-09"}, "month: belongs to task=explain; a reconstruction takes explain_months"),
        ({"task": "explain", "month": "1877-09", "explain_months": "1877-09"}, "task=explain takes month"),
    ],
)
def test_what_cannot_be_explained_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ProblemList) as refused:
        validate({"obs_file": "a.nc", **given}, load_site())
    assert message in str(refused.value)


def test_months_survive_the_configuration_of_a_job() -> None:
    settings = validate({"obs_file": "a.nc", "explain_months": "187709, 1878-01,1877-09"}, load_site())
    assert settings.explained_months == MONTHS
    assert validate(settings.plain(), load_site()).explained_months == MONTHS


def test_a_region_without_the_value_is_refused() -> None:
    grid = Grid(np.linspace(35.0, 70.0, 8), np.linspace(-10.0, 40.0, 11))
    mask = np.ones((2, *grid.shape), dtype=bool)
    months, source = Months.of([1877, 1877], [8, 9]), Source("made", "", (), (), "tas")
    one = Observations("tas", np.ones(mask.shape), mask, None, months, grid, None, source)
    given = {"obs_file": "a.nc", "explain_months": "1877-09"}
    assert months_at(one, validate(given, load_site())) == [1]
    with pytest.raises(InputDataError, match=r"do not hold Nino 3\.4"):
        months_at(one, validate({**given, "region": "nino34"}, load_site()))


def test_two_months_of_a_season_are_one() -> None:
    grid = Grid.regular(36, 72)
    mask = np.ones((8, *grid.shape), dtype=bool)
    seasons = Steps(np.arange(1877 * 4, 1879 * 4), SEASON)
    one = Observations("tas", np.ones(mask.shape), mask, None, seasons, grid, None, Source("made", "", (), (), "tas"))
    given = {"obs_file": "a.nc", "time_frequency": "sem", "explain_months": "1877-06,1877-08,1878-01"}
    assert [seasons.labels()[at] for at in months_at(one, validate(given, load_site()))] == ["1877-JJA", "1878-DJF"]
