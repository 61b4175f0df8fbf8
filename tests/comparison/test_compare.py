"""``task=compare`` through the command line, on files as producers write them."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner

import climrecon
from climrecon.cli.app import app
from climrecon.errors import ClimReconError
from output.test_files import cf_problems
from preprocess import observation_files as files

FIRST, YEARS = 1951, 40
INDEX = files.month_numbers(FIRST, 12 * YEARS)
LAT, LON = np.arange(-75.0, 90, 30.0), np.arange(-165.0, 180, 30.0)
GRID = {"lat": LAT, "lon": LON}
QUICK = ("--plots", "false", "--report", "false")


def climate(seed: int = 0, trend: float = 0.2) -> np.ndarray:
    """(T, 6, 12) anomalies with a trend per decade, less their mean of 1961-1990."""
    rng = np.random.default_rng(seed)
    time = (INDEX / 12.0 - FIRST)[:, None, None]
    annual = np.repeat(rng.normal(0.0, 0.2, YEARS), 12)[:, None, None]
    values = trend / 10.0 * time + annual + rng.normal(0.0, 0.4, (len(INDEX), 6, 12))
    return based(values, 1961, 1990)


def based(values: np.ndarray, first: int, last: int) -> np.ndarray:
    """Less the mean of each calendar month over these years, found by a loop of its own."""
    years, months = INDEX // 12, INDEX % 12
    found = np.array(values, float)
    for month in range(12):
        inside = (months == month) & (years >= first) & (years <= last)
        found[months == month] -= values[inside].mean(axis=0)
    return found


def write(folder: Path, stem: str, values: np.ndarray, base: str = "1961-1990", **more: Any) -> Path:
    described = {"units": "K", "long_name": f"temperature anomaly relative to {base}"}
    return files.write(folder / f"{stem}.nc", values, INDEX, **{**GRID, "attributes": described, **more})


def compare(folder: Path, products: dict[str, Path], *more: str, quick: bool = True) -> dict[str, Any]:
    named = ",".join(f"{name}={path}" for name, path in products.items())
    call = ["compare", "--products", named, "--cachedir", str(folder / "cache"), "--output", str(folder / "out"), *more]
    result = CliRunner().invoke(app, [*call, *(QUICK if quick else ())], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads((folder / "out" / "comparison.json").read_text())
    return content


def trends(content: dict[str, Any], coverage: str = "common", asked: str = "1951-1990") -> dict[str, Any]:
    (found,) = [one for one in content["trends"] if (one["coverage"], one["asked"]) == (coverage, asked)]
    return dict(found["products"])


PERIODS = ("--trend-periods", "1951-1990,1850-2018,1998-2012")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Three products with planted trends: one with members, one with gaps, a hostile name."""
    folder = tmp_path_factory.mktemp("comparison")
    first, rng = climate(), np.random.default_rng(5)
    ensemble = folder / "ensemble"
    ensemble.mkdir()
    write(ensemble, "X.1.0.0.0.anomalies.ensemble_mean", first)
    for number in range(1, 9):
        error = rng.normal(0.0, 0.05, YEARS).repeat(12)[:, None, None]
        write(ensemble, f"X.1.0.0.0.anomalies.{number}", first + error)
    gappy = climate() + 0.1
    gappy[:120, 4:] = np.nan
    products = {
        "ensemble": ensemble,
        "gappy": write(folder, "gappy", gappy),
        "<script>alert(1)</script> $x^2$": write(folder, "other", climate(trend=0.3)),
    }
    return folder, compare(folder, products, *PERIODS, quick=False)


def test_every_result_is_there_and_listed(result: tuple[Path, dict[str, Any]]) -> None:
    out = result[0] / "out"
    manifest = json.loads((out / "manifest.json").read_text())
    names = {entry["path"] for entry in manifest["outputs"]}
    assert names >= {"comparison.json", "comparison.nc", "series.png", "trends.png", "ranks.png", "report.html"}
    assert "differences_1951-1990.png" in names
    assert all((out / name).is_file() for name in names)
    assert not list(out.glob(".climrecon*"))


