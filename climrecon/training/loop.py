"""The training loop: a network, samples, an optimiser; no files."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from climrecon.methods.unet.correcting import PartialUNet
from climrecon.methods.unet.network import AnalysisUNet
from climrecon.training.samples import IMAGES, SamplePool


@dataclass(frozen=True)
class Schedule:
    """Steps, batch size, learning rate (one cycle: warm-up, then a cosine to zero) and weight decay.

    ``mirror``: a sample is taken as it is or as its mirror image, see :meth:`SamplePool.at`.
    """

    steps: int
    batch: int = 16
    rate: float = 2e-3
    warm_up: int = 100
    averaging: float = 0.998
    check_every: int = 200
    loss: Literal["likelihood", "crps"] = "likelihood"
    decay: float = 1e-2
    mirror: bool = False

    def factor(self, step: int) -> float:
        """Learning rate at ``step`` as a share of ``rate``."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        return 0.5 * (1.0 + math.cos(math.pi * (step - self.warm_up) / max(self.steps - self.warm_up, 1)))


@dataclass
class History:
    """What was seen on the way: (step, training loss, validation loss, seconds)."""

    rows: list[tuple[int, float, float, float]] = field(default_factory=list)
    best_step: int = 0


def negative_log_likelihood(network: PartialUNet | AnalysisUNet, samples: SamplePool) -> Tensor:
    """Area-weighted Gaussian -log p of the true field over all scored cells, less its constant.

    Source: the strictly proper logarithmic score (Gneiting & Raftery 2007, JASA 102:359).
    """
    correction = network.correct(samples.observed, samples.mask, samples.complete)
    mean, factor = network.corrected(correction, samples.mean, samples.variance)
    stddev = factor * samples.variance.sqrt()
    error = (samples.truth - mean) / stddev
    weight = network.area * samples.scored
    loss: Tensor = ((0.5 * error**2 + stddev.log()) * weight).sum() / weight.sum()
    return loss


def ranked_probability_score(network: PartialUNet | AnalysisUNet, samples: SamplePool) -> Tensor:
    """Area-weighted continuous ranked probability score over all scored cells, K.

    Unlike the likelihood it is not ruled by the rare cells that lie far out, so that intervals are narrower where the
    errors' tails are heavy, and it is in K, as the RMSE.

    Source: Gneiting & Raftery (2007), JASA 102:359, equation 21 and what follows it for a Gaussian.
    """
    correction = network.correct(samples.observed, samples.mask, samples.complete)
    mean, factor = network.corrected(correction, samples.mean, samples.variance)
    stddev = factor * samples.variance.sqrt()
    z = (samples.truth - mean) / stddev
    density = (-0.5 * z**2).exp() / math.sqrt(2.0 * math.pi)
    score = stddev * (z * torch.erf(z / math.sqrt(2.0)) + 2.0 * density - 1.0 / math.sqrt(math.pi))
    weight = network.area * samples.scored
    loss: Tensor = (score * weight).sum() / weight.sum()
    return loss


#: What a network can be fitted by.
LOSSES = {"likelihood": negative_log_likelihood, "crps": ranked_probability_score}


def fit(
    network: PartialUNet | AnalysisUNet,
    training: SamplePool,
    validation: SamplePool,
    schedule: Schedule,
    seed: int,
    report: Callable[[int, int, float, float], None] | None = None,
) -> History:
    """Fit the U-Net; it ends with the averaged weights that were best on ``validation``.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite.
    """
    loss_of = LOSSES[schedule.loss]
    generator = torch.Generator().manual_seed(seed)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        parameters, lr=schedule.rate, weight_decay=schedule.decay, betas=(0.9, 0.98)
    )
    average = copy.deepcopy(network)
    history, best, best_state = History(), math.inf, copy.deepcopy(network.state_dict())
    everything = torch.arange(len(validation))
    images = IMAGES if schedule.mirror else 1
    started, running = time.monotonic(), 0.0
    for step in range(schedule.steps):
        numbers = torch.randint(images * len(training), (schedule.batch,), generator=generator)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * schedule.factor(step)
        loss = loss_of(network, training.at(numbers))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        with torch.no_grad():
            decay = min(schedule.averaging, (step + 1) / (step + 10))
            for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
                slow.lerp_(fast, 1.0 - decay)
        running += loss.item()
        if (step + 1) % schedule.check_every == 0 or step + 1 == schedule.steps:
            with torch.no_grad():
                parts = [loss_of(average, validation.at(part)) for part in torch.split(everything, 64)]
            score = float(torch.stack(parts).mean())
            trained = running / ((step % schedule.check_every) + 1)
            running = 0.0
            history.rows.append((step + 1, trained, score, time.monotonic() - started))
            if score < best:
                best, history.best_step = score, step + 1
                best_state = copy.deepcopy(average.state_dict())
            if report:
                report(step + 1, schedule.steps, trained, score)
    network.load_state_dict(best_state)
    return history


@torch.no_grad()
def spread_factor(network: AnalysisUNet, validation: SamplePool, share: float = 0.9) -> float:
    """What standard deviations are to be multiplied by so that central intervals hold ``share`` of the unseen cells.

    Errors have heavier tails than a Gaussian's, so that a network whose likelihood or score is the best there is has
    intervals that hold too much. ``validation`` holds months that were not trained on; cells count by their area.

    Source: Kuleshov, Fenner & Ermon (2018), ICML 80:2796 (recalibration of regression), with one number.
    """
    ratios, weights = [], []
    for rows in torch.split(torch.arange(len(validation)), 64):
        samples = validation.at(rows)
        correction = network.correct(samples.observed, samples.mask, samples.complete)
        mean, factor = network.corrected(correction, samples.mean, samples.variance)
        ratios.append((samples.truth - mean).abs() / (factor * samples.variance.sqrt()))
        unseen = samples.scored & (samples.mask.flatten(1) == 0)
        weights.append(network.area * unseen)
    ratio, order = torch.cat(ratios).flatten().sort()
    below = torch.cat(weights).flatten()[order].double().cumsum(0)
    reached = ratio[torch.searchsorted(below, share * below[-1])]
    half = math.sqrt(2.0) * float(torch.erfinv(torch.tensor(share)))
    return float(reached) / half
