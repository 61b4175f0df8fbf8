"""Optimal interpolation with the covariance that a network of ours holds."""

from __future__ import annotations

from dataclasses import replace

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.errors import NetworkError
from climrecon.grid import Grid
from climrecon.methods.card import error_of_observations
from climrecon.methods.contract import Capabilities, Context, Estimate, Influence, Method
from climrecon.methods.priors.covariance import great_circle
from climrecon.methods.priors.interpolation import interpolate
from climrecon.methods.store import LoadedNetwork, load_network, network_of
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.variables import VARIABLES

#: The shipped network whose patterns are taken where no other is named, so that no data are needed.
PATTERNS = str(VARIABLES["tas"].network)


class OptimalInterpolation(UNetReconstructor):
    """The covariance of a network of ours without its U-Net; errors are estimated as the network does it.

    The mean comes from all patterns, the spread of cells from the posterior of the leading ones; means over regions and
    realisations know what the trailing ones share between cells.

    Source: Gandin (1963), Objective Analysis of Meteorological Fields; Kaplan et al. (1997), J. Geophys. Res.
    102:27835, for covariances learned from a well-observed period.
    """

    def __init__(
        self,
        network: UNet,
        grid: Grid,
        default_obs_sd: float,
        persistence: float,
        variable: str | None = None,
        frequency: str | None = None,
    ) -> None:
        super().__init__("oi", network, default_obs_sd, persistence, great_circle(grid))
        self.grid, self.variable, self.frequency = grid, variable, frequency

    @property
    def capabilities(self) -> Capabilities:
        """Each month by itself, on the grid of the patterns."""
        return replace(
            super().capabilities,
            neighbour_months=0,
            native_grid=self.grid,
            variable=self.variable,
            frequency=self.frequency,
        )

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Estimate (T, H, W) fields; see :class:`climrecon.methods.contract.Method`."""
        error_sd = self.observation_sd(obs_sd, values.shape)
        inside = mask & self.inside
        return interpolate(self.prior, values, inside, error_sd, month, context, persistence=self.persistence)

    def influence(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
        position: int,
        target: FloatArray,
    ) -> Influence | None:
        """Exact weights; see :class:`climrecon.methods.contract.Method`."""
        return Method.influence(self, values, mask, obs_sd, month, context, position, target)


def optimal_interpolation(source: LoadedNetwork | None = None) -> OptimalInterpolation:
    """Optimal interpolation with the covariance of ``source``; of the shipped network by default.

    Raises
    ------
    NetworkError
        If ``source`` holds no covariance of all patterns.
    """
    loaded = source or load_network(PATTERNS)
    network = network_of(loaded)
    if not isinstance(network, UNet):
        raise NetworkError(f"{loaded.name} holds no covariance to interpolate with.", f"{PATTERNS} holds one.")
    return OptimalInterpolation(
        network,
        loaded.card.grid.grid,
        VARIABLES[loaded.card.variable].in_methods(error_of_observations(loaded.card)),
        float(loaded.card.architecture.get("persistence", 0.0)),
        loaded.card.variable,
        loaded.card.frequency,
    )
