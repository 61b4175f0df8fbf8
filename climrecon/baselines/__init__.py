"""Methods to compare with, applied like any network."""

from __future__ import annotations

from climrecon.baselines.kriging import Kriging
from climrecon.baselines.simple import Climatology, InverseDistance
from climrecon.fields import Reconstructor

#: Name -> what it is, in one line.
NAMES = {
    "kriging": "ordinary kriging on the sphere, exponential covariance, range and nugget fitted to the observations",
    "idw": "inverse-distance weighting of the observed cells",
    "climatology": "zero anomaly everywhere",
}


def build(name: str) -> Reconstructor | None:
    """The baseline called ``name``, or None if there is none."""
    makers: dict[str, type[Kriging] | type[InverseDistance] | type[Climatology]] = {
        "kriging": Kriging,
        "idw": InverseDistance,
        "climatology": Climatology,
    }
    return makers[name]() if name in makers else None
