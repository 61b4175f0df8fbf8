from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from climrecon.output.product import Product
from climrecon.output.series import NINETY, highest_years, make_series, trends
from climrecon.plots import draw_global_mean
from climrecon.report import write_report
from climrecon.workflow.provenance import Activity, OutputFile
from helpers.made_up import make_product

#: Measures the page it stands in and tells the page around it.
PROBE = """<script>
const problems = [];
addEventListener('error', e => problems.push(String(e.message || e.target.src)), true);
addEventListener('securitypolicyviolation', e => problems.push(e.blockedURI));
const number = text => text.match(/[\\d.]+/g).map(Number);
const light = rgb => rgb.slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const behind = e => { for (; e; e = e.parentElement) { const c = number(getComputedStyle(e).backgroundColor);
  if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
const contrast = e => { const a = light(number(getComputedStyle(e).color)), b = light(behind(e));
  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); };
addEventListener('load', () => {
  const all = [...document.querySelectorAll('body *')];
  const told = {
    window: innerWidth, width: document.documentElement.scrollWidth, errors: problems,
    wide: all.filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll')).map(e => e.tagName),
    outside: [...document.querySelectorAll('.scroll')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).length,
    broken: [...document.images].filter(i => !i.naturalWidth).length,
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    contrast: Math.min(...all.filter(e => e.textContent.trim()).map(contrast)),
  };
  parent.postMessage(JSON.stringify(told), '*');
});
</script>"""
FRAME = """<!doctype html><body style="margin:0"><script>
addEventListener('message', e => document.body.setAttribute('data-probe', e.data));
</script><iframe src="{page}" style="width:{width}px;height:900px;border:0"></iframe>"""

SCORES = {"n_months": 96, "cases": {"1877-09 noisy": {"punet6": {"rmse": 0.6934, "crps": 0.287}, "raw_mean": {"rmse": 1.0}}}}  # fmt: skip


def write(folder: Path, product: Product, months_known: bool = True) -> str:
    series = make_series(product)
    if not months_known:
        series = replace(series, ours_sd=None)
    figure = folder / "global_mean.png"
    picture = draw_global_mean(product, series)
    picture.save(figure)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    activity = Activity("7", now, now, "<b>someone</b>", {"catalogue": "/a/" + "long" * 60, "period": None},
                        {"climrecon": "0", "cdo": "2.1"}, "punet6", "ab",
                        [("/data/" + "x" * 200 + ".nc", "cd" * 32)], "ef" * 32)  # fmt: skip
    path = folder / "report.html"
    write_report(
        path, product=product, series=series,
        figures=[(figure, picture.caption)], outputs=[OutputFile(figure.name, "figure", "c", "ff")], activity=activity,
        left_out=[("<img src=x onerror=alert(1)>", "a reason")],
    )  # fmt: skip
    return path.read_text(encoding="utf-8")


def scored(months: int = 240) -> Product:
    product = make_product(months)
    return replace(product, network=replace(product.network, card={"caveats": ["careful"], "scores": SCORES}))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    write(tmp_path, scored())
    return tmp_path / "report.html"


class Words(HTMLParser):
    """The page as it is read: its text without tags; also every address it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.addresses, self.open = "", [], []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read(page: str) -> Words:
    words = Words()
    words.feed(page)
    words.text = " ".join(words.text.split())
    return words


def test_it_stands_on_its_own_and_escapes_foreign_text(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    words = read(text)
    assert words.open == []
    assert all(address.startswith("data:") for address in words.addresses)
    assert "http://" not in text
    assert "https://" not in text
    assert text.count("<script") == 1  # the page's own, let in by its hash
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'\">", text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;img src=x" in text
    assert "&lt;b&gt;someone" in text
    assert text.count("data:image/png;base64,") == 1
    for word in (
        "Warmest years",
        "Trends of the annual global mean",
        "HadCRUT.5.0.2.0 (sea-surface temperature over sea blended with near-surface air temperature over land) were reconstructed",
        "careful",
        "a note",
        "cd" * 32,
        "ef" * 32,
        "Made with climrecon 0, cdo 2.1. Repeat it with",
    ):
        assert word in words.text, word


def test_numbers_are_those_of_the_series(tmp_path: Path) -> None:
    product = scored()
    words = read(write(tmp_path, product)).text
    series = make_series(product)
    (trend,) = trends(series)
    assert (trend.first, trend.last) == (1900, 1919)
    assert f"1900–1919{trend.ours:+.3f}±{trend.half:.3f}±{NINETY * trend.reconstruction_sd:.3f}" in words.replace(
        " ", ""
    )
    best = highest_years(series)[0]
    assert f"{best.year}{best.ours:+.2f}±{NINETY * 0.05:.2f}" in words.replace(" ", "")
    assert f"known to within ±{NINETY * 0.05:.2f} K" in words
    assert f"On average {100 * series.coverage['global'].mean():.0f} % of the globe's area was observed" in words
    assert "1877-09noisypunet60.6930.287––––" in words.replace(" ", "")
    assert "Scores on 96 months" in words


def test_a_method_without_uncertainty_of_regional_means_gets_no_ranges(tmp_path: Path) -> None:
    product = replace(scored(), stddev=None)
    words = read(write(tmp_path, product, months_known=False)).text
    assert "gives no uncertainty of regional means" in words
    assert "known to within" not in words
    assert "Ranges of regional means" not in words
    assert "no skill" not in words


def test_a_few_months_make_a_report_too(tmp_path: Path) -> None:
    product = make_product(2)
    source = replace(product.observations.source, blended=False, title="", institution="")
    product = replace(product, observations=replace(product.observations, source=source))
    words = read(write(tmp_path, product)).text
    assert "2 months, 1900-01 to 1900-02, of HadCRUT.5.0.2.0 (near-surface air temperature) were reconstructed" in words
    assert "Trends" not in words
    assert "Warmest years" not in words
    assert "Skill of the network" not in words


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")])
def test_it_renders_without_errors_and_nothing_overflows(report: Path, tmp_path: Path, width: int, scheme: str) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here; install the package chromium")
    # The page forbids scripts but its own; the probe is let in for this test alone. A frame makes the page as
    # narrow as a phone: a window of its own would not get below 500 pixels.
    page, frame = tmp_path / "probed.html", tmp_path / "frame.html"
    text = report.read_text(encoding="utf-8").replace(
        "default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';"
    )
    page.write_text(text.replace("</head>", PROBE + "</head>"), encoding="utf-8")
    frame.write_text(FRAME.format(page=page.as_uri(), width=width), encoding="utf-8")
    answer = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
         f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
         "--window-size=1400,900", "--virtual-time-budget=4000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    probe = re.search(r'data-probe="([^"]*)"', answer.stdout)
    assert probe, answer.stdout[-2000:]
    found = json.loads(probe[1].replace("&quot;", '"'))
    assert found["window"] == width
    assert found["dark"] is (scheme == "dark")
    assert found["errors"] == []
    assert found["broken"] == 0
    assert found["wide"] == []
    assert found["outside"] == 0
    assert found["width"] <= width
    # WCAG 2.2, success criterion 1.4.3: text on its background.
    assert found["contrast"] >= 4.5
