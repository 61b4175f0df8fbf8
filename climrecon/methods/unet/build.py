"""Building our network from its weights and back to its arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from climrecon.errors import NetworkError
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.low_rank import LowRankPrior
from climrecon.methods.unet.correcting import DEPTH, PartialUNet
from climrecon.methods.unet.network import AnalysisUNet


def unet_arguments(network: PartialUNet | AnalysisUNet) -> dict[str, Any]:
    """The arguments that :func:`build_unet` needs besides the weights."""
    arguments: dict[str, Any] = {
        "width": network.width,
        "rank": network.prior.vectors.shape[1],
        "rows": network.shape[0],
        "columns": network.shape[1],
    }
    # Cards written before the depth was a setting have none.
    if network.depth != DEPTH:
        arguments["depth"] = network.depth
    if network.auxiliary:
        arguments["further"] = list(network.auxiliary)
    if isinstance(network, AnalysisUNet):
        arguments |= {
            "trailing": network.prior.trailing.shape[1],
            "seasons": network.prior.seasons is not None,
            "stride": network.stride,
            "misfit": network.misfit,
        }
    return arguments


@contextmanager
def matching(name: str) -> Iterator[None]:
    """Inside, the network ``name`` is built from its card and given its weights.

    Raises
    ------
    NetworkError
        If they do not belong together.
    """
    try:
        yield
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise NetworkError(
            f"The weights and the card of {name} do not belong together: {str(error).splitlines()[0]}",
            "Fetch the network again.",
        ) from error


def build_unet(
    name: str, kind: str, weights: Mapping[str, Tensor], arguments: Mapping[str, Any]
) -> PartialUNet | AnalysisUNet:
    """The network of ``kind`` (as of its card) with ``weights`` in it, in evaluation mode.

    Cards of networks without them do not mention seasons, stride, misfit, depth and further.

    Raises
    ------
    NetworkError
        If weights and arguments of the network ``name`` do not belong together.
    """
    with matching(name):
        network = _empty(kind, weights, arguments)
        network.load_state_dict(dict(weights))
    return network.eval()


def _empty(kind: str, weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> PartialUNet | AnalysisUNet:
    rows, columns, rank, width = (int(arguments[key]) for key in ("rows", "columns", "rank", "width"))
    cells, depth = rows * columns, int(arguments.get("depth", DEPTH))
    levels = len({key.split(".")[0] for key in weights if key.startswith("enc_")})
    if levels != depth:
        raise NetworkError(
            f"The network's weights have {levels} levels, its card says {depth}: they do not belong together.",
            "Fetch the network again, or restore the card that was written beside the weights.",
        )
    # A tensor for each: buffers that share memory would overwrite each other when weights are loaded.
    sphere = torch.empty(rows, columns), torch.empty(rows), torch.empty(rows, columns)
    if kind == "partial_unet":
        prior = LowRankPrior(torch.empty(cells, rank), torch.empty(cells), torch.empty(12, cells))
        auxiliary = tuple(map(str, arguments.get("further", ())))
        return PartialUNet(prior, *sphere, width, depth, auxiliary)
    trailing = int(arguments["trailing"])
    size = rank + trailing
    full = FullPrior(
        torch.zeros(cells, rank), torch.zeros(cells, trailing), torch.zeros(cells), torch.zeros(12, cells),
        torch.zeros(12, size, size) if arguments.get("seasons", False) else None,
    )  # fmt: skip
    stride, misfit = int(arguments.get("stride", 1)), bool(arguments.get("misfit", False))
    return AnalysisUNet(full, *sphere, width, stride, misfit, depth)
