from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cartopy.mpl.geoaxes import GeoAxes
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from PIL import Image

from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.output.product import NO_SKILL, Product
from climrecon.output.series import NINETY, IndexSeries, Series, make_series
from climrecon.plots import animate, draw_global_mean, draw_index, draw_maps
from climrecon.plots.maps import coastlines, drawn_cells
from climrecon.plots.picture import scales_of
from climrecon.variables import VARIABLES
from climrecon.workflow.manifest import short
from helpers.made_up import make_product


def texts(figure) -> str:
    return " | ".join(t.get_text() for axes in figure.axes for t in (axes.title, axes.xaxis.label, axes.yaxis.label))


def test_coastlines_come_without_network() -> None:
    lines = coastlines()
    assert len(lines) > 20
    lon = np.concatenate([line[:, 0] for line in lines])
    lat = np.concatenate([line[:, 1] for line in lines])
    assert -85 <= np.nanmin(lat) < -70
    assert 80 < np.nanmax(lat) <= 90
    assert np.nanmax(lon) - np.nanmin(lon) >= 359


def test_maps_show_observations_reconstruction_and_standard_deviation(tmp_path: Path) -> None:
    product = make_product(12)
    series = make_series(product)
    picture = draw_maps(product, series, 5, {"kriging": product.analysis[5] - 0.5})
    shown = texts(picture.figure)
    for word in (
        "Observations",
        "Reconstruction",
        "Standard deviation",
        "punet6 minus kriging",
        "anomaly relative to 1961-1990",
    ):
        assert word in shown
    assert "1900-06: " in picture.caption
    assert "% of the globe observed (NH " in picture.caption
    assert "% of the box observed" in picture.caption
    picture.save(tmp_path / "maps.png")
    draw_maps(product, series, 5, {"kriging": product.analysis[5] - 0.5}).save(tmp_path / "again.png")
    assert (tmp_path / "maps.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    image = np.asarray(Image.open(tmp_path / "maps.png").convert("L"))
    assert image.shape[1] > 1200
    assert image.std() > 20


def nino34(series: Series) -> IndexSeries:
    (index,) = series.indices
    return index


@pytest.mark.parametrize("name", ["cost$^$", r"a$\frac$b", "$", r"$\mathdefault{$", "50 % {x}_y"])
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    """Two dollar signs in the name of a file or network are no formula, in labels of ticks neither."""
    product = make_product(12)
    source = replace(product.observations.source, dataset=name)
    product = replace(
        product, observations=replace(product.observations, source=source), network=replace(product.network, name=name)
    )
    series = make_series(product)
    draw_maps(product, series, 5, {name: product.analysis[5] - 0.5}).save(tmp_path / "maps.png")
    draw_global_mean(product, series).save(tmp_path / "mean.png")
    picture = draw_index(product, nino34(series))
    picture.figure.axes[0].set_xticks([0.0, 1.0], [name, name])
    picture.save(tmp_path / "nino.png")
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.parametrize("variable", ["tas", "tos", "psl", "pr"])
def test_every_variable_that_networks_take_has_map_colours(variable: str) -> None:
    scales = scales_of(variable)
    for scale in (scales.anomaly, scales.difference, scales.spread, scales.rmse):
        assert 8 <= len(scale.norm.boundaries) <= 17
        assert scale.label == VARIABLES[variable].units
        assert scale.ticks is None or set(np.round(scale.ticks / scale.norm.vmax, 6)) <= set(
            np.round(scale.norm.boundaries / scale.norm.vmax, 6)
        )


def test_maps_without_uncertainty_say_so_and_without_comparison_have_no_map_of_it() -> None:
    product = make_product(3)
    plain = type(product)(**{**vars(product), "stddev": None})
    series = make_series(plain)
    alone, beside = (draw_maps(plain, series, 0, others).figure for others in ({}, {"idw": plain.analysis[0]}))
    assert "punet6 gives none" in texts(alone)
    assert "Difference" not in texts(alone)
    assert "Difference: punet6 minus idw" in texts(beside)
    maps = [sum(isinstance(axes, GeoAxes) for axes in figure.axes) for figure in (alone, beside)]
    assert maps == [3, 4]


def test_series_figures_state_their_conventions() -> None:
    product = make_product(48)
    series = make_series(product)
    picture = draw_global_mean(product, series)
    assert "HadCRUT's convention" in picture.caption
    assert len(picture.figure.axes) == 3
    nino = draw_index(product, nino34(series))
    assert "170-120W" in nino.caption
    line = nino.figure.axes[0].lines[1]
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), nino34(series).values)


