"""Results are those of the version before the rebuilding: to the bit on the machine they were recorded on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from climrecon.output.rounding import SPREAD_BITS, step_of
from climrecon.variables import VARIABLES
from unchanged.cases import CASES, NEEDS_SHARED, hashes, machine, numbers, run

STEP = step_of(VARIABLES["tas"]) or 0.0
RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all cases, as in the recording: the trainings prepare their members once."""
    return tmp_path_factory.mktemp("unchanged")


@pytest.mark.parametrize("case", list(CASES))
def test_a_run_gives_what_it_gave(case: str, demo: Path, folder: Path, request: pytest.FixtureRequest) -> None:
    if case in NEEDS_SHARED:
        request.getfixturevalue("shared_data")
    output = run(case, folder, demo)
    if machine() == RECORDED["machines"][case]:
        assert hashes(output) == RECORDED["hashes"][case]
    found, expected = numbers(output), RECORDED["numbers"][case]
    assert found.keys() == expected.keys()
    assert expected
    for name, values in expected.items():
        if name.endswith("_realisation") and machine() != RECORDED["machines"][case]:
            # The sign of a pattern is free, and another on another machine: draws are then others of the same spread.
            np.testing.assert_allclose(found[name][1], values[1], rtol=0.15, err_msg=name)
            continue
        # Of a training small differences grow from step to step.
        tolerance = 3e-2 if name.startswith("trained") else 2e-3
        np.testing.assert_allclose(found[name][:2], values[:2], rtol=tolerance, atol=2e-3, err_msg=name)
        # Minimum and maximum are rounded as the file is, on another machine perhaps to the next step.
        np.testing.assert_allclose(found[name][2:], values[2:], rtol=2**-SPREAD_BITS, atol=STEP, err_msg=name)
