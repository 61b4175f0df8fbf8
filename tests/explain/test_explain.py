"""``task=explain`` through the command line and from Python: on the demo archive, and on real months."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner

import climrecon
from climrecon.cli.app import app
from climrecon.errors import InputDataError, ProblemList, UsageError
from climrecon.fields import Context, Months, Observations, Source
from climrecon.geography import regions_of
from climrecon.grid import NINO34, Grid
from climrecon.output.explanation import write_maps
from climrecon.settings import load_site, validate
from climrecon.settings.targets import parse_target
from climrecon.tasks.explained.target import weights_on
from climrecon.tasks.explained.value import explain, months_at
from climrecon.tasks.methods import load_method
from climrecon.workflow.progress import Quiet
from output.test_files import cf_problems

FIVE = Grid.regular(36, 72)


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["explain", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def result(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An explanation of Nino 3.4 with the shipped network, kriging, and a method without gradients."""
    folder = tmp_path_factory.mktemp("explain") / "out"
    output = run("--catalogue", str(demo / "catalogue.json"), "--month", "1877-09", "--period", "1875-1879",
                 "--compare-with", "kriging,idw", "--output", str(folder))  # fmt: skip
    assert "largest contributions, K: " in output
    return folder


def test_an_explanation_holds_maps_numbers_figures_and_a_report(result: Path) -> None:
    manifest = json.loads((result / "manifest.json").read_text())
    assert sorted({entry["role"] for entry in manifest["outputs"]}) == ["explanation", "figure", "provenance", "report"]
    assert all((result / entry["path"]).is_file() for entry in manifest["outputs"])
    content = json.loads((result / "explanation.json").read_text())
    assert list(content["methods"]) == ["punet6", "kriging", "idw"]
    assert content["value"] == "Nino 3.4"
    page = (result / "report.html").read_text()
    assert "1877-09: contributions to Nino 3.4" in page
    assert page.count("<img ") == 3
    recorded = json.loads((result / "provenance.json").read_text())
    assert "1877-09" in json.dumps(recorded)


def test_maps_and_numbers_agree_with_the_reconstruction(result: Path, demo: Path, tmp_path: Path) -> None:
    content = json.loads((result / "explanation.json").read_text())
    answer = CliRunner().invoke(app, ["reconstruct", "--catalogue", str(demo / "catalogue.json"), "--period", "1875-1879",
                                      "--network", "kriging", "--compare-with", "none", "--obs-members", "0", "--plots", "false",
                                      "--report", "false", "--output", str(tmp_path)], catch_exceptions=False)  # fmt: skip
    assert answer.exit_code == 0, answer.output
    with netCDF4.Dataset(next(tmp_path.glob("tas_*.nc"))) as file:
        analysis = np.ma.filled(file["tas_analysis"][2 * 12 + 8])
    weights = FIVE.region_weights(NINO34)
    want = float((analysis * weights).sum() / weights.sum())
    kriging = content["methods"]["kriging"]
    assert kriging["estimate"] == pytest.approx(want, abs=2e-3)
    with netCDF4.Dataset(result / "explanation_kriging.nc") as file:
        assert file["contribution"][:].sum() == pytest.approx(kriging["value"], abs=1e-4)
        assert kriging["value"] == pytest.approx(want, abs=2e-3)
        weight, observed, contribution = (
            np.ma.filled(file[n][:], 0.0) for n in ("weight", "observation", "contribution")
        )
        np.testing.assert_allclose(weight * observed, contribution, atol=1e-6)
        assert file["target_weight"][:].sum() == pytest.approx(1.0, abs=1e-5)
        assert file["contribution"].units == "K"
        assert file["variance_gain"].units == "K2"
        assert file["time"].units.startswith("days since")
        gains, seen = file["variance_gain"][:], ~np.ma.getmaskarray(file["observation"][0])
        assert np.ma.getmaskarray(gains)[seen].all(), "observed cells have no need of an observation"
    assert kriging["stddev"] == pytest.approx(kriging["stated_stddev"], rel=1e-3)
    assert kriging["wanted"][0]["stddev"] < kriging["stddev"] < kriging["prior_stddev"]
    network = content["methods"]["punet6"]
    assert network["completeness_error"] < 0.01
    assert network["value"] == pytest.approx(network["estimate"], abs=0.01)
    assert [row["month"] for row in network["months"]] == ["1877-08", "1877-09", "1877-10"]
    assert content["methods"]["idw"]["how"] == "occlusion"
    assert content["methods"]["idw"]["completeness_error"] is None


