from __future__ import annotations

import numpy as np
import pytest
import torch

from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.methods.unet.partial import PartialConv, pad, padding_of, window_sum


def naive(x: np.ndarray, mask: np.ndarray, weight: np.ndarray, stride: int):
    """The definition, cell by cell, with zeros beyond the edges."""
    outputs, inputs, kernel, _ = weight.shape
    half = kernel // 2
    height, width = x.shape[1:]
    out = np.zeros((outputs, -(-height // stride), -(-width // stride)))
    new = np.zeros(out.shape[1:], dtype=bool)
    for row in range(0, height, stride):
        for column in range(0, width, stride):
            total, seen = np.zeros(outputs), 0
            for dy in range(kernel):
                for dx in range(kernel):
                    y, z = row + dy - half, column + dx - half
                    if 0 <= y < height and 0 <= z < width and mask[y, z]:
                        total += weight[:, :, dy, dx] @ x[:, y, z]
                        seen += inputs
            if seen:
                out[:, row // stride, column // stride] = total * inputs * kernel**2 / seen
                new[row // stride, column // stride] = True
    return out, new


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 2), (7, 2)])
def test_partial_convolution_is_its_definition(kernel: int, stride: int) -> None:
    rng = np.random.default_rng(3)
    layer = PartialConv(2, 3, kernel, stride, mode="zeros")
    x, mask = rng.normal(size=(2, 8, 12)), rng.random((8, 12)) < 0.15
    seen = torch.tensor(mask, dtype=torch.float32)[None, None]
    window = layer.window(seen)
    got = layer(torch.tensor(x * mask, dtype=torch.float32)[None], window)[0].detach().numpy()
    want, new = naive(x, mask, layer.weight.detach().numpy(), stride)
    np.testing.assert_allclose(got, want, atol=2e-5)
    np.testing.assert_array_equal(window[0, 0].numpy() > 0, new)
    assert not new.all(), "the case must hold windows without any observation"


def test_window_sum_counts() -> None:
    mask = torch.zeros(1, 1, 6, 8)
    mask[0, 0, 2, 0] = 1.0
    counted = window_sum(mask, 3, 1, "circular")[0, 0]
    assert counted[2, 7] == pytest.approx(1.0), "longitude wraps"
    assert counted.sum() == pytest.approx(9.0)
    assert window_sum(mask, 3, 1, "zeros")[0, 0].sum() == pytest.approx(6.0)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("mode", ["circular", "sphere"])
def test_padding_wraps_and_crosses_the_pole(mode: str, grad: bool) -> None:
    x = torch.arange(4 * 8, dtype=torch.float32).reshape(1, 1, 4, 8)
    with torch.set_grad_enabled(grad):
        padded = pad(x, 2, 2, mode)[0, 0]
    assert padded.shape == (8, 12)
    np.testing.assert_array_equal(padded[2:6, :2], x[0, 0, :, -2:])
    np.testing.assert_array_equal(padded[2:6, -2:], x[0, 0, :, :2])
    beyond = padded[1, 2:10]
    if mode == "sphere":
        np.testing.assert_array_equal(beyond, torch.roll(x[0, 0, 0], 4))
        np.testing.assert_array_equal(padded[0, 2:10], torch.roll(x[0, 0, 1], 4))
        np.testing.assert_array_equal(padded[6, 2:10], torch.roll(x[0, 0, 3], 4))
    else:
        assert (beyond == 0).all()


@pytest.mark.parametrize("grad", [True, False])
def test_beyond_the_border_of_a_region_its_edge_goes_on(grad: bool) -> None:
    x = torch.arange(4 * 8, dtype=torch.float32).reshape(1, 1, 4, 8)
    with torch.set_grad_enabled(grad):
        padded = pad(x, 2, 1, "edge")[0, 0]
    np.testing.assert_array_equal(padded, np.pad(x[0, 0].numpy(), ((2, 2), (1, 1)), mode="edge"))


def test_the_grid_decides_on_the_padding() -> None:
    region = Grid(np.linspace(24.0, 50.0, 27), np.linspace(-126.0, -67.0, 60))
    tropics = Grid(np.linspace(-30.0, 30.0, 13), np.linspace(-180.0, 180.0, 73))
    assert [padding_of(grid) for grid in (FIVE_DEGREES, tropics, region)] == ["sphere", "circular", "edge"]


def test_no_seam_in_longitude() -> None:
    torch.manual_seed(0)
    layer = PartialConv(1, 2, 5, 1, mode="sphere")
    x, mask = torch.randn(1, 1, 12, 24), (torch.rand(1, 1, 12, 24) < 0.4).float()
    out = layer(x * mask, layer.window(mask))
    rolled_mask = torch.roll(mask, 7, -1)
    rolled = layer(torch.roll(x, 7, -1) * rolled_mask, layer.window(rolled_mask))
    torch.testing.assert_close(rolled, torch.roll(out, 7, -1), atol=1e-5, rtol=1e-5)
