"""Further scores of evaluations: what perfect, climatological, shuffled and realistic reconstructions get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from climrecon.fields import Months
from climrecon.geography import is_land
from climrecon.grid import Grid
from climrecon.scores.details import detailed_scores
from climrecon.scores.ensembles import draw_sums
from climrecon.scores.masked_truth import MaskedTruth, MethodOutput, sums_of
from climrecon.scores.structure import structure_sums

GRID = Grid.regular(12, 24)
TIME = Months(np.arange(1900 * 12, 1906 * 12))
SHAPE = (len(TIME), *GRID.shape)
RNG = np.random.default_rng(0)


def smooth(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, T, H, W) fields with variance at large and small scales, unit variance about everywhere."""
    noise = np.fft.fft2(rng.normal(size=(count, *SHAPE)))
    waves = np.hypot(np.fft.fftfreq(12, 1 / 12)[:, None], np.fft.fftfreq(24, 1 / 24)[None])
    fields = np.fft.ifft2(noise / (1.0 + waves**2)).real
    return fields / fields.std()


TRUTH = smooth(1, np.random.default_rng(1))[0]
KNOWN = MaskedTruth("made up", TRUTH, RNG.random(SHAPE) < 0.3, TIME, GRID)


def found(mean: np.ndarray, draws: np.ndarray | None = None, sd: float = 1.0) -> dict[str, Any]:
    sums = {} if draws is None else draw_sums(draws, KNOWN.truth, KNOWN.scored, GRID.area)
    if draws is not None:
        sums |= structure_sums(draws[0], KNOWN.known, GRID)
    made = MethodOutput(mean, np.full(SHAPE, sd), draws=sums)
    return detailed_scores({"m": [sums_of(KNOWN, made)]}, [structure_sums(KNOWN.truth, KNOWN.known, GRID)], GRID)


def test_a_perfect_reconstruction_varies_as_the_truth_and_its_realisations_do_not_differ() -> None:
    perfect = found(TRUTH, np.stack([TRUTH] * 4), sd=0.1)
    for scale in ("spectrum", "variogram"):
        assert perfect[scale]["estimates"]["m"] == perfect[scale]["realisations"]["m"] == perfect[scale]["truth"]
    draws = perfect["realisations"]["m"]
    assert draws["crps"] == draws["energy_score"] == draws["spread"] == draws["rmse_of_mean"] == 0.0
    assert draws["spread_over_rmse"] is None
    assert draws["rank_histogram"] == [1.0] * 5
    assert perfect["spread_skill"]["m"] == {"spread": [0.1], "rmse": [0.0]}
    assert all(row["rmse"] == 0.0 for row in perfect["surfaces"]["m"].values())


def test_climatology_does_not_vary_and_errs_by_the_spread_of_the_truth() -> None:
    flat = found(np.zeros(SHAPE))
    assert set(flat["spectrum"]["estimates"]["m"]) == set(flat["variogram"]["estimates"]["m"]) == {0.0}
    land = is_land(GRID)
    for name, there in (("land", land), ("sea", ~land)):
        weights = KNOWN.scored * GRID.area * there
        expected = np.sqrt((weights * TRUTH**2).sum() / weights.sum())
        assert flat["surfaces"]["m"][name]["rmse"] == pytest.approx(expected, rel=1e-3)
    assert "realisations" not in flat["spectrum"]


def test_a_shuffled_reconstruction_varies_as_the_truth_and_errs_more_than_climatology() -> None:
    shuffled = found(TRUTH[np.random.default_rng(2).permutation(len(TRUTH))])
    np.testing.assert_allclose(shuffled["spectrum"]["estimates"]["m"], shuffled["spectrum"]["truth"], rtol=2e-3)
    climatology = found(np.zeros(SHAPE))
    for name in ("land", "sea"):
        assert shuffled["surfaces"]["m"][name]["rmse"] > 1.2 * climatology["surfaces"]["m"][name]["rmse"]
        assert shuffled["surfaces"]["m"][name]["crps"] > 1.2 * climatology["surfaces"]["m"][name]["crps"]


def test_realisations_from_the_distribution_of_the_truth_are_reliable() -> None:
    right = found(np.zeros(SHAPE), smooth(39, np.random.default_rng(3)))
    draws = right["realisations"]["m"]
    assert draws["n"] == 39
    assert draws["spread_over_rmse"] == pytest.approx(1.0, abs=0.1)
    assert len(draws["rank_histogram"]) == 20
    np.testing.assert_allclose(draws["rank_histogram"], 1.0, atol=0.4)
    np.testing.assert_allclose(np.mean(draws["rank_histogram"]), 1.0, atol=1e-3)
    ratio = np.array(right["spectrum"]["realisations"]["m"]) / right["spectrum"]["truth"]
    np.testing.assert_allclose(ratio, 1.0, atol=0.35)
    small = found(np.zeros(SHAPE), 0.5 * smooth(39, np.random.default_rng(3)))["realisations"]["m"]
    assert small["spread_over_rmse"] < 0.6
    assert min(small["rank_histogram"][0], small["rank_histogram"][-1]) > 2.0 > 0.9 > small["rank_histogram"][10]


def test_the_energy_score_punishes_cells_that_vary_apart() -> None:
    rng = np.random.default_rng(4)
    together = smooth(30, rng)
    apart = rng.permuted(together.reshape(30, len(TRUTH), -1), axis=0).reshape(together.shape)
    rows = [found(np.zeros(SHAPE), draws)["realisations"]["m"] for draws in (together, apart)]
    assert rows[0]["crps"] == pytest.approx(rows[1]["crps"], abs=1e-3), "each cell has the same draws"
    assert rows[0]["energy_score"] < rows[1]["energy_score"] - 0.01


def test_errors_as_large_as_stated_lie_on_the_line() -> None:
    rng = np.random.default_rng(5)
    sd = rng.uniform(0.2, 2.0, SHAPE)
    made = MethodOutput(TRUTH + sd * rng.normal(size=SHAPE), sd)
    rows = detailed_scores({"m": [sums_of(KNOWN, made)]}, [], GRID)["spread_skill"]["m"]
    assert len(rows["spread"]) == 10
    assert rows["spread"][0] < 0.4 < 1.8 < rows["spread"][-1]
    np.testing.assert_allclose(rows["rmse"], rows["spread"], rtol=0.15)
