"""What a network's training months reached, cell by cell and calendar month, in a file with its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from climrecon.errors import NetworkError
from climrecon.files import sha256_of, why_unreadable
from climrecon.methods.card import Card
from climrecon.methods.checkpoint import read_weights, save_weights

#: The file; the network's card names its hash.
RANGE = "range.safetensors"
#: Standard deviations beyond the training months' range at which a value is flagged.
BEYOND_SD = 2.0


@dataclass(frozen=True)
class TrainingRange:
    """Range of the training months: (12, H, W) lowest and highest value and standard deviation.

    NaN where they have no values.
    """

    lowest: NDArray[np.floating[Any]]
    highest: NDArray[np.floating[Any]]
    sd: NDArray[np.floating[Any]]

    def outside(self, values: NDArray[np.floating[Any]], month: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Where (T, H, W) ``values`` of calendar months (T,) lie more than two standard deviations beyond."""
        beyond = np.empty(values.shape, dtype=bool)
        margin = BEYOND_SD * self.sd
        highest, lowest = self.highest + margin, self.lowest - margin
        for number, value in enumerate(np.asarray(month) - 1):
            beyond[number] = (values[number] > highest[value]) | (values[number] < lowest[value])
        return beyond


def read_range(card: Card, folder: Path) -> TrainingRange | None:
    """The range in a network's folder; None if its card names none.

    Raises
    ------
    NetworkError
        If it is absent or is not that of the card.
    """
    if card.range_sha256 is None:
        return None
    path = folder / RANGE
    if why_unreadable(path) or sha256_of(path) != card.range_sha256:
        raise NetworkError(
            f"The training range of {card.name} ({path}) is absent or is not that of its card.",
            "Fetch the network again.",
        )
    parts = {name: tensor.float().numpy() for name, tensor in read_weights(path).items()}
    return TrainingRange(parts["lowest"], parts["highest"], parts["sd"])


def write_range(reached: TrainingRange, folder: Path) -> str:
    """Write the range into a network's folder, in half precision; returns the hash of the file."""
    parts = {name: torch.as_tensor(part).half() for name, part in asdict(reached).items()}
    save_weights(parts, folder / RANGE)
    return sha256_of(folder / RANGE)
