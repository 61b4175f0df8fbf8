"""Values beyond what a network's training months reached are flagged, and nothing else is disturbed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from climrecon.errors import NetworkError
from climrecon.methods.store import RANGE, TrainingRange, load_network, shipped
from climrecon.output.product import NO_SKILL, OBSERVED, OUTSIDE, RECONSTRUCTED, status_of


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
    found = load_network("punet5").training_range
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
    shutil.copytree(shipped() / "punet5", folder)
    (folder / RANGE).write_bytes((folder / RANGE).read_bytes()[:-2] + b"xx")
    with pytest.raises(NetworkError, match="training range"):
        load_network(str(folder))
    (folder / RANGE).unlink()
    with pytest.raises(NetworkError, match="training range"):
        load_network(str(folder))
