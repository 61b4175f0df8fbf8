"""Scores of Gaussian estimates, cell by cell: the losses of our own network, and the calibration of their spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from climrecon.methods.unet.network import UNet
from climrecon.training.samples import SamplePool


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


#: Share of the cells that calibrated intervals hold.
SHARE = 0.9
#: The losses by the names that recipes give them.
LOSSES = {"likelihood": negative_log_likelihood, "crps": ranked_probability_score}


@torch.no_grad()
def spread_factor(network: UNet, validation: SamplePool) -> float:
    """The factor on all standard deviations with which central 90 % intervals hold 90 % of the unseen cells.

    Errors have heavier tails than a Gaussian's: the intervals of the network with the best score hold too much.
    ``validation`` holds months that were not trained on; cells count by their area.

    Source: Kuleshov, Fenner & Ermon (2018), ICML 80:2796 (recalibration of regression), with one number.
    """
    ratios, weights = [], []
    for rows in torch.split(torch.arange(len(validation)), 64):
        samples = validation.at(rows)
        correction = network.correct(samples.observed, samples.mask, samples.complete)
        mean, factor = network.corrected(correction, samples.mean, samples.variance)
        ratios.append((samples.truth - mean).abs() / (factor * samples.variance.sqrt()))
        unseen = samples.scored & (samples.mask[:, 0].flatten(1) == 0)
        weights.append(network.area * unseen)
    ratio, order = torch.cat(ratios).flatten().sort()
    below = torch.cat(weights).flatten()[order].double().cumsum(0)
    reached = ratio[torch.searchsorted(below, SHARE * below[-1])]
    half = math.sqrt(2.0) * float(torch.erfinv(torch.tensor(SHARE)))
    return float(reached) / half
