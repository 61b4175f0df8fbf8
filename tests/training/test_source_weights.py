"""How training sets count in covariances: by the likelihood of months of the first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from climrecon.data.masks import MaskSource, harmonic_smoother
from climrecon.errors import InputDataError
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import SampleCovariance
from climrecon.methods.priors.forced import ForcedResponses
from climrecon.training.amplitudes import Amplitudes, parts_left_out
from climrecon.training.fields import TrainingFields
from climrecon.training.forcing import forcing_of, no_forcing
from climrecon.training.recipe_settings import UNetRecipe
from climrecon.training.recipes import recipe
from climrecon.training.resume import identity_of_fields
from climrecon.training.run import train
from climrecon.training.source_weights import fit_shares, month_weights, spread_over_sets
from climrecon.training.unet_network import learn_full_prior
from helpers.small_archive import UNET, gaps
from helpers.small_archive import fields as small_fields

GRID = Grid.regular(9, 18)
SMOOTH = harmonic_smoother(GRID, 3000.0)
#: Patterns that have nothing to do with those of ``SMOOTH``: its cells in another order.
UNRELATED = SMOOTH[np.random.default_rng(9).permutation(len(SMOOTH))]
MASKS = MaskSource.of_observations(
    np.random.default_rng(0).random((50, *GRID.shape)) < 0.5, np.zeros(GRID.shape, bool), GRID, SMOOTH
)


def months(patterns: np.ndarray, years: int, first: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) months of a Gaussian with these patterns, and their index."""
    rng = np.random.default_rng(seed)
    values = 0.8 * rng.normal(size=(12 * years, patterns.shape[1])) @ patterns.T
    return values.reshape(-1, *GRID.shape), np.arange(12 * years) + 12 * first


def joined(**sets: tuple[np.ndarray, np.ndarray]) -> TrainingFields:
    """One member of each set."""
    values, index = (np.concatenate([one[part] for one in sets.values()]) for part in (0, 1))
    member = np.repeat(np.arange(len(sets)), [len(one[1]) for one in sets.values()])
    return TrainingFields(values.astype(np.float32), index % 12 + 1, index, member, tuple(sets), GRID, sets=tuple(sets))


def small() -> UNetRecipe:
    chosen = recipe("punet", rank=30, trailing=30, covariance_months=600)
    assert isinstance(chosen, UNetRecipe)
    return chosen


def test_a_set_with_unrelated_patterns_hardly_counts() -> None:
    fields = joined(obs=months(SMOOTH, 60, 1900, 1), model=months(UNRELATED, 100, 1850, 2))
    found = fit_shares(fields, MASKS, 0)
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["model"] <= 0.1
    assert found == fit_shares(fields, MASKS, 0)


def test_a_set_of_the_same_covariance_helps_where_the_first_has_few_months() -> None:
    few, many = months(SMOOTH, 8, 1990, 1), months(SMOOTH, 100, 1, 2)
    found = fit_shares(joined(obs=few, model=many), MASKS, 0)
    assert found["model"] >= 0.75
    # Judged by what neither has seen: the covariance that the months were drawn of.
    fields = replace(joined(obs=few, model=many), shares=found)
    rows = np.arange(len(fields))
    truth = SampleCovariance(*_flat(months(SMOOTH, 800, 1, 3)), GRID).whole_year()
    weighted = SampleCovariance(fields.values, fields.month, GRID, month_weights(fields, rows)).whole_year()
    alone = SampleCovariance(*_flat(few), GRID).whole_year()
    assert np.abs(weighted - truth).mean() < 0.5 * np.abs(alone - truth).mean()


