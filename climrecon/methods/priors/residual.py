"""The residual of a covariance's leading patterns, which is correlated between neighbouring cells.

A posterior of few patterns takes the residual as independent from cell to cell, which does for the spread of a cell;
means over some ten cells would be overconfident (docs/results.md has the coverage of intervals with and without).

Shapes: B fields, P cells, K leading and R other patterns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from climrecon.methods.priors.stationary_covariance import LocalCovariance


@dataclass(frozen=True)
class Residual:
    """The covariance of all, less that of the leading patterns, as a field of unit variance.

    Attributes
    ----------
    patterns:
        (P, R): those that are not leading; or all, where ``leading`` is given.
    left:
        (P,) variance that all patterns leave, independent from cell to cell.
    variance:
        (P,) variance of the whole of it.
    leading:
        (P, K) patterns to take out again, orthogonal in the metric of ``area``; None: there is nothing to take out.
    area:
        (P,) share of the globe's area; None without ``leading``.
    local:
        What is added for a data set, or None.
    """

    patterns: Tensor
    left: Tensor
    variance: Tensor
    leading: Tensor | None = None
    area: Tensor | None = None
    local: LocalCovariance | None = None

    def variance_of_sum(self, weights: Tensor) -> Tensor:
        """(B,) variance of the sum of (B, P) ``weights`` times the field."""
        scaled = weights / self.variance.sqrt()
        used = (weights != 0.0).any(0)
        # Regions are a few cells of the globe; of the globe itself no copies are made.
        cells = slice(None) if bool(used.all()) else torch.nonzero(used)[:, 0]
        there = scaled[:, cells]
        variance = ((there @ self.patterns[cells]) ** 2).sum(1) + there**2 @ self.left[cells]
        if self.local is not None:
            variance += (scaled * self.local.product(scaled)).sum(1)
        if self.leading is not None:
            variance -= ((there @ self.leading[cells]) ** 2).sum(1)
        # The difference has few significant digits.
        return variance.clamp_min(0.0)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, P) fields; the noise is drawn on the CPU, so that a draw does not depend on the device."""
        kind, device = self.patterns.dtype, self.patterns.device

        def white(size: int) -> Tensor:
            return torch.randn(count, size, generator=generator, dtype=kind).to(device)

        cells, size = self.patterns.shape
        field = white(size) @ self.patterns.T + white(cells) * self.left.sqrt()
        if self.local is not None:
            for number in range(len(self.local.spectra)):
                field += self.local.draw(white(cells), number)
        if self.leading is not None:
            assert self.area is not None
            weighted = self.leading * self.area[:, None]
            squares = (weighted * self.leading).sum(0).clamp_min(1e-12)
            field -= (field @ weighted / squares) @ self.leading.T
        return field / self.variance.sqrt()
