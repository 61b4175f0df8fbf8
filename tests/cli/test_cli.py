from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon.cli.app import run_app
from climrecon.files import sha256_of
from climrecon.grid import FIVE_DEGREES
from climrecon.output.rounding import step_of
from climrecon.variables import VARIABLES
from helpers import forked


def without_settings(**environment: str) -> dict[str, str]:
    env = {**os.environ, "CLIMRECON_CONFIG": "", "XDG_CONFIG_HOME": "/nonexistent", **environment}
    return {key: value for key, value in env.items() if value}


def run(*arguments: Any, stdin: str | None = None, cwd: Path | None = None, **environment: str) -> Any:
    return forked.climrecon(*arguments, stdin=stdin, cwd=cwd, env=without_settings(**environment))


def run_anew(*arguments: Any) -> Any:
    """As a user calls it: Python begins, and loads what the command needs."""
    return subprocess.run(
        [sys.executable, "-m", "climrecon", *map(str, arguments)],
        capture_output=True, text=True, env=without_settings(), timeout=900, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def result(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run on ten years of the demo, with realisations."""
    folder = tmp_path_factory.mktemp("run") / "with space"
    answer = run_anew(
        "reconstruct", "--catalogue", demo / "catalogue.json", "--output", folder, "--period", "1870-1879",
        "--realisations", 3, "--add-to-databrowser", "--reference-period", "1961-1990",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "Results in" in answer.stdout
    return folder


def test_a_run_leaves_what_it_says(result: Path) -> None:
    manifest = json.loads((result / "manifest.json").read_text())
    assert manifest["status"] == "done"
    roles = [entry["role"] for entry in manifest["outputs"]]
    for role in ("reconstruction", "figure", "provenance", "report", "catalogue", "databrowser"):
        assert role in roles
    for entry in manifest["outputs"]:
        assert sha256_of(result / entry["path"]) == entry["sha256"]
        assert 0 < len(entry["caption"]) <= 255
    assert not list(result.glob(".*"))
    (main,) = result.glob("*.nc")
    assert main.name == "tas_mon_climrecon-punet6_HadCRUT.5.0.2.0_187001-187912.nc"
    for path in (result / "databrowser").glob("*.nc"):
        with netCDF4.Dataset(path) as file:
            data = [v for v in file.variables.values() if v.ndim == 3]
            assert len(data) == 1


def test_observed_cells_come_back_and_the_truth_is_near(result: Path, demo: Path) -> None:
    (main,) = result.glob("*.nc")
    (source,) = demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    (known,) = demo.rglob("HadCRUT.5.0.2.0.truth.nc")
    months = slice(20 * 12, 30 * 12)
    with netCDF4.Dataset(main) as a, netCDF4.Dataset(source) as b, netCDF4.Dataset(known) as c:
        ours, status, sd = a["tas"][:], a["tas_status"][:], a["tas_stddev"][:]
        seen, truth = b["tas_mean"][months], c["tas"][months]
        members = a["tas_realisation"][:]
        assert a["lat"][0] == b["latitude"][0]
        assert "HadCRUT.5.0.2.0.uncorrelated.nc" in a.climrecon_inputs
    mask = ~np.ma.getmaskarray(seen)
    np.testing.assert_array_equal(np.asarray(ours)[mask], np.asarray(seen)[mask])
    np.testing.assert_array_equal(np.asarray(status) == 1, mask)
    weights = (FIVE_DEGREES.area * ~mask)[~mask]
    error, signal_ = np.asarray(ours - truth)[~mask], np.asarray(truth)[~mask]
    assert weights @ error**2 < 0.7 * (weights @ signal_**2)
    assert 0.5 < np.sqrt(((error / np.asarray(sd)[~mask]) ** 2).mean()) < 1.5
    assert members.shape[0] == 3
    assert np.asarray(members).std(0)[~mask].mean() > 0.2


def test_rounding_stays_below_a_tenth_of_the_spread_and_makes_files_small(result: Path) -> None:
    (main,) = result.glob("*.nc")
    step = step_of(VARIABLES["tas"])
    assert step is not None
    with netCDF4.Dataset(main) as file:
        size = sum(one.size * one.dtype.itemsize for one in file.variables.values())
        assert step / np.sqrt(12) < 0.1 * file["tas_stddev"][:].min()
        assert (np.asarray(file["tas_analysis"][:]) % step == 0).all()
    assert main.stat().st_size < 0.45 * size  # two thirds of it unrounded


def test_a_reconstruction_can_be_found_and_is_never_taken_by_default(result: Path) -> None:
    hidden = run("catalogue", "search", "--catalogue", result / "catalogue.json", "--project", "climrecon")
    assert hidden.returncode == 3
    assert "only if asked for" in hidden.stderr
    rows = json.loads((result / "catalogue.json").read_text())["catalog_dict"]
    assert all(Path(row["file"]).is_file() for row in rows if row["file"].endswith(".nc"))
    assert rows[0]["product"] == "reconstruction"
    refused = run("reconstruct", "--obs-file", next(result.glob("*.nc")), "--output", result / "again")
    assert refused.returncode == 4
    assert "is not reconstructed" in refused.stderr


def test_a_rerun_agrees_and_says_so(result: Path, tmp_path: Path) -> None:
    # As the version before wrote it, with the old name of a parameter.
    text = (result / "provenance.json").read_text()
    assert "compare_with" in text
    (tmp_path / "provenance.json").write_text(text.replace("compare_with", "against"))
    answer = run("rerun", tmp_path / "provenance.json", "--output", tmp_path / "again", "--json")
    assert answer.returncode == 0, answer.stderr
    assert "Note:" not in answer.stderr
    found = json.loads(answer.stdout)
    assert found["agrees"]
    assert len(found["same"]) == 5


def test_a_rerun_sees_a_changed_input(demo: Path, tmp_path: Path) -> None:
    (source,) = demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    copy = tmp_path / source.name
    copy.write_bytes(source.read_bytes())
    fast = ("--plots", "false", "--report", "false", "--period", "1877")
    assert run("reconstruct", "--obs-file", copy, "--output", tmp_path / "a", *fast).returncode == 0
    with netCDF4.Dataset(copy, "a") as file:
        file.title = "changed"
    answer = run("rerun", tmp_path / "a" / "provenance.json", "--output", tmp_path / "b")
    assert answer.returncode == 4
    assert "has changed since" in answer.stderr


def test_a_dry_run_writes_nothing(demo: Path, tmp_path: Path) -> None:
    answer = run("reconstruct", "--catalogue", demo / "catalogue.json", "--output", tmp_path / "out", "--dryrun")
    assert answer.returncode == 0, answer.stderr
    for word in ("write nothing", "ensemble_mean.nc", "left out", "2100 months", "MB", "punet6"):
        assert word in answer.stdout
    assert not (tmp_path / "out").exists()


def test_all_problems_of_a_call_are_reported_at_once(tmp_path: Path) -> None:
    answer = run(
        "reconstruct", "--values", "anomal", "--period", "x", "--realisations", "-4", "--output", tmp_path / "o"
    )
    assert answer.returncode == 2
    for word in ("did you mean anomaly?", "'x' is no period", "integer, 0 to 1000"):
        assert word in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "o").exists()


def test_check_speaks_json() -> None:
    good = run("check", "-", stdin='{"variable": "tas"}')
    assert good.returncode == 0
    assert json.loads(good.stdout)["problems"] == []
    bad = run("check", "-", stdin='{"varable": "tas", "seed": "x"}')
    assert bad.returncode == 2
    assert len(json.loads(bad.stdout)["problems"]) == 2
    assert run("check", "-", stdin="no json").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["reconstruct", "--output", "o"], 3, "No catalogue is known"),
        (["reconstruct", "--obs-file", "absent.nc", "--output", "o"], 4, "There is no file"),
        (["reconstruct", "--catalogue", "absent.json", "--output", "o"], 3, "cannot be reached"),
        (["reconstruct", "--obs-file", "obs.nc", "--network", "punet", "--output", "o"], 5, "Did you mean punet6"),
        (["reconstruct", "--obs-file", "obs.nc", "--output", "file/o"], 6, "cannot be written"),
        (["reconstruct", "--obs-file", "obs.nc", "--network", "kriging", "--realisations", "x", "--output", "o"], 2, "integer"),
        (["reconstruct", "--obs-file", "obs.nc", "--variable", "tos", "--network", "punet6", "--output", "o"], 5, "made for tas"),
        (["reconstruct", "--obs-file", "obs.nc", "--dispatch", "slurm", "--output", "o"], 7, "dispatch=slurm: "),
        (["reconstruct", "--obs-file", "obs.nc", "--network", "idw", "--realisations", "2", "--output", "o"], 5, "gives no realisations"),
    ],
)  # fmt: skip
def test_failures_have_their_code_and_leave_nothing(
    tmp_path: Path, demo: Path, arguments: list[str], code: int, word: str
) -> None:
    (source,) = demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    (tmp_path / "obs.nc").symlink_to(source)
    (tmp_path / "file").write_text("")
    answer = run(*arguments, cwd=tmp_path)
    assert answer.returncode == code, answer.stderr
    assert word in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "o").exists() or not list((tmp_path / "o").iterdir())


def test_an_interrupted_run_leaves_nothing(demo: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "climrecon",
        "reconstruct",
        "--catalogue",
        str(demo / "catalogue.json"),
        "--output",
        str(tmp_path / "o"),
    ]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert child.stderr is not None
    for line in child.stderr:
        if "Reconstructing" in line:
            break
    time.sleep(0.5)
    child.send_signal(signal.SIGTERM)
    rest = child.stderr.read()
    assert child.wait(120) == 130
    assert "Stopped by SIGTERM" in rest
    assert not list((tmp_path / "o").iterdir())


def test_networks_are_listed_with_their_scores() -> None:
    listed = run_anew("networks")
    for name in ("punet6", "kriging", "idw", "climatology"):
        assert name in listed.stdout
    card = run("networks", "punet6")
    assert any("noisy" in line and "punet6" in line for line in card.stdout.splitlines())
    assert "response of punet6 to +1 K" in card.stdout
    assert json.loads(run("networks", "punet6", "--json").stdout)["kind"] == "analysis_unet"
    assert run("networks", "punt5").returncode == 5


def test_settings_say_where_they_come_from(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[defaults]\nnetwork = "kriging"\n')
    answer = run("settings", CLIMRECON_CONFIG=str(site))
    assert any("network" in line and "kriging" in line and str(site) in line for line in answer.stdout.splitlines())
    assert json.loads(run("settings", "--json").stdout)["parameters"]["network"]["from"] == "built in"
    missing = run("settings", CLIMRECON_CONFIG=str(tmp_path / "none.toml"))
    assert missing.returncode == 2
    assert "which is no file" in missing.stderr


def test_help_is_quick_and_teaches() -> None:
    before = time.monotonic()
    answer = run_anew("--help")
    assert answer.returncode == 0
    assert "Exit codes" in answer.stdout
    assert "climrecon demo" in answer.stdout
    assert time.monotonic() - before < 5  # a hung import, not a benchmark


def test_baselines_run_like_networks(demo: Path, tmp_path: Path) -> None:
    answer = run(
        "reconstruct", "--catalogue", demo / "catalogue.json", "--network", "kriging", "--compare-with", "punet6,idw",
        "--period", "187711-187801", "--realisations", 1, "--keep-observed", "false", "--output", tmp_path / "o", "--json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    manifest = json.loads(answer.stdout)
    (path,) = (tmp_path / "o").glob("*kriging*.nc")
    with netCDF4.Dataset(path) as file:
        np.testing.assert_array_equal(file["tas"][:], file["tas_analysis"][:])
        assert file["tas_realisation"].shape[0] == 1
    assert manifest["facets"]["experiment"] == "kriging"


def test_double_precision_comes_back_bit_by_bit(demo: Path, tmp_path: Path) -> None:
    (source,) = demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    double = tmp_path / source.name
    subprocess.run(
        ["cdo", "-s", "-b", "F64", "addc,1e-9", "-seldate,1877-01-01,1878-12-31", str(source), str(double)], check=True
    )
    answer = run(
        "reconstruct", "--obs-file", double, "--output", tmp_path / "o", "--plots", "false", "--report", "false"
    )
    assert answer.returncode == 0, answer.stderr
    (path,) = (tmp_path / "o").glob("*.nc")
    with netCDF4.Dataset(path) as ours, netCDF4.Dataset(double) as theirs:
        assert ours["tas"].dtype == theirs["tas_mean"].dtype == np.float64
        mask = ~np.ma.getmaskarray(theirs["tas_mean"][:])
        assert 0.1 < mask.mean() < 0.9
        np.testing.assert_array_equal(np.asarray(ours["tas"][:])[mask], np.asarray(theirs["tas_mean"][:])[mask])


def on_a_full_disk(arguments: list[str]) -> None:
    """A limit on the size of files fails in the midst of writing, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    run_app(arguments)


def test_a_disk_that_takes_no_more_is_said_and_nothing_is_left(demo: Path, tmp_path: Path) -> None:
    arguments = [
        "reconstruct",
        "--catalogue",
        str(demo / "catalogue.json"),
        "--period",
        "1877-1879",
        "--output",
        str(tmp_path / "o"),
    ]
    answer = forked.call(on_a_full_disk, arguments)
    assert answer.returncode == 6, answer.stderr
    assert "could not be written" in answer.stderr
    assert "Free some space" in answer.stderr
    assert not list((tmp_path / "o").iterdir())