def some_months(months: int, keep: np.ndarray) -> Product:
    """A product of which only the months ``keep`` are left."""
    product = make_product(months)
    cut = {name: getattr(product, name)[keep] for name in ("infilled", "analysis", "stddev", "status")}
    region = {name: sd[keep] for name, sd in product.region_sd.items()}
    return replace(product, **cut, observations=product.observations.select(keep), region_sd=region)


def test_no_line_bridges_absent_months() -> None:
    keep = np.ones(24, bool)
    keep[8:14] = False
    part = some_months(24, keep)
    line = draw_index(part, nino34(make_series(part))).figure.axes[0].lines[1]
    y = np.asarray(line.get_ydata(), float)
    assert np.flatnonzero(np.isnan(y)).tolist() == [8]


def test_no_line_bridges_absent_years() -> None:
    keep = np.ones(72, bool)
    keep[30] = False  # a month of the third year: five whole years are left
    part = some_months(72, keep)
    top = draw_global_mean(part, make_series(part)).figure.axes[0]
    (ours,) = (line for line in top.lines if line.get_label() == "punet6")
    y = np.asarray(ours.get_ydata(), float)
    assert len(y) == 6
    assert np.flatnonzero(np.isnan(y)).tolist() == [2]


def bars(axes: Axes) -> np.ndarray:
    """Lower and upper ends of the error bars."""
    (collection,) = (c for c in axes.collections if isinstance(c, LineCollection))
    return np.array([segment[:, 1] for segment in collection.get_segments()])


def test_single_months_show_their_spread_as_bars() -> None:
    # Two months sixteen years apart: a band has no width there, so nothing would be seen of it.
    keep = np.zeros(192, bool)
    keep[[0, 191]] = True
    part = some_months(192, keep)
    series = make_series(part)
    for picture, values, sd in (
        (draw_index(part, nino34(series)), nino34(series).values, nino34(series).sd),
        (draw_global_mean(part, series), series.ours, series.ours_sd),
    ):
        axes = picture.figure.axes[0]
        np.testing.assert_allclose(bars(axes)[:, 0], values - NINETY * sd)
        np.testing.assert_allclose(bars(axes)[:, 1], values + NINETY * sd)
        low, high = axes.get_ylim()
        assert low < (values - NINETY * sd).min()
        assert high > (values + NINETY * sd).max()
        assert "90 % range" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_band_is_drawn_only_if_the_method_gives_one() -> None:
    product = make_product(48)
    series = make_series(product)
    for known in (True, False):
        mean = series if known else replace(series, ours_sd=None)
        index = nino34(series) if known else replace(nino34(series), sd=None)
        for picture in (draw_index(product, index), draw_global_mean(product, mean)):
            axes = picture.figure.axes[0]
            labels = [text.get_text() for text in axes.get_legend().get_texts()]
            assert ("90 % band" in labels) is known
            assert ("90 %" in picture.caption) is known
            assert bool(axes.collections) is known


def test_the_band_has_the_stated_width() -> None:
    product = make_product(48)
    series = make_series(product)
    (band,) = draw_index(product, nino34(series)).figure.axes[0].collections
    corners = band.get_paths()[0].vertices
    middle = nino34(series).values[10]
    there = corners[np.isclose(corners[:, 0], (series.time.index[10] + 0.5) / 12)][:, 1]
    np.testing.assert_allclose(np.unique(there.round(9)), middle + np.array([-1, 1]) * 1.645 * 0.3, atol=1e-3)


