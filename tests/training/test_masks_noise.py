"""Masks and errors to train with: their statistics, and that nothing is drawn twice or counted twice."""

from __future__ import annotations

import numpy as np
import pytest

from climrecon.data.masks import MASK_MARGIN, MaskSource, harmonic_smoother, hold_out_masks
from climrecon.data.noise import NoiseSource, complete_levels, rarity_of
from climrecon.fields import Months
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import great_circle

GRID = Grid.regular(18, 36)
AREA = GRID.area.reshape(-1)
REGIONAL, SLOW = harmonic_smoother(GRID, 1500.0), harmonic_smoother(GRID, 5000.0)


@pytest.mark.parametrize(("smoother", "length"), [(REGIONAL, 1500.0), (SLOW, 5000.0)])
def test_harmonics_give_the_gaussian_correlation(smoother: np.ndarray, length: float) -> None:
    expected = np.exp(-0.5 * (great_circle(GRID) / length) ** 2)
    np.testing.assert_allclose(smoother @ smoother.T, expected, atol=2e-3)
    assert smoother.shape[1] < 300


@pytest.fixture(scope="module")
def coverage() -> np.ndarray:
    """(300, 18, 36): land cells half seen, sea cells more and more."""
    rng = np.random.default_rng(1)
    sea = sea_cells().reshape(18, 36)
    share = np.where(sea, np.linspace(0.1, 0.8, 300)[:, None, None], 0.5)
    return rng.random((300, 18, 36)) < share


def sea_cells() -> np.ndarray:
    from climrecon.geography import land_fraction

    return (land_fraction(GRID) < 0.5).reshape(-1)


def test_masks_of_any_data_set(coverage: np.ndarray) -> None:
    both = MaskSource.of_observations(coverage, sea_cells(), GRID, REGIONAL)
    assert both.blended
    rng = np.random.default_rng(0)
    drawn = np.array([both.draw(rng) for _ in range(400)])
    real = {row.tobytes() for row in both.land_masks}
    unchanged = np.array([row.tobytes() in real for row in drawn])
    # Three quarters are real months, all months alike; the others are sparser than the month they come from.
    assert 0.68 < unchanged.mean() < 0.82
    assert drawn[~unchanged].mean() < 0.6 * drawn[unchanged].mean()
    assert len({row.tobytes() for row in drawn[unchanged]}) > 150
    land = MaskSource.of_observations(coverage & ~sea_cells().reshape(18, 36), sea_cells(), GRID, REGIONAL)
    assert not land.blended
    made = np.array([land.draw(rng) for _ in range(60)])
    assert made[:, sea_cells()].mean() > 0.15
    assert all(row.sum() >= 10 for row in made)


