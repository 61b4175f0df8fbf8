"""HadCRUT5's files from the catalogue to the result: members, uncorrelated errors and covariances, each counted once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon.catalogue import build_catalogue
from climrecon.errors import InputDataError
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.output.rounding import FEW_FIELDS_BITS, SPREAD_BITS
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from climrecon.tasks.run import stages_of
from climrecon.workflow.progress import Quiet
from climrecon.workflow.run_info import run_info
from climrecon.workflow.stage import Stage, run_stages
from output.test_files import cf_problems
from parts.test_parts import Listening, content, flip
from preprocess import observation_files as files

pytestmark = pytest.mark.slow

MONTHS, MEMBERS = 108, 6
INDEX = files.month_numbers(1961, MONTHS)
OWN, SHARED = 0.3, 0.5
#: What each member is off by, everywhere and always, K.
BIAS = np.array([-0.25, -0.1, 0.0, 0.05, 0.1, 0.2])
WITH_COVARIANCE = (3, 70)


def covariance(folder: Path, month: int, seen: np.ndarray) -> None:
    """``tas_cov`` (1, 2592, 2592): cells of the southern hemisphere share one error, the north has none."""
    path = folder / f"HadCRUT.5.0.2.0.error_covariance.{INDEX[month] // 12}{INDEX[month] % 12 + 1:02d}.nc"
    south = np.repeat(files.LAT5 < 0, 72).astype(np.float32)
    square = SHARED**2 * np.outer(south, south)
    gone = ~seen.reshape(-1)
    square[gone] = square[:, gone] = np.nan
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 1), ("dim_1", 2592), ("dim_2", 2592)):
            file.createDimension(name, size)
        matrix = file.createVariable(
            "tas_cov", "f4", ("time", "dim_1", "dim_2"), fill_value=np.float32(-1e30), compression="zlib", complevel=1
        )  # fmt: skip
        matrix.units = "K2"
        matrix[0] = np.ma.masked_invalid(square)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("observations") / "HadCRUT5"
    folder.mkdir()
    values = files.gappy(0, (MONTHS, 36, 72), missing=0.6)
    files.hadcrut5_mean(folder, values, INDEX)
    for number, bias in enumerate(BIAS, 1):
        files.hadcrut5_member(folder, number, values + bias, INDEX)
    files.hadcrut5_uncorrelated(folder, np.where(np.isfinite(values), OWN, np.nan), INDEX)
    for month in WITH_COVARIANCE:
        covariance(folder, month, np.isfinite(values[month]))
    build_catalogue(folder.parent)
    return folder.parent


def stages(release: Path, folder: Path, values_per_part: int = 10**9, **parameters: Any) -> tuple[Stage, ...]:
    site = Site(SiteFile.model_validate({"slurm": {"values_per_part": values_per_part}}))
    given = {
        "catalogue": str(release / "catalogue.json"), "plots": "false", "compare_with": "none", "realisations": 12,
        "cachedir": str(folder / "cache"), "outputdir": str(folder / "o"), **parameters,
    }  # fmt: skip
    return stages_of(validate(given, site), site, run_info({"id": "7"}))


@dataclass
class Result:
    folder: Path
    path: Path
    fields: dict[str, np.ndarray]
    said: list[str]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.fields[name]


class Noting(Listening):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def made(release: Path, folder: Path, **parameters: Any) -> Result:
    said = Noting()
    run_stages(stages(release, folder, **parameters), said)
    (path,) = (folder / "o").glob("tas_mon*.nc")
    with netCDF4.Dataset(path) as file:
        found = {name: np.asarray(v[:]) for name, v in file.variables.items() if v.ndim >= 3}
    return Result(folder / "o", path, found, said.notes)


@pytest.fixture(scope="module")
def kept(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return made(release, tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def everywhere(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return made(release, tmp_path_factory.mktemp("everywhere"), keep_observed="false", report="false")


@pytest.fixture(scope="module")
def without(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return made(release, tmp_path_factory.mktemp("without"), obs_members=0, report="false", realisations=0)


#: Standard deviations of the file are rounded to a bit, those over members to fewer.
ROUNDED, FEW_ROUNDED = 2.0 ** -(SPREAD_BITS + 1), 2.0 ** -(FEW_FIELDS_BITS + 1)
PLAIN = ~np.isin(np.arange(MONTHS), [m + d for m in WITH_COVARIANCE for d in (-1, 0, 1)])


def test_the_spread_is_that_of_reconstructed_members_beside_what_the_gaps_leave(
    kept: Result, everywhere: Result, without: Result
) -> None:
    seen = kept["tas_status"] == 1
    # The network answers +1 K on all observed cells with 0.998-1.001 K: the bias of a member is that of its analysis.
    bias = BIAS.std(ddof=1)
    np.testing.assert_allclose(everywhere["tas_stddev_observational"][PLAIN], bias, rtol=2 * FEW_ROUNDED)
    np.testing.assert_allclose(kept["tas_stddev_observational"][~seen], everywhere["tas_stddev_observational"][~seen])
    np.testing.assert_allclose(kept["tas_stddev_observational"][PLAIN][seen[PLAIN]], bias, rtol=FEW_ROUNDED)
    # Once: the rest of the variance is what a run without members states.
    assert "tas_stddev_observational" not in without.fields
    rest = kept["tas_stddev"] ** 2 - kept["tas_stddev_observational"] ** 2
    rounded = 2 * FEW_ROUNDED * kept["tas_stddev_observational"] ** 2 + 6 * ROUNDED * without["tas_stddev"] ** 2
    assert (np.abs(rest - without["tas_stddev"] ** 2) <= rounded).all()
    np.testing.assert_allclose(rest[~seen].mean(), (without["tas_stddev"][~seen] ** 2).mean(), rtol=5e-3)
    assert (without["tas_stddev"][seen] >= OWN - 1e-6).all()
    # The means are those of the ensemble mean, with and without members.
    for name in ("tas", "tas_analysis"):
        np.testing.assert_array_equal(kept[name], without[name])


def test_partly_correlated_errors_are_drawn_once_for_each_member(kept: Result) -> None:
    seen = kept["tas_status"] == 1
    south = np.broadcast_to((files.LAT5 < 0)[:, None], (36, 72))
    for month in WITH_COVARIANCE:
        found = kept["tas_stddev_observational"][month]
        # All cells of the south share one error: of six draws one spread, between that of chance and that stated.
        shared = found[seen[month] & south]
        assert np.ptp(shared) < 2e-3 + 2 * FEW_ROUNDED * shared.max()
        assert 0.5 * SHARED < shared.mean() < 2.0 * SHARED
        np.testing.assert_allclose(found[seen[month] & ~south], BIAS.std(ddof=1), rtol=FEW_ROUNDED)


def test_realisations_are_of_one_member_each_and_spread_as_stated(kept: Result, everywhere: Result) -> None:
    seen = (kept["tas_status"] == 1) & PLAIN[:, None, None]
    away = kept["tas_realisation"] - kept["tas"]
    # Kept cells: the member's own value and a draw of the uncorrelated error as it is stated (and found) for the cell.
    own = np.sqrt(kept["tas_stddev"] ** 2 - kept["tas_stddev_observational"] ** 2)[seen]
    for number, bias in enumerate([*BIAS, *BIAS]):
        errors = (away[number][seen] - bias) / own
        assert abs(errors.mean()) < 4 / np.sqrt(errors.size)
        assert errors.std() == pytest.approx(1.0, abs=0.01 + 2 * ROUNDED)
    neighbours = (away[0][1:] - BIAS[0]) * (away[0][:-1] - BIAS[0])
    both = seen[1:] & seen[:-1]
    assert abs(neighbours[both].mean()) < 0.02 * float(own.mean()) ** 2 * 4
    # Elsewhere the analysis of the member and a draw of the reconstruction; all of it where nothing is kept.
    hidden = ~(kept["tas_status"] == 1)
    np.testing.assert_array_equal(kept["tas_realisation"][:, hidden], everywhere["tas_realisation"][:, hidden])
    spread = everywhere["tas_realisation"][:, PLAIN].std(axis=0, ddof=1)
    stated = everywhere["tas_stddev"][PLAIN]
    assert float((spread**2).mean() / (stated**2).mean()) == pytest.approx(1.0, abs=0.06)
    means = (everywhere["tas_realisation"][:, PLAIN] * GRID.area).sum((2, 3))
    analysis = (everywhere["tas_analysis"][PLAIN] * GRID.area).sum((1, 2))
    np.testing.assert_allclose((means - analysis).mean(axis=1), [*BIAS, *BIAS], atol=0.05)


def test_the_result_names_which_errors_are_in(kept: Result, without: Result) -> None:
    assert cf_problems(kept.path) == []
    with netCDF4.Dataset(kept.path) as file:
        assert file["tas"].ancillary_variables == "tas_stddev tas_stddev_observational tas_status"
        assert file["tas_stddev"].long_name == "standard deviation of tas: observations and reconstruction"
        said = file.climrecon_observation_errors
        assert said in file["tas_stddev"].comment
        assert "6 members, of the systematic and partly correlated" in file["tas_stddev_observational"].comment
        assert "k + 6 are of the same" in file["tas_realisation"].comment
        inputs = json.loads(file.climrecon_inputs)
    for part in (
        "spread over 6 of 6 members of the observations' ensemble, each reconstructed",
        f"error covariances of 2 of {MONTHS} months",
        "uncorrelated errors of the cells (HadCRUT.5.0.2.0.uncorrelated.nc)",
    ):
        assert part in said, said
    assert "No file" not in said
    assert said in kept.said
    report = (kept.folder / "report.html").read_text()
    assert "spread over 6 of 6 members" in report
    names = [one["file"] for one in inputs]
    assert sum("anomalies" in name and "mean" not in name for name in names) == MEMBERS
    assert sum("error_covariance" in name for name in names) == 2
    provenance = (kept.folder / "provenance.json").read_text()
    for one in inputs:
        assert one["sha256"] in provenance
    with netCDF4.Dataset(without.path) as file:
        assert "No file of this run states systematic errors, partly corr" in file.climrecon_observation_errors
        assert file["tas"].ancillary_variables == "tas_stddev tas_status"


def test_parts_give_the_same_bits_and_lost_members_are_made_anew(release: Path, kept: Result, tmp_path: Path) -> None:
    # 108 months x 2,592 cells x (3 + 12 + 6) values: two chunks, two parts.
    prepare, parts, collect = stages(release, tmp_path, 3_000_000)
    assert parts.parts == 2
    prepare.run(0, Quiet())
    assert prepare.is_done(0)
    folder = next(tmp_path.rglob("observations.safetensors")).parent
    assert len(list(folder.glob("member-*"))) == MEMBERS
    assert not list(folder.glob("read-*"))
    assert not (folder / "partly.npy").exists()
    parts.run(0, Quiet())
    (folder / "member-003.safetensors").unlink()
    assert not prepare.is_done(0)
    said = Listening()
    parts.run(1, said)
    assert "made anew" in said.warnings[0]
    flip(folder / "member-001.safetensors")
    collect.run(0, Quiet())
    assert content(tmp_path) == content(kept.folder.parent)


def test_fewer_members_are_spread_over_all_and_the_end_is_never_cut_short(release: Path, tmp_path: Path) -> None:
    short = tmp_path / "HadCRUT5"
    short.mkdir()
    for path in (release / "HadCRUT5").glob("*.nc"):
        if "covariance" not in path.name and not path.name.endswith(".6.nc"):
            (short / path.name).symlink_to(path)
    values = files.gappy(0, (MONTHS, 36, 72), missing=0.6)
    files.hadcrut5_member(short, 6, values[:-12], INDEX[:-12])
    build_catalogue(tmp_path)
    found = made(tmp_path, tmp_path / "a", obs_members=3, realisations=0, report="false")
    with netCDF4.Dataset(found.path) as file:
        names = [one["file"] for one in json.loads(file.climrecon_inputs)]
        assert "anomalies.6.nc lacks 11 % of the observed cells and is not used" in file.comment
        assert "spread over 2 of 6 members" in file.climrecon_observation_errors
    assert [name.split(".")[-2] for name in names if "anomalies" in name and "mean" not in name] == ["1", "3"]
    (short / "HadCRUT.5.0.2.0.anomalies.1.nc").unlink()
    (short / "HadCRUT.5.0.2.0.anomalies.1.nc").write_bytes(b"no netCDF")
    with pytest.raises(InputDataError, match=r"anomalies\.1\.nc cannot be opened"):
        made(tmp_path, tmp_path / "b", obs_members=3, report="false")


def small_fields(months: int = 12) -> np.ndarray:
    return files.gappy(0, (MONTHS, 36, 72), missing=0.6)[:months]


def test_members_in_one_file_are_read_as_they_stand(tmp_path: Path) -> None:
    values, path = small_fields(), tmp_path / "HadCRUT.5.0.2.0.anomalies.members.nc"
    files.hadcrut5_mean(tmp_path, values, INDEX[:12]).rename(path)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("tas_mean", "counts")
        file.renameVariable("realization", "several")
        file.createDimension("realization", MEMBERS)
        made_ = file.createVariable("tas", "f4", ("time", "realization", "latitude", "longitude"), fill_value=-1e30)
        made_.units = "K"
        made_[:] = np.ma.masked_invalid(values[:, None] + BIAS[:, None, None] + 0.3)
    site = Site(SiteFile.model_validate({}))
    given = {"obs_file": str(path), "plots": "false", "report": "false", "compare_with": "none", "realisations": 6,
             "cachedir": str(tmp_path / "cache"), "outputdir": str(tmp_path / "o")}  # fmt: skip
    said = Noting()
    run_stages(stages_of(validate(given, site), site, run_info({"id": "7"})), said)
    (result,) = (tmp_path / "o").glob("tas_mon*.nc")
    with netCDF4.Dataset(result) as file:
        seen = np.isfinite(values)
        np.testing.assert_allclose(file["tas"][:][seen], values[seen] + 0.3, atol=1e-5)
        np.testing.assert_allclose(file["tas_stddev_observational"][:], BIAS.std(ddof=1), rtol=0.02)
        assert "spread over 6 of 6 members" in file.climrecon_observation_errors
        assert "The file holds 6 members; the observations are their mean." in file.comment
        assert len(json.loads(file.climrecon_inputs)) == 1


def test_without_their_mean_the_members_mean_is_reconstructed(tmp_path: Path) -> None:
    folder, values = tmp_path / "HadCRUT5", small_fields()
    folder.mkdir()
    for number, bias in enumerate(BIAS, 1):
        files.hadcrut5_member(folder, number, values + bias, INDEX[:12])
    build_catalogue(tmp_path)
    found = made(tmp_path, tmp_path / "a", realisations=0, report="false")
    seen = np.isfinite(values)
    np.testing.assert_allclose(found["tas"][seen], values[seen], atol=1e-5)
    with netCDF4.Dataset(found.path) as file:
        assert "mean of the 6 members that are used" in file.comment
        assert len(json.loads(file.climrecon_inputs)) == MEMBERS
    said = run_stages(stages(tmp_path, tmp_path / "b", dryrun="true", obs_members=4), Quiet())
    assert "4 of 6 members, each reconstructed too (obs_members;" in "\n".join(said.summary)


def test_without_an_ensemble_errors_are_drawn_about_the_observations(tmp_path: Path) -> None:
    folder, values = tmp_path / "HadCRUT5", small_fields()
    folder.mkdir()
    files.hadcrut5_mean(folder, values, INDEX[:12])
    covariance(folder, 3, np.isfinite(values[3]))
    covariance(folder, 70, np.isfinite(values[4]))  # of a month that the data set has not
    build_catalogue(tmp_path)
    found = made(tmp_path, tmp_path / "a", realisations=0, report="false", obs_members=40)
    south = np.broadcast_to((files.LAT5 < 0)[:, None], (36, 72)) & np.isfinite(values[3])
    spread = found["tas_stddev_observational"]
    np.testing.assert_allclose(spread[3][south], SHARED, rtol=0.3)
    assert (spread[3][np.isfinite(values[3]) & ~south] == 0).all()
    # The network looks at the months beside; no other month has errors of this kind.
    assert (spread[[2, 4]][np.isfinite(values[[2, 4]])] == 0).all()
    assert (spread[[0, 1, *range(5, 12)]] == 0).all()
    np.testing.assert_array_equal(found["tas"][np.isfinite(values)], values[np.isfinite(values)])
    with netCDF4.Dataset(found.path) as file:
        said = file.climrecon_observation_errors
        assert "drawn for 40 fields, each reconstructed, from the error covariances of 1 of 12 months" in said
        assert "No file of this run states systematic errors, uncorr" in said
