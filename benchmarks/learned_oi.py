"""Optimal interpolation with learned covariances: the reference of benchmarks/skill.py beside kriging."""

from __future__ import annotations

import numpy as np

from climrecon.fields import Estimate
from climrecon.grid import FIVE_DEGREES as GRID
from climrecon.methods.contract import Capabilities, Method
from climrecon.methods.priors.covariance import great_circle

AREA = GRID.area.reshape(-1)
LOCALISATION_KM = 6000.0


class LearnedOI(Method):
    """Covariances of the months learned from, one Gaussian taper, means by generalised least squares.

    Parameters
    ----------
    fields:
        (N, H, W) complete months, K.
    noise:
        Variance of independent errors, K2.
    shared:
        (P, P) K2, the covariance of a month's errors that cells share, told exactly, as no data set tells it.
    directions:
        (F, P) K, departures from the month's mean of one standard deviation each, beside the covariance; not tapered.
    """

    name = "learned OI"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=True)

    def __init__(
        self, fields: np.ndarray, noise: float, shared: np.ndarray | None = None, directions: np.ndarray | None = None
    ) -> None:
        flat = fields.reshape(len(fields), -1)
        flat = flat - (flat @ AREA)[:, None]
        self.covariance = flat.T @ flat / len(flat) * np.exp(-0.5 * (great_circle(GRID) / LOCALISATION_KM) ** 2)
        if directions is not None:
            self.covariance += directions.T @ directions
        self.errors = noise * np.eye(AREA.size)
        if shared is not None:
            self.errors += shared

    def reconstruct(self, values, mask, obs_sd, month, context) -> Estimate:  # type: ignore[no-untyped-def]
        shape = values.shape
        seen, flat = mask.reshape(len(mask), -1), values.reshape(len(values), -1)
        mean, sd = np.empty(flat.shape), np.empty(flat.shape)
        groups: dict[bytes, list[int]] = {}
        for row, one in enumerate(seen):
            groups.setdefault(one.tobytes(), []).append(row)
        for rows in groups.values():
            cells = np.flatnonzero(seen[rows[0]])
            matrix = self.covariance[np.ix_(cells, cells)] + self.errors[np.ix_(cells, cells)]
            inverse = np.linalg.inv(matrix)
            ones = inverse.sum(1)
            level = flat[rows][:, cells] @ ones / ones.sum()
            gain = self.covariance[:, cells] @ inverse
            mean[rows] = level[:, None] + (flat[rows][:, cells] - level[:, None]) @ gain.T
            gap = 1.0 - gain.sum(1)
            left = np.diag(self.covariance) - (gain * self.covariance[:, cells]).sum(1) + gap**2 / ones.sum()
            sd[rows] = np.sqrt(np.maximum(left, 1e-6))
        return Estimate(mean.reshape(shape).astype(np.float32), sd.reshape(shape).astype(np.float32))
