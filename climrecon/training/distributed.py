"""One process or several: torchrun's environment, over gloo on CPUs and nccl on GPUs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed as dist
from torch import nn

from climrecon.errors import OutputError

T = TypeVar("T")

#: So long processes wait for each other: one may join members, or validate, while the others wait.
PATIENCE = timedelta(hours=2)


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

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.any(0)

    def first(self, make: Callable[[], T]) -> T:
        """``make()`` in rank 0, then in the others: what it leaves on disk is made once and found by the rest."""
        if self.rank:
            self.wait()
        made = make()
        if not self.rank:
            self.wait()
        return made

    def agree(self, number: int, what: str) -> None:
        """Make sure that all processes have the same ``number``.

        Raises
        ------
        OutputError
            If they do not: a shared file system shows a node what another has replaced already.
        """
        largest, smallest = self.any(number), -self.any(-number)
        if largest != smallest:
            raise OutputError(
                f"The processes of this training see different states of {what}: {smallest} and {largest}.",
                "The file system is slow to show all nodes the same; start the same command again.",
            )

    def share_gradients(self, module: nn.Module, trial: Callable[[nn.Module], None]) -> nn.Module:
        """``module``, its gradients averaged over all processes.

        ``trial(module)`` is called twice and must leave no trace: torch arranges the gradients for their exchange
        anew after the first step of a process, and the order in which they are summed depends on it. So a training
        that goes on would differ in the last bits from one that was not stopped.
        """
        if self.world == 1:
            return module
        shared = nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)
        for _ in range(2):
            trial(shared)
        return shared


def process_rank() -> int:
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
    # Every process would write them to the one log; they are torch's plans for its own names.
    warnings.filterwarnings("ignore", category=FutureWarning, module="climrecon")
    joined = not dist.is_initialized()
    if joined:
        dist.init_process_group("nccl" if kind.type == "cuda" else "gloo", timeout=PATIENCE)
    process = Workers(dist.get_rank(), dist.get_world_size(), kind)
    try:
        yield process
        process.wait()  # nobody closes what another still listens to
    finally:
        if joined:
            dist.destroy_process_group()
