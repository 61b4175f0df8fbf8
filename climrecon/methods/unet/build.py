"""Building our network from its weights and back to its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from climrecon.errors import NetworkError
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.low_rank import LowRankPrior
from climrecon.methods.unet.correcting import PartialUNet
from climrecon.methods.unet.levels import (
    DEPTH,
    LevelledAnalysisUNet,
    LevelledUNet,
    auxiliary_of,
    check_levels,
    depth_of,
)
from climrecon.methods.unet.network import AnalysisUNet


def _depth(network: PartialUNet | AnalysisUNet) -> dict[str, int]:
    """Its levels, where they are not three: cards from before that was a setting stay as they are."""
    depth = depth_of(network)
    return {} if depth == DEPTH else {"depth": depth}


def partial_unet_arguments(network: PartialUNet) -> dict[str, Any]:
    """What, beside the weights, is needed to build the network again."""
    return {
        "width": network.enc_1.partial.weight.shape[0],
        "rank": network.prior.vectors.shape[1],
        "rows": network.shape[0],
        "columns": network.shape[1],
        **_depth(network),
        **({"further": list(auxiliary_of(network))} if auxiliary_of(network) else {}),
    }


def build_partial_unet(weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> PartialUNet:
    """The network with ``weights`` in it, in evaluation mode.

    Raises
    ------
    NetworkError
        If weights and arguments do not belong together.
    """
    try:
        rows, columns, rank = (int(arguments[key]) for key in ("rows", "columns", "rank"))
        cells = rows * columns
        prior = LowRankPrior(torch.empty(cells, rank), torch.empty(cells), torch.empty(12, cells))
        depth, width = int(arguments.get("depth", DEPTH)), int(arguments["width"])
        auxiliary = tuple(map(str, arguments.get("further", ())))
        check_levels(weights, depth)
        land, area = torch.empty(rows, columns), torch.empty(rows, columns)
        network = (
            PartialUNet(prior, land, torch.empty(rows), area, width)
            if depth == DEPTH and not auxiliary
            else LevelledUNet(prior, land, torch.empty(rows), area, width, depth, auxiliary)
        )
        network.load_state_dict(dict(weights))
    except (KeyError, RuntimeError, ValueError) as error:
        raise NetworkError(
            f"The network's weights and its card do not belong together: {str(error).splitlines()[0]}",
            "Fetch the network again.",
        ) from error
    return network.eval()


def analysis_unet_arguments(network: AnalysisUNet) -> dict[str, Any]:
    """What, beside the weights, is needed to build the network again."""
    return {
        "width": network.enc_1.partial.weight.shape[0],
        "rank": network.prior.vectors.shape[1],
        "trailing": network.prior.trailing.shape[1],
        "seasons": network.prior.seasons is not None,
        "stride": network.stride,
        "misfit": network.misfit,
        "rows": network.shape[0],
        "columns": network.shape[1],
        **_depth(network),
    }


def build_analysis_unet(weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> AnalysisUNet:
    """The network with ``weights`` in it, in evaluation mode.

    Raises
    ------
    NetworkError
        If weights and arguments do not belong together.
    """
    try:
        names = ("rows", "columns", "rank", "trailing")
        rows, columns, rank, trailing = (int(arguments[key]) for key in names)
        cells = rows * columns
        # Cards of networks without them do not mention seasons, stride and misfit.
        size = rank + trailing
        prior = FullPrior(
            torch.zeros(cells, rank), torch.zeros(cells, trailing), torch.zeros(cells), torch.zeros(12, cells),
            torch.zeros(12, size, size) if arguments.get("seasons", False) else None,
        )  # fmt: skip
        # Tensors of their own: buffers that share memory would overwrite each other when weights are loaded.
        land, area = torch.empty(rows, columns), torch.empty(rows, columns)
        depth, width = int(arguments.get("depth", DEPTH)), int(arguments["width"])
        check_levels(weights, depth)
        parts = (prior, land, torch.empty(rows), area, width)
        misfit = bool(arguments.get("misfit", False))
        network = (
            AnalysisUNet(*parts, int(arguments.get("stride", 1)), misfit)
            if depth == DEPTH
            else LevelledAnalysisUNet(*parts, depth, misfit)
        )
        network.load_state_dict(dict(weights))
    except (KeyError, RuntimeError, ValueError) as error:
        raise NetworkError(
            f"The network's weights and its card do not belong together: {str(error).splitlines()[0]}",
            "Fetch the network again.",
        ) from error
    return network.eval()
