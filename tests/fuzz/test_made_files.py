"""However conventions are combined in a file: what is read is right, or it is refused with what to do; by all readers.

``CLIMRECON_FUZZ=20000 pytest tests/fuzz`` tries so many files instead of a few hundred.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from climrecon.catalogue.build import build_catalogue
from climrecon.errors import ClimReconError
from climrecon.grid import Grid
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.preprocess.anomalies import prepare_anomalies
from climrecon.tasks.evaluate.plan import members_of_file
from climrecon.tasks.training_data.preparation import Preparation
from climrecon.training.store import StoredMember
from fuzz import conventions

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
    print("", *(f"{count} {what}" for what, count in sorted(COUNTED.items(), key=lambda pair: pair[0])), sep="\n")


@contextmanager
def reading(refused: str, kind: str) -> Iterator[None]:
    """Refused for the reason that is expected, and for no other, with a next step; no warning of a library leaks."""
    COUNTED[f"files {kind}"] += 1
    found = None
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        try:
            yield
        except ClimReconError as error:
            found = error
    assert not leaked, [str(one.message) for one in leaked]
    if found:
        assert refused, f"refused: {found.message}"
        assert re.search(refused, found.message), f"{refused!r} expected: {found.message}"
        assert found.hint, found.message
        COUNTED[f"files {kind} refused: {refused}"] += 1
        raise Refused from found
    assert not refused, f"not refused: {refused}"


class Refused(Exception):
    """The file is not read, for the reason that is expected."""


@contextmanager
def written(folder: Path, layout: dict[str, Any]) -> Iterator[conventions.Made]:
    """A file of ``layout``, for as long as it is used."""
    case = conventions.made(folder, layout)
    try:
        yield case
    except Refused:
        pass
    finally:
        case.path.unlink()


def check_observations(observations: Any, case: conventions.Made, values: np.ndarray) -> None:
    np.testing.assert_array_equal(observations.time.index, case.index)
    np.testing.assert_array_equal(observations.mask, np.isfinite(values))
    np.testing.assert_allclose(observations.values, values, atol=case.tolerance)
    assert observations.grid.same_as(case.grid)
    if case.data_set:
        assert observations.source.dataset == case.data_set


@given(layout=conventions.layouts)
@settings(max_examples=FILES, **COMMON)
def test_a_file_is_read_right_or_refused(tmp_path: Path, layout: dict[str, Any]) -> None:
    with written(tmp_path, layout) as case:
        refused = case.refused or ("gaps are filled" if case.infilled else "")
        try:
            with reading(refused, "read"):
                observations = read_observations([case.path], PrepareRequest())
        except Refused:
            if case.refused:
                raise
            observations = read_observations([case.path], PrepareRequest(allow_infilled=True))
        assert bool(observations.source.infilled) == case.infilled
        check_observations(observations, case, case.values)
        assert observations.reference_period == case.base


@given(layout=conventions.absolute_layouts)
@settings(max_examples=FILES // 2, **COMMON)
def test_absolute_values_become_anomalies(tmp_path: Path, layout: dict[str, Any]) -> None:
    with written(tmp_path, layout) as case:
        request = PrepareRequest(reference_period=conventions.YEARS, allow_complete=True)
        with reading(case.refused, "of absolute values"):
            observations = read_observations([case.path], request)
        assert observations.reference_period == conventions.YEARS
        check_observations(observations, case, conventions.anomalies(case.values))


@given(layout=conventions.layouts)
@settings(max_examples=FILES // 4, **COMMON)
def test_trainings_read_the_same_months_and_values(tmp_path: Path, layout: dict[str, Any]) -> None:
    with written(tmp_path, layout) as case:
        base = case.base or (1961, 1990)
        refused = case.refused or ("" if case.base else "needs 20 years of its 30")
        with reading(refused, "of anomalies for training"):
            values, months = prepare_anomalies([case.path], case.grid, base, tmp_path, "tas", realisation=0)
        np.testing.assert_array_equal(months.index, case.index)
        np.testing.assert_allclose(values, case.member(0), atol=case.tolerance)


@given(layout=conventions.absolute_layouts)
@settings(max_examples=FILES // 12, **COMMON)
def test_models_are_read_through_cdo_as_the_truth_of_an_evaluation(tmp_path: Path, layout: dict[str, Any]) -> None:
    with written(tmp_path, layout) as case:
        store = tmp_path / "store"
        with reading(case.refused or ("has gaps" if layout["share"] else ""), "of models"):
            members = members_of_file(case.path, "tas")
            assert len(members) == case.members
            preparation = Preparation(store, Grid.regular(*case.grid.shape), conventions.YEARS, "tas", "tas")
            found = [(preparation.prepare(one), preparation.open(one)) for one in members]
            if reason := found[0][0]:
                raise ClimReconError(reason, "given with the reason")
        for reason, stored in found:
            assert reason is None
            assert isinstance(stored, StoredMember)
            np.testing.assert_array_equal(stored.index, case.index)
            # Members differ by a constant, which anomalies do not have.
            expected = conventions.on_even_rows(conventions.anomalies(case.values), case.grid)
            np.testing.assert_allclose(stored.values, expected, atol=2 * case.tolerance + 1e-4)


@given(layout=conventions.layouts)
@settings(max_examples=FILES // 3, **COMMON)
def test_a_catalogue_lists_what_the_file_holds(tmp_path: Path, layout: dict[str, Any]) -> None:
    folder = tmp_path / "archive"
    folder.mkdir(exist_ok=True)
    with written(folder, layout) as case:
        refused = conventions.UNCLEAR if conventions.UNCLEAR in case.refused else ""
        with reading(refused, "of catalogues"):
            built = build_catalogue(folder, tmp_path / "catalogue.json")
        assert not built.left_out
        (row,) = json.loads(built.path.read_text())["catalog_dict"]
        first, last = (f"{month // 12:04d}{month % 12 + 1:02d}" for month in (case.index[0], case.index[-1]))
        assert (row["time_range"], row["time_frequency"]) == (f"{first}-{last}", "mon")
        assert "tas" in row["variable"]
        assert (row["product"] == "analysis") == case.infilled
        assert not case.data_set or row["model"].startswith(case.data_set)


def test_every_kind_is_read_and_refused() -> None:
    """After the tests above: a fuzzer whose files are all refused would prove nothing."""
    for kind in ("read", "of absolute values", "of anomalies for training", "of models", "of catalogues"):
        refused = sum(count for what, count in COUNTED.items() if what.startswith(f"files {kind} refused"))
        assert 0 < refused < 0.7 * COUNTED[f"files {kind}"], COUNTED
