"""A reconstruction of real annual HadCRUT4 compared with HadCRUT4 itself and with GISTEMP, until 2002."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from climrecon.cli.app import app


def run(*call: str) -> None:
    answer = CliRunner().invoke(app, list(call), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output


def test_real_products_until_2002(shared_data: Path, tmp_path: Path) -> None:
    observed = shared_data / "observations/hadcrut4/hadcrut4_annual_5x5_1850-2002.nc"
    months = shared_data / "observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc"
    quick = ["--plots", "false", "--report", "false", "--time-frequency", "yr", "--cachedir", str(tmp_path / "cache")]
    run("reconstruct", "--obs-file", str(observed), "--model", "HadCRUT4", "--network", "idw", "--period", "1951-1990",
        "--compare-with", "none", "--output", str(tmp_path / "ours"), *quick)  # fmt: skip
    products = f"ours={tmp_path / 'ours'},HadCRUT4={observed},GISTEMP={months}"
    run("compare", "--products", products, "--trend-periods", "1951-2018,1961-1990", "--output",
        str(tmp_path / "out"), *quick)  # fmt: skip
    content = json.loads((tmp_path / "out/comparison.json").read_text())
    about = content["products"]
    assert about["ours"]["data_set"] == "HadCRUT.4 by climrecon, idw"
    assert [about[name]["data_set"] for name in ("HadCRUT4", "GISTEMP")] == ["HadCRUT", "GISTEMP"]
    assert about["GISTEMP"]["period"] == "1880-2002"
    assert content["common"]["period"] == "1951-1990"
    assert content["common"]["covered"] == pytest.approx(0.78, abs=0.05), "that of HadCRUT4"
    pairs = {(one["first"], one["second"]): one for one in content["pairs"]}
    assert pairs["ours", "HadCRUT4"]["cells_rms_difference"] < 1e-6, "observed cells are kept"
    other = pairs["ours", "GISTEMP"]
    assert other["annual_r"] > 0.9
    assert 0.1 < other["cells_rms_difference"] < 0.6
    # GISTEMP's year 1964, from its months, by a second way.
    import netCDF4

    with netCDF4.Dataset(months) as file:
        first = 12 * (1964 - 1880)
        year = np.ma.filled(file["tas"][first : first + 12].astype(float), np.nan).mean(axis=0)
        weights = np.cos(np.radians(file["lat"][:]))[:, None] * np.isfinite(year)
    halves = [np.nansum(weights[rows] * year[rows]) / weights[rows].sum() for rows in (slice(18), slice(18, None))]
    own = content["annual_means"]["own"]["GISTEMP"]
    assert own["values"][own["years"].index(1964)] == pytest.approx(np.mean(halves), abs=2e-4)


def test_realisations_of_months_have_a_spread_with_its_caveat(demo: Path, tmp_path: Path) -> None:
    """The method pca does not state how errors persist, the reanalysis has no spread."""
    quick = ["--plots", "false", "--report", "false", "--cachedir", str(tmp_path / "cache")]
    run("reconstruct", "--catalogue", str(demo / "catalogue.json"), "--network", "pca", "--period", "1961-1970",
        "--reference-period", "1961-1970", "--realisations", "4", "--obs-members", "0", "--compare-with", "none",
        "--output", str(tmp_path / "ours"), *quick)  # fmt: skip
    reanalysis = next((demo / "reanalysis" / "20CR").glob("*.nc"))
    run("compare", "--products", f"ours={tmp_path / 'ours'},reanalysis={reanalysis}", "--reference-period", "1961-1970",
        "--trend-periods", "1961-1970", "--output", str(tmp_path / "out"), *quick)  # fmt: skip
    content = json.loads((tmp_path / "out/comparison.json").read_text())
    assert content["products"]["ours"]["spread"] == "4 realisations"
    assert any("from month to month is not stated" in note for note in content["notes"])
    assert all(sd > 0 for sd in content["annual_means"]["own"]["ours"]["sd"])
    assert "no spread of the mean: reanalysis" in " ".join(content["notes"])
