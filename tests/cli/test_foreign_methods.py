"""A method of another package, installed beside climrecon and used by its name in the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from climrecon.errors import NetworkError
from climrecon.methods.contract import Method
from climrecon.methods.registry import build, registered
from helpers import forked

TOY = '''
"""A toy."""

import numpy as np

from climrecon.methods.contract import Capabilities, Estimate, Method


class Toy(Method):
    """The month's mean of the observed cells, everywhere.

    More text.
    """

    name = "toy"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False)

    def reconstruct(self, values, mask, obs_sd, month, context):
        area = np.where(mask, context.grid.area, 0.0)
        level = (np.where(mask, values, 0.0) * area).sum((1, 2)) / np.maximum(area.sum((1, 2)), 1e-9)
        return Estimate(np.broadcast_to(level[:, None, None], values.shape).astype(np.float32))


def no_method():
    """Something else."""
    return 3
'''
ENTRIES = """[climrecon.methods]
toy = toy_methods:Toy
kriging = toy_methods:Toy
punet6 = toy_methods:Toy
broken = toy_methods.absent:Toy
no-method = toy_methods:no_method
"""


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip leaves it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "toy_methods.py").write_text(TOY)
    about = folder / "toy_methods-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-methods\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    return folder


@pytest.fixture
def installed(site_packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site_packages))


def run(site_packages: Path, *arguments: Any, fails: bool = False) -> str:
    paths = os.pathsep.join(filter(None, [str(site_packages), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": paths, "CLIMRECON_CONFIG": "", "XDG_CONFIG_HOME": "/nonexistent"}
    env.pop("CLIMRECON_CONFIG")
    answer = forked.climrecon(*arguments, env=env)
    assert (answer.returncode != 0) == fails, answer.stderr
    return answer.stderr if fails else answer.stdout


def test_the_method_reconstructs_and_the_report_names_it(site_packages: Path, demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    run(
        site_packages, "reconstruct", "--catalogue", demo / "catalogue.json", "--network", "toy", "--against", "idw",
        "--period", "187711-187801", "--keep-observed", "false", "--reference-period", "1961-1990", "--output", out,
    )  # fmt: skip
    (path,) = out.glob("tas_mon_climrecon-toy_*.nc")
    with netCDF4.Dataset(path) as file:
        assert np.ptp(np.asarray(file["tas"][:]), axis=(1, 2)).max() < 1e-5
        assert "the method does not use them" in file.climrecon_observation_errors
    report = (out / "report.html").read_text()
    assert "reconstructed with toy" in report
    assert "The month&#39;s mean of the observed cells" in report or "The month's mean of the observed" in report
    assert "toy-methods 1.2" in report


def test_the_method_is_evaluated(site_packages: Path, demo: Path, tmp_path: Path) -> None:
    truth = next((demo / "reanalysis" / "20CR").glob("*.nc"))
    run(
        site_packages, "evaluate", "--truth-file", truth, "--catalogue", demo / "catalogue.json", "--network", "toy",
        "--against", "climatology", "--period", "1961-1962", "--plots", "false", "--cachedir", tmp_path / "cache",
        "--output", tmp_path / "o",
    )  # fmt: skip
    scores = json.loads((tmp_path / "o" / "scores.json").read_text())["scores"]
    assert list(scores) == ["raw_mean", "toy", "climatology"]
    # The same estimate as that of the plain mean.
    assert scores["toy"]["cells"]["rmse"] == pytest.approx(scores["raw_mean"]["cells"]["rmse"], abs=1e-4)
    assert scores["toy"]["cells"]["rmse"] != scores["climatology"]["cells"]["rmse"]


def test_methods_are_listed_with_their_package_and_a_broken_one_hides_no_other(site_packages: Path) -> None:
    lines = run(site_packages, "networks").splitlines()
    (toy,) = [line for line in lines if line.split()[:1] == ["toy"]]
    assert "The month's mean of the observed cells, everywhere (method of the package toy-methods 1.2)" in toy
    assert any("kriging" in line and "ordinary kriging on the sphere" in line for line in lines)
    assert any(line.split()[:1] == ["broken"] and "toy-methods 1.2" in line for line in lines)
    assert lines.index("Methods of other packages:") > lines.index("Baselines:")
    rows = json.loads(run(site_packages, "networks", "--json"))
    assert {"toy", "punet6", "kriging", "broken"} <= {row["name"] for row in rows}
    assert "toy-methods 1.2" in run(site_packages, "networks", "toy")


def test_a_broken_package_is_named(site_packages: Path, demo: Path, tmp_path: Path) -> None:
    said = run(
        site_packages, "reconstruct", "--catalogue", demo / "catalogue.json", "--network", "broken", "--period", "1877",
        "--output", tmp_path / "o", fails=True,
    )  # fmt: skip
    assert "The method broken of the package toy-methods 1.2 cannot be used: ModuleNotFoundError" in said


@pytest.mark.usefixtures("installed")
def test_what_is_no_method_is_refused_and_names_of_ours_stand_for_ours() -> None:
    methods = registered()
    assert methods["kriging"].package == ""
    assert type(build("kriging")).__module__ == "climrecon.methods.kriging"
    assert "punet6" not in methods
    assert isinstance(build("toy"), Method)
    with pytest.raises(NetworkError, match="toy-methods 1.2 cannot be used: toy_methods:no_method gives int"):
        build("no-method")


def test_without_such_a_package_there_are_ours_alone() -> None:
    assert all(method.package == "" for method in registered().values())
