"""What steps take from fields that do not fit into memory: the same months, read a step ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from climrecon.training import banks, published_task
from climrecon.training.banks import Choices, FieldBank
from climrecon.training.distributed import Workers
from climrecon.training.fields import TrainingFields
from climrecon.training.recipes import recipe
from helpers.small_archive import fields, gaps

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
        following = choices.fields_at(step + 1)
        found = [bank.take(rows, choices.fields_at(step)) for bank in turned]
        for one, other in zip(*found, strict=True):
            assert (one is None) == (other is None) == (not gappy and one is None)
            if one is not None:
                assert torch.equal(one, other)
        # The numbers of the next thousand steps are drawn when they are reached.
        assert (following is None) == (step == banks.CHUNK - 1)
        if following is not None:
            outside.prefetch(following)
    other = torch.tensor([7, 7, 0])
    assert torch.equal(inside.take(other)[0], outside.take(other)[0]), "not what was fetched ahead"


def test_a_step_begins_to_read_the_next_ones_months(tmp_path: Path) -> None:
    made, (masks, noise) = fields(), gaps()
    small = {"rows": 16, "widths": (4, 6), "masks": 30, "batch": 6, "check_every": 10, "validation_years": 3}
    chosen = recipe("kadow2020", **small)
    network = published_task.new_network(chosen, None)
    task = published_task.PublishedTask(chosen, network, mapped(tmp_path, made), made, masks, noise, 0, ALONE)
    task.begin(0)
    task.module(0)
    ahead = task.module.fields._ahead
    assert ahead is not None
    assert np.array_equal(ahead[0], task.module.choices.at(1)[0].numpy())
    task.module(1)
    assert not np.array_equal(task.module.fields._ahead[0], ahead[0])  # type: ignore[index]
