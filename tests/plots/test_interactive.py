"""The interactive map: every value, a slider, a cell's series; looked at in a real browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from climrecon.grid import Grid
from climrecon.output.product import NetworkInfo, Product
from climrecon.plots.interactive import _packed, _smallest_step, write_interactive_map
from helpers.made_up import make_product

#: Moves the slider to the last step, clicks nowhere, and notes what the page then holds.
PROBE = """<script>
const problems = [];
addEventListener("error", one => problems.push(one.message));
addEventListener("unhandledrejection", one => problems.push(String(one.reason)));
const wait = setInterval(() => {
  if (!globalThis.climrecon) return;
  clearInterval(wait);
  const document_ = Bokeh.documents[0];
  const named = type => [...document_._all_models.values()].filter(one => one.type === type);
  const slider = named("Slider")[0], source = named("ColumnDataSource");
  slider.value = slider.end;
  const map = source.find(one => "left" in one.data), series = source.find(one => "label" in one.data);
  globalThis.climrecon.choose(7, map.data.where);
  setTimeout(() => {
  const shown = {map: Array.from(map.data.value), series: Array.from(series.data.value), problems,
                 where: map.data.where[7], title: document.title};
  document.body.setAttribute("data-probe", JSON.stringify(shown));
  }, 500);
}, 50);
</script>"""


def held(page: Path) -> dict[str, object]:
    """What the page holds in Chromium, its scripts run."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here; install the package chromium")
    probed = page.with_name("probed.html")
    before, _, after = page.read_text(encoding="utf-8").rpartition("</head>")  # scripts hold that word too
    probed.write_text(before + PROBE + "</head>" + after, encoding="utf-8")
    answer = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={page.parent / 'profile'}",
         "--virtual-time-budget=8000", "--dump-dom", probed.as_uri()],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    probe = re.search(r'data-probe="([^"]*)"', answer.stdout)
    assert probe, answer.stdout[-2000:]
    return dict(json.loads(html.unescape(probe[1])))


def numbers(values: object) -> np.ndarray:
    """JSON has no NaN."""
    assert isinstance(values, list)
    return np.array([np.nan if value is None else value for value in values])


def regional(product: Product) -> Product:
    """The product cut to a region, with cells outside its domain and a hostile name."""
    whole = product.observations
    exists = np.ones((8, 9), bool)
    exists[:2, :3] = False
    grid = Grid(whole.grid.lat_edges[20:29], whole.grid.lon_edges[30:40], exists)
    cut = (slice(None), slice(20, 28), slice(30, 39))
    infilled = np.where(exists, product.infilled[cut], np.nan)
    observations = replace(whole, values=whole.values[cut], mask=whole.mask[cut], obs_sd=None, grid=grid)
    network = replace(product.network, name="</script><script>alert(1)</script>")
    assert isinstance(network, NetworkInfo)
    return replace(product, infilled=infilled, observations=observations, network=network)


@pytest.mark.browser
@pytest.mark.parametrize("region", [False, True])
def test_the_page_shows_every_value_to_the_step_that_its_caption_states(tmp_path: Path, region: bool) -> None:
    product = make_product(30)
    product = regional(product) if region else product
    caption = write_interactive_map(product, tmp_path / "map.html", 12)
    step = float(re.search(r"rounded to ([\d.]+) K", caption)[1])  # type: ignore[index]
    assert step == 0.01
    shown = held(tmp_path / "map.html")
    assert shown["problems"] == []
    cells = product.infilled.reshape(30, -1)
    np.testing.assert_allclose(numbers(shown["map"]), cells[-1], atol=0.51 * step)
    np.testing.assert_allclose(numbers(shown["series"]), cells[:, 7], atol=0.51 * step)
    grid = product.observations.grid
    lat, lon = grid.lat[7 // grid.shape[1]], grid.lon[7 % grid.shape[1]]
    assert shown["where"] == f"{abs(lat):g} {'N' if lat > 0 else 'S'}, {abs(lon):g} {'E' if lon > 0 else 'W'}"
    if region:
        assert "<script>alert" not in (tmp_path / "map.html").read_text(encoding="utf-8")
        assert "alert(1)" in str(shown["title"])


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    write_interactive_map(make_product(3), tmp_path / "map.html", 0)
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?http", page)


def test_a_long_record_takes_larger_steps_until_it_is_small() -> None:
    rng, lon = np.random.default_rng(0), np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False)
    waves = np.stack([np.cos(k * lon + p) for k in range(1, 9) for p in (0.0, 1.6)])
    values = (rng.normal(size=(250, 36, 16)) @ waves / 3.0 + 0.05 * rng.normal(size=(250, 36, 72))).astype(np.float32)
    assert _smallest_step(values[:3], 0.01) == 0.01
    long = np.broadcast_to(values, (8, *values.shape)).reshape(-1, 36, 72)
    step = _smallest_step(long, 0.01)
    assert step in (0.2, 0.3, 0.5)
    assert len(_packed(long[::8], step)) * 8 < 3_300_000
    assert _smallest_step(1e5 * values[:3], 0.01) > 1.0  # numbers of 16 bits hold them
