"""Optimal interpolation with the covariance that a network of ours holds."""

from __future__ import annotations

from climrecon.errors import NetworkError
from climrecon.methods.priors.methods import OptimalInterpolation
from climrecon.methods.store import LoadedNetwork, load_network, network_of
from climrecon.methods.unet.network import AnalysisUNet

#: The shipped network whose patterns are taken, so that no data are needed.
PATTERNS = "punet5"


def optimal_interpolation(source: LoadedNetwork | None = None) -> OptimalInterpolation:
    """Optimal interpolation with the covariance of ``source``; of the shipped network by default.

    Raises
    ------
    NetworkError
        If ``source`` holds no covariance of all patterns.
    """
    loaded = source or load_network(PATTERNS)
    network = network_of(loaded)
    if not isinstance(network, AnalysisUNet):
        raise NetworkError(
            f"{loaded.name} holds no covariance to interpolate with.", f"{PATTERNS} holds one."
        )
    return OptimalInterpolation(
        network,
        loaded.card.grid.grid,
        loaded.card.default_obs_sd or 0.3,
        float(loaded.card.architecture.get("persistence", 0.0)),
    )
