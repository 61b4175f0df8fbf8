"""Our networks with another number of levels than three, and with auxiliary variables as channels.

The same U-Net as :mod:`climrecon.methods.unet.correcting`, whose three levels are written out; here they are
counted. With three levels it has the same weights by the same names and gives the same.

An auxiliary variable (such as sea-level pressure) has its own gaps: a partial convolution of it, and its mask, are
complete channels of the first level. Where it is not observed at all both are zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.errors import NetworkError
from climrecon.grid import Grid
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.low_rank import LowRankPrior, Posterior
from climrecon.methods.unet.correcting import (
    COMPLETE_CHANNELS,
    OBSERVED_CHANNELS,
    CorrectingUNet,
    Encoder,
    PartialUNet,
    SphereConv,
)
from climrecon.methods.unet.network import AnalysisUNet, complete_channels
from climrecon.methods.unet.partial import PartialConv

#: Levels of the networks of :mod:`climrecon.methods.unet.correcting`.
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


def auxiliary_of(network: object) -> tuple[str, ...]:
    """Names of the auxiliary variables of a network."""
    return network.auxiliary if isinstance(network, LevelledUNet) else ()


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
    """The levels of a network of any depth; a mixin for one of ours."""

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
    """:class:`climrecon.methods.unet.correcting.PartialUNet` with ``depth`` levels; its other parameters are the same.

    Parameters
    ----------
    auxiliary:
        Names of V auxiliary variables that are channels.
    statistics:
        (V, P) mean and (V, P) standard deviation of their anomalies in the training members, by which they are
        normalised; None where weights will be loaded.
    """

    def __init__(
        self,
        prior: LowRankPrior,
        land: Tensor,
        sin_lat: Tensor,
        area: Tensor,
        width: int = 16,
        depth: int = DEPTH,
        auxiliary: tuple[str, ...] = (),
        statistics: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__(prior, land, sin_lat, area, width)
        self.auxiliary = auxiliary
        self.set_levels(depth, width, len(COMPLETE_CHANNELS) + len(auxiliary) * (width + 1))
        self.seen_further = nn.ModuleList(PartialConv(1, width, 5) for _ in auxiliary)
        if auxiliary:
            cells = len(auxiliary), self.area.numel()
            mean, spread = statistics or (torch.zeros(cells), torch.ones(cells))
            self.register_buffer("further_mean", mean)
            self.register_buffer("further_sd", spread)
            self.further_mean: Tensor
            self.further_sd: Tensor

    def channels(
        self,
        values: Tensor,
        mask: Tensor,
        error_sd: Tensor,
        month: Tensor,
        posterior: Posterior,
        auxiliary: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As of :class:`PartialUNet`; V auxiliary channels after the observed ones, and V masks after the mask.

        Parameters
        ----------
        auxiliary:
            (B, V, P) anomalies of the auxiliary variables, NaN where not observed; None: nowhere.
        """
        observed, seen, complete = super().channels(values, mask, error_sd, month, posterior)
        if not self.auxiliary:
            return observed, seen, complete
        count, shape = len(self.auxiliary), (len(values), len(self.auxiliary), *self.shape)
        if auxiliary is None:
            auxiliary = values.new_full((len(values), count, values.shape[1]), torch.nan)
        known = torch.isfinite(auxiliary)
        scaled = torch.where(known, (auxiliary - self.further_mean) / self.further_sd, 0.0)
        observed = torch.cat([observed, scaled.reshape(shape)], dim=1)
        return observed, torch.cat([seen, known.to(seen.dtype).reshape(shape)], dim=1), complete

    def correct(self, observed: Tensor, mask: Tensor, complete: Tensor) -> Tensor:
        """(B, 2, H, W): correction in units of the posterior sd, and log of the factor on it."""
        own = len(OBSERVED_CHANNELS)
        for number, layer in enumerate(self.seen_further, 1):
            assert isinstance(layer, PartialConv)
            seen = mask[:, number : number + 1]
            values = observed[:, own + number - 1 : own + number]
            complete = torch.cat([complete, F.silu(layer(values * seen, layer.window(seen))), seen], dim=1)
        return super().correct(observed[:, :own], mask[:, :1], complete)


class LevelledAnalysisUNet(Levels, AnalysisUNet):
    """:class:`climrecon.methods.unet.network.AnalysisUNet` with ``depth`` levels; its other parameters are the same."""

    def __init__(
        self,
        prior: FullPrior,
        land: Tensor,
        sin_lat: Tensor,
        area: Tensor,
        width: int = 16,
        depth: int = DEPTH,
        misfit: bool = False,
    ) -> None:
        super().__init__(prior, land, sin_lat, area, width, misfit=misfit)
        self.set_levels(depth, width, len(complete_channels(misfit)))
