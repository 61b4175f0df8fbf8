"""Partial convolution, and padding that knows the grid.

Source: Liu et al. (2018), "Image inpainting for irregular holes using partial convolutions",
ECCV, https://arxiv.org/abs/1804.07723, equations 1 and 2.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from climrecon.grid import Grid

Padding = Literal["zeros", "circular", "sphere", "edge"]


def padding_of(grid: Grid) -> Padding:
    """What lies beyond the borders of ``grid``: the other side of the globe, or of a region its edge."""
    if grid.is_global:
        return "sphere"
    return "circular" if grid.wraps else "edge"


def pad(x: Tensor, rows: int, columns: int, mode: Padding) -> Tensor:
    """Pad (B, C, H, W) fields by ``rows`` and ``columns`` on each side.

    ``zeros``: zeros all round. ``circular``: longitude wraps, zeros beyond the poles.
    ``sphere``: longitude wraps, and beyond a pole lie the rows on its other side, half a turn away
    (W must be even). ``edge``: the outermost cells go on, so that a constant field has no edge.
    """
    if mode in ("zeros", "edge"):
        return F.pad(x, (columns, columns, rows, rows), mode="constant" if mode == "zeros" else "replicate")
    if not (rows or columns):
        return x
    if torch.is_grad_enabled():
        return _pad_by_parts(x, rows, columns, mode)
    # Without gradients one buffer is filled, instead of joining parts twice: padding is a third of
    # the time of a small convolution otherwise.
    height, width = x.shape[-2:]
    out = torch.empty(
        (*x.shape[:-2], height + 2 * rows, width + 2 * columns),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last if _channels_last(x) else torch.contiguous_format,
    )
    out[..., rows : rows + height, columns : columns + width] = x
    if rows and mode == "sphere":
        out[..., :rows, columns : columns + width] = torch.roll(x[..., :rows, :].flip(-2), width // 2, dims=-1)
        out[..., rows + height :, columns : columns + width] = torch.roll(
            x[..., -rows:, :].flip(-2), width // 2, dims=-1
        )
    elif rows:
        out[..., :rows, :] = 0.0
        out[..., rows + height :, :] = 0.0
    if columns:
        out[..., :columns] = out[..., width : width + columns]
        out[..., columns + width :] = out[..., columns : 2 * columns]
    return out


def _channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.shape[1] > 1 and x.is_contiguous(memory_format=torch.channels_last)


def _pad_by_parts(x: Tensor, rows: int, columns: int, mode: Padding) -> Tensor:
    if mode == "sphere" and rows:
        half = x.shape[-1] // 2
        below = torch.roll(x[..., :rows, :].flip(-2), half, dims=-1)
        above = torch.roll(x[..., -rows:, :].flip(-2), half, dims=-1)
        x = torch.cat([below, x, above], dim=-2)
        rows = 0
    if columns:
        x = F.pad(x, (columns, columns, 0, 0), mode="circular")
    return F.pad(x, (0, 0, rows, rows)) if rows else x


def window_sum(mask: Tensor, kernel: int, stride: int, mode: Padding) -> Tensor:
    """Sum of a (B, 1, H, W) mask over each window: (B, 1, H', W').

    All channels of a mask are equal in these networks, so one channel stands for all; the published
    code convolves the mask at full channel count instead.
    """
    padded = pad(mask, kernel // 2, kernel // 2, mode)
    return F.avg_pool2d(padded, kernel, stride) * float(kernel * kernel)


class PartialConv(nn.Module):
    """out = W (X M) sum(1) / sum(M) where sum(M) > 0, else 0; new mask = sum(M) > 0.

    The sum runs over window and input channels.

    Parameters
    ----------
    inputs, outputs:
        Channels.
    kernel, stride:
        Odd kernel size; stride.
    mode:
        Padding, see :func:`pad`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, mode: Padding = "sphere") -> None:
        super().__init__()
        self.kernel, self.stride, self.mode, self.inputs = kernel, stride, mode, inputs
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, a=0.0)

    def forward(self, x: Tensor, window: Tensor) -> Tensor:
        """Convolve.

        Parameters
        ----------
        x:
            (B, C, H, W), already zero where not observed (X M).
        window:
            (B, 1, H', W') sum over window and channels of the mask, from :func:`window_sum` times
            the number of channels; see :meth:`window`.
        """
        half = self.kernel // 2
        out = F.conv2d(pad(x, half, half, self.mode), self.weight, None, self.stride)
        factor = float(self.inputs * self.kernel**2)
        valid = window > 0
        return out * torch.where(valid, factor / window.clamp_min(1e-6), torch.zeros_like(window))

    def window(self, mask: Tensor) -> Tensor:
        """sum(M) of a (B, 1, H, W) mask that holds for all input channels."""
        return window_sum(mask, self.kernel, self.stride, self.mode) * self.inputs
