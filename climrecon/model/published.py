"""The published networks (Kadow et al. 2020, Nature Geoscience 13:408, and a later one), imported.

A U-Net of partial convolutions on 72 x 72 cells of 2.5 x 5 degrees. In the files each layer has
``input_conv.weight`` and ``mask_conv.weight`` (constant ones); ``enc_4`` and ``dec_4`` are there and
never run. Three equal input channels collapse exactly into one: the first layer's weights are summed
over them and its mask sum is multiplied by three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.errors import NetworkError
from climrecon.model.partial import Padding, pad, window_sum

_KERNELS = {"enc_1": 7, "enc_2": 5, "enc_3": 5, "dec_3": 3, "dec_2": 3, "dec_1": 3}


@dataclass(frozen=True)
class Variant:
    """What tells the published networks apart: channels, slope of the LeakyReLU, padding, output read."""

    channels: int
    slope: float
    mode: Padding
    output: int


#: The paper's checkpoints have three equal input channels; the later network one.
VARIANTS = {3: Variant(3, 0.2, "zeros", 1), 1: Variant(1, 0.01, "circular", 0)}


class PublishedUNet(nn.Module):
    """The network as it is applied; see :func:`from_state`."""

    def __init__(self, state: Mapping[str, Tensor], variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        for name in _KERNELS:
            weight = state[f"{name}.weight"].clone()
            if name == "enc_1" and variant.channels > 1:
                weight = weight.sum(dim=1, keepdim=True)
            if name == "dec_1":
                # Only the output channel that is read; its input ends with the equal input channels.
                weight = weight[variant.output : variant.output + 1]
                if variant.channels > 1:
                    extra = weight[:, -variant.channels :].sum(dim=1, keepdim=True)
                    weight = torch.cat([weight[:, : -variant.channels], extra], dim=1)
            self.register_buffer(f"{name}_weight", weight)
            if f"{name}.bn.weight" in state:
                for key in ("weight", "bias", "running_mean", "running_var"):
                    self.register_buffer(f"{name}_bn_{key}", state[f"{name}.bn.{key}"].clone())
        bias = state["dec_1.bias"][variant.output : variant.output + 1].clone()
        self.register_buffer("dec_1_bias", bias)
        self.dec_1_bias: Tensor

    def _layer(self, name: str, x: Tensor, window: Tensor, stride: int) -> Tensor:
        kernel = _KERNELS[name]
        out = F.conv2d(
            pad(x, kernel // 2, kernel // 2, self.variant.mode), getattr(self, f"{name}_weight"), None, stride
        )
        out = out / window.clamp_min(1e-6)
        if name == "dec_1":
            out = out + self.dec_1_bias.view(1, -1, 1, 1)
        out = torch.where(window > 0, out, torch.zeros_like(out))
        if hasattr(self, f"{name}_bn_weight"):
            out = F.batch_norm(
                out,
                getattr(self, f"{name}_bn_running_mean"),
                getattr(self, f"{name}_bn_running_var"),
                getattr(self, f"{name}_bn_weight"),
                getattr(self, f"{name}_bn_bias"),
            )
        return out

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Estimate complete fields.

        Parameters
        ----------
        x:
            (B, 1, 72, 72) anomalies in K, 0 where missing.
        mask:
            (B, 1, 72, 72), 1 where observed.

        Returns
        -------
        (B, 1, 72, 72) the network's own output, before observed cells are put back.
        """
        mode, channels = self.variant.mode, self.variant.channels
        features, masks, skips = x * mask, mask, [(x * mask, mask, channels)]
        widths = (channels, 18, 36)
        for name, width in zip(("enc_1", "enc_2", "enc_3"), widths, strict=True):
            window = window_sum(masks, _KERNELS[name], 2, mode) * width
            features = F.relu(self._layer(name, features * masks, window, 2))
            masks = (window > 0).to(x.dtype)
            skips.append((features, masks, {"enc_1": 18, "enc_2": 36, "enc_3": 72}[name]))
        features, masks, width = skips.pop()
        for name, outputs in (("dec_3", 36), ("dec_2", 18), ("dec_1", 1)):
            skip, skip_mask, skip_width = skips.pop()
            up = F.interpolate(features, scale_factor=2, mode="nearest")
            up_mask = F.interpolate(masks, scale_factor=2, mode="nearest")
            kernel = _KERNELS[name]
            window = (
                window_sum(up_mask, kernel, 1, mode) * width
                + window_sum(skip_mask, kernel, 1, mode) * skip_width
            )
            features = self._layer(name, torch.cat([up * up_mask, skip * skip_mask], dim=1), window, 1)
            if name != "dec_1":
                features = F.leaky_relu(features, self.variant.slope)
            masks, width = (window > 0).to(x.dtype), outputs
        return features


def from_state(state: Mapping[str, Tensor]) -> PublishedUNet:
    """Build the network from a checkpoint's weights.

    Raises
    ------
    NetworkError
        If the weights are not those of a published network.
    """
    try:
        channels = int(state["enc_1.weight"].shape[1])
        return PublishedUNet(state, VARIANTS[channels])
    except KeyError as error:
        raise NetworkError(
            f"The checkpoint has no {error}; it is none of the published partial-convolution U-Nets.",
            "Layers enc_1..enc_3 and dec_3..dec_1 with one or three input channels are expected.",
        ) from error


#: Layer names of the later code -> those of the paper's.
_LATER = {f"encoder.{i}": f"enc_{i + 1}" for i in range(3)} | {
    f"decoder.{i}": f"dec_{3 - i}" for i in range(3)
}


def weights_of(content: object) -> dict[str, Tensor]:
    """The weights of either published layout, by layer: ``enc_1.weight``, ``enc_2.bn.bias`` ...

    Layouts: ``{n_iter, model, optimizer}``, and ``{labels, stat_target, "1000000": {model, …}}`` where
    the largest number is the latest state.

    Raises
    ------
    NetworkError
        If there are none.
    """
    if isinstance(content, Mapping):
        if any(str(key).startswith(("enc_1.", "encoder.0.")) for key in content):
            return _by_layer(content)
        if isinstance(content.get("model"), Mapping):
            return weights_of(content["model"])
        steps = [key for key in content if str(key).isdigit()]
        if steps:
            return weights_of(content[max(steps, key=int)])
    raise NetworkError("The checkpoint holds no network in either of the published layouts.")


def _by_layer(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {}
    for key, value in weights.items():
        for later, name in _LATER.items():
            key = key.replace(f"{later}.partial_conv.", f"{name}.")
        named[key.replace(".conv.", ".").replace(".input_conv.", ".")] = value
    return named
