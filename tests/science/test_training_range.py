"""Values beyond what a network's training months reached are flagged, and nothing else is disturbed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from climrecon.errors import NetworkError
from climrecon.grid import Grid
from climrecon.methods.store import load_network, shipped
from climrecon.methods.training_range import RANGE, TrainingRange
from climrecon.output.product import NO_SKILL, OBSERVED, OUTSIDE, RECONSTRUCTED, status_of
from climrecon.training.fields import TrainingFields
from climrecon.training.range import reached_by


def test_two_standard_deviations_beyond_the_calendar_months_range() -> None:
    low, high, sd = (np.full((12, 1, 2), value) for value in (-1.0, 2.0, 0.5))
    high[6] = 4.0
    high[0, 0, 1] = np.nan
    found = TrainingRange(low, high, sd)
    values = np.array([[[2.9, 9.0]], [[3.1, -1.9]], [[3.1, -2.1]]])
    outside = found.outside(values, np.array([1, 2, 7]))
    np.testing.assert_array_equal(outside[:, 0], [[False, False], [True, False], [False, True]])


def test_observed_cells_and_cells_without_skill_keep_their_status() -> None:
    mask = np.array([[[True, False, False, False]]])
    unskilled = np.array([[[False, True, False, False]]])
    outside = np.array([[[True, True, True, False]]])
    status = status_of(mask, unskilled, outside)
    np.testing.assert_array_equal(status[0, 0], [OBSERVED, NO_SKILL, OUTSIDE, RECONSTRUCTED])
    np.testing.assert_array_equal(status_of(mask, unskilled)[0, 0], [1, 3, 2, 2])


def test_the_shipped_network_states_its_range() -> None:
    found = load_network("punet6").training_range
    assert found is not None
    assert found.lowest.shape == (12, 36, 72)
    known = np.isfinite(found.sd)
    assert known.mean() > 0.95
    assert (found.lowest[known] < found.highest[known]).all()
    # Beyond it lies what no month of 1930-2002 was anywhere, and never the climate's zero.
    assert found.outside(np.full((12, 36, 72), 25.0), np.arange(1, 13))[known].all()
    assert not found.outside(np.zeros((12, 36, 72)), np.arange(1, 13)).any()


def test_a_range_that_is_not_the_cards_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(shipped() / "punet6", folder)
    (folder / RANGE).write_bytes((folder / RANGE).read_bytes()[:-2] + b"xx")
    with pytest.raises(NetworkError, match="training range"):
        load_network(str(folder))
    (folder / RANGE).unlink()
    with pytest.raises(NetworkError, match="training range"):
        load_network(str(folder))


def test_a_training_states_what_its_months_reached() -> None:
    months = 12 * 30
    values = np.random.default_rng(3).normal(size=(months, 4, 8)).astype(np.float32)
    scored = np.ones(values.shape, bool)
    scored[12 * 12 :, 1, 2] = False  # 12 Januaries are too few
    values[24, 0, 0], values[36, 0, 1] = 9.0, 99.0
    scored[36, 0, 1] = False
    index = 1960 * 12 + np.arange(months)
    fields = TrainingFields(values, index % 12 + 1, index, np.zeros(months, int), ("a",), Grid.regular(4, 8), scored)
    found = reached_by(fields)
    assert np.isnan(found.lowest[:, 1, 2]).all()
    assert np.isfinite(np.delete(found.sd.reshape(12, -1), 10, axis=1)).all()
    assert (found.highest[0, 0, 0], found.highest[0, 0, 1]) == (
        9.0,
        values[scored[:, 0, 1] & (index % 12 == 0), 0, 1].max(),
    )
    assert found.sd[5, 3, 3] == pytest.approx(values[5::12, 3, 3].std(ddof=1))