@pytest.mark.parametrize("name", ["punet6", "kriging", "idw"])
def test_maps_pass_the_cf_checker(result: Path, name: str, tmp_path: Path) -> None:
    copy = tmp_path / "maps.nc"
    copy.write_bytes((result / f"explanation_{name}.nc").read_bytes())
    assert cf_problems(copy) == []


def test_from_python(demo: Path) -> None:
    path = next(demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"))
    found = climrecon.explain(path, "1877-09", "-5,5,-170,-120", ["kriging"], period="1876-1878")
    ((name, maps),) = found.items()
    assert name == "kriging"
    numbers = maps.attrs["explanation"]
    assert float(maps.contribution.sum()) == pytest.approx(numbers["value"], abs=1e-4)
    assert numbers["observations"][0]["contribution"] == pytest.approx(
        numbers["observations"][0]["weight"] * numbers["observations"][0]["observation"], rel=1e-3
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "month: task=explain needs the month"),
        ({"month": "1877-13"}, "months run from 01 to 12"),
        ({"month": "1877-09", "region": "nino5"}, "'nino5' is none of nino34, global, nh, sh"),
        ({"month": "1877-09", "region": "10,5,0,10"}, "lat0 is the southern end"),
        ({"month": "1877-09", "region": "95,10"}, "latitudes lie within -90..90"),
        ({"month": "1877-09", "region": "1,2,3"}, "neither two numbers"),
        ({"month": "1877-09", "region": "<script>alert(1)</script>"}, "is none of nino34"),
    ],
)
def test_what_cannot_be_explained_is_refused_before_the_run(given: dict[str, str], message: str) -> None:
    with pytest.raises(ProblemList) as refused:
        validate({"task": "explain", "obs_file": "a.nc", **given}, load_site())
    assert message in str(refused.value)


def test_two_methods_of_one_name_are_refused(demo: Path, tmp_path: Path) -> None:
    """A network given by its path has the name of its card; one's maps would replace the other's."""
    copy = tmp_path / "copy"
    shutil.copytree(Path(climrecon.__file__).parent / "weights" / "punet6", copy)
    with pytest.raises(UsageError, match="two methods called punet6"):
        run("--catalogue", str(demo / "catalogue.json"), "--month", "1877-09", "--compare-with", str(copy),
            "--output", str(tmp_path / "out"))  # fmt: skip
    assert not (tmp_path / "out" / "manifest.json").exists()


def made(grid: Grid, months: int = 12, share: float = 0.4) -> Observations:
    rng = np.random.default_rng(5)
    mask = rng.random((months, *grid.shape)) < share
    values = np.where(mask, rng.normal(size=mask.shape) + np.cos(np.radians(grid.lat))[:, None], np.nan)
    return Observations("tas", values.astype(np.float32), mask, None, Months.of([1900] * months, range(1, months + 1)), grid,
                        (1961, 1990), Source("made", "", (), (), "tas"))  # fmt: skip


def explained(observations: Observations, **parameters: str):
    settings = validate({"task": "explain", "obs_file": "a.nc", "month": "1900-06", **parameters}, load_site())
    method = load_method("kriging", settings, load_site())
    method.reconstructor.calibrate(observations)
    (at,) = months_at(observations, settings)
    return explain(method, observations, settings, at, [], Quiet())


def test_an_observed_cell_and_a_gap_on_a_regional_grid() -> None:
    grid = Grid(np.linspace(35.0, 70.0, 15), np.linspace(-10.0, 40.0, 21))
    observations = made(grid)
    row, column = np.argwhere(observations.mask[5])[3]
    found = explained(observations, region=f"{grid.lat[row]},{grid.lon[column]}")
    assert found.weights[row, column] == 1.0
    assert any("the cell is observed" in note for note in found.notes)
    assert np.nanargmax(found.contributions**2) in np.flatnonzero(observations.mask[5])
    assert len(found.blocks) <= 9 * 9
    assert sum(block.observed for block in found.blocks) == observations.mask[5].sum()
    assert sum(block.contribution for block in found.blocks) == pytest.approx(found.influence.value)
    row, column = np.argwhere(~observations.mask[5])[3]
    gap = explained(observations, region=f"{grid.lat[row]},{grid.lon[column]}")
    assert np.nanargmax(gap.worth.gains) == row * grid.shape[1] + column, "an observation of the cell itself helps most"


