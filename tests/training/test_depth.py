"""The depth of our own networks is a setting: kept in the card, part of what a training is, refused where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from climrecon.errors import NetworkError, UsageError
from climrecon.fields import Context, Months
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.card import describe
from climrecon.methods.store import CARD, WEIGHTS, as_network, as_reconstructor, load_network, save_network
from climrecon.methods.unet.build import build_unet, empty_unet, unet_arguments
from climrecon.methods.unet.network import UNet, most_levels
from climrecon.training.recipes import recipe
from climrecon.training.unet_network import check_grid
from helpers.small_archive import GRID, fields, small


@pytest.mark.parametrize(("stride", "depth"), [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3)])
def test_levels_halve_the_grid_and_corrections_come_back_on_it(stride: int, depth: int) -> None:
    torch.manual_seed(0)
    size = {"rows": GRID.shape[0], "columns": GRID.shape[1], "rank": 2, "trailing": 0, "seasons": False, "width": 4}
    kind = {"misfit": False, "neighbour_months": 0, "auxiliary": ["psl", "tos"]}
    network = empty_unet({**size, **kind, "stride": stride, "depth": depth})
    torch.nn.init.normal_(network.head.weight)
    mask = (torch.rand(3, 3, *GRID.shape) < 0.4).float()
    inputs = (torch.randn(3, 5, *GRID.shape), mask, torch.randn(3, 7, *GRID.shape))
    sizes = []
    for level in range(1, depth + 1):
        network.get_submodule(f"enc_{level}").register_forward_hook(
            lambda layer, given, out: sizes.append((out[2].shape[1], GRID.shape[0] // out[2].shape[2]))
        )
    correction = network.correct(*inputs)
    assert correction.shape == (3, 2, *GRID.shape)
    assert correction.abs().max() > 0
    halvings = [stride * 2**level for level in range(depth)]
    if stride == 2 and depth > 1:
        halvings[-1] = halvings[-2]
    assert sizes == [(4 * 2**level, halved) for level, halved in enumerate(halvings)]
    with torch.no_grad():
        many = [x.repeat(20, 1, 1, 1) for x in inputs]
        torch.testing.assert_close(network.correct(*many)[-3:], correction, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("depth", "more"), [(1, {"misstated": 0.0}), (2, {}), (4, {"misstated": 0.0, "neighbour_months": 0})]
)
def test_a_network_of_any_depth_is_trained_stored_and_applied(
    depth: int, more: dict[str, float], tmp_path: Path
) -> None:
    trained = small("punet", tmp_path / "fit", 2, depth=depth, check_every=2, **more)
    assert trained.card["recipe"]["depth"] == depth
    network = as_network(trained.network)
    assert isinstance(network, UNet)
    assert network.depth == depth
    save_network(network, describe("mine", network, GRID, {}), tmp_path / "mine")
    loaded = load_network(str(tmp_path / "mine"))
    assert loaded.card.architecture["depth"] == depth
    assert ("misfit" in loaded.card.inputs) == ("misstated" not in more)
    assert ("neighbour-1" in loaded.card.inputs) == ("neighbour_months" not in more)
    held = fields(12, 1, 9)
    mask = np.random.default_rng(0).random(held.values.shape) < 0.4
    months = Months(held.index)
    given = (np.where(mask, held.values, np.nan), mask, None, months.month, Context(GRID, months))
    np.testing.assert_array_equal(
        loaded.method.reconstruct(*given).mean, as_reconstructor(network, GRID, 0, obs_sd=0.3).reconstruct(*given).mean
    )
    # Another depth is another training: its checkpoint is not gone on from.
    with pytest.raises(UsageError, match="another training"):
        small("punet", tmp_path / "fit", 2, depth=3, check_every=2, **more)
    with pytest.raises(UsageError, match=f"has depth={depth}, the recipe punet has depth=3"):
        small("punet", tmp_path / "other", 2, depth=3, start=network, **more)


#: The contiguous United States at 1 degree: neither rows nor columns can be halved twice.
REGION = Grid(np.linspace(24.0, 50.0, 27), np.linspace(-126.0, -67.0, 60))


@pytest.mark.parametrize(("stride", "depth"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_a_region_is_extended_and_nothing_wraps(stride: int, depth: int) -> None:
    torch.manual_seed(0)
    rows, columns = REGION.shape
    size = {"rows": rows, "columns": columns, "rank": 2, "trailing": 0, "seasons": False, "width": 4, "misfit": False}
    network = empty_unet({**size, "neighbour_months": 0, "stride": stride, "depth": depth, "padding": "edge"})
    torch.nn.init.normal_(network.head.weight)
    observed, mask, complete = (
        torch.randn(1, 3, rows, columns),
        torch.ones(1, 1, rows, columns),
        torch.randn(1, 7, rows, columns),
    )
    with torch.no_grad():
        before = network.correct(observed, mask, complete)
        changed = complete.clone()
        changed[..., 0] += 1.0
        difference = (network.correct(observed, mask, changed) - before).abs().amax((0, 1, 2))
    assert before.shape == (1, 2, rows, columns)
    assert difference[0] > 0
    assert difference[-8:].max() == 0, "the other border changes on a globe alone"
    again = build_unet("region", network.state_dict(), unet_arguments(network))
    with torch.no_grad():
        torch.testing.assert_close(again.correct(observed, mask, complete), before, rtol=0, atol=0)


def test_a_region_may_be_halved_whatever_its_rows() -> None:
    assert most_levels(REGION) == 3
    check_grid(recipe("punet", depth=3), REGION)
    with pytest.raises(UsageError, match="can be halved 2 times"):
        check_grid(recipe("punet", depth=4), REGION)


def test_a_depth_that_cannot_be_is_refused(tmp_path: Path) -> None:
    assert (most_levels(FIVE_DEGREES), most_levels(GRID)) == (3, 4)
    check_grid(recipe("punet", depth=3), FIVE_DEGREES)
    with pytest.raises(UsageError, match="depth=4 halves rows and columns 3 times; .* halved 2 times") as caught:
        check_grid(recipe("punet", depth=4), FIVE_DEGREES)
    assert "depth=3 or less" in str(caught.value)
    with pytest.raises(UsageError, match="depth: "):
        recipe("punet", depth=0)
    network = as_network(small("punet", tmp_path / "fit", 2, depth=2, check_every=2).network)
    folder = save_network(network, describe("mine", network, GRID, {}), tmp_path / "mine")
    card = json.loads((folder / CARD).read_text())
    card["architecture"]["depth"] = 4
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(NetworkError, match="weights have 2 levels, its card says 4"):
        load_network(str(folder))
    assert (folder / WEIGHTS).is_file()
