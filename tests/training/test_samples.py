"""Figures of samples: fixed held-out months, drawn as a network learns without changing what it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from climrecon.methods.store import as_network, as_reconstructor
from climrecon.output.samples import Sample
from climrecon.plots.picture import scales_of
from climrecon.plots.training import draw_samples
from climrecon.tasks.train.example_months import FILE, Samples, shown_while_training
from climrecon.tasks.training_data.coverage import Coverage
from helpers.small_archive import GRID, fields, gaps, small


def made_gaps() -> Coverage:
    masks, noise = gaps()
    rng = np.random.default_rng(5)
    scoring = {name: rng.random(GRID.shape) < 0.3 for name in ("1877-09", "1893-08")}
    return Coverage(masks, noise, scoring, "made up")


def test_samples_are_fixed_held_out_months_with_the_score_they_state(tmp_path: Path) -> None:
    network = as_reconstructor(as_network(small("punet", tmp_path, 10).network), GRID, 0, obs_sd=0.3)
    held = fields(60, 1, 9, "held")
    first, second = (Samples(held, made_gaps(), 3).estimated(network) for _ in range(2))
    assert [one.month[-2:] for one in first] == ["01", "04", "07", "10"]
    assert [one.gaps for one in first] == ["1877-09", "1893-08"] * 2
    for one, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.seen, again.seen)
        year, month = map(int, one.month.split("-"))
        np.testing.assert_array_equal(one.truth, held.values[(year - 1900) * 12 + month - 1])
        mask = made_gaps().scoring[one.gaps]
        np.testing.assert_array_equal(np.isfinite(one.seen), mask)
        assert 0 < np.abs(one.seen - one.truth)[mask].max() < 5
        want = np.sqrt(np.average((one.mean - one.truth)[~mask] ** 2, weights=GRID.area[~mask]))
        assert one.rmse == pytest.approx(want, rel=1e-5)
    picture = draw_samples(GRID, first, "mine")
    picture.save(tmp_path / "a.png")
    assert f"{first[0].month}, gaps of 1877-09: {first[0].rmse:.2f} K" in picture.caption
    assert Image.open(tmp_path / "a.png").width > 1500


def test_the_figure_says_month_gaps_and_score_on_the_reports_scale() -> None:
    field = np.full(GRID.shape, 1.0)
    seen = np.where(GRID.lat[:, None] > 0, field, np.nan)
    figure = draw_samples(GRID, [Sample("MODEL r1", "1950-01", "1877-09", field, seen, field + 0.5, 0.5)], "n").figure
    maps = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in maps] == [
        "Truth: MODEL r1, 1950-01",
        "Pseudo-observations: gaps of 1877-09",
        "Reconstruction: RMSE at missing cells 0.50 K",
        "Reconstruction minus truth",
    ]
    drawn = [axes.collections[0] for axes in maps]
    scale = scales_of("tas").anomaly.norm
    assert [one.norm is scale for one in drawn] == [True, True, True, False]
    assert (scale.vmin, scale.vmax) == (-4.0, 4.0)
    assert np.ma.getmaskarray(drawn[1].get_array()).mean() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["punet", "kadow2020"])
def test_drawing_changes_no_bit_and_is_rare(name: str, tmp_path: Path) -> None:
    notes: list[str] = []
    steps: list[int] = []
    samples = Samples(fields(60, 1, 9, "held"), made_gaps(), 3)
    draw = shown_while_training(samples, tmp_path, "mine", 16, notes.append)

    def shown(step: int, network: torch.nn.Module) -> None:
        steps.append(step)
        draw(step, network)

    watched = small(name, tmp_path / "a", shown=shown)
    calm = small(name, tmp_path / "b")
    for key, value in calm.network.state_dict().items():
        assert torch.equal(value, watched.network.state_dict()[key]), key
    assert steps == [10, 20, 30]
    # Drawing took longer than the training: it was drawn once, after the first validation.
    assert len(notes) == 1
    assert (tmp_path / FILE).is_file()
