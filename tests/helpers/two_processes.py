"""In each of several processes: the gradients of one step of a recipe, and the weights after a few; rank 0 saves them."""

from __future__ import annotations

from pathlib import Path

import torch

from climrecon.training import engine
from helpers.small_archive import small

GRADIENTS = "gradients.pt"


def main(name: str, folder: Path, batch: int) -> None:
    torch.set_num_threads(1)
    advance, found = engine.Loop.advance, {}

    def noted(self: engine.Loop, module: torch.nn.Module) -> None:
        advance(self, module)
        if self.step == 1:
            # They are zeroed at the beginning of the next step.
            found["gradients"] = {
                key: p.grad.clone() for key, p in self.task.network.named_parameters() if p.grad is not None
            }
            found["rank"], found["world"] = self.workers.rank, self.workers.world

    engine.Loop.advance = noted  # type: ignore[method-assign]
    # In single precision: halves of a batch round otherwise than the whole.
    trained = small(name, folder, 3, check_every=3, precision="single", batch=batch)
    torch.save({**found, "network": trained.network.state_dict()}, folder / f"{found['rank']}_{GRADIENTS}")
