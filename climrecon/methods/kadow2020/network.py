"""The network of Kadow et al. (2020, Nature Geoscience 13:408) and a later one: to train, and imported.

A U-Net of partial convolutions on 72 x 72 cells of 2.5 x 5 degrees. What can be saved is saved exactly:

- Three equal input channels are one, whose weights are the sum over them and whose mask sum is three times as large.
- Mask sums depend on the mask alone and are the same for all channels, so that one small integer a window stands for
  them (:mod:`climrecon.methods.kadow2020.mask_pyramid`); they are computed once a mask, not at every step.
- A 3 x 3 convolution after nearest upsampling is a transposed convolution of stride 2 with a 4 x 4 kernel, with 4
  multiplications an output where there were 9, and the skip is convolved by itself instead of being joined.

In the published files each layer has ``input_conv.weight`` and ``mask_conv.weight`` (constant ones); ``enc_4`` and
``dec_4`` are there and never run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.errors import NetworkError
from climrecon.methods.kadow2020.mask_pyramid import Pyramid, PyramidPlan
from climrecon.methods.kadow2020.norm import GlobalBatchNorm
from climrecon.methods.unet.partial import Padding, pad

#: Channels of the encoder's levels.
WIDTHS = (18, 36, 72)
#: Layers whose last input channels are equal where there are several.
EQUAL = ("enc_1", "dec_1")


@dataclass(frozen=True)
class Variant:
    """Differences between the published networks: channels, slope of the LeakyReLU, padding, output read."""

    channels: int
    slope: float
    mode: Padding
    output: int


#: The paper's checkpoints have three equal input channels; the later network one.
VARIANTS = {3: Variant(3, 0.2, "zeros", 1), 1: Variant(1, 0.01, "circular", 0)}


def kernels_of(depth: int) -> tuple[int, ...]:
    """Kernel sizes of the encoder's levels: 7, 5, 5, then 3."""
    return (7, 5, 5, *([3] * depth))[:depth]


