"""The documentation builds, its links hold, and its generated parts are those of the code and the benchmarks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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

    for page in tables.PAGES:
        assert page.read_text(encoding="utf-8") == tables.with_tables(page), "run python benchmarks/tables.py"
    assert (DOCS / "results.md").read_text(encoding="utf-8").count("**punet5-heldout**") > 10


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
