"""Folds of withheld observations, and the scores of what is estimated in their place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from climrecon.fields import Months, Observations, Source
from climrecon.geography import is_land, regions_of
from climrecon.grid import FIVE_DEGREES
from climrecon.scores.masked_truth import MaskedTruth
from climrecon.scores.table import score_methods
from climrecon.scores.withheld import Predictions, folds_of, withheld_sums

TIME = Months(np.arange(1880 * 12, 1886 * 12))
KINDS = ("cells", "blocks", "regions", "spans")


def mask_of(share: float = 0.4) -> np.ndarray:
    return np.random.default_rng(0).random((len(TIME), *FIVE_DEGREES.shape)) < share


@pytest.mark.parametrize("kind", KINDS)
def test_every_observed_cell_is_withheld_once(kind: str) -> None:
    mask = mask_of()
    folds = folds_of(mask, TIME, FIVE_DEGREES, kind, 5, 0)
    times = np.sum([folds.withheld(fold) for fold in range(len(folds))], axis=0)
    np.testing.assert_array_equal(times, mask)
    assert len(folds) == (len(regions_of(FIVE_DEGREES)[1]) if kind == "regions" else 5)
    again, other = (folds_of(mask, TIME, FIVE_DEGREES, kind, 5, seed).number for seed in (0, 1))
    np.testing.assert_array_equal(again, folds.number)
    assert (other == folds.number).all() == (kind == "regions")
    seen = Observations(
        "tas", np.where(mask, 1.0, np.nan), mask, None, TIME, FIVE_DEGREES, None, Source("", "", (), (), "")
    )
    kept = folds.kept(seen, 2)
    np.testing.assert_array_equal(np.isfinite(kept.values), mask & (folds.number != 2))
    np.testing.assert_array_equal(kept.mask, np.isfinite(kept.values))


def test_blocks_and_spans_are_withheld_together() -> None:
    mask = np.ones((len(TIME), *FIVE_DEGREES.shape), bool)
    blocks = folds_of(mask, TIME, FIVE_DEGREES, "blocks", 10, 0).number
    boxes = blocks.reshape(len(TIME), 9, 4, 18, 4)
    assert (boxes == boxes[:, :, :1, :, :1]).all(), "20 degrees are four cells"
    assert len(np.unique(blocks[:, 0, 0])) > 3, "each month has blocks of its own"
    spans = folds_of(mask, TIME, FIVE_DEGREES, "spans", 10, 0).number
    region, names = regions_of(FIVE_DEGREES)
    for number in range(len(names)):
        inside = spans[:, region == number].reshape(3, 24, -1)
        assert (inside == inside[:, :1, :1]).all()


def test_continents_and_basins_are_where_they_are() -> None:
    region, names = regions_of(FIVE_DEGREES)
    places = {
        "Europe": (50, 10), "Africa": (10, 15), "Asia": (60, 100), "North America": (45, -100), "South America": (-10, -60),
        "Australia and Oceania": (-25, 135), "Antarctica": (-85, 0), "Arctic Ocean": (85, 0), "North Atlantic": (40, -40),
        "South Atlantic": (-20, -20), "Indian Ocean": (-20, 80), "North Pacific": (30, -160), "South Pacific": (-20, -120),
        "Southern Ocean": (-50, 0),
    }  # fmt: skip
    for name, (lat, lon) in places.items():
        row, column = np.abs(FIVE_DEGREES.lat - lat).argmin(), np.abs(FIVE_DEGREES.lon - lon).argmin()
        assert names[region[row, column]] == name
    assert set(names) == set(places)
    assert (region >= 0).all()
    np.testing.assert_array_equal(region < 7, is_land(FIVE_DEGREES))


# scores


def observed(error: float) -> tuple[MaskedTruth, np.ndarray]:
    """Observations of a made-up truth, and the truth."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(len(TIME), *FIVE_DEGREES.shape))
    mask = mask_of()
    values = np.where(mask, truth + error * rng.normal(size=truth.shape), np.nan)
    return MaskedTruth("made up", values, np.zeros_like(mask), TIME, FIVE_DEGREES), truth


def scored(known: MaskedTruth, noise: float, **made: np.ndarray | float) -> dict[str, Any]:
    shape = known.truth.shape
    error_sd = np.full(shape, noise)
    sums = {
        name: [withheld_sums(known, Predictions(mean + np.zeros(shape), np.full(shape, sd), error_sd), error_sd, {})]
        for name, (mean, sd) in made.items()
    }
    return score_methods(sums, next(iter(made)))


def test_perfect_climatological_and_shuffled_estimates_get_what_they_must() -> None:
    known, truth = observed(0.5)
    shuffled = truth[np.random.default_rng(2).permutation(len(truth))]
    found = scored(known, 0.5, climatology=(0.0, 1.0), perfect=(truth, 1e-3), shuffled=(shuffled, 1.0), flat=(0.0, 1.0))
    perfect, climatology = found["perfect"]["cells"], found["climatology"]["cells"]
    assert perfect["rmse"] == pytest.approx(0.5, abs=0.01), "the observations err"
    assert perfect["rmse_less_noise"] < 0.06
    assert perfect["covers_90"] == pytest.approx(0.9, abs=0.01), "with the error of the observations"
    assert perfect["log_score"] == pytest.approx(np.log(0.5 * np.sqrt(2 * np.pi)) + 0.5, abs=0.02)
    assert climatology["rmse"] == pytest.approx(np.sqrt(1.25), abs=0.01)
    assert climatology["rmse_less_noise"] == pytest.approx(1.0, abs=0.01)
    assert climatology["covers_90"] == pytest.approx(0.9, abs=0.01)
    assert found["shuffled"]["cells"]["rmse"] == pytest.approx(np.sqrt(2.25), abs=0.02)
    for score in ("rmse", "crps", "log_score"):
        assert found["flat"]["paired"][score]["difference"] == 0.0, "climatology has no skill against climatology"
        assert found["flat"]["paired"][score]["first_is"] == "does not differ significantly"
        assert found["perfect"]["paired"][score]["first_is"] == "better"
        assert found["shuffled"]["paired"][score]["first_is"] == "worse"


def test_few_years_are_compared_over_blocks_of_cells() -> None:
    known, truth = observed(0.5)
    few = replace(known, truth=known.truth[:2], mask=known.mask[:2], time=TIME[:2])
    found = scored(few, 0.5, climatology=(0.0, 1.0), perfect=(truth[:2], 1e-3))
    assert found["perfect"]["paired"]["rmse"]["first_is"] == "better"
    assert found["perfect"]["paired"]["rmse"]["interval"] is not None, "of two months; years would be too few"
