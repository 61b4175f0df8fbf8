"""One process or several: torchrun's environment, over gloo on CPUs and nccl on GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed as dist


@dataclass(frozen=True)
class Workers:
    """This process among those that train together.

    ``rank`` of ``world`` processes; rank 0 writes files and validates. ``device`` is this process's own.
    """

    rank: int
    world: int
    device: torch.device

    def share(self, batch: int) -> slice:
        """This process's part of a batch of all; parts differ by one sample at most."""
        return slice(batch * self.rank // self.world, batch * (self.rank + 1) // self.world)

    def any(self, flag: int) -> int:
        """The largest of all processes' flags, so that all of them stop, or none."""
        if self.world == 1:
            return flag
        tensor = torch.tensor(flag, device=self.device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)


def own_rank() -> int:
    """This process's number as torchrun gave it, 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def workers(device: str) -> Iterator[Workers]:
    """Join the processes torchrun started, if it did."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    kind = torch.device(device)
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        kind = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(kind)
    if world == 1:
        yield Workers(0, 1, kind)
        return
    joined = not dist.is_initialized()
    if joined:
        dist.init_process_group("nccl" if kind.type == "cuda" else "gloo")
    try:
        yield Workers(dist.get_rank(), dist.get_world_size(), kind)
    finally:
        if joined:
            dist.destroy_process_group()
