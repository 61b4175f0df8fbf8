"""Covariances that know distances alone, added to a learned one: as quick to apply as they are simple.

On a global grid a function of distance depends on two latitudes and the difference of two longitudes. Along a circle of
latitude its product with a field is a circular convolution, so that a Fourier transform leaves one small matrix of
latitudes by latitudes for each wave number, instead of one of cells by cells.

Source: Golub & Van Loan (2013), Matrix Computations, section 4.8 (circulant systems).

Shapes: B fields, H x W cells, P = H * W, N kernels, M = W // 2 + 1 wave numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from climrecon.methods.threads import MAKING, one_thread


@dataclass(frozen=True)
class LocalCovariance:
    """The sum of N covariances, each a kernel of distance between cells that are scaled one by one.

    Attributes
    ----------
    spectra:
        (N, M, H, H): of each kernel, by wave number.
    factors:
        (N, P) by which a cell is scaled.
    variance:
        (P,) the diagonal.
    """

    spectra: Tensor
    factors: Tensor
    variance: Tensor

    @classmethod
    def of(cls, kernels: Sequence[Tensor], factors: Sequence[Tensor]) -> LocalCovariance:
        """From kernels (H, H, W), between the cells of the first meridian and all cells, and factors (P,)."""
        # Alike to the east and to the west, so that spectra are real; so are they to rounding.
        spectra = torch.stack([torch.fft.rfft(kernel).real.permute(2, 0, 1) for kernel in kernels])
        scaled = torch.stack(list(factors))
        width = kernels[0].shape[-1]
        at_zero = torch.stack([kernel[..., 0].diagonal().repeat_interleave(width) for kernel in kernels])
        return cls(spectra.contiguous(), scaled, (at_zero * scaled**2).sum(0))

    def to(self, device: torch.device) -> LocalCovariance:
        """The same on ``device``."""
        return LocalCovariance(self.spectra.to(device), self.factors.to(device), self.variance.to(device))

    def product(self, x: Tensor) -> Tensor:
        """(B, P): the covariance times (B, P) ``x``."""
        height = self.spectra.shape[-1]
        result = torch.zeros_like(x)
        for spectrum, factor in zip(self.spectra, self.factors, strict=True):
            result.addcmul_(self._mixed(x * factor, spectrum, height), factor)
        return result

    def draw(self, white: Tensor, number: int) -> Tensor:
        """(B, P) draws with kernel ``number`` as covariance, from (B, P) standard normal noise."""
        return self._mixed(white, self._roots[number], self.spectra.shape[-1]) * self.factors[number]

    @cached_property
    def _roots(self) -> Tensor:
        """(N, M, H, H) symmetric square roots of the spectra."""
        with MAKING, one_thread():
            values, axes = torch.linalg.eigh(self.spectra.double())
            root: Tensor = (axes * values.clamp_min(0.0).sqrt()[..., None, :]) @ axes.mT
            return root.to(self.spectra.dtype)

    def _mixed(self, x: Tensor, spectrum: Tensor, height: int) -> Tensor:
        """(B, P): each wave number's part of (B, P) ``x`` times its (H, H) matrix of (M, H, H) ``spectrum``."""
        basis = _waves(x.shape[1] // height, x.dtype, x.device)
        # Products of matrices leave each wave number's part in one piece; Fourier transforms would have to be reordered.
        by_number = basis.T @ x.reshape(-1, len(basis)).T
        mixed = torch.bmm(by_number.reshape(len(spectrum), -1, height), spectrum)
        return (mixed.reshape(by_number.shape).T @ basis.T).reshape(x.shape)

    def matrix(self) -> Tensor:
        """(P, P)."""
        return self.product(torch.eye(len(self.variance), dtype=self.spectra.dtype, device=self.spectra.device))


@cache
def _waves(width: int, kind: torch.dtype, device: torch.device) -> Tensor:
    """(W, 2 M): cosine and sine of each wave number along a circle, orthonormal; a sine that is none is 0."""
    number = torch.arange(width // 2 + 1, dtype=torch.float64)
    angle = 2.0 * torch.pi / width * torch.arange(width, dtype=torch.float64)[:, None] * number
    single = (number == 0) | (2 * number == width)
    size = torch.where(single, 1.0 / width, 2.0 / width).sqrt()
    return torch.stack([angle.cos() * size, angle.sin() * size], dim=2).flatten(1).to(device, kind)