def test_planted_trends_come_back(result: tuple[Path, dict[str, Any]]) -> None:
    content = result[1]
    rows = trends(content)
    for name, planted in (("ensemble", 0.2), ("<script>alert(1)</script> $x^2$", 0.3)):
        low, high = rows[name]["interval"]
        assert low < planted < high
        assert rows[name]["period"] == "1951-1990"
        assert not rows[name]["cut"]
    (entry,) = [one for one in content["trends"] if one["coverage"] == "common" and one["asked"] == "1951-1990"]
    difference = entry["differences"]["<script>alert(1)</script> $x^2$"]
    assert difference["slope"] == pytest.approx(0.1, abs=1e-4), "all else is the same in both"
    assert difference["significant"]
    assert difference["less"] == "ensemble"
    members = rows["ensemble"]["members"]
    assert members["n"] == 8
    assert members["mean"] == pytest.approx(rows["ensemble"]["slope"], abs=3 * members["sd"])
    # The slope of independent errors of 0.05 K over 40 years: 0.05 / sqrt(40 * (40^2 - 1) / 12) K a year.
    assert members["sd"] == pytest.approx(10 * 0.05 / np.sqrt(40 * 1599 / 12), rel=0.6)


def test_periods_are_cut_or_left_out_and_stated(result: tuple[Path, dict[str, Any]]) -> None:
    content = result[1]
    assert trends(content, asked="1850-2018")["gappy"]["period"] == "1951-1990"
    assert trends(content, asked="1850-2018")["gappy"]["cut"]
    assert trends(content, asked="1998-2012")["gappy"] == {"period": None, "years": 0}
    assert "1850-2018 is cut to 1951-1990, the years that all products have" in content["notes"]
    assert "1998-2012 is left out: 0 of its years are common to all products, 10 are needed" in content["notes"]


def test_coverage_is_common_and_own(result: tuple[Path, dict[str, Any]]) -> None:
    """Without its two northern rows (30N to 90N, a quarter of the area) for ten of forty years."""
    content = result[1]
    assert content["products"]["gappy"]["covered"] == pytest.approx(1 - 0.25 / 4, abs=1e-3)
    assert content["products"]["ensemble"]["covered"] == 1.0
    assert content["common"]["covered"] == pytest.approx(1 - 0.25 / 4, abs=1e-3)
    assert content["common"]["covered_least"] == pytest.approx(0.75, abs=1e-3)
    (pair,) = [one for one in content["pairs"] if (one["first"], one["second"]) == ("ensemble", "gappy")]
    assert pair["annual_mean_difference"] == pytest.approx(0.1, abs=1e-5)
    assert pair["annual_rms_difference"] == pytest.approx(0.1, abs=1e-5)
    assert pair["cells_rms_difference"] == pytest.approx(0.1, abs=1e-4)
    assert pair["cells_r"] == pytest.approx(1.0)
    assert pair["cell_steps"] == 480 * 72 - 120 * 24


def test_the_file_holds_series_and_maps(result: tuple[Path, dict[str, Any]]) -> None:
    with netCDF4.Dataset(result[0] / "out" / "comparison.nc") as file:
        names = ["".join(name) for name in netCDF4.chartostring(file["product_name"][:])]
        assert names == list(result[1]["products"])
        assert file.Conventions == "CF-1.8"
        assert file["mean_difference"].shape == (3, 1, 6, 12)
        assert np.abs(file["mean_difference"][0]).max() == 0
        assert np.allclose(file["mean_difference"][1, 0], 0.1, atol=1e-5)
        assert np.allclose(file["trend_difference"][2, 0], 0.1, atol=1e-4)
        assert file["period_first_year"][:].tolist() == [1951]
        annual = file["annual_mean_common"][:]
        assert annual.shape == (3, YEARS)
        values = result[1]["annual_means"]["common"]["gappy"]["values"]
        assert annual[1].tolist() == pytest.approx(values, abs=1e-4)
        assert file["coverage"][1, 0] == pytest.approx(0.75, abs=1e-3)
        sources = json.loads(file.climrecon_products)
    assert sources["gappy"]["files"][0]["name"] == "gappy.nc"


