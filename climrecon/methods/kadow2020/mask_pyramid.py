"""What a U-Net of partial convolutions needs of a mask at every level, computed once a mask.

A window's sum(M) is a small integer times the number of channels: at most 49 in the encoder; in the decoder two of
at most 9, of the upsampled features and of the skip. One byte a window holds them, and a table gives 1 / sum(M).
A mask of 72 x 72 cells takes 8.5 kB, so that all months of a data set fit in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from climrecon.methods.unet.partial import Padding, window_sum


@dataclass(frozen=True)
class Pyramid:
    """Of B masks: 1 / sum(M), 0 where sum(M) is 0, and the new mask, level by level; (B, 1, h, w) each.

    ``down``: the encoder's levels, fine to coarse; ``up``: the decoder's, coarse to fine.
    """

    down: list[Tensor]
    up: list[Tensor]
    down_seen: list[Tensor]
    up_seen: list[Tensor]


class PyramidPlan:
    """How a network's pyramid is made.

    Parameters
    ----------
    kernels:
        Of the encoder's levels; the stride is 2. The decoder's are 3.
    channels:
        Of the input and of the encoder's levels.
    mode:
        Padding.
    """

    def __init__(self, kernels: tuple[int, ...], channels: tuple[int, ...], mode: Padding) -> None:
        self.kernels, self.channels, self.mode = kernels, channels, mode
        depth = len(kernels)
        sums = [torch.arange(256.0) * width for width in channels[:depth]]
        code = torch.arange(256)
        up = code.div(10, rounding_mode="floor").float()
        for level in range(depth, 0, -1):
            # Beyond the coarsest level the features that come up have the channels of the level above.
            sums.append(up * channels[level] + (code % 10).float() * channels[level - 1])
        self.tables = [torch.where(total > 0, 1.0 / total, 0.0) for total in sums]

    def shapes(self, rows: int, columns: int) -> list[tuple[int, int]]:
        """(h, w) of each part: encoder fine to coarse, then decoder coarse to fine."""
        depth = len(self.kernels)
        down = [(rows >> i, columns >> i) for i in range(1, depth + 1)]
        return down + [(rows >> i, columns >> i) for i in range(depth - 1, -1, -1)]

    @torch.no_grad()
    def codes(self, mask: Tensor) -> Tensor:
        """(B, L) uint8, all parts side by side, of (B, 1, H, W) masks that are 1 where observed."""
        masks, counts = [mask.float()], []
        for kernel in self.kernels:
            counts.append(window_sum(masks[-1], kernel, 2, self.mode).round())
            masks.append((counts[-1] > 0).float())
        below = masks.pop()
        while masks:
            skip = masks.pop()
            up = window_sum(F.interpolate(below, scale_factor=2.0, mode="nearest"), 3, 1, self.mode)
            counts.append(up.round() * 10.0 + window_sum(skip, 3, 1, self.mode).round())
            below = (counts[-1] > 0).float()
        return torch.cat([count.flatten(1) for count in counts], dim=1).to(torch.uint8)

    def decode(self, codes: Tensor, rows: int, columns: int) -> Pyramid:
        """The pyramid of (B, L) codes of masks of ``rows`` x ``columns`` cells."""
        shapes = self.shapes(rows, columns)
        parts = torch.split(codes, [h * w for h, w in shapes], dim=1)
        if self.tables[0].device != codes.device:
            self.tables = [table.to(codes.device) for table in self.tables]
        inverse = [
            table[part.int()].view(-1, 1, *shape) for table, part, shape in zip(self.tables, parts, shapes, strict=True)
        ]
        seen = [(part > 0).to(torch.float32).view(-1, 1, *s) for part, s in zip(parts, shapes, strict=True)]
        depth = len(self.kernels)
        return Pyramid(inverse[:depth], inverse[depth:], seen[:depth], seen[depth:])

    def pyramid(self, mask: Tensor) -> Pyramid:
        """The pyramid of (B, 1, H, W) masks."""
        return self.decode(self.codes(mask), *mask.shape[-2:])
