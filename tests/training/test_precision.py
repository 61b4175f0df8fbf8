"""Which precision a recipe trains in, and that it learns the same."""

from pathlib import Path

import pytest
import torch

from climrecon.training.precision import autocast_type, has_matrix_units
from climrecon.training.recipes import recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize(("flags", "found"), [("fpu amx_bf16 amx_tile", True), ("fpu avx512_bf16", False)])
def test_matrix_units_are_told_from_the_processor(tmp_path: Path, flags: str, found: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor : 0\nflags : {flags}\n")
    assert has_matrix_units(path) is found
    assert has_matrix_units(tmp_path / "none") is False


def test_only_the_published_network_takes_half_precision_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for units in (True, False):
        monkeypatch.setattr("climrecon.training.precision.has_matrix_units", lambda units=units: units)
        assert autocast_type(recipe("kadow2020"), CPU) is (torch.bfloat16 if units else None)
        assert autocast_type(recipe("punet"), CPU) is None
        assert autocast_type(recipe("kadow2020"), torch.device("cuda")) is None
        assert autocast_type(recipe("kadow2020", precision="single"), CPU) is None
        assert autocast_type(recipe("punet", precision="bfloat16"), CPU) is torch.bfloat16
