"""Weights on disk: safetensors for our own, ``weights_only`` for published ``.pth`` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from climrecon.errors import NetworkError
from climrecon.files import atomic_path


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file (to a temporary name, then renamed)."""
    with atomic_path(path) as temporary:
        try:
            save_file({key: value.detach().contiguous().cpu() for key, value in weights.items()}, temporary)
        except SafetensorError as error:  # its own error for what the system refused
            raise OSError(str(error)) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    NetworkError
        If it is corrupt or cannot be read.
    """
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise NetworkError(
            f"The network file {path} cannot be read: {error}", "Fetch it again, or choose another network."
        ) from error


def read_published(path: Path) -> Any:
    """Content of a ``.pth`` file, tensors and plain values only: pickled code is never run.

    Raises
    ------
    NetworkError
        If it is corrupt, cannot be read, or holds more than tensors and plain values.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises whatever its reader meets in a damaged file
        raise NetworkError(
            f"The checkpoint {path} cannot be read: {str(error).splitlines()[0]}",
            "A .pth file of the published networks is expected.",
        ) from error
