"""Random fields with the spatial correlation of climate, for made-up archives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from climrecon.grid import Grid
from climrecon.methods.priors.covariance import great_circle


def smoother(grid: Grid, length_km: float) -> NDArray[np.float64]:
    """(P, P) matrix that turns white noise into unit-variance fields with a Gaussian correlation.

    The correlation is exp(-d^2 / 2 L^2); its symmetric square root is taken by eigenvalues, negative
    ones (the Gaussian is not strictly positive definite on the sphere) cut at zero.
    """
    correlation = np.exp(-0.5 * (great_circle(grid) / length_km) ** 2)
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return np.asarray(root / np.sqrt((root**2).sum(axis=1))[:, None])
