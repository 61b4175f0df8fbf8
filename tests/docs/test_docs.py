"""The documentation builds, its links hold, and its generated parts are those of the code and the benchmarks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from climrecon.form import FORMS
from climrecon.parameters import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def build(folder: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """``mkdocs build`` of the documentation in ``folder``; a warning is an error, as mkdocs.yml says."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-f", str(folder / "mkdocs.yml"), "-d", str(into)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    answer = build(ROOT, folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


def test_every_page_is_built_and_reached_from_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        built = page.relative_to(DOCS).with_suffix(".html")
        assert (site / built).is_file()
        assert str(built) in start, f"{built} is missing in the navigation of mkdocs.yml"


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//[^"]+"')
    for page in site.rglob("*.html"):
        assert not fetched.findall(page.read_text(encoding="utf-8")), page


def test_generated_parts_are_in_their_pages(site: Path) -> None:
    parameters = (site / "reference" / "parameters.html").read_text(encoding="utf-8")
    for parameter in PARAMETERS:
        assert f"<code>{parameter.name}</code>" in parameters
    forms = (site / "how-to" / "freva.html").read_text(encoding="utf-8")
    assert all(f"<code>{name}</code>" in forms for names in FORMS.values() for name in names)
    api = (site / "reference" / "python-api.html").read_text(encoding="utf-8")
    assert 'id="climrecon.fields.Estimate"' in api


def test_broken_links_fail_the_build(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(DOCS, copy / "docs")
    shutil.copy(ROOT / "mkdocs.yml", copy / "mkdocs.yml")
    (copy / "climrecon").symlink_to(ROOT / "climrecon")
    page = copy / "docs" / "limitations.md"
    links = ("no-such-page.md", "method.md#no-such-heading", "no-such-figure.png")
    broken = "".join(f"\n[broken]({link})\n" for link in links)
    page.write_text(f"{page.read_text(encoding='utf-8')}{broken}", encoding="utf-8")
    answer = build(copy, tmp_path / "site")
    assert answer.returncode != 0
    warnings = [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("WARNING")]
    assert len(warnings) == len(links), warnings
    for link in links:
        assert any(link.split("#")[-1] in line for line in warnings), link


def test_tables_of_results_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import tables

    for page, those in tables.PAGES.items():
        text = page.read_text(encoding="utf-8")
        assert text == tables.with_tables(text, tables=those), "run python benchmarks/tables.py"
    assert (DOCS / "results.md").read_text(encoding="utf-8").count("**punet6-heldout**") > 10


def made_skill(split: str, rmse: float) -> dict[str, Any]:
    """The JSON of a split with one method beside the references, in the case noisy; ``d`` with a world of its own."""
    score = {"rmse_minus_oi_90": [-0.02, -0.01], "annual_mean_bias": -0.004, "annual_mean_rmse": 0.03}
    row = {**score, "rmse": rmse, "rmse_over_oi": 0.954, "rmse_over_kriging": 0.8, "annual_mean_trend_ratio": 1.021}
    cases = {"noisy": {"net": row, "learned OI": {**row, "crps_over_oi": 1.0}}}
    about = {"split": split, "seeds": 3, "n_months": 180, "held_out_ok": {"net": split != "a"}, "cases": cases}
    return {**about, "worlds": {"CMCC-CESM": cases}} if split == "d" else about


def test_splits_and_parts_taken_away_are_rendered_once_their_results_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import tables

    two = {key: tables.TABLES[key] for key in ("splits", "ablation")}
    page = "<!-- splits: begin -->\n<!-- splits: end -->\n<!-- ablation: begin -->\n<!-- ablation: end -->\n"
    assert tables.with_tables("no marks", tmp_path, two) == "no marks"
    with pytest.raises(ValueError, match=r"skill-a\.json, skill-b\.json, skill\.json, skill-d\.json is missing"):
        tables.with_tables(page, tmp_path, two)
    for number, file in enumerate(("skill-a", "skill-b", "skill", "skill-d")):
        made = made_skill("abcd"[number], 0.7 + 0.01 * number)
        (tmp_path / f"{file}.json").write_text(json.dumps(made), encoding="utf-8")
    parts = [
        {"part": "nothing", "split": "a", "case": "clean", "rmse": 0.61, "crps": 0.2},
        {"part": "nothing", "split": "a", "case": "noisy", "rmse": 0.69, "crps": 0.3},
        {"part": "U-Net", "split": "b", "case": "clean", "rmse": 0.64, "crps": 0.2},
    ]
    (tmp_path / "ablation.json").write_text(json.dumps(parts), encoding="utf-8")
    with pytest.raises(ValueError, match="once"):
        tables.with_tables("no marks", tmp_path, two)
    lines = tables.with_tables(page, tmp_path, two).replace("\N{NO-BREAK SPACE}", " ").splitlines()
    scores = "0.80 | 0.95 | -0.020 to -0.010 |  |  | -0.004 | 0.030 | 1.021 |"
    for rmse, case in ((0.70, "noisy"), (0.71, "noisy"), (0.72, "noisy"), (0.73, "noisy"), (0.73, "noisy, CMCC-CESM")):
        assert f"| {case} | net | {rmse:.3f} | {scores}" in lines
    assert "| noisy | learned OI | 0.730 | 0.80 | 0.95 |  |  | 1.00 | -0.004 | 0.030 | 1.021 |" in lines
    assert [line[:7] for line in lines if "Not shown to be held out: `net`." in line] == ["**(a)**"]
    assert "| nothing | 0.610 / 0.690 | - / - |" in lines
    assert "| U-Net | - / - | 0.640 / - |" in lines
    rendered = tables.with_tables(page, tmp_path, two)
    assert tables.with_tables(rendered, tmp_path, two) == rendered


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_links_of_files_outside_the_site_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_files_named_in_the_documentation_exist() -> None:
    """Paths of the repository in backquotes, with or without the package's name."""
    places = (ROOT, ROOT / "climrecon")
    folders = "benchmarks|docs|methods|tasks|workflow|tests|preprocess|output|climrecon"
    named = re.compile(rf"`((?:{folders})/[\w/.-]+\.(?:py|md|json|toml))`")
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]:
        for path in named.findall(page.read_text(encoding="utf-8")):
            assert "NAME" in path or any((place / path).exists() for place in places), f"{page.name}: {path}"


def test_every_error_message_has_a_next_step(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    from refusals import refusals

    found = list(refusals())
    assert len(found) > 200
    assert not [f"{one.where}: {one.message}" for one in found if len(one.hint.split()) < 2 and one.hint != "…"]
    page = (site / "reference" / "refusals.html").read_text(encoding="utf-8")
    assert page.count("<tr>") > 200
