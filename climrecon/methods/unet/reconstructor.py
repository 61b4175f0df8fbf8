"""Networks as reconstructors: from numpy observations to an :class:`climrecon.fields.Estimate`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.fields import Auxiliary, Context, Estimate, Observations
from climrecon.methods.kadow2020.network import PublishedUNet
from climrecon.methods.priors.data_set_errors import DataSetErrors, estimate_data_set_errors
from climrecon.methods.unet.correcting import PartialUNet
from climrecon.methods.unet.levels import auxiliary_of
from climrecon.methods.unet.network import AnalysisUNet, persistent_deviations


class PartialUNetReconstructor:
    """Our network. Gives mean, standard deviation, realisations and the spread of regional means.

    Parameters
    ----------
    name:
        For messages and file names.
    network:
        The network, in evaluation mode.
    default_obs_sd:
        One-sigma observation error in K where a data set states none.
    device:
        Where it runs.
    """

    def __init__(self, name: str, network: PartialUNet, default_obs_sd: float, device: str = "cpu") -> None:
        self.name = name
        self.network = network.eval().to(device)
        self.default_obs_sd = default_obs_sd
        self.device = torch.device(device)
        self.chunks_side_by_side = self.device.type == "cpu"
        #: What is known of the network's further variables, looked up by month; None: nothing.
        self.auxiliary: Auxiliary | None = None

    def reconstruct(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
    ) -> Estimate:
        """Estimate (T, H, W) fields; see :class:`climrecon.fields.Reconstructor`."""
        shape = values.shape
        flat = (shape[0], -1)
        error = np.full(shape, self.default_obs_sd, np.float32)
        if obs_sd is not None:
            known = np.isfinite(obs_sd) & (obs_sd > 0)
            error = np.where(known, obs_sd, self.default_obs_sd).astype(np.float32)
        with torch.inference_mode():
            months = torch.as_tensor(np.asarray(month, dtype=np.int64), device=self.device)
            output = self.network(
                self._tensor(np.where(mask, values, 0.0)).reshape(flat),
                torch.as_tensor(np.array(mask), device=self.device).reshape(flat),
                self._tensor(error).reshape(flat),
                months,
                *self._of_further(context.time.index),
            )
            prior = self.network.prior.prior_sd(months)
        mean = output.mean.cpu().numpy().reshape(shape)

        def sample(count: int, seed: int) -> FloatArray:
            generator = torch.Generator().manual_seed(seed)
            with torch.inference_mode():
                draws = output.posterior.deviations(count, generator) * output.factor
            return np.asarray(mean + draws.cpu().numpy().reshape(count, *shape), dtype=np.float32)

        def area_mean_sd(weights: FloatArray) -> FloatArray:
            with torch.inference_mode():
                scaled = self._tensor(weights).reshape(-1) * output.factor
                return np.asarray(output.posterior.weighted_mean_sd(scaled).cpu().numpy())

        return Estimate(
            mean=mean,
            stddev=output.stddev.cpu().numpy().reshape(shape),
            prior_stddev=prior.cpu().numpy().reshape(shape),
            sample=sample,
            area_mean_sd=area_mean_sd,
        )

    def _of_further(self, index: IntArray) -> tuple[Tensor, ...]:
        """(T, V, P) of the further variables as the network's last argument; none where there is none."""
        names = auxiliary_of(self.network)
        if not names or self.auxiliary is None:
            return ()
        return (self._tensor(self.auxiliary.at(index, names)).flatten(2),)

    def means(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray,
        month: IntArray,
        auxiliary: FloatArray | None = None,
    ) -> FloatArray:
        """(T, H, W) means alone, K, from (T, H, W) anomalies, masks and one-sigma errors, and (T,) months.

        Parameters
        ----------
        further:
            (T, V, H, W) anomalies of the further variables of a network that takes some, NaN where not observed.
        """
        shape, flat = values.shape, (len(values), -1)
        with torch.inference_mode():
            output = self.network(
                self._tensor(np.where(mask, values, 0.0)).reshape(flat),
                torch.as_tensor(np.array(mask), device=self.device).reshape(flat),
                self._tensor(obs_sd).reshape(flat),
                torch.as_tensor(np.asarray(month, dtype=np.int64), device=self.device),
                *(() if auxiliary is None else (self._tensor(auxiliary).flatten(2),)),
            )
        return np.asarray(output.mean.cpu().numpy().reshape(shape))

    def _tensor(self, array: FloatArray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=self.device)


