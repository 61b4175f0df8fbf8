"""Scores that follow on paper, or from a second implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import properscoring
import pytest

from climrecon.benchmark_set import score_submissions
from climrecon.benchmark_set.card import MEMBERS, STDDEV, VALUES
from climrecon.benchmark_set.scoring import small_scales
from climrecon.grid import FIVE_DEGREES
from climrecon.scores.masked_truth import MaskedTruth
from helpers.benchmark_sets import SmallSet, fair, truth, with_members, zeros

AREA = FIVE_DEGREES.area


def scored(small: SmallSet, folder: Path, make) -> dict:
    (row,) = score_submissions([small.submit(folder, make)], small.folder)
    return row


def test_a_perfect_reconstruction(small: SmallSet, tmp_path: Path) -> None:
    row = scored(small, tmp_path / "made", truth)
    for scores in (row["overall"], *row["cases"].values()):
        assert (scores["rmse"], scores["skill"], scores["covers_90"]) == (0.0, 1.0, 1.0)
        assert (scores["annual_bias"], scores["annual_r"], scores["annual_trend_ratio"]) == (0.0, 1.0, 1.0)
        assert scores["small_scales"] == 1.0
        assert scores["event"]["estimate"] == scores["event"]["truth"]
        # The CRPS of a normal distribution at its own mean: sd (2 / sqrt(2 pi) - 1 / sqrt(pi)).
        assert scores["crps"] == pytest.approx(0.1 * (np.sqrt(2.0) - 1.0) / np.sqrt(np.pi), abs=1e-4)
    assert any("suspicious" in doubt for doubt in row["doubts"])


def test_the_climatology(small: SmallSet, tmp_path: Path) -> None:
    row = scored(small, tmp_path / "made", zeros)
    for name, known in small.known.items():
        scores, hidden = row["cases"][name], ~known.mask
        weights = (AREA * hidden).ravel()
        assert scores["skill"] == pytest.approx(0.0, abs=1e-4)
        assert scores["rmse"] == pytest.approx(np.sqrt(np.average(known.truth.ravel() ** 2, weights=weights)), abs=1e-4)
        assert scores["annual_trend_ratio"] == 0.0
        assert scores["annual_r"] is None
        assert scores["small_scales"] == 0.0
        assert scores["event"]["estimate"] == 0.0
        inside = np.average((np.abs(known.truth) < 1.6449 * 0.8).ravel(), weights=weights)
        assert scores["covers_90"] == pytest.approx(inside, abs=1e-4)
    assert row["doubts"] == []


def test_a_shuffled_reconstruction(small: SmallSet, tmp_path: Path) -> None:
    """Hidden cells in another order, which no observation shows: nearly twice the variance, so far worse than zeros."""

    def shuffled(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
        rng, fields = np.random.default_rng(2), known.truth.copy()
        for month, hidden in enumerate(~known.mask):
            fields[month][hidden] = rng.permutation(fields[month][hidden])
        return {VALUES: fields}

    row = scored(small, tmp_path / "made", shuffled)
    for name, known in small.known.items():
        weights = np.where(known.mask, 0.0, AREA)
        error = (weights * (known.truth - shuffled(known, small.values[name])[VALUES]) ** 2).sum() / weights.sum()
        zero = (weights * known.truth**2).sum() / weights.sum()
        assert row["cases"][name]["rmse"] == pytest.approx(np.sqrt(error), abs=1e-4)
        assert row["cases"][name]["skill"] == pytest.approx(1.0 - error / zero, abs=1e-3)
        assert row["cases"][name]["skill"] < -0.3


def test_scores_by_other_means(small: SmallSet, tmp_path: Path) -> None:
    """RMSE, CRPS, coverage and the annual mean of an estimate with known errors, written out."""
    row = scored(small, tmp_path / "made", fair)
    squares = crps = inside = total = 0.0
    for name, known in small.known.items():
        fields = fair(known, small.values[name])
        sums = np.zeros(4)
        for month in range(36):
            for cell in np.argwhere(~known.mask[month]):
                at = (month, *cell)
                error = float(fields[VALUES][at]) - float(known.truth[at])
                one = properscoring.crps_gaussian(float(known.truth[at]), float(fields[VALUES][at]), 0.4)
                sums += AREA[tuple(cell)] * np.array([error**2, one, abs(error) <= 1.6448536 * 0.4, 1.0])
        assert row["cases"][name]["rmse"] == pytest.approx(np.sqrt(sums[0] / sums[3]), abs=1e-4)
        squares, crps, inside, total = (a + b for a, b in zip((squares, crps, inside, total), sums, strict=True))
        annual = [(one * AREA).sum((1, 2)).reshape(3, 12).mean(1) for one in (fields[VALUES], known.truth)]
        assert row["cases"][name]["annual_bias"] == pytest.approx((annual[0] - annual[1]).mean(), abs=1e-4)
        slopes = [np.polyfit(np.arange(3), one, 1)[0] for one in annual]
        assert row["cases"][name]["annual_trend_ratio"] == pytest.approx(slopes[0] / slopes[1], rel=1e-3)
    overall = row["overall"]
    assert overall["rmse"] == pytest.approx(np.sqrt(squares / total), abs=1e-4)
    assert overall["crps"] == pytest.approx(crps / total, abs=1e-4)
    assert overall["covers_90"] == pytest.approx(inside / total, abs=1e-4)
    assert overall["n_months"] == 72


def test_members_stand_for_the_spread(small: SmallSet, tmp_path: Path) -> None:
    """Without tas_stddev it is that of the members; they alone give intervals of the annual mean."""

    def members_alone(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
        return {name: one for name, one in with_members(known, values).items() if name != STDDEV}

    def their_sd(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
        fields = with_members(known, values)
        return {VALUES: fields[VALUES], STDDEV: fields[MEMBERS].std(axis=0, ddof=1)}

    alone, stated = scored(small, tmp_path / "alone", members_alone), scored(small, tmp_path / "stated", their_sd)
    assert alone["overall"]["crps"] == pytest.approx(stated["overall"]["crps"], abs=1e-4)
    assert alone["overall"]["covers_90"] == pytest.approx(stated["overall"]["covers_90"], abs=1e-4)
    assert alone["overall"]["annual_covers_90"] is not None
    assert stated["overall"]["annual_covers_90"] is None
    # White noise of 0.4 K in each cell is far more than the small scales of the truth.
    assert alone["overall"]["small_scales_of_members"] > alone["overall"]["small_scales"] + 1.0


def test_the_event_is_the_strongest(small: SmallSet, tmp_path: Path) -> None:
    """Nino 3.4, 5 S to 5 N and 170 W to 120 W, which is 2 rows and 10 columns of whole cells."""
    row = scored(small, tmp_path / "made", fair)
    best = ("", "", 0.0, 0.0)
    for name, known in small.known.items():
        rows, columns = np.abs(FIVE_DEGREES.lat) < 5, (FIVE_DEGREES.lon > -170) & (FIVE_DEGREES.lon < -120)
        box = [
            one[:, rows][:, :, columns].mean((1, 2)) for one in (known.truth, fair(known, small.values[name])[VALUES])
        ]
        for first in range(34):
            means = [one[first : first + 3].mean() for one in box]
            if abs(means[0]) > abs(best[2]):
                best = (name, known.time.labels()[first + 1], *means)
    event = row["overall"]["event"]
    assert (event["case"], event["month"]) == best[:2]
    assert event["truth"] == pytest.approx(best[2], abs=2e-3)
    assert event["estimate"] == pytest.approx(best[3], abs=2e-3)


def test_small_scales_are_those_of_short_waves() -> None:
    around = np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False)
    long, short = (np.broadcast_to(np.cos(waves * around), (5, 36, 72)) for waves in (3, 20))
    assert small_scales(long + 0.5 * short, long + short) == pytest.approx(0.25)
    assert small_scales(0.5 * long + short, long + short) == pytest.approx(1.0)
    gappy = (long + short).copy()
    gappy[:, 10, 3] = np.nan
    assert small_scales(long + 0.5 * short, gappy) == pytest.approx(0.25)


def test_a_little_noise_on_the_truth_is_suspicious_and_half_the_error_is_not(small: SmallSet, tmp_path: Path) -> None:
    def blurred(size: float):
        def make(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
            noise = np.random.default_rng(5).standard_normal(known.truth.shape)
            return {VALUES: (known.truth + size * noise).astype(np.float32)}

        return make

    (doubt,) = scored(small, tmp_path / "near", blurred(0.05))["doubts"]
    assert "sparse-noisy" in doubt  # without errors of the observations so little is possible
    assert scored(small, tmp_path / "far", blurred(0.4))["doubts"] == []
