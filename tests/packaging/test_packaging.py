"""Files that must agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from climrecon import __version__, generated
from climrecon.parameters import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
#: Names that differ between PyPI and conda-forge.
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base", "netcdf4": "netcdf4"}
#: What conda needs beside the libraries: the interpreter, the program cdo, and what pip needs to install.
EXTRA = {"python", "pip", "hatchling", "cdo"}


def split(requirement: str) -> tuple[str, str]:
    match = re.match(r"([A-Za-z0-9_.-]+)(.*)", requirement.strip())
    assert match
    return match[1].lower(), match[2].replace(" ", "")


def test_conda_and_pip_ask_for_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = dict(split(text) for text in project["dependencies"])
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1]
    conda = dict(split(line.strip(" -")) for line in lines.strip().splitlines())
    assert conda["python"] == project["requires-python"].replace(" ", "")
    assert {CONDA.get(name, name): bounds for name, bounds in pip.items()} == {
        name: bounds for name, bounds in conda.items() if name not in EXTRA
    }


def test_generated_files_are_fresh() -> None:
    assert (ROOT / "tool.toml").read_text() == generated.tool_toml(), "run python -m climrecon.generated"
    assert generated.FIELDS.read_text() == generated.typed_fields(), "run python -m climrecon.generated"
    readme = (ROOT / "README.md").read_text()
    assert readme == generated.readme_with_table(readme), "run python -m climrecon.generated"


def test_tool_toml_describes_every_parameter() -> None:
    tool = tomllib.loads(generated.tool_toml())["tool"]
    assert list(tool["input_parameters"]) == [parameter.name for parameter in PARAMETERS]
    assert tool["version"] == __version__
    assert tool["run"]["command"][-1] == "run"


def test_no_path_of_one_machine_is_in_the_repository() -> None:
    pattern = re.compile(r"(?:^|[^A-Za-z0-9_.])/(?:root|home/[a-z])/", re.MULTILINE)
    for path in [
        *ROOT.glob("*.*"),
        *ROOT.glob("climrecon/**/*.py"),
        *ROOT.glob("docs/**/*.*"),
        *ROOT.glob("climrecon/**/*.json"),
    ]:
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".yml", ".json"):
            assert not pattern.search(path.read_text(encoding="utf-8")), path