class Down(nn.Module):
    """An encoder's level: partial convolution of stride 2, batch norm but for the first level, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, mode: Padding, norm: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bn = GlobalBatchNorm(outputs) if norm else None
        self.reach, self.mode = kernel // 2, mode

    def forward(self, x: Tensor, inverse: Tensor, seen: Tensor) -> Tensor:
        """(B, C, H, W), 0 where not seen, to (B, C', H / 2, W / 2), 0 where not seen either."""
        if self.mode == "zeros":
            out = F.conv2d(x, self.weight, None, 2, self.reach)
        else:
            out = F.conv2d(pad(x, self.reach, self.reach, self.mode), self.weight, None, 2)
        out = out * inverse
        if self.bn is None:
            # Nothing is added, so that what is not seen is zero already.
            return F.relu(out, inplace=True)
        return F.relu(self.bn(out), inplace=True) * seen


class Up(nn.Module):
    """A decoder's level: nearest upsampling, the skip, a 3 x 3 partial convolution; norm and slope but for the last."""

    def __init__(self, inputs: int, skip: int, outputs: int, mode: Padding, last: bool, slope: float) -> None:
        super().__init__()
        self.mode, self.slope = mode, slope
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.skip_weight = nn.Parameter(torch.empty(outputs, skip, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs)) if last else None
        self.bn = None if last else GlobalBatchNorm(outputs)
        # Row t of the 4-tap kernel is the sum of the taps k of the 3-tap one that fall on the same coarse cell.
        spread = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
        self.register_buffer("spread", spread, persistent=False)
        self.spread: Tensor

    def forward(self, x: Tensor, skip: Tensor, inverse: Tensor, seen: Tensor, outputs: slice = slice(None)) -> Tensor:
        """(B, C, H, W) and the (B, S, 2 H, 2 W) skip, both 0 where not seen, to (B, C', 2 H, 2 W)."""
        coarse = (self.spread @ self.weight[outputs] @ self.spread.T).transpose(0, 1)
        fine = self.skip_weight[outputs]
        if self.mode == "zeros":
            out = F.conv_transpose2d(x, coarse, None, 2, 1) + F.conv2d(skip, fine, None, 1, 1)
        else:
            up = F.conv_transpose2d(pad(x, 0, 1, self.mode), coarse, None, 2, 1)[..., 2:-2]
            out = up + F.conv2d(pad(skip, 1, 1, self.mode), fine)
        if self.bias is not None:
            # So few channels are slow to multiply where they stand last.
            out = out.contiguous() * inverse
            return out + self.bias[outputs].view(1, -1, 1, 1) * seen
        assert self.bn is not None
        out = out * inverse
        return F.leaky_relu(self.bn(out), self.slope, inplace=True) * seen


class PublishedUNet(nn.Module):
    """The published network, ready to train.

    Parameters
    ----------
    variant:
        Which of the published networks. With three channels three outputs are trained, as was done, and one is read.
    widths:
        Channels of the encoder's levels; their number is the depth. Rows and columns must halve so many times.
    """

    def __init__(self, variant: Variant, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.variant, self.widths = variant, tuple(widths)
        depth, kernels = len(self.widths), kernels_of(len(self.widths))
        self.plan = PyramidPlan(kernels, (variant.channels, *self.widths), variant.mode)
        for level in range(depth):
            inputs = 1 if level == 0 else self.widths[level - 1]
            layer = Down(inputs, self.widths[level], kernels[level], variant.mode, norm=level > 0)
            self.add_module(f"enc_{level + 1}", layer)
        for level in range(depth, 0, -1):
            skip = 1 if level == 1 else self.widths[level - 2]
            outputs = variant.channels if level == 1 else self.widths[level - 2]
            up = Up(self.widths[level - 1], skip, outputs, variant.mode, level == 1, variant.slope)
            self.add_module(f"dec_{level}", up)
        self.encoder = [getattr(self, f"enc_{level + 1}") for level in range(depth)]
        self.decoder = [getattr(self, f"dec_{level}") for level in range(depth, 0, -1)]
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Kaiming's normal initialisation of the layers as published: equal channels are drawn apart, then summed."""
        self.load_state_dict(self._collapsed(dict(self._drawn())), strict=False)

    def _drawn(self) -> Iterator[tuple[str, Tensor]]:
        more = self.variant.channels - 1
        for name, layer in (*self._named("enc", self.encoder), *self._named("dec", self.decoder[::-1])):
            outputs, inputs, kernel, _ = layer.weight.shape
            if isinstance(layer, Up):
                inputs += layer.skip_weight.shape[1]
            full = torch.empty(outputs, inputs + (more if name in EQUAL else 0), kernel, kernel)
            yield f"{name}.weight", nn.init.kaiming_normal_(full, a=0.0, mode="fan_in")

    @staticmethod
    def _named(prefix: str, layers: Sequence[nn.Module]) -> Iterator[tuple[str, Any]]:
        return ((f"{prefix}_{number}", layer) for number, layer in enumerate(layers, 1))

    def _collapsed(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published weights as this module holds them: equal channels summed, those of the skip by themselves."""
        collapsed = {}
        for key, value in weights.items():
            name, _, part = key.partition(".")
            if part == "weight" and hasattr(self, name):
                if name in EQUAL and self.variant.channels > 1:
                    kept, equal = torch.split(
                        value, [value.shape[1] - self.variant.channels, self.variant.channels], dim=1
                    )
                    value = torch.cat([kept, equal.sum(dim=1, keepdim=True)], dim=1)
                if name.startswith("dec_"):
                    inputs = getattr(self, name).weight.shape[1]
                    collapsed[f"{name}.skip_weight"] = value[:, inputs:].clone()
                    value = value[:, :inputs].clone()
            collapsed[key] = value
        return collapsed

    def rate_factors(self) -> dict[str, float]:
        """By how much a parameter's learning rate is multiplied so that Adam's steps are those of the published one.

        Equal channels have equal gradients and so take equal steps: their sum takes so many steps at once.
        """
        return {"enc_1.weight": float(self.variant.channels), "dec_1.skip_weight": float(self.variant.channels)}

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Estimate complete fields.

        Parameters
        ----------
        x:
            (B, 1, H, W) anomalies in K, 0 where missing.
        mask:
            (B, 1, H, W), 1 where observed.

        Returns
        -------
        (B, 1, H, W) the output that is read, before observed cells are put back.
        """
        read = slice(self.variant.output, self.variant.output + 1)
        return self.run(x * mask, self.plan.pyramid(mask), read)

    def run(self, x: Tensor, pyramid: Pyramid, outputs: slice = slice(None)) -> Tensor:
        """(B, channels, H, W) from (B, 1, H, W) fields that are 0 where missing, and the pyramid of their mask."""
        features, skips = x, [x]
        for layer, inverse, seen in zip(self.encoder, pyramid.down, pyramid.down_seen, strict=True):
            features = layer(features, inverse, seen)
            skips.append(features)
        skips.pop()
        for layer, inverse, seen in zip(self.decoder, pyramid.up, pyramid.up_seen, strict=True):
            chosen = outputs if layer is self.decoder[-1] else slice(None)
            features = layer(features, skips.pop(), inverse, seen, chosen)
        return features


def from_state(state: Mapping[str, Tensor]) -> PublishedUNet:
    """Build the network, in evaluation mode, from a published checkpoint's weights.

    Raises
    ------
    NetworkError
        If the weights are not those of a published network.
    """
    try:
        variant = VARIANTS[int(state["enc_1.weight"].shape[1])]
        network = PublishedUNet(variant, [int(state[f"enc_{i}.weight"].shape[0]) for i in (1, 2, 3)])
        weights = network._collapsed(state)
        # The number of batches seen is not in every checkpoint, and is used by nothing.
        present = network.state_dict()
        network.load_state_dict({key: present[key] if "num_batches" in key else weights[key] for key in present})
    except (KeyError, RuntimeError) as error:
        raise NetworkError(
            f"The checkpoint lacks {str(error).splitlines()[0]}; it is none of the published U-Nets.",
            "Layers enc_1..enc_3 and dec_3..dec_1 with one or three input channels are expected.",
        ) from error
    return network.eval()


#: Layer names of the later code -> those of the paper's.
_LATER = {f"encoder.{i}": f"enc_{i + 1}" for i in range(3)} | {f"decoder.{i}": f"dec_{3 - i}" for i in range(3)}


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
    raise NetworkError(
        "The checkpoint holds no network in either of the published layouts.",
        "Give weights of the published code, or a network of the store.",
    )


def _by_layer(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {}
    for key, value in weights.items():
        for later, name in _LATER.items():
            key = key.replace(f"{later}.partial_conv.", f"{name}.")
        named[key.replace(".conv.", ".").replace(".input_conv.", ".")] = value
    return named
