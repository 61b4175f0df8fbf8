"""However conventions are combined in a file: what is read is right, or it is refused with what to do; by all readers.

``CLIMRECON_FUZZ=20000 pytest tests/fuzz`` tries so many files instead of a few hundred.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import conventions
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from climrecon.errors import ClimReconError
from climrecon.grid import Grid
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.preprocess.anomalies import prepare_anomalies

WANTED = os.environ.get("CLIMRECON_FUZZ")
FILES = int(WANTED or 250)
#: The same files each time, but for those that somebody asks for.
COMMON: dict[str, Any] = {
    "deadline": None,
    "derandomize": WANTED is None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
COUNTED: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def counts() -> Iterator[None]:
    yield
    print("\nFiles:", "; ".join(f"{count} {what}" for what, count in COUNTED.most_common()))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """No warning of a library leaks; a refusal has a next step, and ends the test."""
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        try:
            yield
        except ClimReconError as error:
            COUNTED[f"refused: {error.message[-70:]}"] += 1
            assert error.hint, error.message  # noqa: PT017
            raise Refused from error
        finally:
            path.unlink()
    assert not leaked, [str(one.message) for one in leaked]


class Refused(Exception):
    """The file is not read, for a reason that was given."""


@given(layout=conventions.layouts)
@settings(max_examples=FILES, **COMMON)
def test_a_file_is_read_right_or_refused(tmp_path: Path, layout: dict[str, Any]) -> None:
    case = conventions.made(tmp_path, layout)
    COUNTED["files"] += 1
    try:
        with reading(case.path):
            observations = read_observations([case.path], PrepareRequest())
    except Refused:
        return
    np.testing.assert_array_equal(observations.time.index, case.index)
    np.testing.assert_array_equal(observations.mask, np.isfinite(case.values))
    np.testing.assert_allclose(observations.values, case.values, atol=case.tolerance)
    assert observations.reference_period == case.base
    assert np.allclose(observations.grid.lat, conventions.LAT)
    assert np.allclose(observations.grid.lon, conventions.LON)
    COUNTED["read"] += 1


@given(layout=conventions.layouts)
@settings(max_examples=FILES // 3, **COMMON)
def test_trainings_read_the_same_months_and_values(tmp_path: Path, layout: dict[str, Any]) -> None:
    case = conventions.made(tmp_path, layout)
    COUNTED["files for training"] += 1
    grid = Grid(np.linspace(-90, 90, conventions.ROWS + 1), np.linspace(-180, 180, conventions.COLUMNS + 1))
    try:
        with reading(case.path):
            values, months = prepare_anomalies(
                [case.path], grid, case.base or (1961, 1990), tmp_path, "tas", realisation=0
            )
    except Refused:
        return
    np.testing.assert_array_equal(months.index, case.index)
    np.testing.assert_allclose(values, case.values, atol=case.tolerance)
    COUNTED["read for training"] += 1


def test_hardly_a_file_is_refused() -> None:
    """After the tests above: a fuzzer whose files are all refused would prove nothing."""
    assert COUNTED["read"] > 0.8 * COUNTED["files"] > 0
    assert COUNTED["read for training"] > 0.7 * COUNTED["files for training"] > 0