def _flat(some: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return some[0], some[1] % 12 + 1


def test_of_three_sets_the_good_one_is_found() -> None:
    fields = joined(obs=months(SMOOTH, 8, 1990, 1), bad=months(UNRELATED, 60, 1, 2), good=months(SMOOTH, 60, 1, 3))
    found = fit_shares(fields, MASKS, 0)
    assert found["bad"] <= 0.1
    assert found["good"] >= 0.5


def test_parts_are_contiguous_and_their_dates_are_learned_from_in_no_set() -> None:
    index = np.r_[np.arange(60), np.arange(-40, 200)]
    judging = np.arange(len(index)) < 60
    parts = list(parts_left_out(index, judging))
    assert [index[rows].tolist() for _, rows in parts] == [[*range(n, n + 20)] for n in (0, 20, 40)]
    for keep, rows in parts:
        assert set(index[~keep]) == set(index[rows])
        assert keep.sum() == len(index) - 40


def test_sets_share_weights_whatever_their_size() -> None:
    fields = replace(
        joined(obs=months(SMOOTH, 2, 1990, 1), model=months(SMOOTH, 50, 1, 2)), shares={"obs": 0.75, "model": 0.25}
    )
    weights = month_weights(fields, np.arange(len(fields)))
    assert weights.mean() == pytest.approx(1.0)
    assert weights[:24].sum() == pytest.approx(0.75 * len(fields))
    assert len(np.unique(weights[:24])) == len(np.unique(weights[24:])) == 1
    chosen = spread_over_sets(fields, np.arange(len(fields)), 124)
    assert np.bincount(fields.source(chosen)).tolist() == [24, 100]
    assert np.bincount(fields.source(spread_over_sets(fields, np.arange(len(fields)), 20))).tolist() == [10, 10]


def test_covariances_are_those_of_the_sets_that_count() -> None:
    obs, model = months(SMOOTH, 20, 1980, 1), months(UNRELATED, 50, 1, 2)
    model[0][:, 0] = np.nan  # cells that obs alone knows
    both, forcing = joined(obs=obs, model=model), no_forcing(GRID)
    both = replace(both, scored=np.isfinite(both.values))
    alone = learn_full_prior(joined(obs=obs), np.arange(240), small(), forcing)
    weighted, mixed, mostly = (
        learn_full_prior(replace(both, shares=shares), np.arange(len(both)), small(), forcing)
        for shares in ({"obs": 1.0, "model": 0.0}, {"obs": 0.5, "model": 0.5}, {"obs": 0.9, "model": 0.1})
    )
    for name, value in alone.state_dict().items():
        np.testing.assert_array_equal(weighted.state_dict()[name], value)
    far, near = (np.abs(one.state_dict()["scale"] - alone.state_dict()["scale"]).mean() for one in (mixed, mostly))
    assert near < 0.5 * far


def test_amplitudes_are_judged_by_the_first_set_and_learned_with_the_weights() -> None:
    obs, model = months(SMOOTH, 45, 1950, 1), months(UNRELATED, 15, 1, 2)  # too short for a response
    model[0][:] *= 4.0  # so that it would judge otherwise
    model[0][:, 0] = np.nan  # cells that obs alone knows
    away = SMOOTH @ np.random.default_rng(7).normal(size=(SMOOTH.shape[1], 6))
    pattern = 1.0 + 0.6 * away.T - 0.6 * (GRID.area.reshape(-1) @ away)[:, None]
    responses = ForcedResponses(tuple("abcdef"), np.repeat(pattern[:, None], 12, axis=1), GRID.area.reshape(-1))
    chosen = small().model_copy(update={"covariance_months": 2000})

    def fitted(fields: TrainingFields) -> Amplitudes:  # the own direction is there or not, and judged by no set
        return replace(forcing_of(chosen, fields, responses, MASKS, 0).amplitudes, own=0.0)

    both = joined(obs=obs, model=model)
    both = replace(both, scored=np.isfinite(both.values))
    alone = fitted(joined(obs=obs))
    assert fitted(replace(both, shares={"obs": 1.0, "model": 0.0})) == alone
    assert fitted(replace(both, shares={"obs": 0.0, "model": 1.0})) != alone


def test_a_single_set_is_as_it_was() -> None:
    one = months(SMOOTH, 20, 1980, 1)
    named, unnamed = joined(obs=one), replace(joined(obs=one), sets=())
    assert (fit_shares(named, MASKS, 0), fit_shares(unnamed, MASKS, 0)) == ({"obs": 1.0}, {})
    rows = np.arange(3, 200)
    np.testing.assert_array_equal(month_weights(replace(named, shares={"obs": 1.0}), rows), np.ones(197))
    np.testing.assert_array_equal(
        spread_over_sets(named, rows, 50), rows[np.unique(np.linspace(0, 196, 50).astype(int))]
    )
    assert identity_of_fields(named) == identity_of_fields(unnamed)


def test_checkpoints_tell_which_set_judges() -> None:
    fields = joined(obs=months(SMOOTH, 3, 1980, 1), model=months(SMOOTH, 3, 1, 2))
    assert identity_of_fields(fields) != identity_of_fields(replace(fields, sets=("model", "obs")))


def test_sets_without_common_cells_cannot_be_weighted() -> None:
    obs, model = months(SMOOTH, 20, 1980, 1), months(SMOOTH, 20, 1, 2)
    obs[0][:, :5], model[0][:, 5:] = np.nan, np.nan
    fields = joined(obs=obs, model=model)
    with pytest.raises(InputDataError, match="obs, model cannot be weighted"):
        fit_shares(replace(fields, scored=np.isfinite(fields.values)), MASKS, 0)


def test_a_training_learns_the_weights_and_its_card_holds_them(tmp_path: Path) -> None:
    """Of one set nothing changes; of two the weights are those of the fit, and the network's covariance is theirs."""
    chosen = recipe("punet", **{**UNET, "iterations": 10, "folds": 1})
    assert isinstance(chosen, UNetRecipe)
    masks, noise = gaps()
    base = small_fields(120)
    base = replace(base, index=base.index + 2400 * (base.member == 1))
    held = small_fields(36, 1, 9, "held")

    def trained(fields: TrainingFields, folder: str):  # type: ignore[no-untyped-def]
        return train(chosen, fields, held, masks, noise, folder=tmp_path / folder, seed=3, device="cpu")

    plain, one = trained(base, "plain"), trained(replace(base, sets=("a", "a")), "one")
    assert (plain.card["sources"], one.card["sources"]) == ({}, {"a": 1.0})
    for name, value in plain.network.state_dict().items():
        assert torch.equal(one.network.state_dict()[name], value)
    values = base.values.copy()
    values[120:] = values[120:] * 3.0
    two = replace(base, values=values, sets=("a", "b"))
    found = trained(two, "two")
    assert found.card["sources"] == fit_shares(two, masks, 3) == found.shares
    assert found.shares["a"] > 0.5
    expected = learn_full_prior(replace(two, shares=found.shares), np.arange(240), chosen, found.forcing)
    for name, value in expected.state_dict().items():
        assert torch.equal(found.network.prior.state_dict()[name], value)
    assert trained(two, "two").card["sources"] == found.card["sources"]
