"""The small benchmark set that these tests share."""

from __future__ import annotations

import pytest

from climrecon.benchmark_set import export_set
from climrecon.benchmark_set.truth import ScoredSet
from helpers.benchmark_sets import SmallSet


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallSet:
    folder = tmp_path_factory.mktemp("set") / "small"
    card = export_set(folder, years="1911-1913", gaps=["sparse=1861-1863"])
    scored = ScoredSet.of(folder)
    inputs = {case.name: scored.input(case) for case in card.cases}
    return SmallSet(
        folder,
        card,
        {name: scored.known(given) for name, given in inputs.items()},
        {name: given.values for name, given in inputs.items()},
    )