class AnalysisReconstructor:
    """Our network with neighbouring months; adapts itself to the errors of the data set it is given.

    Parameters
    ----------
    name:
        For messages and file names.
    network:
        The network, in evaluation mode.
    default_obs_sd:
        One-sigma observation error in K where a data set states none and too few cells tell.
    persistence:
        Correlation of the errors of successive months, for realisations.
    distance:
        (P, P) km between cell centres.
    device:
        Where it runs.
    """

    #: A chunk's first and last month need the month beside it.
    neighbour_months = 1
    #: A month's noise depends on seed and date alone, so that errors persist over the borders of chunks.
    draws_by_date = True

    def __init__(
        self,
        name: str,
        network: AnalysisUNet,
        default_obs_sd: float,
        persistence: float,
        distance: FloatArray,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self.network = network.eval().to(device)
        self.default_obs_sd, self.persistence = default_obs_sd, persistence
        self.distance = distance
        self.device = torch.device(device)
        #: Whether chunks of months may be estimated at the same time, by one thread each.
        self.chunks_side_by_side = self.device.type == "cpu"
        self.prior = network.prior
        self.level: DataSetErrors | None = None

    def calibrate(self, observations: Observations) -> str:
        """Estimate what the data set does not state, from all its months; says what was found."""
        flat = (len(observations.time), -1)
        prior = self.network.prior
        with torch.inference_mode():
            covariance = prior.covariance()
        self.level = estimate_data_set_errors(
            covariance.cpu().numpy(),
            self.distance,
            prior.scale.cpu().numpy(),
            self.network.land.cpu().numpy().reshape(-1),
            observations.values.reshape(flat),
            observations.mask.reshape(flat),
            None if observations.obs_sd is None else observations.obs_sd.reshape(flat),
            observations.time.index,
        )
        self.prior = prior
        stated = "" if observations.obs_sd is None else "beside those that the data set states, "
        if self.level is None:
            return f"too few cells are observed to estimate their errors; {self.default_obs_sd} K is assumed"
        land = self.network.land.cpu().numpy().reshape(-1)
        added = self.level.covariance(self.distance, prior.scale.cpu().numpy(), land, self.network.shape)
        if added is not None:
            self.prior = prior.adapted(added.to(self.device), self.network.area)
        return (
            f"errors of observed cells, {stated}estimated from the data: {self.level.sea.error:g} K over sea, "
            f"{self.level.land.error:g} K over land; {self.level.variability()}"
        )

    def error_sd(self, obs_sd: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
        """(T, H, W) one-sigma error of the observed cells as it is used: stated and not stated, K."""
        unstated: FloatArray = np.zeros(self.network.shape)
        missing = np.float32(self.default_obs_sd)
        if self.level is not None:
            unstated, missing = self.level.on(self.network.land.cpu().numpy()), np.float32(0.0)
        if obs_sd is None:
            one = np.sqrt(missing**2 + unstated**2).astype(np.float32)
            return np.broadcast_to(one, shape).copy()
        stated = np.where(np.isfinite(obs_sd) & (obs_sd > 0), obs_sd, missing)
        return np.sqrt(stated**2 + unstated**2).astype(np.float32)

    def reconstruct(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
    ) -> Estimate:
        """Estimate (T, H, W) fields; see :class:`climrecon.fields.Reconstructor`."""
        shape = values.shape
        flat = (shape[0], -1)
        index = torch.as_tensor(np.asarray(context.time.index, dtype=np.int64), device=self.device)
        months = torch.as_tensor(np.asarray(month, dtype=np.int64), device=self.device)
        with torch.inference_mode():
            output = self.network(
                self._tensor(np.where(mask, values, 0.0)).reshape(flat),
                torch.as_tensor(np.array(mask), device=self.device).reshape(flat),
                self._tensor(self.error_sd(obs_sd, shape)).reshape(flat),
                months,
                index,
                self.prior,
            )
            prior = self.prior.prior_sd(months)
        mean = output.mean.cpu().numpy().reshape(shape)

        def sample(count: int, seed: int) -> FloatArray:
            with torch.inference_mode():
                drawn = persistent_deviations(
                    output.posterior, index, count, seed, self.persistence, output.parts
                )
            return np.asarray(mean + drawn.cpu().numpy().reshape(count, *shape), dtype=np.float32)

        def area_mean_sd(weights: FloatArray) -> FloatArray:
            with torch.inference_mode():
                spread = output.posterior.weighted_mean_sd(self._tensor(weights).reshape(-1), output.parts)
                return np.asarray(spread.cpu().numpy())

        return Estimate(
            mean=mean,
            stddev=output.stddev.cpu().numpy().reshape(shape),
            prior_stddev=prior.cpu().numpy().reshape(shape),
            sample=sample,
            area_mean_sd=area_mean_sd,
        )

    def _tensor(self, array: FloatArray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=self.device)


class PublishedReconstructor:
    """A network of Kadow et al.: 72 x 72 cells inside, any 36 x 72 observations outside.

    Each 5-degree row is written twice on the way in; on the way out the two rows' area-weighted mean
    is taken (``rows`` inside: as often as needed). It states no uncertainty, so the estimate has none.
    """

    def __init__(self, name: str, network: PublishedUNet, device: str = "cpu", rows: int = 72) -> None:
        self.name, self.rows = name, rows
        self.network = network.eval().to(device)
        self.device = torch.device(device)

    def raw(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """The network's own output for (T, 72, 72) anomalies on its own grid (longitude from 0), K."""
        x = torch.as_tensor(np.where(mask, values, 0.0), dtype=torch.float32, device=self.device)
        seen = torch.as_tensor(mask, dtype=torch.float32, device=self.device)
        with torch.inference_mode():
            out = self.network(x[:, None], seen[:, None])[:, 0]
        return np.asarray(out.cpu().numpy())

    def reconstruct(
        self,
        values: FloatArray,
        mask: BoolArray,
        obs_sd: FloatArray | None,
        month: IntArray,
        context: Context,
    ) -> Estimate:
        """Estimate (T, 36, 72) fields; see :class:`climrecon.fields.Reconstructor`."""
        return Estimate(mean=self.means(values, mask))

    def means(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """(T, H, W) means from (T, H, W) anomalies in K, what stands where ``mask`` is False being ignored."""
        half, repeat = values.shape[-1] // 2, self.rows // values.shape[1]
        tall = np.repeat(np.roll(np.where(mask, values, 0.0), half, axis=2), repeat, axis=1)
        seen = np.repeat(np.roll(mask, half, axis=2), repeat, axis=1)
        out = self.raw(tall, seen)
        edges = np.linspace(-90.0, 90.0, out.shape[1] + 1)
        area = np.diff(np.sin(np.radians(edges)))[None, :, None]
        parts = (out * area).reshape(len(out), -1, repeat, out.shape[2]).sum(2)
        rows = parts / area.reshape(1, -1, repeat, 1).sum(2)
        return np.asarray(np.roll(rows, -half, axis=2).astype(np.float32))
