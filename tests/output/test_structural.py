"""What the choice of network changes: in the file, the table, the report and the end of a run."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch

from cli.test_cli import run
from climrecon.files import sha256_of
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.card import describe
from climrecon.methods.kadow2020.network import VARIANTS, PublishedUNet
from climrecon.methods.store import WEIGHTS, save_network
from climrecon.output.netcdf import write_netcdf
from climrecon.output.product import Product, Structural
from climrecon.output.structural import stddev, structural_rows, table
from climrecon.tasks.reconstruct.product import with_networks
from climrecon.workflow.provenance import read_provenance
from helpers.made_up import make_product
from output.test_files import attributes, cf_problems
from report.test_report import read, write

pytestmark = pytest.mark.slow

AWAY = np.array([0.2, -0.1])


def compared(months: int = 24, networks: int = 1) -> Product:
    """Further networks that are off by the same everywhere but where cells were observed."""
    product = make_product(months)
    hidden = ~product.observations.mask
    names = ["cmip5-net", "a, b"][:networks]
    fields = {name: product.infilled + np.float32(AWAY[n]) * hidden for n, name in enumerate(names)}
    learned = dict.fromkeys(names, "models & <more>")
    return replace(product, structural=Structural(fields, learned, dict.fromkeys(names, "ab" * 32)))


def test_the_spread_is_that_of_the_networks() -> None:
    two, three = compared(), compared(networks=2)
    hidden = ~two.observations.mask
    np.testing.assert_allclose(stddev(two)[hidden], 0.2 / np.sqrt(2), atol=1e-6)
    assert (stddev(two)[~hidden] == 0).all()
    expected = np.std([0.0, 0.2, -0.1], ddof=1)
    np.testing.assert_allclose(stddev(three)[~three.observations.mask], expected, atol=1e-6)
    (row,) = structural_rows(two)
    share = (GRID.area * hidden).sum((1, 2))
    assert row.mean == pytest.approx(0.2 * share.mean(), abs=1e-6)
    assert row.cells == pytest.approx(0.2, abs=1e-6)
    assert row.trend is None
    assert row.when in two.observations.time.labels()
    long = compared(240)
    warming = 0.03 * (long.observations.time.year - 1900)[:, None, None].astype(np.float32)
    long = replace(long, structural=replace(long.structural, infilled={"x": long.infilled + warming}, learned_from={"x": ""}))  # fmt: skip
    (row,) = structural_rows(long)
    assert row.trend == pytest.approx(0.3, abs=1e-4)
    assert (row.when, row.largest) == ("1919", pytest.approx(0.57, abs=1e-4))


def test_the_file_holds_it_by_cf_and_says_what_it_is(tmp_path: Path) -> None:
    product = compared(networks=2)
    path = tmp_path / "tas_mon.nc"
    write_netcdf(product, path, attributes(product))
    assert cf_problems(path) == []
    with netCDF4.Dataset(path) as file:
        assert "tas_structural_stddev" in file["tas"].ancillary_variables
        assert "punet6, cmip5-net, a, b" in file["tas_structural_stddev"].comment
        names = ["".join(row.astype(str)).strip() for row in file["network_name"][:]]
        assert names == ["cmip5-net", "a, b"]
        difference = file["tas_global_mean_difference"]
        assert "ab" * 32 in difference.comment
        share = (GRID.area * ~product.observations.mask).sum((1, 2))
        np.testing.assert_allclose(difference[:], AWAY[:, None] * share, atol=1e-6)
    write_netcdf(product, path, attributes(product), ("tas",))
    with netCDF4.Dataset(path) as file:
        assert "network" not in file.dimensions
    rows_ = list(csv.DictReader(table(product, product.structural.infilled, True).splitlines()))
    assert list(rows_[0]) == ["month", "punet6", "cmip5-net", "a, b", "structural_stddev"]
    values = [float(rows_[5][name]) for name in ("punet6", "cmip5-net", "a, b")]
    assert float(rows_[5]["structural_stddev"]) == pytest.approx(np.std(values, ddof=1), abs=2e-5)


def test_the_report_has_a_row_for_each_network(tmp_path: Path) -> None:
    words = read(write(tmp_path, compared())).text
    (row,) = structural_rows(compared())
    assert "Structural uncertainty: other networks" in words
    assert "models & <more>" in words
    assert "tas_structural_stddev" in words
    (tmp_path / "alone").mkdir()
    assert "Structural uncertainty: other networks" not in read(write(tmp_path / "alone", make_product())).text
    assert row.rms > 0


def untrained(name: str, seed: int, folder: Path) -> Path:
    torch.manual_seed(seed)
    network = PublishedUNet(VARIANTS[1], (4, 6, 8)).eval()
    about = {"recipe": {"rows": 72}, "data": "nothing"}
    return save_network(network, describe(name, network, GRID, about), folder / name)


def test_two_networks_in_one_call(demo: Path, tmp_path: Path) -> None:
    """Each as a run of its own gives it, re-based too; a baseline stays in the figures."""
    first, other = untrained("first", 3, tmp_path), untrained("untrained", 4, tmp_path)
    common = ["--catalogue", demo / "catalogue.json", "--period", "1961-1990", "--plots", "false", "--reference-period", "1961-1985"]  # fmt: skip
    answers = [
        run("reconstruct", *common, "--network", network, "--compare-with", against, "--output", tmp_path / place)
        for network, against, place in ((first, f"{other},kriging", "both"), (other, "kriging", "alone"))
    ]
    assert [answer.returncode for answer in answers] == [0, 0], answers[0].stderr
    assert "Structural uncertainty, untrained less first: global mean " in answers[0].stdout
    assert "kriging too" not in answers[0].stderr
    fields = {}
    for place in ("both", "alone"):
        (main,) = (tmp_path / place).glob("*.nc")
        with netCDF4.Dataset(main) as file:
            fields[place] = np.asarray(file["tas"][:], np.float64)
            if place == "both":
                spread, difference = file["tas_structural_stddev"][:], file["tas_global_mean_difference"][0]
            else:
                assert "tas_structural_stddev" not in file.variables
    apart = fields["alone"] - fields["both"]
    # Both fields are rounded to 1/128 K, the spread to 5 bits; means are worked out before.
    np.testing.assert_allclose(spread, np.abs(apart) / np.sqrt(2), rtol=1 / 32, atol=1.04 / 128 / np.sqrt(2))
    np.testing.assert_allclose(difference, (apart * GRID.area).sum((1, 2)), atol=4e-4)
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text())
    assert "structural.csv" in [entry["path"] for entry in manifest["outputs"]]
    recorded = read_provenance(tmp_path / "both" / "provenance.json")
    assert recorded.other_networks == {"untrained": sha256_of(other / WEIGHTS)}, "kriging is no network"
    assert read_provenance(tmp_path / "alone" / "provenance.json").other_networks == {}
    # Another network by the same name is no repeat.
    assert untrained("untrained", 5, tmp_path) == other
    again = run("rerun", tmp_path / "both" / "provenance.json", "--output", tmp_path / "again")
    assert again.returncode != 0
    assert f"{other} here has sha256" in again.stderr
    digest = json.loads((tmp_path / "alone" / "manifest.json").read_text())["fingerprint"]
    compared_to = Structural({}, {}, {"a": "ab"})
    assert len({digest, with_networks(digest, None), with_networks(digest, compared_to)}) == 2


def test_baselines_on_the_series_are_those_of_runs_of_their_own(demo: Path, tmp_path: Path) -> None:
    call = ("reconstruct", "--catalogue", demo / "catalogue.json", "--period", "1878-1881", "--obs-members", "0")
    more = ("--compare-with", "kriging,idw", "--compare-series", "true", "--vector-figures", "true")
    answer = run(*call, "--output", tmp_path / "both", *more)
    assert answer.returncode == 0, answer.stderr
    series = list(csv.DictReader((tmp_path / "both" / "baselines.csv").read_text().splitlines()))
    page = (tmp_path / "both" / "report.html").read_text()
    assert "<h2>Baselines</h2>" in page
    assert "Structural uncertainty: other" not in page
    for method in ("kriging", "idw"):
        alone = run(
            *call, "--output", tmp_path / method, "--network", method, "--compare-with", "none", "--plots", "false"
        )
        assert alone.returncode == 0, alone.stderr
        (main,) = (tmp_path / method).glob("*.nc")
        with netCDF4.Dataset(main) as file:
            theirs = (np.asarray(file["tas"][:], np.float64) * GRID.area).sum((1, 2))
        assert np.std(theirs) > 0.05
        # Fields in files are rounded to 1/128 K.
        np.testing.assert_allclose([float(row[method]) for row in series], theirs, atol=4e-4)
        assert f"<td>{method}</td>" in page
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text())
    assert "baselines.csv" in [entry["path"] for entry in manifest["outputs"]]


@pytest.mark.shared
def test_the_published_networks_can_be_compared(shared_data: Path, demo: Path, tmp_path: Path) -> None:
    models = shared_data / "published_models"
    answer = run(
        "reconstruct", "--catalogue", demo / "catalogue.json", "--period", "1877", "--plots", "false",
        "--network", models / "20cr-1000000.pth", "--compare-with", models / "20crtasgn72.pth",
        "--output", tmp_path / "o",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "Structural uncertainty, 20crtasgn72 less 20cr-1000000" in answer.stdout
    words = read((tmp_path / "o" / "report.html").read_text(encoding="utf-8")).text
    assert "Structural uncertainty: other networks" in words