def test_masks_that_score_are_never_trained_with() -> None:
    index = np.arange(1850 * 12, 2003 * 12)
    train, test = hold_out_masks(Months(index))
    assert [(int(i) // 12, int(i) % 12 + 1) for i in index[test]] == [(1877, 9), (1893, 8)]
    assert np.abs(train[:, None] - test[None]).min() == MASK_MARGIN + 1
    assert len(train) == len(index) - 2 * (2 * MASK_MARGIN + 1)
    later = np.arange(1960 * 12, 2003 * 12)
    train, test = hold_out_masks(Months(later))
    assert len(test) == 2
    assert not set(train) & set(test)
    few = np.arange(1877 * 12, 1878 * 12)
    assert len(hold_out_masks(Months(few))[0]) == 12


def test_correlated_errors_reach_the_global_mean() -> None:
    """Of stated cell errors the sd is that of HadCRUT5's early years; generic ones have less where they are small."""
    noise = NoiseSource(REGIONAL, SLOW, area=AREA, own=np.full((1, AREA.size), 1e-6))
    rng = np.random.default_rng(3)
    means = np.array([AREA @ noise.draw(rng)[0] for _ in range(3000)])
    # Uniform between 0.05 and 0.08: the root of the mean square is 0.0656.
    assert means.std() == pytest.approx(0.0656, rel=0.05)
    generic = np.array([AREA @ NoiseSource(REGIONAL, SLOW, area=AREA).draw(rng)[0] for _ in range(3000)])
    own = NoiseSource(np.zeros_like(REGIONAL) + 1e-30, np.zeros_like(SLOW) + 1e-30)
    alone = np.array([AREA @ own.draw(rng)[0] for _ in range(3000)])
    assert alone.std() < 0.025
    # Levels with the same chance for each order of magnitude between 0.05 and 0.7: the mean of the square of level / 0.7.
    share = (0.7**2 - 0.05**2) / (2 * np.log(0.7 / 0.05)) / 0.7**2
    assert np.sqrt(generic.var() - alone.var()) == pytest.approx(0.0656 * np.sqrt(share), rel=0.08)


def test_the_ensembles_own_size_takes_the_place_of_the_assumed_one() -> None:
    noise = NoiseSource(REGIONAL, SLOW, area=AREA, own=np.full((1, AREA.size), 1e-6), systematic=np.array([0.2]))
    rng = np.random.default_rng(4)
    means = np.array([AREA @ noise.draw(rng)[0] for _ in range(3000)])
    assert means.std() == pytest.approx(0.2, rel=0.05)


def test_stated_cell_errors_are_counted_once() -> None:
    """The cell-by-cell part is what the file states, to the kelvin; nothing generic is added to it."""
    stated = np.random.default_rng(5).uniform(0.2, 1.5, (1, AREA.size))
    noise = NoiseSource(REGIONAL * 0, SLOW * 0, own=stated)
    rng = np.random.default_rng(6)
    errors = np.array([noise.draw(rng)[0] for _ in range(3000)])
    np.testing.assert_allclose(errors.std(axis=0), stated[0], rtol=0.08)


def test_regional_errors_persist_over_months_and_cell_errors_do_not() -> None:
    rng = np.random.default_rng(7)
    small = Grid.regular(9, 18)
    regional, slow = harmonic_smoother(small, 3000.0), harmonic_smoother(small, 8000.0)
    noise = NoiseSource(regional, slow, area=small.area.reshape(-1), own=np.full((1, 162), 1e-9))
    runs = np.array([noise.draw_months(rng, 12)[0] for _ in range(400)])
    lag = [float(np.corrcoef(runs[:, 0].ravel(), runs[:, k].ravel())[0, 1]) for k in (1, 6, 11)]
    assert lag[0] > lag[1] > lag[2] > 0.2  # the slow bias stays
    cells = NoiseSource(regional * 0, slow * 0, own=np.full((1, 162), 1.0))
    runs = np.array([cells.draw_months(rng, 2)[0] for _ in range(400)])
    assert abs(np.corrcoef(runs[:, 0].ravel(), runs[:, 1].ravel())[0, 1]) < 0.02


def test_levels_are_complete_and_larger_where_little_is_seen() -> None:
    mask = np.zeros((3, 2, 3), dtype=bool)
    mask[0, 0, :2] = mask[1, 0, 0] = True
    errors = np.where(mask, 0.4, np.nan)
    errors[1, 0, 0] = 0.8
    levels = complete_levels(errors, mask)
    assert levels.shape == (2, 6)  # the month without any is left out
    assert np.isfinite(levels).all()
    assert levels[0, :2] == pytest.approx([0.4, 0.4])
    assert levels[1, 0] == pytest.approx(0.8)
    assert levels[1, 1] > levels[0, 1]  # a worse month is worse in cells it does not see, too
    assert complete_levels(np.full((2, 1, 2), np.nan), np.ones((2, 1, 2), bool)).tolist() == [[pytest.approx(0.3)] * 2]
    often = np.arange(1, 13)[:, None] >= np.arange(1, 13)[None, :]
    factor = rarity_of(often[:, None, :])
    assert factor.mean() == pytest.approx(1.0)
    assert (np.diff(factor) >= 0).all()
