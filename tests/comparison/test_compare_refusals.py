"""What ``task=compare`` refuses, and in which words."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import pytest
from click.testing import CliRunner

from climrecon.cli.app import app
from climrecon.errors import InputDataError, ProblemList
from climrecon.settings import load_site, validate
from comparison.test_compare import GRID, INDEX, QUICK, YEARS, based, climate, compare, write
from preprocess import observation_files as files


def refused(folder: Path, products: dict[str, Path], *more: str) -> str:
    named = ",".join(f"{name}={path}" for name, path in products.items())
    call = ["compare", "--products", named, "--cachedir", str(folder / "cache"), "--output", str(folder / "out"), *more]
    with pytest.raises(InputDataError) as error:
        CliRunner().invoke(app, [*call, *QUICK], catch_exceptions=False, standalone_mode=False)
    assert not (folder / "out" / "manifest.json").exists()
    return str(error.value)


def test_an_overlap_of_few_years_is_refused_with_the_spans(tmp_path: Path) -> None:
    first = write(tmp_path, "first", climate())
    described = {"units": "K", "long_name": "temperature anomaly relative to 1961-1990"}
    later = files.write(tmp_path / "later.nc", climate(), INDEX + 12 * (YEARS - 5), **GRID, attributes=described)
    text = refused(tmp_path, {"first": first, "later": later})
    assert "5 whole years in common (first 195101-199012, later 198601-202512); 10 are needed" in text


def test_a_base_period_that_a_product_does_not_cover_is_refused(tmp_path: Path) -> None:
    values = climate()
    first, other = write(tmp_path, "first", values), write(tmp_path, "other", values, base="1951-1980")
    text = refused(tmp_path, {"first": first, "other": other}, "--reference-period", "1981-2010")
    assert "The product first cannot be compared" in text
    assert "The climatology of 1981-2010 needs 20 years" in text


def test_a_file_that_is_no_product_is_refused_by_name(tmp_path: Path) -> None:
    first = write(tmp_path, "first", climate())
    (tmp_path / "page.nc").write_text("<html>not found</html>")
    assert "The product web cannot be compared" in refused(tmp_path, {"first": first, "web": tmp_path / "page.nc"})
    wind = write(
        tmp_path, "wind", climate(), name="ua", attributes={"units": "m s-1", "standard_name": "eastward_wind"}
    )
    text = refused(tmp_path, {"first": first, "wind": wind})
    assert "The product wind cannot be compared" in text
    assert "No variable is tas" in text
    assert "absent.nc" in refused(tmp_path, {"first": first, "none": tmp_path / "absent.nc"})
    (tmp_path / "empty").mkdir()
    assert "holds no netCDF file" in refused(tmp_path, {"first": first, "empty": tmp_path / "empty"})


def test_the_name_of_a_product_decides_which_data_set_it_is(tmp_path: Path) -> None:
    """A file that contradicts itself, and one that states neither data set nor base."""
    values = climate()
    first = write(tmp_path, "first", values)
    both = write(tmp_path, "HadCRUT.4.6.0.0.median", values, file_attributes={"title": "GISTEMP Surface Temperature"})
    text = refused(tmp_path, {"first": first, "both": both})
    assert "The product both cannot be compared: " in text
    assert "Call the product as its data set, e.g. products=GISTEMP=FILE" in text
    plain = {"units": "K", "long_name": "temperature anomaly"}
    silent = write(tmp_path, "silent", based(values, 1951, 1980), attributes=plain)
    content = compare(tmp_path, {"first": first, "HadCRUT4": both, "GISTEMP": silent})
    about = content["products"]
    assert "data set HadCRUT.4.6.0.0, by the name of the product ('HadCRUT4')" in about["HadCRUT4"]["notes"][0]
    assert any("1951-1980 is the default of the data set GISTEMP" in note for note in about["GISTEMP"]["notes"])
    assert all(one["cells_rms_difference"] < 1e-4 for one in content["pairs"])


def test_a_variable_that_the_user_names_is_read_where_a_file_holds_it(tmp_path: Path) -> None:
    values = climate()
    first, two = write(tmp_path, "first", values), write(tmp_path, "two", values, name="temperature_anomaly")
    with netCDF4.Dataset(two, "a") as file:
        other = file.createVariable("tas_anomaly", "f4", ("time", "lat", "lon"))
        other.setncatts({"units": "K", "long_name": "temperature anomaly relative to 1961-1990"})
        other[:] = values + 1.0
    assert "Several variables could be tas" in refused(tmp_path, {"first": first, "two": two})
    content = compare(tmp_path, {"first": first, "two": two}, "--obs-variable", "tas_anomaly")
    assert content["pairs"][0]["annual_mean_difference"] == pytest.approx(1.0, abs=1e-5)
    assert [one["variable_in_file"] for one in content["products"].values()] == ["tas", "tas_anomaly"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"products": "a=x.nc"}, "name at least two"),
        ({}, "name at least two"),
        ({"products": "a=x.nc,a=y.nc"}, "the name 'a' is given twice"),
        ({"products": "a=x.nc,y.nc"}, "is not NAME=FILE"),
        ({"products": "a=x.nc,_b=y.nc"}, "is not NAME=FILE"),
        ({"products": f"a=x.nc,{'b' * 41}=y.nc"}, "at most 40 characters"),
        ({"products": "a=x.nc,b=y.nc", "trend_periods": "1901-"}, "trend_periods: '190101-' is no period of whole years"),
        ({"products": "a=x.nc,b=y.nc", "trend_periods": "1901-2000,20"}, "trend_periods: '20' is no period"),
        ({"products": "a=x.nc,b=y.nc", "time_frequency": "day"}, "monthly or annual means are compared"),
        ({"products": "a=x.nc,b=y.nc", "variable": "pr"}, "variable: pr is a share of its climatology"),
        ({"products": "a=x.nc,b=y.nc", "task": "evaluate", "truth_file": "t.nc"}, "products: belongs to task=compare"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_used(given: dict[str, str], words: str) -> None:
    with pytest.raises(ProblemList) as problems:
        validate({"task": "compare", **given}, load_site())
    assert words in str(problems.value)


def test_a_dry_run_lists_products_and_writes_nothing(tmp_path: Path) -> None:
    products = ",".join(f"{name}={write(tmp_path, name, climate())}" for name in ("a", "b"))
    call = [
        "compare",
        "--products",
        products,
        "--dryrun",
        "--cachedir",
        str(tmp_path / "cache"),
        "--output",
        str(tmp_path / "out"),
    ]
    answer = CliRunner().invoke(app, call, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert "a: a.nc, 1 files" in answer.output
    assert "common grid: 6 x 12" in answer.output
    assert not (tmp_path / "out").exists()
