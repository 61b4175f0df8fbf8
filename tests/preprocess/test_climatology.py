"""Climatologies, anomalies, and complete fields on another base."""

import numpy as np
import pytest

from climrecon.errors import InputDataError
from climrecon.fields import Months
from climrecon.preprocess import rebase_complete
from climrecon.preprocess.climatology import anomalies_of, climatology_of

INDEX = np.arange(1951 * 12, 1991 * 12)
TIME = Months(INDEX)


def _trend(index):
    """0.01 K a year plus the month's number, everywhere."""
    return ((index // 12 - 1951) * 0.01 + index % 12)[:, None, None] * np.ones((1, 2, 3))


def test_climatology_by_hand():
    # The mean year of 1961-1990 is 1975.5, 24.5 years after 1951.
    climatology = climatology_of(_trend(INDEX), TIME, (1961, 1990)).parts
    np.testing.assert_allclose(climatology[:, 1, 2], 0.245 + np.arange(12))


def test_anomalies_by_hand():
    anomalies = anomalies_of(_trend(INDEX).astype(np.float32), TIME, (1961, 1990))
    np.testing.assert_allclose(anomalies[:, 0, 0], (INDEX // 12 - 1975.5) * 0.01, atol=2e-6)
    assert anomalies.dtype == np.float32


@pytest.mark.parametrize(("missing", "known"), [(10, True), (11, False)])
def test_a_cell_needs_twenty_of_thirty_years(missing, known):
    values = _trend(INDEX)
    julys = np.flatnonzero((INDEX % 12 == 6) & (INDEX // 12 >= 1961))
    values[julys[:missing], 0, 1] = np.nan
    anomalies = anomalies_of(values, TIME, (1961, 1990))
    assert np.isfinite(anomalies[julys[-1], 0, 1]) == known
    assert np.isfinite(anomalies[julys[-1] + 1, 0, 1])
    assert np.isfinite(anomalies[julys[-1], 0, 0])


def test_a_calendar_month_with_too_few_years_is_named():
    index = np.delete(INDEX, np.flatnonzero((INDEX % 12 == 1) & (INDEX // 12 > 1979)))
    with pytest.raises(InputDataError, match=r"needs 20 years of its 30.*19 to 30 \(too few in month 2\)"):
        climatology_of(_trend(index), Months(index), (1961, 1990))


def test_a_complete_field_moves_to_another_base():
    anomalies = _trend(INDEX) - climatology_of(_trend(INDEX), TIME, (1951, 1980)).at(TIME)
    offset = rebase_complete(anomalies, TIME, (1961, 1990))
    # Ten years later at 0.01 K a year.
    np.testing.assert_allclose(offset.parts, 0.1, atol=1e-12)
    moved = anomalies - offset.at(TIME)
    assert abs(moved[(INDEX // 12 >= 1961)].mean()) < 1e-12


def test_a_field_with_gaps_is_never_re_based():
    values = _trend(INDEX)
    values[5, 0, 0] = np.nan
    with pytest.raises(InputDataError, match="gaps cannot be re-based"):
        rebase_complete(values, TIME, (1961, 1990))


def test_a_field_too_short_is_not_re_based():
    with pytest.raises(InputDataError, match="there are 0"):
        rebase_complete(_trend(INDEX), TIME, (1991, 2020))
