"""Layers of our U-Net: ordinary convolutions on the grid, and levels with partial ones."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.methods.unet.partial import Padding, PartialConv, pad, window_sum


class PaddedConv(nn.Module):
    """Ordinary 2-D convolution with the padding ``mode`` of the grid."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, mode: Padding) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)
        self.reach, self.mode = kernel // 2, mode

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        out: Tensor = self.conv(pad(x, self.reach, self.reach, self.mode))
        return out


class Encoder(nn.Module):
    """One level: partial convolution of observed features plus ordinary convolution of complete ones.

    Parameters
    ----------
    auxiliary:
        Number of auxiliary variables, which have gaps of their own: a partial convolution of each is added.
    mode:
        Padding, see :func:`climrecon.methods.unet.partial.pad`.
    """

    def __init__(
        self, observed: int, complete: int, outputs: int, kernel: int, stride: int, auxiliary: int = 0, *, mode: Padding
    ) -> None:
        super().__init__()
        self.partial = PartialConv(observed, outputs, kernel, stride, mode=mode)
        self.complete = PaddedConv(complete, outputs, kernel, stride, mode=mode)
        self.mix = PaddedConv(outputs, outputs, mode=mode)
        self.auxiliary = nn.ModuleList(PartialConv(1, outputs, kernel, stride, mode=mode) for _ in range(auxiliary))

    def forward(
        self, observed: Tensor, mask: Tensor, complete: Tensor, *auxiliary: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the observed branch, its new mask, and features of the complete branch.

        ``auxiliary``: (B, 1, H, W) values and mask of each auxiliary variable.
        """
        window = window_sum(mask, self.partial.kernel, self.partial.stride, self.partial.mode)
        features = self.partial(observed * mask, window * self.partial.inputs)
        new_mask = (window > 0).to(mask.dtype)
        whole = features + self.complete(complete)
        for layer, (values, seen) in zip(self.auxiliary, auxiliary, strict=True):
            assert isinstance(layer, PartialConv)
            whole = whole + layer(values * seen, layer.window(seen))
        whole = F.silu(whole)
        return F.silu(features), new_mask, F.silu(self.mix(whole)) + whole
