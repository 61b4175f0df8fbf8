"""Started by torchrun: a training that the file named by CLIMRECON_STOP_FILE stops; its weights are saved at the end."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from climrecon.cli import end_process
from climrecon.errors import Unfinished
from climrecon.training.distributed import process_rank
from climrecon.training.resume import identity_of_weights
from helpers.small_archive import small


def main(folder: Path, iterations: int) -> None:
    torch.set_num_threads(1)
    try:
        trained = small("kadow2020", folder / "fit", iterations, checkpoint_seconds=1000.0)
    except Unfinished as error:
        (folder / f"{process_rank()}.stopped").write_text(error.message)
        return
    (folder / f"{process_rank()}.sha256").write_text(identity_of_weights(trained.network.state_dict()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
    end_process()
