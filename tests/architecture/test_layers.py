"""The import rule of docs/architecture.md, and what a cheap import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "climrecon"

#: Library -> the places that may import it, relative to the package.
CONFINED = {
    "torch": ("methods/", "training/"),
    "matplotlib": ("plots/",),
    "subprocess": ("freva_child.py", "preprocess/cdo.py", "netcdf/opendap.py", "jobs/", "watch/commands.py"),
    "intake_esm": ("catalogue/",),
}


#: Lines of a module, at most.
LONGEST = 400


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("library", sorted(CONFINED))
def test_a_library_stays_in_its_layer(library: str) -> None:
    places = [path for path in PACKAGE.rglob("*.py") if library in imported(path)]
    wrong = [
        str(path.relative_to(PACKAGE))
        for path in places
        if not str(path.relative_to(PACKAGE)).startswith(CONFINED[library])
    ]
    assert not wrong


def test_no_module_is_long() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > LONGEST}


#: Files whose objects are of other libraries and may lack an attribute -> why.
MAY_LACK = {
    "catalogue/build.py": "attributes of netCDF files",
    "catalogue/opening.py": "a pandas cell is a text or a list of texts",
    "cli/run_command.py": "click collects the options of a function in an attribute of it",
    "methods/kadow2020/network.py": "layers of a torch module, registered by name",
    "netcdf/": "attributes of netCDF files and variables",
    "preprocess/": "attributes of netCDF files and variables",
    "watch/changes.py": "attributes of netCDF files and variables",
    "watch/detection.py": "attributes of netCDF files and variables",
}


def absent_by_default(path: Path) -> list[str]:
    """Calls of ``getattr`` with a default, and of ``hasattr``."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = [(call, call.func.id) for call in calls if isinstance(call.func, ast.Name)]
    return [
        ast.unparse(call) for call, name in names if name == "hasattr" or (name == "getattr" and len(call.args) > 2)
    ]


def test_no_contract_holds_by_absence() -> None:
    """What a class of ours may lack is declared there, not looked for here."""
    found = {str(path.relative_to(PACKAGE)): absent_by_default(path) for path in PACKAGE.rglob("*.py")}
    assert not {path: calls for path, calls in found.items() if calls and not path.startswith(tuple(MAY_LACK))}
    for place in MAY_LACK:
        assert any(calls for path, calls in found.items() if path.startswith(place)), (
            f"{place} has no such call any more"
        )


#: Function that takes any error without raising one -> why.
TAKES_ANY_ERROR = {
    "servers.py: _read": "a thread hands its error to the one that waits for the answer, which raises it",
    "variables/units.py: conversion": "of text that is no unit the parser raises whatever it meets",
    "cli/recording.py: ending_recorded": "torchrun ends all processes at the first that does not end with 0",
    "cli/watching.py: watch": "what the system refused to one look, the next one tries again",
    "watch/run.py: run": "whatever a run raises, the watch reports it and tries again",
    "freva.py: _to_databrowser": "the host's indexing fails without its server; the files are put in place",
    "freva.py: _takes": "the host parses values as it likes; one that it cannot store is left out of the row of a refusal",
}


def takes_any_error(path: Path) -> set[str]:
    """Functions in which a broad ``except`` ends without ``raise``, or one of ``BaseException`` without a bare one."""
    found = set()
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler):
                names = {"BaseException"} if node.type is None else {ast.unparse(one) for one in _types(node.type)}
                last = node.body[-1]
                passes = isinstance(last, ast.Raise) and ("BaseException" not in names or last.exc is None)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "suppress":
                names, passes = {ast.unparse(one) for one in node.args}, False
            else:
                continue
            if names & BROAD and not passes:
                found.add(function.name)
    return found


#: A stop is no error: who names one of these takes it for one.
BROAD = {"Exception", "BaseException", "Explained", "Stopped", "Interrupted", "Unfinished", "KeyboardInterrupt"}


def _types(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def test_no_error_and_no_signal_is_taken_unseen() -> None:
    found = {
        f"{path.relative_to(PACKAGE if PACKAGE in path.parents else ROOT)}: {name}"
        for path in (*PACKAGE.rglob("*.py"), ROOT / "plugin.py")
        for name in takes_any_error(path)
    }
    assert found == set(TAKES_ANY_ERROR)


def test_layers() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_what_the_host_imports_needs_the_standard_library_alone() -> None:
    for name in ("__init__.py", "parameters.py", "form.py", "freva.py", "freva_child.py"):
        source = (PACKAGE / name).read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 8))
        assert imported(PACKAGE / name) <= {
            *sys.stdlib_module_names,
            "climrecon",
            *(["evaluation_system"] if name == "freva.py" else []),
        }


def test_help_and_import_load_nothing_heavy() -> None:
    code = (
        "import sys, climrecon, climrecon.cli.app\n"
        "heavy = {'torch', 'xarray', 'pandas', 'matplotlib', 'intake_esm', 'scipy', 'numpy', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"
