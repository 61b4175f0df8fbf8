"""The recipes of CONTRIBUTING, each done once on a copy of the package: so many files, and no more, are touched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Copy:
    """A copy of what a recipe touches, and the files that were touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: set[str] = set()
        for name in ("climrecon", "templates"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("tool.toml", "README.md"):
            shutil.copy(ROOT / name, folder / name)

    def write(self, name: str, text: str) -> None:
        self.touched.add(name)
        (self.folder / name).write_text(text)

    def insert(self, name: str, before: str, text: str) -> None:
        content = (self.folder / name).read_text()
        assert before in content, f"{name} has no {before!r} any more"
        self.write(name, content.replace(before, text + before, 1))

    def run(self, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        answer = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def most(task: str) -> int:
    """How many files the table of CONTRIBUTING allows."""
    (row,) = re.findall(rf"^\| add a {task} \|.*\| (\d) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    return int(row)


METHOD = '''"""The mean of the observed cells everywhere."""

from climrecon.fields import Estimate
from climrecon.methods.contract import Capabilities, Method


class Mean(Method):
    """See the module."""

    name = "mean"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False)

    def reconstruct(self, values, mask, obs_sd, month, context):
        weights = mask * context.grid.area
        means = (weights * values).sum((1, 2)) / weights.sum((1, 2))
        return Estimate(mean=0 * values + means[:, None, None])
'''


def test_add_a_method(copy: Copy) -> None:
    copy.write("climrecon/methods/mean.py", METHOD)
    copy.insert(
        "climrecon/methods/registry.py",
        '    "kriging": (',
        '    "mean": ("mean:Mean", "the mean of the observed cells"),\n',
    )
    assert "the mean of the observed cells" in copy.run("-m", "climrecon", "networks")
    assert len(copy.touched) <= most("method")


def test_add_a_data_set(copy: Copy) -> None:
    copy.insert(
        "climrecon/datasets.py",
        '    DataSet(\n        "CowtanWay"',
        '    DataSet("Polarstern", r"polarstern", base=(1971, 2000), institute="AWI"),\n',
    )
    code = "from climrecon.datasets import Stated, release_of; r = release_of(Stated('Polarstern.2.1.0.nc')); print(r.name, r.version, r.data_set.base)"
    assert copy.run("-c", code).strip() == "Polarstern 2.1.0 (1971, 2000)"
    assert len(copy.touched) <= most("data set")


def test_add_a_parameter(copy: Copy) -> None:
    row = (
        '    Parameter("halo", INT, 3, "Cells around each observation.", minimum=0, maximum=9, tasks=(RECONSTRUCT,)),\n'
    )
    parameters = (copy.folder / "climrecon/parameters.py").read_text()
    start = parameters.index("PARAMETERS = (") + len("PARAMETERS = (\n")
    copy.write("climrecon/parameters.py", parameters[:start] + row + parameters[start:])
    copy.run("-m", "climrecon.generated")  # what it writes is no source
    assert "Cells around each observation" in copy.run("-m", "climrecon", "reconstruct", "--help")
    assert "Cells around each observation" in (copy.folder / "README.md").read_text()
    code = "from climrecon.settings import load_site, validate; print(validate({'halo': '5'}, load_site()).halo)"
    assert copy.run("-c", code).strip() == "5"
    assert len(copy.touched) <= most("parameter")


def test_add_a_variable(copy: Copy) -> None:
    text = (ROOT / "climrecon/variables/psl.toml").read_text()
    copy.write("climrecon/variables/ps.toml", text.replace("_at_sea_level", "").replace("sea-level", "surface").replace(
        '"psl", "slp", "msl", "prmsl"', '"ps", "sp"'))  # fmt: skip
    code = "from climrecon.variables import VARIABLES; print(VARIABLES['ps'].standard_name, VARIABLES['ps'].units)"
    assert copy.run("-c", code).strip() == "air_pressure Pa"
    assert len(copy.touched) <= most("variable")


FIGURE = '''"""The observed share of each month."""

from climrecon.plots.picture import Picture, new_figure


def draw_share(product):
    """A line."""
    figure = new_figure(6, 3)
    figure.add_subplot().plot(product.observations.mask.mean((1, 2)))
    return Picture(figure, "Observed share of the cells.")
'''


def test_add_a_figure(copy: Copy, demo: Path) -> None:
    copy.write("climrecon/plots/share.py", FIGURE)
    copy.insert(
        "climrecon/tasks/reconstruct/results.py",
        '    results.add_figure(f"maps_{label}.png"',
        "    from climrecon.plots.share import draw_share\n\n"
        '    results.add_figure("share.png", draw_share(product))\n',
    )
    copy.run("-m", "climrecon", "reconstruct", "--catalogue", str(demo / "catalogue.json"), "--period", "1877",
             "--obs-members", "0", "--compare-with", "none", "--network", "idw", "--output", str(copy.folder / "out"))  # fmt: skip
    assert (copy.folder / "out/share.png").is_file()
    assert "Observed share of the cells." in (copy.folder / "out/report.html").read_text()
    assert len(copy.touched) <= most("figure")
