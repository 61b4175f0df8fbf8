"""Whether a card shows that the scored months of a benchmark's split were held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from climrecon.fields import Months
from climrecon.grid import FIVE_DEGREES
from climrecon.methods.priors.forced import none_on

ROOT = Path(__file__).resolve().parents[2]


def card(*periods: str, **more: Any) -> dict[str, Any]:
    member = {"name": "GISTEMP", "family": "GISTEMP", "periods": list(periods)}
    return {
        "members": {"train": [member], "validation": [], "test": [{**member, "periods": ["198801-200212"]}]},
        **more,
    }


@pytest.mark.parametrize(
    ("training", "split", "reason"),
    [
        (card("196001-198710"), "a", ""),
        (card("196001-198711"), "a", "1 months within 2"),
        (card("196001-198512", "200212-200212"), "a", "1 months within 2"),
        (card("196001-198512", covariances="all 876 months"), "a", "covariances are those of all months"),
        ({"months": 240}, "a", "does not list the months"),
        ({"months": ["1985-12", "1988-01"]}, "a", "1 months within 2"),
        ({"members": {"train": [{"family": "GISTEMP"}], "validation": []}}, "a", "of all members"),
        (card("196001-200212"), "d", ""),
        (card("196001-200212", forced_responses={"sources": ["CanESM2", "CMCC-CMS"]}), "d", "family MPI ECHAM"),
        ({"months": 240}, "d", "does not list the families"),
    ],
)
def test_a_card_that_does_not_show_it_is_named_with_the_reason(
    training: dict[str, Any], split: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import splits

    none = np.empty((0, 36, 72))
    months = Months(np.arange(1988 * 12, 2003 * 12)) if split == "a" else Months(np.arange(2066 * 12, 2076 * 12))
    world = splits.World("GISTEMP" if split == "a" else "CMCC-CESM", none, none, months, none_on(FIVE_DEGREES))
    chosen = splits.Split(split, none, np.empty(0), none, (world,), ("clean",))
    found = splits.not_held_out(training, chosen)
    assert (reason in found) if reason else found == ""
