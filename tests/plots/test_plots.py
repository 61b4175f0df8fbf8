from __future__ import annotations

from pathlib import Path

import numpy as np
from made_up import make_product
from PIL import Image

from climrecon.output.series import make_series
from climrecon.plots import animate, draw_global_mean, draw_maps, draw_nino34
from climrecon.plots.coast import coastlines


def texts(figure) -> str:
    return " | ".join(
        t.get_text() for axes in figure.axes for t in (axes.title, axes.xaxis.label, axes.yaxis.label)
    )


def test_coastlines_come_without_network() -> None:
    lines = coastlines()
    assert len(lines) > 20
    lon = np.concatenate([line[:, 0] for line in lines])
    lat = np.concatenate([line[:, 1] for line in lines])
    assert -85 <= np.nanmin(lat) < -70
    assert 80 < np.nanmax(lat) <= 90
    assert np.nanmax(lon) - np.nanmin(lon) >= 359


def test_maps_show_seen_said_and_how_sure(tmp_path: Path) -> None:
    product = make_product(12)
    series = make_series(product)
    picture = draw_maps(product, series, 5, {"kriging": product.analysis[5] - 0.5})
    shown = texts(picture.figure)
    for word in ("Seen", "Said", "How sure", "punet5 minus kriging", "anomaly relative to 1961-1990"):
        assert word in shown
    assert "1900-06: coverage" in picture.caption
    assert "% of the box observed" in picture.caption
    picture.save(tmp_path / "maps.png")
    draw_maps(product, series, 5, {"kriging": product.analysis[5] - 0.5}).save(tmp_path / "again.png")
    assert (tmp_path / "maps.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    image = np.asarray(Image.open(tmp_path / "maps.png").convert("L"))
    assert image.shape[1] > 1200
    assert image.std() > 20


def test_maps_without_uncertainty_or_comparison_say_so() -> None:
    product = make_product(3)
    plain = type(product)(**{**vars(product), "stddev": None})
    shown = texts(draw_maps(plain, make_series(plain), 0, {}).figure)
    assert "punet5 does not say" in shown
    assert "Nothing to compare" in shown


def test_series_figures_state_their_conventions() -> None:
    product = make_product(48)
    series = make_series(product)
    picture = draw_global_mean(product, series)
    assert "HadCRUT's convention" in picture.caption
    assert len(picture.figure.axes) == 3
    nino = draw_nino34(product, series)
    assert "170-120W" in nino.caption
    line = nino.figure.axes[0].lines[1]
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), series.nino34)


def test_no_line_bridges_absent_months() -> None:
    product = make_product(24)
    keep = np.ones(24, bool)
    keep[8:14] = False
    observations = product.observations.select(keep)
    cut = {name: getattr(product, name)[keep] for name in ("infilled", "analysis", "stddev", "status")}
    region = {name: sd[keep] for name, sd in product.region_sd.items()}
    part = type(product)(**{**vars(product), **cut, "observations": observations, "region_sd": region})
    line = draw_nino34(part, make_series(part)).figure.axes[0].lines[1]
    assert np.isnan(np.asarray(line.get_ydata(), float)).sum() == 1


def test_an_animation_has_every_month(tmp_path: Path) -> None:
    seen = []
    path = animate(make_product(3), tmp_path / "film", lambda done, total: seen.append((done, total)))
    assert path.stat().st_size > 1000
    assert seen[-1] == (3, 3)
