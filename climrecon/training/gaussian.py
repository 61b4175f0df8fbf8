"""Scores of Gaussian estimates, cell by cell: the losses of our own network."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def negative_log_likelihood(z: Tensor, stddev: Tensor) -> Tensor:
    """-log p of the truth, less its constant; ``z`` is the error in standard deviations.

    Source: the strictly proper logarithmic score (Gneiting & Raftery 2007, JASA 102:359).
    """
    return 0.5 * z**2 + stddev.log()


def ranked_probability_score(z: Tensor, stddev: Tensor) -> Tensor:
    """Continuous ranked probability score, in the units of ``stddev``.

    The rare cells far out count less than in the likelihood, so that intervals are narrower where the errors' tails are
    heavy.

    Source: Gneiting & Raftery (2007), JASA 102:359, equation 21 and its form for a Gaussian.
    """
    density = (-0.5 * z**2).exp() / math.sqrt(2.0 * math.pi)
    return stddev * (z * torch.erf(z / math.sqrt(2.0)) + 2.0 * density - 1.0 / math.sqrt(math.pi))


#: The losses by the names that recipes give them.
LOSSES = {"likelihood": negative_log_likelihood, "crps": ranked_probability_score}
