"""Our networks with another number of levels than three.

The same U-Net as :mod:`climrecon.model.unet`, whose three levels are written out; here they are counted. With three
levels it has the same weights by the same names and gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from climrecon.errors import NetworkError
from climrecon.grid import Grid
from climrecon.model.analysis import NEIGHBOUR_CHANNELS, AnalysisUNet
from climrecon.model.interpolation import FullPrior
from climrecon.model.lowrank import LowRankPrior
from climrecon.model.unet import (
    COMPLETE_CHANNELS,
    OBSERVED_CHANNELS,
    CorrectingUNet,
    Encoder,
    PartialUNet,
    SphereConv,
)

#: Levels of the networks of :mod:`climrecon.model.unet`.
DEPTH = 3


def most_levels(grid: Grid) -> int:
    """How many levels fit: rows and columns are halved once less, and 36 x 72 cells twice."""
    depth = 1
    while not any(size % 2**depth for size in grid.shape):
        depth += 1
    return depth


def depth_of(network: CorrectingUNet) -> int:
    """Number of levels of one of our networks."""
    return levels_in(network.state_dict())


def levels_in(weights: Mapping[str, Tensor]) -> int:
    """Number of levels that ``weights`` belong to."""
    return len({key.split(".")[0] for key in weights if key.startswith("enc_")})


def check_levels(weights: Mapping[str, Tensor], depth: int) -> None:
    """Refuse weights of another depth.

    Raises
    ------
    NetworkError
        With both numbers.
    """
    found = levels_in(weights)
    if found != depth:
        raise NetworkError(
            f"The network's weights have {found} levels, its card says {depth}: they do not belong together.",
            "Fetch the network again, or restore the card that was written beside the weights.",
        )


class Levels(CorrectingUNet):
    """What networks of any depth have in common; to be joined with one of ours."""

    depth: int

    def set_levels(self, depth: int, width: int, complete: int) -> None:
        """Put ``depth`` levels in place of three; the channels of each are twice those of the one above."""
        for level in (2, 3):
            delattr(self, f"enc_{level}")
            delattr(self, f"dec_{level - 1}")
        self.depth = depth
        self.enc_1 = Encoder(len(OBSERVED_CHANNELS), complete, width, 5, 1)
        for level in range(2, depth + 1):
            above = width * 2 ** (level - 2)
            self.add_module(f"enc_{level}", Encoder(above, above, 2 * above, 3, 2))
        for level in range(depth - 1, 0, -1):
            own = width * 2 ** (level - 1)
            self.add_module(f"dec_{level}", SphereConv(3 * own, own))

    def correct(self, observed: Tensor, mask: Tensor, complete: Tensor) -> Tensor:
        """(B, 2, H, W): correction in units of the posterior sd, and log of the factor on it."""
        seen, whole, levels = observed, complete, []
        for level in range(1, self.depth + 1):
            seen, mask, whole = getattr(self, f"enc_{level}")(seen, mask, whole)
            levels.append(whole)
        up = levels.pop()
        for level in range(self.depth - 1, 0, -1):
            up = F.interpolate(up, scale_factor=2, mode="nearest")
            up = F.silu(getattr(self, f"dec_{level}")(torch.cat([up, levels.pop()], dim=1)))
        out: Tensor = self.head(up)
        return out


class LevelledUNet(Levels, PartialUNet):
    """:class:`climrecon.model.unet.PartialUNet` with ``depth`` levels; its other parameters are the same."""

    def __init__(
        self,
        prior: LowRankPrior,
        land: Tensor,
        sin_lat: Tensor,
        area: Tensor,
        width: int = 16,
        depth: int = DEPTH,
    ) -> None:
        super().__init__(prior, land, sin_lat, area, width)
        self.set_levels(depth, width, len(COMPLETE_CHANNELS))


class LevelledAnalysisUNet(Levels, AnalysisUNet):
    """:class:`climrecon.model.analysis.AnalysisUNet` with ``depth`` levels; its other parameters are the same."""

    def __init__(
        self,
        prior: FullPrior,
        land: Tensor,
        sin_lat: Tensor,
        area: Tensor,
        width: int = 16,
        depth: int = DEPTH,
    ) -> None:
        super().__init__(prior, land, sin_lat, area, width)
        self.set_levels(depth, width, len(COMPLETE_CHANNELS) + len(NEIGHBOUR_CHANNELS))
