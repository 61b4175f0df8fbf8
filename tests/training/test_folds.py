"""Folds of the cross-fit."""

from __future__ import annotations

import numpy as np
import pytest

from climrecon.training.folds import MARGIN, RUNS, folds_of, outside

CENTURY = np.arange(1900 * 12, 2000 * 12)
#: Two members of one archive whose periods differ.
MEMBERS = np.concatenate([CENTURY, np.arange(1850 * 12, 2010 * 12)])


def runs_of(index: np.ndarray, fold: np.ndarray, number: int) -> list[np.ndarray]:
    months = np.unique(index[fold == number])
    return np.split(months, np.flatnonzero(np.diff(months) > 1) + 1)


@pytest.mark.parametrize("index", [CENTURY, MEMBERS])
@pytest.mark.parametrize("count", [2, 4, 5])
def test_each_fold_is_spread_over_the_whole_period(index: np.ndarray, count: int) -> None:
    fold = folds_of(index, count)
    assert set(fold.tolist()) == set(range(count))
    first, last = index.min(), index.max()
    for number in range(count):
        runs = runs_of(index, fold, number)
        assert len(runs) == RUNS
        assert max(map(len, runs)) < 0.7 * (last - first) / count, "no contiguous quarter"
        # Each third of the months has some of each fold.
        thirds = np.quantile(index, [1 / 3, 2 / 3])
        assert set(np.searchsorted(thirds, np.concatenate(runs))) == {0, 1, 2}
        assert (fold == number).mean() == pytest.approx(1 / count, abs=0.02)


def test_a_date_is_in_one_fold_whatever_the_member_and_the_order() -> None:
    fold = folds_of(MEMBERS, 4)
    by_date = dict(zip(MEMBERS.tolist(), fold.tolist(), strict=True))
    assert [by_date[month] for month in MEMBERS.tolist()] == fold.tolist()
    order = np.random.default_rng(0).permutation(len(MEMBERS))
    assert np.array_equal(folds_of(MEMBERS[order], 4), fold[order])


def test_covariances_of_a_fold_see_neither_it_nor_the_months_beside_it() -> None:
    fold = folds_of(CENTURY, 4)
    for number in range(4):
        seen, held = CENTURY[outside(CENTURY, fold, number)], CENTURY[fold == number]
        assert np.abs(seen[:, None] - held[None]).min() == MARGIN + 1
        lost = (fold != number).sum() - len(seen)
        assert lost <= 2 * MARGIN * RUNS, "margins alone are lost"
    assert np.array_equal(outside(CENTURY, fold, 0, margin=0), fold != 0)


def test_a_small_archive_has_fewer_runs_and_keeps_enough_months() -> None:
    for months, count, expected in ((60, 2, 1), (120, 2, 2), (240, 4, 2), (30, 2, 1)):
        index = np.arange(months) + 12 * 1950
        fold = folds_of(index, count)
        assert {len(runs_of(index, fold, number)) for number in range(count)} == {expected}
        for number in range(count):
            kept = outside(index, fold, number).sum()
            assert kept >= months * (count - 1) // count - 2 * MARGIN * expected


def test_the_period_that_runs_share_may_be_part_of_the_months() -> None:
    training = CENTURY[(CENTURY // 12 < 1940) | (CENTURY // 12 >= 1960)]
    fold = folds_of(CENTURY, 4, period=training)
    assert np.array_equal(fold[np.isin(CENTURY, training)], folds_of(training, 4))
    assert len(runs_of(CENTURY, folds_of(CENTURY, 12, runs=1), 3)) == 1
