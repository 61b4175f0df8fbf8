"""Building our network from its weights and back to its arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from climrecon.errors import NetworkError
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.unet.network import DEPTH, UNet


def unet_arguments(network: UNet) -> dict[str, Any]:
    """The arguments that :func:`build_unet` needs besides the weights."""
    return {
        "rows": network.shape[0],
        "columns": network.shape[1],
        "rank": network.prior.vectors.shape[1],
        "trailing": network.prior.trailing.shape[1],
        "seasons": network.prior.seasons is not None,
        "width": network.width,
        "stride": network.stride,
        "depth": network.depth,
        "padding": network.padding,
        "misfit": network.misfit,
        "neighbour_months": network.neighbour_months,
        "sees_level": network.sees_level,
        "keeps_mean": network.keeps_mean,
        "auxiliary": list(network.auxiliary),
        "normal": network.normal is not None,
    }


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


def build_unet(name: str, weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> UNet:
    """The network with copies of ``weights`` in it, in evaluation mode.

    Raises
    ------
    NetworkError
        If weights and arguments of the network ``name`` do not belong together.
    """
    with matching(name):
        levels, depth = len({key.split(".")[0] for key in weights if key.startswith("enc_")}), _depth(arguments)
        if levels != depth:
            raise NetworkError(
                f"The network's weights have {levels} levels, its card says {depth}: they do not belong together.",
                "Fetch the network again, or restore the card that was written beside the weights.",
            )
        network = empty_unet(arguments)
        network.load_state_dict(dict(weights))
    return network.eval()


def _depth(arguments: Mapping[str, Any]) -> int:
    return int(arguments.get("depth", DEPTH))


def empty_unet(arguments: Mapping[str, Any]) -> UNet:
    """A network with the arguments of :func:`unet_arguments`, to be given its weights."""
    rows, columns, rank, trailing = (int(arguments[key]) for key in ("rows", "columns", "rank", "trailing"))
    cells, size = rows * columns, rank + trailing
    # A tensor for each: buffers that share memory would overwrite each other when weights are loaded.
    prior = FullPrior(
        torch.zeros(cells, rank), torch.zeros(cells, trailing), torch.zeros(cells), torch.zeros(12, cells),
        torch.zeros(12, size, size) if arguments["seasons"] else None,
    )  # fmt: skip
    return UNet(
        prior,
        torch.empty(rows, columns),
        torch.empty(rows),
        torch.empty(rows, columns),
        width=int(arguments["width"]),
        stride=int(arguments["stride"]),
        misfit=bool(arguments["misfit"]),
        # The card of the shipped network was written before there were these.
        depth=_depth(arguments),
        padding=arguments.get("padding", "sphere"),
        neighbour_months=int(arguments.get("neighbour_months", 1)),
        sees_level=bool(arguments.get("sees_level", False)),
        keeps_mean=bool(arguments.get("keeps_mean", True)),
        auxiliary=tuple(map(str, arguments.get("auxiliary", ()))),
        normal=torch.zeros(12, cells) if arguments.get("normal", False) else None,
    )
