from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_up import make_product

from climrecon.output.manifest import made
from climrecon.output.provenance import Activity
from climrecon.output.series import make_series, trends, warmest_years
from climrecon.plots import draw_global_mean
from climrecon.report import write_report

PROBE = """<script>
addEventListener('load', () => {
  const wide = [...document.querySelectorAll('body *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.right > innerWidth + 1 && !e.closest('.scroll');
  }).map(e => e.tagName);
  const images = [...document.images].filter(i => !i.naturalWidth).length;
  document.body.setAttribute('data-probe', JSON.stringify({width: document.documentElement.scrollWidth,
    window: innerWidth, wide: wide, broken: images, errors: window.problems || []}));
});
addEventListener('error', e => { (window.problems = window.problems || []).push(String(e.message)); }, true);
addEventListener('securitypolicyviolation', e => { (window.problems = window.problems || []).push(e.blockedURI); });
</script>"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    product = make_product(240)
    series = make_series(product)
    figure = tmp_path / "global_mean.png"
    picture = draw_global_mean(product, series)
    picture.save(figure)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    activity = Activity("7", now, now, "<b>someone</b>", {"catalogue": "/a/" + "long" * 60}, {"climrecon": "0"},
                        "punet5", "ab", [("/data/" + "x" * 200 + ".nc", "cd" * 32)], "ef" * 32)  # fmt: skip
    write_report(
        tmp_path / "report.html", product=product, series=series, trends=trends(series), warmest=warmest_years(series),
        figures=[(figure, picture.caption)], outputs=[made(tmp_path, figure, "figure", "c")], activity=activity,
        left_out=[("<img src=x onerror=alert(1)>", "a reason")],
    )  # fmt: skip
    return tmp_path / "report.html"


def test_it_stands_on_its_own_and_escapes_foreign_text(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;img src=x" in text
    assert "&lt;b&gt;someone" in text
    assert text.count("data:image/png;base64,") == 1
    for word in (
        "Warmest years",
        "Trends of the annual global mean",
        "HadCRUT.5.0.2.0",
        "sea-surface temperature over sea",
        "careful",
    ):
        assert word in text


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
def test_it_renders_without_errors_and_nothing_overflows(report: Path, tmp_path: Path, width: int) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here; install the package chromium")
    # The page forbids scripts by itself; the probe is let in for this test alone.
    page = tmp_path / "probed.html"
    text = report.read_text(encoding="utf-8").replace(
        "default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';"
    )
    page.write_text(text.replace("</head>", PROBE + "</head>"), encoding="utf-8")
    answer = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
         f"--window-size={width},900", "--virtual-time-budget=4000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    probe = answer.stdout.split('data-probe="', 1)[1].split('"', 1)[0].replace("&quot;", '"')
    found = json.loads(probe)
    assert found["errors"] == []
    assert found["broken"] == 0
    assert found["wide"] == []
    assert found["width"] <= found["window"]
