"""Scores of rain on fields whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest

from climrecon.scores.spatial import critical_success_index, fraction_skill_score, radial_power

EVERYWHERE = np.ones((1, 32, 32), bool)


def square(row: int, column: int, size: int = 8, rain: float = 3.0) -> np.ndarray:
    field = np.zeros((1, 32, 32))
    field[0, row : row + size, column : column + size] = rain
    return field


def test_a_perfect_field_has_full_scores_and_a_dry_one_none() -> None:
    truth = square(10, 10)
    assert critical_success_index(truth, truth, EVERYWHERE, 1.0) == 1.0
    assert fraction_skill_score(truth, truth, EVERYWHERE, 1.0, 5) == 1.0
    dry = np.zeros_like(truth)
    assert critical_success_index(dry, truth, EVERYWHERE, 1.0) == 0.0
    assert fraction_skill_score(dry, truth, EVERYWHERE, 1.0, 5) == 0.0
    assert np.isnan(critical_success_index(dry, dry, EVERYWHERE, 1.0))
    assert np.isnan(fraction_skill_score(dry, dry, EVERYWHERE, 1.0, 5))


def test_a_shifted_field_is_worth_something_in_wide_windows_alone() -> None:
    truth, shifted = square(10, 4), square(10, 8)
    # Half of the square is hit: 32 hits, 32 misses, 32 false alarms.
    assert critical_success_index(shifted, truth, EVERYWHERE, 1.0) == pytest.approx(1 / 3)
    # In single cells: 64 differ, 128 at most.
    assert fraction_skill_score(shifted, truth, EVERYWHERE, 1.0, 1) == pytest.approx(0.5)
    skill = [fraction_skill_score(shifted, truth, EVERYWHERE, 1.0, window) for window in (1, 5, 9, 15)]
    assert skill == sorted(skill)
    assert skill[-1] > 0.8
    far = square(10, 20)
    assert fraction_skill_score(far, truth, EVERYWHERE, 1.0, 5) == 0.0


def test_the_climatology_hits_everywhere_and_is_wrong_outside() -> None:
    truth = square(8, 8)
    drizzle = np.full_like(truth, 1.2)
    assert critical_success_index(drizzle, truth, EVERYWHERE, 1.0) == pytest.approx(64 / 1024)
    assert critical_success_index(drizzle, truth, EVERYWHERE, 5.0) != critical_success_index(
        truth, truth, EVERYWHERE, 1.0
    )
    assert critical_success_index(drizzle, truth, truth > 0, 1.0) == 1.0


def test_cells_that_are_not_scored_do_not_count() -> None:
    truth, wrong = square(10, 4), square(10, 4) + square(24, 24)
    where = EVERYWHERE.copy()
    where[0, 20:] = False
    assert critical_success_index(wrong, truth, where, 1.0) == 1.0
    assert fraction_skill_score(wrong, truth, where, 1.0, 3) == 1.0
    assert critical_success_index(wrong, truth, EVERYWHERE, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("waves", [2, 8])
def test_a_wave_has_its_power_at_its_wave_number(waves: int) -> None:
    x = np.arange(32) / 32.0
    field = np.broadcast_to(5.0 + 3.0 * np.sin(2 * np.pi * waves * x), (1, 32, 32))
    power = radial_power(field, np.ones((1, 32, 32)))
    assert np.argmax(power) == waves - 1
    number = np.fft.fftfreq(32, 1 / 32)
    ring = np.rint(np.hypot(number[:, None], number[None, :]))
    # Two of the ring's waves have a power of 9 / 4 each; together the variance, 9 / 2.
    assert power[waves - 1] * (ring == waves).sum() == pytest.approx(4.5)
    np.testing.assert_allclose(np.delete(power, waves - 1), 0.0, atol=1e-20)


def test_a_smoothed_field_lacks_power_at_short_waves_and_half_the_size_has_a_quarter() -> None:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(6, 32, 32))
    smooth = gaussian_filter(noise, (0, 2, 2), mode="wrap")
    whole = np.ones_like(noise)
    ratio = radial_power(smooth, whole) / radial_power(noise, whole)
    assert ratio[0] > 0.7
    assert ratio[8:].max() < 0.02
    np.testing.assert_allclose(radial_power(0.5 * noise, whole) / radial_power(noise, whole), 0.25)
    # What lies outside of the weights has no part in it.
    weights = np.zeros_like(noise)
    weights[:, 8:24, 8:24] = np.hanning(16)[:, None] * np.hanning(16)
    other = noise.copy()
    other[:, :8] += 100.0
    np.testing.assert_allclose(radial_power(other, weights), radial_power(noise, weights))
