"""Our network as a method: from numpy observations to an :class:`climrecon.fields.Estimate`."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.methods.contract import (
    Auxiliary,
    Capabilities,
    Context,
    Estimate,
    GaussianMonth,
    Influence,
    Method,
    Observations,
)
from climrecon.methods.priors.data_set_errors import DataSetErrors, estimate_data_set_errors
from climrecon.methods.priors.full_rank import LEAST_ERROR
from climrecon.methods.priors.interpolation import as_tensor, estimate_of, flat_observations, persistent_deviations
from climrecon.methods.priors.low_rank import MEAN_PRIOR_SD
from climrecon.methods.unet.influence import influence_of
from climrecon.methods.unet.network import UNet
from climrecon.steps import Steps
from climrecon.variables import VARIABLES


class UNetReconstructor(Method):
    """Our network, calibrated on the errors of the data set it is given.

    Gives mean, standard deviation, realisations and the spread of regional means. Cells without area in the network lie
    outside the domain of its variable: what is observed there is not used, and the estimate there is the month's mean.

    Parameters
    ----------
    name:
        For messages and file names.
    network:
        The network; it is put into evaluation mode.
    default_obs_sd:
        One-sigma observation error in K where a data set states none and too few cells are observed to estimate it.
    persistence:
        Correlation of the errors of successive months, for realisations.
    distance:
        (P, P) km between cell centres.
    device:
        Where it runs.
    """

    def __init__(
        self,
        name: str,
        network: UNet,
        default_obs_sd: float,
        persistence: float,
        distance: FloatArray,
        device: str = "cpu",
    ) -> None:
        self.name, self.default_obs_sd = name, default_obs_sd
        self.network = network.eval().to(device)
        self.device = torch.device(device)
        self.persistence, self.distance = persistence, distance
        #: (H, W) the domain of the network's variable.
        self.inside: BoolArray = (network.area > 0).cpu().numpy().reshape(network.shape)
        self.prior = network.prior
        self.data_set_errors: DataSetErrors | None = None
        self._auxiliary: Auxiliary | None = None

    @property
    def normal(self) -> FloatArray | None:
        """(12, H, W) mean of the transformed values that the network takes; None where it takes values as they are."""
        normal = self.network.normal
        return None if normal is None else normal.cpu().numpy().reshape(12, *self.network.shape)

    @property
    def capabilities(self) -> Capabilities:
        """Chunks of months are estimated side by side on a CPU; errors persist over the borders of chunks."""
        return Capabilities(
            uses_observation_errors=True,
            gives_spread=True,
            neighbour_months=self.network.neighbour_months,
            draws_depend_on_date_only=True,
            parallel_chunks=self.device.type == "cpu",
        )

    def with_auxiliary(self, auxiliary: Auxiliary | None) -> UNetReconstructor:
        """The same network with these auxiliary variables, which are looked up by month; None: none are observed."""
        same = copy.copy(self)
        same._auxiliary = auxiliary
        return same

    def calibrate(self, observations: Observations) -> str:
        """Estimate errors and variability that the data set does not state, from all its months."""
        sentences = self._calibrate_errors(observations), self._auxiliary_note(observations)
        return "; ".join(filter(None, sentences))

    def _auxiliary_note(self, observations: Observations) -> str:
        """How many months have values of the auxiliary variables; "" where the network takes none."""
        time, parts = observations.time, []
        for name in self.network.auxiliary:
            if self._auxiliary is None or name not in self._auxiliary.variables:
                parts.append(f"{name} is not given, and taken as not observed")
                continue
            known = np.isfinite(self._auxiliary.at(time.stamps, (name,))).any((1, 2, 3))
            parts.append(f"{name} is known in {int(known.sum())} of {time.counted()}")
        if parts and self.prior.local is not None:
            parts.append("with variability that the training fields lack they change the standard deviation alone")
        return "auxiliary variables: " + "; ".join(parts) if parts else ""

    def _calibrate_errors(self, observations: Observations) -> str:
        if self.network.padding != "sphere":
            return "errors of observed cells are taken as stated: on a region they are not estimated"
        flat = (len(observations.time), -1)
        prior = self.network.prior
        with torch.inference_mode():
            covariance = prior.covariance()
        self.data_set_errors = estimate_data_set_errors(
            covariance.cpu().numpy(),
            self.distance,
            prior.scale.cpu().numpy(),
            self.network.land.cpu().numpy().reshape(-1),
            observations.values.reshape(flat),
            (observations.mask & self.inside).reshape(flat),
            None if observations.obs_sd is None else observations.obs_sd.reshape(flat),
            observations.time.index,
            observations.time.month,
        )
        self.prior = prior
        stated = "" if observations.obs_sd is None else "beside those that the data set states, "
        units = VARIABLES[observations.variable].units
        if self.data_set_errors is None:
            return f"too few cells are observed to estimate their errors; {self.default_obs_sd} {units} is assumed"
        land = self.network.land.cpu().numpy().reshape(-1)
        added = self.data_set_errors.covariance(self.distance, prior.scale.cpu().numpy(), land, self.network.shape)
        if added is not None:
            self.prior = prior.calibrated(added.to(self.device), self.network.area)
        return (
            f"errors of observed cells, {stated}estimated from the data: {self.data_set_errors.sea.error:g} {units} over "
            f"sea, {self.data_set_errors.land.error:g} {units} over land; {self.data_set_errors.variability(units)}"
        )

    def observation_sd(self, obs_sd: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
        """(T, H, W) one-sigma error of the observed cells as it is used: stated and not stated, K."""
        unstated: FloatArray = np.zeros(self.network.shape)
        missing = np.float32(self.default_obs_sd)
        if self.data_set_errors is not None:
            unstated, missing = self.data_set_errors.on(self.network.land.cpu().numpy()), np.float32(0.0)
        if obs_sd is None:
            one = np.sqrt(missing**2 + unstated**2).astype(np.float32)
            return np.broadcast_to(one, shape).copy()
        stated = np.where(np.isfinite(obs_sd) & (obs_sd > 0), obs_sd, missing)
        return np.sqrt(stated**2 + unstated**2).astype(np.float32)

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Estimate (T, H, W) fields; see :class:`climrecon.methods.contract.Method`."""
        error_sd = self.observation_sd(obs_sd, values.shape)
        months, dates = (as_tensor(axis, self.device, np.int64) for axis in (month, context.time.index))
        with torch.inference_mode():
            observed = flat_observations(values, mask & self.inside, error_sd, self.device)
            output = self.network(*observed, months, dates, self.prior, self._auxiliary_at(context.time))
            prior_sd = self.prior.prior_sd(months)
        posterior, parts = output.posterior, output.parts
        return estimate_of(
            output.mean,
            output.stddev,
            prior_sd,
            lambda count, seed: persistent_deviations(posterior, dates, count, seed, self.persistence, parts),
            lambda weights: posterior.weighted_mean_sd(weights, parts),
            values.shape,
        )

    def gaussian(
        self, mask: BoolArray, obs_sd: FloatArray | None, month: int, context: Context
    ) -> GaussianMonth | None:
        """The optimal interpolation that the U-Net corrects; None where nothing is observed in the network's domain."""
        error_sd = self.observation_sd(None if obs_sd is None else obs_sd[None], (1, *mask.shape))[0]
        cells = np.flatnonzero(mask & self.inside)
        if not len(cells):
            return None
        error = np.maximum(error_sd.reshape(-1)[cells].astype(np.float64), LEAST_ERROR) ** 2
        with torch.inference_mode():
            covariance = self.prior.covariance_of_month(month).cpu().numpy()
        return GaussianMonth(covariance, error, cells, MEAN_PRIOR_SD)

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
        """Exact through the interpolation of each month, integrated gradients through the U-Net.

        With variability that the training fields lack the U-Net does not change the mean, and weights are exact.
        """
        if self.prior.local is not None:
            return super().influence(values, mask, obs_sd, month, context, position, target)
        models = [
            self.gaussian(mask[number], None if obs_sd is None else obs_sd[number], int(month[number]), context)
            for number in range(len(month))
        ]
        if models[position] is None:
            return None
        errors, seen = self.observation_sd(obs_sd, values.shape), mask & self.inside
        observed = flat_observations(values, seen, errors, self.device)
        auxiliary, dates = self._auxiliary_at(context.time), context.time.index
        return influence_of(self.network, self.prior, models, observed, month, dates, position, target, auxiliary)

    def _auxiliary_at(self, time: Steps) -> Tensor | None:
        """(T, V, P) auxiliary variables of these steps, or None."""
        names = self.network.auxiliary
        if self._auxiliary is None or not names:
            return None
        return as_tensor(self._auxiliary.at(time.stamps, names), self.device).flatten(2)
