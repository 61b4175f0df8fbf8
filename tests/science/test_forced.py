"""Forced responses: their patterns, their amplitudes, and samples of other climates."""

from __future__ import annotations

import numpy as np
import pytest

from climrecon.data.masks import MaskSource, harmonic_smoother
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import learn_patterns
from climrecon.methods.priors.forced import ForcedResponses, none_on, response_of
from climrecon.training.amplitudes import Amplitudes, Climates, fit_amplitudes
from climrecon.training.fields import TrainingFields
from climrecon.training.forcing import Forcing, forcing_of, no_forcing, responses_of_runs
from climrecon.training.recipe_settings import UNetRecipe
from climrecon.training.recipes import recipe

GRID = Grid.regular(9, 18)
AREA = GRID.area.reshape(-1)
SMOOTH = harmonic_smoother(GRID, 3000.0)


def pattern(seed: int, size: float = 0.6) -> np.ndarray:
    """(P,) a smooth pattern with an area mean of 1."""
    away = size * SMOOTH @ np.random.default_rng(seed).normal(size=SMOOTH.shape[1])
    return np.asarray(1.0 + away - away @ AREA)


def run(
    seed: int, years: int = 60, warming: float = 1.0, of: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) months that vary about a warming along a pattern, and their index."""
    rng = np.random.default_rng([seed, 1])
    index = np.arange(years * 12) + 1900 * 12
    noise = 0.5 * rng.normal(size=(len(index), SMOOTH.shape[1])) @ SMOOTH.T
    level = warming * np.linspace(-0.5, 0.5, len(index))[:, None]
    return (noise + level * (pattern(seed) if of is None else of)).reshape(-1, *GRID.shape), index


def sources(count: int) -> ForcedResponses:
    patterns = np.stack([pattern(7) + 0.2 * (pattern(100 + n) - 1.0) for n in range(count)])
    names = tuple(f"model {n}" for n in range(count))
    return ForcedResponses(names, np.repeat(patterns[:, None], 12, axis=1), AREA)


def masks() -> MaskSource:
    cover = np.random.default_rng(0).random((50, *GRID.shape)) < 0.5
    return MaskSource.of_observations(cover, np.zeros(GRID.shape, bool), GRID, SMOOTH)


def test_the_response_of_a_run_is_found() -> None:
    fields, index = run(3, warming=2.0)
    found = response_of(fields, index, GRID)
    assert found is not None
    assert found.shape == (12, AREA.size)
    assert (found @ AREA).mean() == pytest.approx(1.0)
    assert np.corrcoef(found[0], pattern(3))[0, 1] > 0.95


def test_gaps_are_left_out_of_a_response() -> None:
    fields, index = run(3, warming=2.0)
    fields[:200, :3] = np.nan
    found = response_of(fields, index, GRID)
    assert found is not None
    assert np.corrcoef(found[0], pattern(3))[0, 1] > 0.95


def test_months_have_responses_of_their_own_where_a_run_is_long() -> None:
    winter, summer = pattern(3), pattern(4)
    fields, index = run(3, years=120, warming=3.0, of=winter)
    july = index % 12 == 6
    level = 3.0 * np.linspace(-0.5, 0.5, len(index))
    fields[july] += (level[july, None] * 3.0 * (summer - winter)).reshape(-1, *GRID.shape)
    found = response_of(fields, index, GRID)
    assert found is not None
    assert np.corrcoef(found[0], winter)[0, 1] > 0.95
    assert np.abs(found[6] - found[0]).mean() > 0.3


@pytest.mark.parametrize("some", [True, False])
def test_a_record_with_early_gaps_has_the_response_of_its_well_observed_months(some: bool) -> None:
    fields, index = run(3, warming=2.0)
    early = index < 1930 * 12
    fields[early] *= -1.0
    fields[early, :3] = np.nan
    found = responses_of_runs(months(fields, index)).patterns
    np.testing.assert_allclose(found[0], response_of(fields[~early], index[~early], GRID), rtol=1e-5)
    # Too few of them, or none: all months.
    fields[:-36, :3] = np.nan
    if not some:
        fields[-36:, -3:] = np.nan
    whole = responses_of_runs(months(fields, index)).patterns[0]
    np.testing.assert_allclose(whole, response_of(fields, index, GRID), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("years", "warming"), [(10, 2.0), (60, 0.0)])
def test_a_short_or_steady_run_tells_none(years: int, warming: float) -> None:
    assert response_of(*run(3, years=years, warming=warming), GRID) is None


def test_directions_hold_the_differences_of_sources() -> None:
    some = sources(5)
    found = some.directions(2.0, 0.5)
    departures = some.patterns - 1.0
    np.testing.assert_allclose(found[0], 2.0 * departures.mean(axis=0), atol=1e-9)
    apart = (departures - departures.mean(axis=0))[:, 0]
    np.testing.assert_allclose(
        np.einsum("fp,fq->pq", found[1:, 0], found[1:, 0]), 0.25 * apart.T @ apart / 4.0, atol=1e-9
    )
    assert none_on(GRID).directions(1.0, 1.0).shape == (0, 12, AREA.size)
    assert sources(1).directions(1.0, 1.0).shape[0] == 1


def test_directions_make_other_climates_no_surprise() -> None:
    fields, index = run(5, warming=0.0)
    month = index % 12 + 1
    plain, forced = (
        learn_patterns(fields, month, GRID, 40, forced=one, seasons=True)
        for one in (None, sources(1).directions(2.0, 0.0))
    )
    departure = (sources(1).patterns[0, 0] - 1.0) / plain.scale[0]

    def share(one) -> float:
        return float(((one.vectors.T @ (departure * AREA)) ** 2).sum())

    assert share(forced) > 3.0 * share(plain)


def test_amplitudes_follow_the_climates_that_are_judged() -> None:
    fields, index = run(5, warming=0.0, years=45)

    def fitted(climates: Climates) -> float:
        return fit_amplitudes(fields, index, GRID, lambda _: sources(6), masks(), climates, 0).mean

    near, far = fitted(Climates(0.0)), fitted(Climates(1.0, -2.0, 2.0))
    assert near < 0.35
    assert 0.6 < far < 2.0, "the standard deviation of a uniform warming of up to 2 K is 1.15 K"


def months(values: np.ndarray, index: np.ndarray, names: tuple[str, ...] = ("GISTEMP",)) -> TrainingFields:
    member = np.repeat(np.arange(len(names)), len(index) // len(names))
    return TrainingFields(values.astype(np.float32), index % 12 + 1, index, member, names, GRID)


def test_runs_of_a_model_are_one_source() -> None:
    runs = [run(seed, warming=2.0, of=pattern(seed // 10)) for seed in (30, 31, 40)]
    fields = months(
        np.concatenate([values for values, _ in runs]),
        np.concatenate([index for _, index in runs]),
        ("A r1i1p1", "A r2i1p1", "B r1i1p1"),
    )
    found = responses_of_runs(fields)
    assert found.names == ("A", "B")
    assert np.corrcoef(found.patterns[0, 0], pattern(3))[0, 1] > 0.95


def test_cells_that_are_never_known_take_their_neighbours_response() -> None:
    values, index = run(3, warming=2.0)
    values[:, 0] = np.nan
    polar, adjacent = responses_of_runs(months(values, index)).patterns[0, 0].reshape(GRID.shape)[:2]
    # Not zero, which would be a strong cooling against the mean.
    assert polar.min() >= 0.99 * adjacent.min() > 0.5
    assert polar.max() <= 1.01 * adjacent.max()
    values[:, :5] = np.nan
    assert not len(responses_of_runs(months(values, index)))


def test_a_network_that_is_gone_on_from_keeps_its_covariance() -> None:
    chosen = recipe("punet", amplitudes=[0.5, 0.2])
    assert isinstance(chosen, UNetRecipe)
    found = forcing_of(chosen, months(*run(5, warming=2.0)), sources(2), masks(), 0, continues=True)
    assert not found.directions().any()
    assert len(found.responses) == 3, "samples are taken to other climates all the same"


def test_samples_are_taken_to_other_climates_along_a_response() -> None:
    forcing = Forcing(none_on(GRID), sources(3), no_forcing(GRID).amplitudes, Climates(0.5, -1.0, 2.0))
    index = np.array([23_000, 22_999, 23_001])
    changes = np.stack([forcing.change(0, number, index) for number in range(400)])
    assert changes.shape == (400, 3, AREA.size)
    np.testing.assert_array_equal(changes[5], forcing.change(0, 5, index))
    warming = changes[:, 0] @ AREA
    assert 0.4 < (warming == 0.0).mean() < 0.6
    assert -1.01 < warming.min() < -0.8
    assert 1.8 < warming.max() < 2.01
    assert not no_forcing(GRID).change(0, 5, index).any()


def test_given_amplitudes_are_taken_and_the_card_names_sources() -> None:
    chosen = recipe("punet", amplitudes=[0.5, 0.2], climates=0.25)
    assert isinstance(chosen, UNetRecipe)
    found = forcing_of(chosen, months(*run(5, warming=2.0)), sources(2), masks(), 0)
    assert found.card()["sources"] == ["GISTEMP", "model 0", "model 1"]
    assert (found.amplitudes.mean, found.amplitudes.differences) == (0.5, 0.2)
    assert found.climates.share == 0.25
    # A card names no amplitude along a record's own response where none is a direction.
    assert found.card()["amplitude_of_own_K"] == 1.0
    among_themselves = forcing_of(chosen, months(*run(5, warming=2.0)), None, masks(), 0)
    assert among_themselves.card()["amplitude_of_own_K"] == 0.0


def test_a_record_among_models_has_a_direction_of_its_own() -> None:
    models, own = sources(6), pattern(9)
    record = ForcedResponses(("record",), np.repeat(own[None, None], 12, axis=1), AREA)
    amplitudes = Amplitudes(0.5, 0.3, 1.0)
    alone = Forcing(none_on(GRID), models, amplitudes, Climates(0.0)).directions()
    together = Forcing(record, models, amplitudes, Climates(0.0)).directions()
    np.testing.assert_array_equal(together[:-1], alone)
    np.testing.assert_allclose(together[-1, 0], own - 1.0, atol=1e-9)
    assert len(Forcing(sources(5), models, amplitudes, Climates(0.0)).directions()) == 1 + 6
