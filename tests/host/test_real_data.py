"""Real observations, from a catalogue made by our own command, through the real Freva."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from climrecon.grid import FIVE_DEGREES, NINO34, weighted_mean
from host.test_freva import Host

pytestmark = [pytest.mark.host, pytest.mark.shared, pytest.mark.slow]
HADCRUT4 = "observations/hadcrut4/tas_hadcrut_187709_189308.nc"


@pytest.fixture(scope="module")
def host(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    folder = tmp_path_factory.mktemp("real")
    archive = folder / "archive"
    archive.mkdir()
    build = [sys.executable, "-m", "climrecon", "catalogue", "build", str(shared_data / "observations")]
    subprocess.run([*build, "--output", str(archive / "catalogue.json")], check=True, capture_output=True)
    return Host(folder, archive, None)


def reconstructed(host: Host) -> Path:
    (path,) = host.newest().glob("tas_mon_climrecon-punet6_*.nc")
    return path


@pytest.mark.parametrize(
    ("model", "months", "label"),
    [("HadCRUT4", 2, "HadCRUT.4.6.0.0"), ("CRUTEM4", 1836, "CRUTEM.4.3.0.0"), ("GISTEMP", 1476, "GISTEMP.4")],
)
def test_a_data_set_is_reconstructed(host: Host, shared_data: Path, model: str, months: int, label: str) -> None:
    answer = host.freva("plugin", "climrecon", "variable=tas", f"model={model}")
    assert answer.returncode == 0, answer.stdout
    assert host.statuses()[0] == "finished"
    path = reconstructed(host)
    assert f"_{label}_" in path.name
    manifest = json.loads((host.newest() / "manifest.json").read_text())
    assert {"reconstruction", "figure", "report", "provenance"} <= {e["role"] for e in manifest["outputs"]}
    source = next((shared_data / "observations").glob(f"{model.lower()}/*.nc"))
    name = "temperature_anomaly" if model == "CRUTEM4" else "tas"
    with netCDF4.Dataset(path) as ours, netCDF4.Dataset(source) as theirs:
        tas, seen = ours["tas"][:], theirs[name][:]
        assert len(tas) == months
        assert np.isfinite(np.ma.filled(tas, np.nan)).all()
        mask = ~np.ma.getmaskarray(seen) & np.isfinite(np.ma.filled(seen, np.nan)) & (np.abs(seen) < 100)
        np.testing.assert_array_equal(np.asarray(tas)[mask], np.asarray(seen)[mask])
        assert (np.asarray(ours["tas_status"])[mask] == 1).all()


def test_the_el_nino_of_1877_with_its_box_withheld(host: Host, shared_data: Path, tmp_path: Path) -> None:
    blind = tmp_path / "tas_hadcrut_187709_189308.nc"
    shutil.copy(shared_data / HADCRUT4, blind)
    blind.chmod(0o644)
    with netCDF4.Dataset(blind, "a") as file:
        lat, lon = file["lat"][:], file["lon"][:] % 360
        inside = ((np.abs(lat) < 5.0)[:, None]) & ((lon > 190.0) & (lon < 240.0))[None, :]
        values = file["tas"][0]
        assert (np.ma.count(values[inside]) / 2) == 5, "each row is written twice"
        values[inside] = np.ma.masked
        file["tas"][0] = values
    answer = host.freva("plugin", "climrecon", f"obs_file={blind}", "plot_month=1877-09")
    assert answer.returncode == 0, answer.stdout
    path = reconstructed(host)
    with netCDF4.Dataset(path) as file:
        rows = np.argsort(file["lat"][:])[::2]
        columns = np.argsort((np.asarray(file["lon"][:]) + 180.0) % 360.0)
        field = np.asarray(file["tas"][0])[rows][:, columns]
        status = np.asarray(file["tas_status"][0])[rows][:, columns]
    box = FIVE_DEGREES.region_weights(NINO34)
    assert not (status[box > 0] == 1).any()
    assert weighted_mean(field, box) > 0.9
    (figure,) = path.parent.glob("maps_1877-09.png")
    assert figure.stat().st_size > 50_000


@pytest.mark.parametrize(
    ("variable", "source", "name", "units", "label"),
    [
        ("tos", "observations/ersst_v3b/ersst_v3b_2x2_196001-200212.nc", "sst", "K", "sea-surface temperature"),
        ("pr", "precipitation/nclimdiv_pr_conus_1deg_189501-202212.nc", "pr", "%", "precipitation"),
    ],
)
def test_another_variable_with_cells_withheld(
    host: Host, shared_data: Path, tmp_path: Path, variable: str, source: str, name: str, units: str, label: str
) -> None:
    gappy = tmp_path / Path(source).name
    with xr.open_dataset(shared_data / source, decode_times=False) as file:
        rng = np.random.default_rng(0)
        held = file[name].where(rng.random(file[name].shape[1:]) < 0.4)
        file.assign({name: held}).to_netcdf(gappy)
        exists = file[name].notnull().any("time").to_numpy()
    answer = host.freva("plugin", "climrecon", f"variable={variable}", f"obs_file={gappy}", "period=1961-1990")
    assert answer.returncode == 0, answer.stdout
    assert host.statuses()[0] == "finished"
    (path,) = host.newest().glob(f"{variable}_mon_climrecon-*.nc")
    with xr.open_dataset(path) as ours:
        assert ours[variable].attrs["units"] == units
        filled = ours[variable].notnull().to_numpy()
        status = ours[f"{variable}_status"]
        observed = (status == 1).to_numpy()
        assert filled.any(0)[exists].mean() > 0.9  # of cells that are mostly water some were never observed
        assert filled.any(0)[~exists].mean() < 0.1  # land stays land
        assert observed.any(0).mean() < 0.5
        if variable == "pr":
            assert float(ours[variable].min()) >= 0.0
    report = (path.parent / "report.html").read_text()
    assert label in report
    assert f"{units} " in report