def test_barely_seen_months_are_grey() -> None:
    product = make_product(36)
    seen = np.where(np.arange(36) < 12, 0.24, 0.25)
    axes = draw_index(product, replace(nino34(make_series(product)), observed=seen)).figure.axes[0]
    (ours,) = (line for line in axes.lines if line.get_label() == "punet6")
    assert np.isnan(np.asarray(ours.get_ydata(), float)).tolist() == [True] * 12 + [False] * 24
    nothing = draw_index(product, replace(nino34(make_series(product)), observed=seen * 0)).figure.axes[0]
    labels = [text.get_text() for text in nothing.get_legend().get_texts()]
    assert "punet6" not in labels
    assert "punet6, under 25 % of the box observed" in labels


def test_whole_sentences_of_captions_fit_the_host() -> None:
    product = make_product(48)
    source = replace(product.observations.source, dataset="NOAAGlobalTemp", version="v6.0.0")
    network = replace(product.network, name="published-20cr-1000000")
    product = replace(product, network=network, observations=replace(product.observations, source=source))
    series = make_series(product)
    pictures = (
        draw_maps(product, series, 1, {}),
        draw_global_mean(product, series),
        draw_index(product, nino34(series)),
    )
    for picture in pictures:
        shown = short(picture.caption)
        assert shown.endswith(".")
        assert picture.caption.startswith(f"{shown} ")
        assert "NOAAGlobalTemp" in shown
        assert picture.caption.endswith("K, anomaly relative to 1961-1990.")


@pytest.mark.parametrize(("offset", "columns"), [(0.0, 72), (2.5, 73)])
def test_the_map_is_closed_at_its_ends(offset: float, columns: int) -> None:
    edges = np.linspace(-180, 180, 73) + offset
    grid = Grid(FIVE_DEGREES.lat_edges, edges)
    field = np.broadcast_to(grid.lon, grid.shape)
    found, cells = drawn_cells(grid, field)
    assert cells.shape == (36, columns)
    assert len(found) == columns + 1
    np.testing.assert_allclose([found[0], found[-1]], [0, 360], atol=2e-3)
    assert (np.diff(found) > 0).all()
    for place in (0.1, 1.0, 90.0, 181.0, 269.9, 359.9):
        column = np.searchsorted(found, place) - 1
        difference = (cells[0, column] - place + 180) % 360 - 180
        assert abs(difference) <= 2.5


def test_hatching_covers_cells_without_skill_and_no_others() -> None:
    product = make_product(2)
    complete = draw_maps(product, make_series(product), 0, {}).figure.axes[1]
    (hatched,) = (c for c in complete.collections if c.get_hatch())
    assert len(hatched.get_paths()) == (product.status[0] == NO_SKILL).sum()
    dots = [c for c in complete.collections if isinstance(c, PathCollection)]
    assert [len(c.get_offsets()) for c in dots] == [product.observations.mask[0].sum()]


def test_both_anomaly_maps_share_the_scale_in_steps_of_half_a_kelvin() -> None:
    product = make_product(2)
    observed, complete = draw_maps(product, make_series(product), 0, {}).figure.axes[:2]
    norms = [
        next(c for c in axes.collections if c.get_array() is not None and not c.get_hatch()).norm
        for axes in (observed, complete)
    ]
    assert norms[0] is norms[1]
    np.testing.assert_array_equal(norms[0].boundaries, np.arange(-4, 4.5, 0.5))


def test_an_animation_has_every_month(tmp_path: Path) -> None:
    seen = []
    path = animate(make_product(3), tmp_path / "film", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    if path.suffix == ".mp4" and shutil.which("ffprobe"):
        counting = ["-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"]
        told = subprocess.run(["ffprobe", "-v", "error", *counting, path], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == "3"


def test_without_ffmpeg_the_animation_is_a_gif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("climrecon.plots.animation.FFMpegWriter.isAvailable", lambda: False)
    path = animate(make_product(3), tmp_path / "film")
    assert path.name == "film.gif"
    with Image.open(path) as film:
        assert getattr(film, "n_frames") == 3  # noqa: B009 - of the classes of formats alone


def test_an_animation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate(make_product(3), tmp_path / "film", stop)
    assert not list(tmp_path.iterdir())
