"""The published network as a method."""

from __future__ import annotations

import numpy as np
import torch

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.methods.contract import Capabilities, Context, Estimate, Method
from climrecon.methods.kadow2020.network import PublishedUNet


class PublishedReconstructor(Method):
    """A network of Kadow et al.: 72 x 72 cells inside, any 36 x 72 observations outside.

    Each 5-degree row is written twice on the way in; on the way out the two rows' area-weighted mean
    is taken (``rows`` inside: as often as needed). It states no uncertainty, so the estimate has none.
    """

    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False)

    def __init__(self, name: str, network: PublishedUNet, device: str = "cpu", rows: int = 72) -> None:
        self.name, self.rows = name, rows
        self.network = network.eval().to(device)
        self.device = torch.device(device)

    def raw(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """The network's output for (T, 72, 72) anomalies on its grid (longitude from 0), K."""
        x = torch.as_tensor(np.where(mask, values, 0.0), dtype=torch.float32, device=self.device)
        seen = torch.as_tensor(mask, dtype=torch.float32, device=self.device)
        with torch.inference_mode():
            out = self.network(x[:, None], seen[:, None])[:, 0]
        return np.asarray(out.cpu().numpy())

    def reconstruct(
        self, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
    ) -> Estimate:
        """Estimate (T, 36, 72) fields; see :class:`climrecon.methods.contract.Method`."""
        half, repeat = values.shape[-1] // 2, self.rows // values.shape[1]
        tall = np.repeat(np.roll(np.where(mask, values, 0.0), half, axis=2), repeat, axis=1)
        seen = np.repeat(np.roll(mask, half, axis=2), repeat, axis=1)
        out = self.raw(tall, seen)
        edges = np.linspace(-90.0, 90.0, out.shape[1] + 1)
        area = np.diff(np.sin(np.radians(edges)))[None, :, None]
        parts = (out * area).reshape(len(out), -1, repeat, out.shape[2]).sum(2)
        rows = parts / area.reshape(1, -1, repeat, 1).sum(2)
        return Estimate(mean=np.asarray(np.roll(rows, -half, axis=2).astype(np.float32)))
