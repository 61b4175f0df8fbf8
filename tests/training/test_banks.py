"""Fields that do not fit into memory give the same months as those that do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from climrecon.training import banks
from climrecon.training.banks import Choices, FieldBank
from climrecon.training.distributed import Workers
from climrecon.training.fields import TrainingFields
from helpers.small_archive import fields

ALONE = Workers(0, 1, torch.device("cpu"))


def mapped(folder: Path, made: TrainingFields) -> TrainingFields:
    """The same fields, on disk."""
    values = np.lib.format.open_memmap(folder / "fields.npy", "w+", np.float32, made.values.shape)
    values[:] = made.values
    return replace(made, values=values)


@pytest.mark.parametrize("gappy", [False, True])
def test_fields_on_disk_give_what_those_in_memory_give(
    tmp_path: Path, gappy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banks, "PART", 50)  # three parts of 120 months
    made = fields()
    if gappy:
        made = replace(made, scored=np.random.default_rng(0).random(made.values.shape) < 0.9)
    turned = [FieldBank(one, ALONE, lambda x: np.roll(x, 3, -1)) for one in (made, mapped(tmp_path, made))]
    inside, outside = turned
    assert inside.resident is not None
    assert outside.resident is None
    choices = Choices(4, 6, (len(made), 5), ALONE)
    for step in (0, 1, 2, banks.CHUNK - 1, banks.CHUNK):
        rows = choices.at(step)[0]
        found = [bank.take(rows) for bank in turned]
        for one, other in zip(*found, strict=True):
            assert (one is None) == (other is None) == (not gappy and one is None)
            if one is not None:
                assert torch.equal(one, other)
    assert len({tuple(choices.at(step)[0].tolist()) for step in (0, 1, banks.CHUNK)}) == 3
