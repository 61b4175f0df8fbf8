"""Losses of the published training.

Source: Liu et al. (2018), arXiv 1804.07723, equations 3 to 8, with means in place of sums. VGG16: Simonyan & Zisserman
(2015), arXiv 1409.1556.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from climrecon.errors import NetworkError
from climrecon.training.recipe_settings import Losses

#: VGG16's convolutions up to its first three poolings, by torchvision's numbers; a list ends with a pooling.
_VGG = ((0, 2), (5, 7), (10, 12, 14))


def weighted_l1(out: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """mean(weight |out - truth|) of (B, C, H, W); truth and weight, not negative, may have one channel."""
    return ((out - truth) * weight).abs().mean()


def total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference between neighbours in longitude plus that in latitude, (B, C, H, W)."""
    return (x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()


def gram(x: Tensor) -> Tensor:
    """(B, C, C) Gram matrices of (B, C, H, W), each divided by C H W."""
    flat = x.flatten(2)
    return flat @ flat.mT / float(x[0].numel())


class Vgg(nn.Module):
    """Features of VGG16 after its first three poolings."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        for number in (n for block in _VGG for n in block):
            self.register_buffer(f"w{number}", weights[f"features.{number}.weight"])
            self.register_buffer(f"b{number}", weights[f"features.{number}.bias"])

    @classmethod
    def read(cls, path: Path) -> Vgg:
        """From a file.

        Raises
        ------
        NetworkError
            If it cannot be read or is no VGG16.
        """
        try:
            weights = (
                load_file(path)
                if path.suffix == ".safetensors"
                else torch.load(path, map_location="cpu", weights_only=True)
            )
            return cls(weights)
        except MemoryError:
            raise
        except Exception as error:  # torch and safetensors raise whatever they meet in a damaged file
            raise NetworkError(
                f"{path} cannot be used as weights of VGG16: {str(error).splitlines()[0]}",
                "Give torchvision's vgg16 weights (features.0.weight ...), or leave vgg empty.",
            ) from error

    def forward(self, x: Tensor) -> list[Tensor]:
        """Three features of (B, 3, H, W)."""
        features = []
        for block in _VGG:
            for number in block:
                x = F.relu(F.conv2d(x, getattr(self, f"w{number}"), getattr(self, f"b{number}"), padding=1))
            x = F.max_pool2d(x, 2)
            features.append(x)
        return features


class PublishedLoss(nn.Module):
    """valid L1 + hole L1 + total variation, and with VGG16 perceptual and style loss."""

    def __init__(self, weights: Losses, vgg: Vgg | None) -> None:
        super().__init__()
        self.weights, self.vgg = weights, vgg

    def forward(self, out: Tensor, truth: Tensor, mask: Tensor, scored: Tensor | None) -> Tensor:
        """The loss.

        Parameters
        ----------
        out:
            (B, C, H, W) what the network gives.
        truth, mask:
            (B, 1, H, W) the complete field, and 1 where observed.
        scored:
            (B, 1, H, W) 1 where the truth may be learned from, or None: everywhere.
        """
        chosen = self.weights
        weight = chosen.hole + (chosen.valid - chosen.hole) * mask
        loss = weighted_l1(out, truth, weight if scored is None else weight * scored)
        if chosen.total_variation or self.vgg is not None:
            whole = torch.where(mask > 0, truth, out)
            if chosen.total_variation:
                loss = loss + chosen.total_variation * total_variation(whole)
            if self.vgg is not None:
                loss = loss + self._features(out, whole, truth)
        return loss

    def _features(self, out: Tensor, whole: Tensor, truth: Tensor) -> Tensor:
        assert self.vgg is not None
        with torch.no_grad():
            wanted = self.vgg(truth.expand(-1, 3, -1, -1))
        loss = out.new_zeros(())
        for image in (out, whole):
            for got, want in zip(self.vgg(image.expand(-1, 3, -1, -1)), wanted, strict=True):
                loss = loss + self.weights.perceptual * F.l1_loss(got, want)
                loss = loss + self.weights.style * F.l1_loss(gram(got), gram(want))
        return loss