def test_the_file_passes_the_cf_checker(result: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    copy = Path(shutil.copy(result[0] / "out" / "comparison.nc", tmp_path))
    assert cf_problems(copy) == []


def test_every_file_and_its_hash_is_named(result: tuple[Path, dict[str, Any]]) -> None:
    provenance = (result[0] / "out" / "provenance.json").read_text()
    report = (result[0] / "out" / "report.html").read_text()
    for one in result[1]["products"].values():
        assert one["variable_in_file"] == "tas"
        for file in one["files"]:
            assert file["sha256"] in provenance
            assert file["sha256"] in report
            assert file["name"] in report
    assert len(result[1]["products"]["ensemble"]["files"]) == 9
    assert "network" not in json.loads(provenance)["entity"]


def test_a_hostile_name_is_text_in_the_report(result: tuple[Path, dict[str, Any]]) -> None:
    report = (result[0] / "out" / "report.html").read_text()
    assert report.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report


def test_ranks_are_shares_of_the_members(result: tuple[Path, dict[str, Any]]) -> None:
    (found,) = [one for one in result[1]["ranks"] if (one["coverage"], one["product"]) == ("own", "ensemble")]
    assert found["from"] == "8 members"
    assert len(found["years"]) == 10
    for row in found["years"]:
        assert 8 * row["probability"] == pytest.approx(round(8 * row["probability"]))
    values = np.array(result[1]["annual_means"]["own"]["ensemble"]["values"])
    assert [row["year"] for row in found["years"]] == (FIRST + np.argsort(-values)[:10]).tolist()
    without = [one for one in result[1]["ranks"] if one["product"] == "gappy"]
    assert all(row["probability"] is None for one in without for row in one["years"])


def test_the_event_of_1982_is_the_mean_of_its_winter(result: tuple[Path, dict[str, Any]]) -> None:
    (event,) = result[1]["events"]
    assert (event["index"], event["event"]) == ("Nino 3.4", "1982-83")
    values = climate()[(1982 - FIRST) * 12 + 11 :][:3]
    # The box 5S-5N, 170-120W holds 20 degrees of the cell 180-150W and all of the one 150-120W, of rows 2 and 3.
    expected = (values[:, 2:4, 0] * 20 + values[:, 2:4, 1] * 30).mean() / 50
    assert event["products"]["ensemble"]["value"] == pytest.approx(expected, abs=1e-4)
    assert event["products"]["ensemble"]["sd"] == pytest.approx(0.05, rel=0.8)


def test_a_second_call_reads_nothing_anew(
    result: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import climrecon.tasks.compare.task as module

    def forbidden(*_: object) -> None:
        raise AssertionError("a product was read again")

    monkeypatch.setattr(module, "read_mean", forbidden)
    folder = result[0]
    products = {name: folder / f"{stem}.nc" for name, stem in (("gappy", "gappy"), ("other", "other"))}
    products = {"ensemble": folder / "ensemble", "gappy": folder / "gappy.nc", **products}
    del products["other"]
    products["<script>alert(1)</script> $x^2$"] = folder / "other.nc"
    named = ",".join(f"{name}={path}" for name, path in products.items())
    call = [
        "compare",
        "--products",
        named,
        "--cachedir",
        str(folder / "cache"),
        "--output",
        str(tmp_path),
        *QUICK,
        *PERIODS,
    ]
    answer = CliRunner().invoke(app, call, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert json.loads((tmp_path / "comparison.json").read_text()) == result[1]


def test_a_rerun_from_its_provenance_agrees(result: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    call = ["rerun", str(result[0] / "out" / "provenance.json"), "--output", str(tmp_path / "again")]
    answer = CliRunner().invoke(app, call, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert "same       comparison.nc" in answer.output


def test_equal_fields_compare_as_equal_whatever_their_form(tmp_path: Path) -> None:
    """Base, units, calendar, order of axes, absolute values and a finer grid differ; the fields do not."""
    values = climate()
    season = 10.0 * np.sin(np.pi * (INDEX % 12) / 6.0)[:, None, None] + 285.0
    fine = values.repeat(2, axis=1).repeat(2, axis=2)
    absolute = {"units": "K", "standard_name": "air_temperature"}
    products = {
        "first": write(tmp_path, "first", values),
        "base": write(tmp_path, "base", based(values, 1951, 1980), base="1951-1980"),
        "celsius": write(tmp_path, "celsius", values + season - 273.15, attributes={**absolute, "units": "degC"}),
        "calendar": write(tmp_path, "calendar", values + season, attributes=absolute, calendar="360_day",
                          time_units="days since 1850-01-01"),
        "turned": write(tmp_path, "turned", np.roll(values[:, ::-1], 6, axis=2), lat=LAT[::-1], lon=np.arange(15.0, 360, 30)),
        "fine": write(tmp_path, "fine", fine, lat=np.arange(-82.5, 90, 15.0), lon=np.arange(-172.5, 180, 15.0)),
    }  # fmt: skip
    content = compare(tmp_path, products, "--trend-periods", "1951-1990")
    assert content["grid"].startswith("6 x 12")
    assert content["common"]["covered"] == 1.0
    pairs = [one for one in content["pairs"] if one["first"] == "first"]
    assert len(pairs) == 5
    for pair in pairs:
        assert pair["cells_rms_difference"] < 2e-4, pair
        assert pair["annual_rms_difference"] < 2e-5, pair
    slopes = [row["slope"] for row in trends(content).values()]
    assert np.ptp(slopes) < 1e-5


def test_years_are_compared_with_years_made_of_months(tmp_path: Path) -> None:
    values = climate()
    annual = values.reshape(YEARS, 12, 6, 12).mean(axis=1)
    first = files.days_since(INDEX[::12], "days since 1850-01-01", "standard", day=1)
    described = {"units": "K", "long_name": "temperature anomaly relative to 1961-1990"}
    products = {
        "months": write(tmp_path, "months", values),
        "years": files.write(tmp_path / "years.nc", annual, INDEX[::12], **GRID, attributes=described, times=first,
                             time_units="days since 1850-01-01"),
    }  # fmt: skip
    content = compare(tmp_path, products, "--time-frequency", "yr", "--trend-periods", "1951-1990")
    assert content["common"]["step"] == "year"
    assert content["pairs"][0]["cells_rms_difference"] < 1e-5
    assert not content["events"], "a winter is no year"
    with pytest.raises(ClimReconError, match="years cannot be compared"):
        climrecon.compare(products, cachedir=tmp_path / "cache")


def test_a_region_and_members_in_one_file_from_python(tmp_path: Path) -> None:
    """A region of finer cells, across the date line, makes it the comparison of a region; members stand along a dimension."""
    values, rng = climate(), np.random.default_rng(2)
    wide = np.roll(values, 6, axis=2)[:, 2:4, 4:8].repeat(2, axis=1).repeat(2, axis=2)
    region = write(tmp_path, "region", wide, lat=np.arange(-22.5, 30, 15.0), lon=np.arange(127.5, 240, 15.0))
    members = tmp_path / "members.nc"
    write(tmp_path, "members", values)
    with netCDF4.Dataset(members, "a") as file:
        file.renameVariable("tas", "old")
        file["old"].setncatts({"units": "1", "standard_name": "", "long_name": "nothing"})
        file.createDimension("realization", 3)
        several = file.createVariable("tas", "f4", ("realization", "time", "lat", "lon"))
        several.setncatts({"units": "K", "long_name": "temperature anomaly relative to 1961-1990"})
        errors = rng.normal(0.0, 0.1, (3, 1, 6, 12))
        several[:] = values + errors - errors.mean(axis=0)
    found = climrecon.compare(
        {"region": region, "members": members}, trend_periods="1951-1990", cachedir=tmp_path / "cache"
    )
    assert found.numbers["products"]["members"]["spread"] == "3 members"
    assert found.numbers["grid"] == "2 x 4 (30 x 30 degrees, 30S-30N, 120E-120W)"
    assert found.numbers["common"]["covered"] == 1.0
    expected = (
        based(np.roll(values, 6, axis=2)[:, 2:4, 4:8].mean(axis=(1, 2)), 1961, 1990).reshape(YEARS, 12).mean(axis=1)
    )
    assert found.numbers["annual_means"]["common"]["region"]["values"] == pytest.approx(expected.tolist(), abs=1e-4)
    assert found.data["annual_mean_common"].shape == (2, YEARS)
    assert found.numbers["pairs"][0]["cells_rms_difference"] < 1e-3


def test_a_stated_interval_gives_ranks_by_draws(tmp_path: Path) -> None:
    """HadCRUT5's analysis with its series of the global mean: limits of the 95 % interval, here +-0.98 sd apart."""
    values = climate()
    folder = tmp_path / "analysis"
    folder.mkdir()
    write(folder, "HadCRUT.5.0.2.0.analysis.anomalies.ensemble_mean", values, name="tas_mean", fill=-1e30)
    series = folder / "HadCRUT.5.0.2.0.analysis.summary_series.global.monthly.nc"
    with netCDF4.Dataset(series, "w") as file:
        file.createDimension("time", len(INDEX))
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 1850-01-01 00:00:00"
        time[:] = files.days_since(INDEX, time.units, "standard")
        for name, off in (("tas_mean", 0.0), ("tas_lower", -0.196), ("tas_upper", 0.196)):
            file.createVariable(name, "f8", ("time",))[:] = off
    content = compare(tmp_path, {"HadCRUT5": folder, "other": write(tmp_path, "other", values)}, "--seed", "4")
    about = content["products"]["HadCRUT5"]
    assert (about["data_set"], about["version"], about["spread"]) == (
        "HadCRUT",
        "5.0.2.0",
        "stated for the global mean",
    )
    sd = content["annual_means"]["own"]["HadCRUT5"]["sd"]
    assert sd == pytest.approx([0.1] * YEARS, abs=1e-4)
    (found,) = [one for one in content["ranks"] if (one["coverage"], one["product"]) == ("own", "HadCRUT5")]
    assert "draws with the stated standard deviation" in found["from"]
    assert 0.0 < found["years"][0]["probability"] < 1.0


def test_a_folder_of_products(tmp_path: Path) -> None:
    place = tmp_path / "products"
    place.mkdir()
    values = climate()
    write(place, "one", values)
    write(place, "two", values)
    with zipfile.ZipFile(place / "three.zip", "w") as archive:
        for number in (1, 2, 3):
            archive.write(write(tmp_path, f"Y.1.0.0.0.anomalies.{number}", values + number), f"Y.anomalies.{number}.nc")
    (place / "notes.txt").write_text("not data")
    call = ["compare", "--products-folder", str(place), "--output", str(tmp_path / "out"), "--cachedir",
            str(tmp_path / "cache"), *QUICK]  # fmt: skip
    answer = CliRunner().invoke(app, call, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    content = json.loads((tmp_path / "out/comparison.json").read_text())
    assert list(content["products"]) == ["one", "three", "two"]
    assert content["products"]["three"]["spread"] == "3 members"
    (pair,) = [one for one in content["pairs"] if (one["first"], one["second"]) == ("one", "three")]
    assert pair["annual_mean_difference"] == pytest.approx(2.0, abs=1e-4), "the mean of its members"


def test_zips_of_members_beside_their_mean(tmp_path: Path) -> None:
    """As the Met Office publishes HadCRUT5: tens of members a zip, the mean on its own."""
    folder, values = tmp_path / "product", climate()
    folder.mkdir()
    write(folder, "X.1.0.0.0.anomalies.ensemble_mean", values)
    for first in (1, 3):
        with zipfile.ZipFile(folder / f"X.1.0.0.0.anomalies.{first}_to_{first + 1}_netcdf.zip", "w") as archive:
            for number in (first, first + 1):
                name = f"X.1.0.0.0.anomalies.{number}"
                archive.write(write(tmp_path, name, values + number - 2.5), f"{name}.nc")
    content = compare(tmp_path, {"product": folder, "other": write(tmp_path, "other", values)})
    assert content["products"]["product"]["spread"] == "4 members"
    sd = content["annual_means"]["common"]["product"]["sd"]
    assert sd == pytest.approx([np.std([-1.5, -0.5, 0.5, 1.5], ddof=1)] * YEARS, abs=1e-4)


def test_cells_with_few_years_of_the_base_period_are_left_out_with_a_note(tmp_path: Path) -> None:
    """One of 72 cells has 19 of the 30 years 1961-1990; a file that states this base keeps it."""
    values = climate()
    values[: 12 * 21, 0, 0] = np.nan
    kept = write(tmp_path, "kept", values)
    moved = write(tmp_path, "moved", values, base="1951-1980")
    content = compare(tmp_path, {"kept": kept, "moved": moved})
    lost = 100 * 19 / (40 * 71 + 19)
    notes = content["products"]["moved"]["notes"]
    assert notes[-1] == (
        f"re-based to 1961-1990 cell by cell; {lost:.1f} % of the values are lost with cells that have too few years of it"
    )
    assert not any("re-based" in note for note in content["products"]["kept"]["notes"])
    assert content["pairs"][0]["cell_steps"] == 480 * 71
