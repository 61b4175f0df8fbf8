from __future__ import annotations

import numpy as np
import pytest

from climrecon.grid import Grid
from climrecon.methods.priors.covariance import (
    LONG_KM,
    SHORT_KM,
    SampleCovariance,
    exponential,
    great_circle,
    learn_patterns,
    seasonal_scale,
)


def test_great_circle_distances() -> None:
    grid = Grid(np.array([-90.0, -30.0, 30.0, 90.0]), np.linspace(-180, 180, 5))
    distance = great_circle(grid)
    equator = [4, 5, 6, 7]
    quarter = 6371.0 * np.pi / 2
    assert distance[equator[0], equator[1]] == pytest.approx(quarter)
    assert distance[equator[0], equator[2]] == pytest.approx(2 * quarter)
    # From 60 S to 60 N along a meridian: 120 degrees.
    assert distance[0, 8] == pytest.approx(6371.0 * np.radians(120))
    np.testing.assert_allclose(distance, distance.T, atol=1e-6)


def test_exponential_is_positive_definite_on_the_sphere() -> None:
    values = np.linalg.eigvalsh(exponential(great_circle(Grid.regular(9, 18)), 2000.0))
    assert values.min() > 0


def test_few_patterns_keep_the_variance_of_each_cell() -> None:
    grid, rng = Grid.regular(6, 12), np.random.default_rng(0)
    fields = rng.normal(size=(240, 6, 12)) * np.linspace(0.5, 2, 6)[None, :, None]
    month = np.arange(240) % 12 + 1
    learned = learn_patterns(fields, month, grid, 10)
    flat = fields.reshape(240, -1)
    flat = flat - (flat @ grid.area.reshape(-1))[:, None]
    np.testing.assert_allclose(learned.prior_sd().mean(0), flat.std(0), rtol=0.15)
    assert learned.vectors.shape == (72, 10)


def test_covariances_of_a_region_fall_off_over_its_own_lengths() -> None:
    grid = Grid(np.linspace(50.0, 50.1, 11), np.linspace(8.0, 8.1, 11))
    rng = np.random.default_rng(0)
    fields, month = rng.normal(size=(30, 10, 10)), np.ones(30, int)
    distance = great_circle(grid)
    far = distance > 8.0
    # What few independent fields have in common is noise, which no length of the globe takes out.
    sizes = [
        np.abs(SampleCovariance(fields, month, grid, tapers=tapers).whole_year()[far]).mean()
        for tapers in ((LONG_KM, SHORT_KM), (4.0, 2.0))
    ]
    assert sizes[0] > 0.1
    assert sizes[1] < 0.15 * sizes[0]


def test_seasonal_scale_sees_the_season() -> None:
    rng = np.random.default_rng(0)
    month = np.arange(1200) % 12 + 1
    fields = rng.normal(size=(1200, 3)) * (1.0 + 0.8 * np.cos(2 * np.pi * (month - 1) / 12))[:, None]
    scale = seasonal_scale(fields, month)
    assert scale[0].mean() > 2.0 * scale[6].mean()
    # The window goes round the year: December and February are treated alike.
    np.testing.assert_allclose(scale[11], scale[1], rtol=0.15)
