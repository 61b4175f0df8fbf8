"""Products in the forms of their producers, written from public documentation: equal fields compare as equal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from climrecon.cli.app import app
from preprocess import observation_files as files

FIRST, YEARS = 1951, 50
INDEX = files.month_numbers(FIRST, 12 * YEARS)


def based(values: np.ndarray, first: int, last: int) -> np.ndarray:
    """(T, H, W) less the mean of each calendar month over these years."""
    years = np.arange(FIRST, FIRST + YEARS)
    by_month = values.reshape(YEARS, 12, *values.shape[1:])
    return (by_month - by_month[(years >= first) & (years <= last)].mean(axis=0)).reshape(values.shape)


def finer(values: np.ndarray, factor: int) -> np.ndarray:
    return values.repeat(factor, axis=1).repeat(factor, axis=2)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One field of 10 degrees in the grids, units, base periods and files of seven producers."""
    folder = tmp_path_factory.mktemp("producers")
    rng = np.random.default_rng(8)
    trend = 0.015 * (INDEX / 12.0 - FIRST)[:, None, None]
    values = based(trend + rng.normal(0.0, 0.6, (len(INDEX), 18, 36)), 1961, 1990)
    five = finer(values, 2)
    turned = np.roll(finer(based(values, 1971, 2000), 2), -36, axis=2)
    kadow = folder / "20crAI_HadCRUT4_4.6.0.0_tas_mon_195101-200012.nc"
    files.write(kadow, five.repeat(2, axis=1), INDEX, lat=np.arange(-88.75, 90, 2.5), lon=files.LON5, fill=1e20,
                attributes={"units": "K", "long_name": "anomaly relative to 1961-1990"})  # fmt: skip
    found = {
        "HadCRUT5": files.hadcrut5_mean(folder, five, INDEX),
        "Cowtan & Way": files.cowtan_way(folder, five, INDEX),
        "GISTEMP": files.gistemp(folder, finer(based(values, 1951, 1980), 5), INDEX),
        "NOAAGlobalTemp": files.noaa_global_temp(folder, turned, INDEX),
        "Berkeley Earth": files.berkeley(folder, based(values, 1951, 1980), INDEX),
        "Kadow et al. 2020": kadow,
    }
    # PSL's name and form of NOAAGlobalTemp: neither names the data set or its base.
    found["NOAAGlobalTemp v5"] = files.write(
        folder / "air.mon.anom.nc", turned, INDEX, name="air", lon=np.arange(2.5, 360, 5.0), fill=-9.96921e36,
        attributes={"units": "degC", "long_name": "Surface temperature anomaly"},
    )  # fmt: skip
    return found


def test_equal_fields_of_all_producers_compare_as_equal(products: dict[str, Path], tmp_path: Path) -> None:
    named = ",".join(f"{name}={path}" for name, path in products.items())
    call = ["compare", "--products", named, "--trend-periods", "1951-2000", "--plots", "false", "--report", "false",
            "--cachedir", str(tmp_path / "cache"), "--output", str(tmp_path / "out")]  # fmt: skip
    answer = CliRunner().invoke(app, call, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    content = json.loads((tmp_path / "out/comparison.json").read_text())
    assert content["grid"] == "18 x 36 (10 x 10 degrees, global)"
    assert {name: one["data_set"] for name, one in content["products"].items()} == {
        "HadCRUT5": "HadCRUT", "Cowtan & Way": "CowtanWay", "GISTEMP": "GISTEMP", "NOAAGlobalTemp": "NOAAGlobalTemp",
        "Berkeley Earth": "BerkeleyEarth", "Kadow et al. 2020": "HadCRUT", "NOAAGlobalTemp v5": "NOAAGlobalTemp",
    }  # fmt: skip
    assert content["common"]["covered"] == 1.0
    assert len(content["pairs"]) == 21
    for pair in content["pairs"]:
        assert pair["cells_rms_difference"] < 0.005, pair  # GISTEMP's steps of 0.01 K
        assert pair["annual_rms_difference"] < 5e-4, pair
    (common,) = [one for one in content["trends"] if one["coverage"] == "common"]
    assert [row["slope"] for row in common["products"].values()] == pytest.approx([0.15] * 7, abs=0.01)
