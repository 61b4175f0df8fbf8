"""Batch norm whose statistics are those of the whole batch, however many processes share it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch import distributed as dist


class GlobalBatchNorm(nn.BatchNorm2d):
    """:class:`torch.nn.BatchNorm2d`, but over all processes of a distributed training, on CPUs too.

    With one process, or in evaluation mode, it is torch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not self.training or not dist.is_available() or not dist.is_initialized():
            return super().forward(x)
        # Processes may have one sample more or less than others.
        count = _summed(x.new_tensor(x.numel() / x.shape[1]))
        mean = _summed(x.sum((0, 2, 3))) / count
        centred = x - mean.view(1, -1, 1, 1)
        variance = _summed((centred**2).sum((0, 2, 3))) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1.0)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def _summed(x: Tensor) -> Tensor:
    """Sum over all processes, with gradients."""
    from torch.distributed.nn.functional import all_reduce

    return cast(Tensor, all_reduce(x))  # type: ignore[no-untyped-call]