def test_continents_and_oceans_are_left_out_as_by_an_estimate_without_them() -> None:
    observations = made(FIVE)
    found = explained(observations)
    region, names = regions_of(FIVE)
    assert [row.place for row in found.regions] == list(names), "all are observed here"
    assert sum(row.contribution for row in found.regions) == pytest.approx(found.influence.value)
    method = load_method("kriging", validate({"obs_file": "a.nc"}, load_site()), load_site())
    method.reconstructor.calibrate(observations)
    for name in ("North Pacific", "Africa"):
        (row,) = (row for row in found.regions if row.place == name)
        kept = observations.mask[5:6] & (region != names.index(name))
        assert row.observed == observations.mask[5].sum() - kept.sum()
        values = np.where(kept, observations.values[5:6], np.nan)
        context = Context(FIVE, observations.time[5:6])
        without = method.reconstructor.reconstruct(values, kept, None, np.array([6]), context)
        change = found.estimate - float((without.mean[0] * found.weights).sum())
        assert row.change == pytest.approx(change, abs=2e-3)
        assert row.reduction > 0.0


def test_a_region_has_no_continents(tmp_path: Path) -> None:
    found = explained(made(Grid(np.linspace(35.0, 70.0, 15), np.linspace(-10.0, 40.0, 21))))
    assert found.regions == []
    write_maps(tmp_path / "maps.nc", found, {}, "standard")
    with netCDF4.Dataset(tmp_path / "maps.nc") as file:
        assert not [name for name in file.variables if "region" in name]


def test_values_outside_the_observations_are_refused() -> None:
    grid = Grid(np.linspace(35.0, 70.0, 15), np.linspace(-10.0, 40.0, 21))
    observations = made(grid)
    for region in ("nino34", "0,0", "-10,50,0,10"):
        with pytest.raises(InputDataError, match="do not hold"):
            explained(observations, region=region)
    assert explained(observations).target.name == "global", "a region without an index has its own mean"
    with pytest.raises(InputDataError, match="in none of the 12 months"):
        explained(observations, month="1901-06")
    observations.mask[5] = False
    with pytest.raises(InputDataError, match="Nothing is observed in 1900-06"):
        explained(observations)


@pytest.mark.parametrize(
    ("text", "lat", "lon", "count"),
    [
        ("-17.5,-149.5", -17.5, -147.5, 1),
        ("-17.5,210.5", -17.5, -147.5, 1),
        ("90,180", 87.5, -177.5, 1),
        ("-5,5,190,240", -2.5, -167.5, 20),
        ("-5,5,175,-175", -2.5, 177.5, 4),
        ("-90,90,0,360", 0.0, 0.0, 36 * 72),
        ("nh", 2.5, 0.0, 18 * 72),
        ("Nino 3.4", -2.5, -167.5, 20),
    ],
)
def test_places_and_boxes_have_their_cells(text: str, lat: float, lon: float, count: int) -> None:
    weights = weights_on(FIVE, parse_target(text, "tas"))
    assert weights.sum() == pytest.approx(1.0)
    assert np.count_nonzero(weights) == count
    assert weights[np.abs(FIVE.lat - lat).argmin(), np.abs(FIVE.lon - lon).argmin()] > 0.0


def test_september_1877_rests_on_two_ship_tracks(shared_data: Path) -> None:
    """The El Nino of 1877 in HadCRUT4: the weights are those of kriging's equations, cells of two tracks have the most."""
    path = shared_data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
    found = climrecon.explain(path, "1877-09", "nino34", ["punet6", "kriging"])
    for maps in found.values():
        numbers = maps.attrs["explanation"]
        assert numbers["completeness_error"] < 0.01
        assert numbers["value"] == pytest.approx(numbers["estimate"], rel=0.01)
        largest = {row["cell"] for row in numbers["observations"][:5]}
        assert {"0-5N, 135W-130W", "5S-0, 135W-130W", "5S-0, 170W-165W"} <= largest
        assert numbers["wanted"][0]["cell"].split(", ")[1] in ("150W-145W", "155W-150W")


def test_a_month_of_a_complete_record_is_explained_by_gradients(shared_data: Path) -> None:
    """GISTEMP has no variability that the training fields lack: the U-Net corrects the mean, and three months contribute."""
    path = shared_data / "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc"
    found = climrecon.explain(path, "1915-09", "nino34", ["punet6"])["punet6"].attrs["explanation"]
    assert found["how"] == "gradients"
    assert found["completeness_error"] < 0.01
    shares = [row["share"] for row in found["months"]]
    assert shares[1] > 0.8
    assert 0.0 < shares[0] < 0.1
    assert 0.0 < shares[2] < 0.1
