"""In which precision a network's convolutions are worked out while it is trained."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from climrecon.training.recipe_settings import PublishedRecipe, Recipe

#: What Linux calls the matrix units of a processor that multiply in bfloat16.
MATRIX_UNITS = "amx_bf16"


@cache
def has_matrix_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor has units that multiply matrices in bfloat16."""
    try:
        return any(
            MATRIX_UNITS in line.split()
            for line in cpuinfo.read_text(errors="replace").splitlines()
            if line.startswith("flags")
        )
    except OSError:  # not Linux
        return False


def precision_name(recipe: Recipe, device: torch.device) -> str:
    """The precision as cards state it: GPUs round the factors of convolutions to ten bits by default."""
    if autocast_type(recipe, device) is not None:
        return "bfloat16"
    rounded = device.type == "cuda" and torch.backends.cudnn.allow_tf32
    return "single, convolutions in TF32" if rounded else "single"


def autocast_type(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    """What the convolutions are worked out in; None: in single precision, as everything else.

    ``auto`` is bfloat16 where that was measured to pay: for the published network on processors with matrix units.
    Weights, their averages, losses and the optimiser are in single precision always (Micikevicius et al. 2018, ICLR).
    """
    if recipe.precision == "auto":
        pays = isinstance(recipe, PublishedRecipe) and device.type == "cpu" and has_matrix_units()
        return torch.bfloat16 if pays else None
    return torch.bfloat16 if recipe.precision == "bfloat16" else None


def convolutions_in(kind: torch.dtype | None, device: torch.device) -> torch.autocast:
    """A context in which convolutions are worked out in ``kind``; None: in single precision."""
    return torch.autocast(device.type, kind or torch.bfloat16, enabled=kind is not None)
