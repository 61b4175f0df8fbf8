"""Methods to compare with, applied like any network."""

from __future__ import annotations

from climrecon.fields import Reconstructor

#: Name -> what it is, in one line.
NAMES = {
    "kriging": "ordinary kriging on the sphere, exponential covariance, range and nugget fitted to the observations",
    "oi": "optimal interpolation with the covariances that the shipped network learned, without its U-Net",
    "pca": "principal components (EOFs) of the observations, their number by cross-validation",
    "idw": "inverse-distance weighting of the observed cells",
    "climatology": "zero anomaly everywhere",
}


def build(name: str) -> Reconstructor | None:
    """The baseline called ``name``, or None if there is none. Each is imported when it is asked for."""
    if name == "kriging":
        from climrecon.methods.kriging import Kriging

        return Kriging()
    if name == "oi":
        from climrecon.methods.optimal_interpolation import optimal_interpolation

        return optimal_interpolation()
    if name == "pca":
        from climrecon.methods.pca import PCA

        return PCA()
    if name in ("idw", "climatology"):
        from climrecon.methods.simple import Climatology, InverseDistance

        return InverseDistance() if name == "idw" else Climatology()
    return None
