"""Counts of the fault suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.faults import Counts


@pytest.fixture
def counts(record_property) -> Iterator[Counts]:
    made = Counts(record_property)
    yield made
    made.note()
