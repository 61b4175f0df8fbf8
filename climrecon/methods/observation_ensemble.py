"""The systematic errors of observations: each member of their ensemble is reconstructed by itself.

An observed cell is y = x + s + e: the truth, a systematic error that cells and months share, and an error of its main.
An ensemble samples s: its members are y + s_k. With a method whose weights K are made for the variance of e alone,
the error of its analysis of y has the covariance

    P + K S K^T,

P being the posterior covariance that the method states for e, and S the covariance of s. The second term is that of
the members' analyses, y + s_k with the same masks and the same stated errors, about their mean. So nothing is counted
twice as long as the stated errors hold no part of s. For a linear method this is exact; for one that is not, it is what
propagating each member through it gives (Morice et al. 2021, J. Geophys. Res. 126, e2019JD032361, section 4, do so with
their own analysis).

Shapes: T months, M members, H x W cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.errors import InputDataError
from climrecon.methods import checked
from climrecon.methods.contract import Context, Estimate, Method, Observations

#: A variance needs two members at least.
FEWEST = 2


def reconstruct_members(
    method: Method, observations: Observations, members: Iterable[FloatArray], step: Callable[[int], None] | None = None
) -> Estimate:
    """Estimate complete fields with the total uncertainty: that of the gaps, and the spread over the members.

    Parameters
    ----------
    observations:
        All T months at once, with the neighbouring months that the method needs. ``obs_sd`` holds the errors that the
        members do not sample: the uncorrelated ones.
    members:
        (T, H, W) anomalies of each member; where one has no value, that of ``observations`` stands for it.
    step:
        Called with the number of fields of all months that are done: the observations', then each member's.

    Returns
    -------
    ``mean`` is the analysis of ``observations``. ``observational_stddev`` is the standard deviation over the members'
    analyses, ``stddev`` the root of the sum of that variance and the method's; ``area_mean_sd`` likewise, with the
    variance of each member's regional mean. ``sample`` gives as k-th draw the method's draw about the analysis of member
    k modulo M. A method that states no standard deviation gives none here.

    Raises
    ------
    InputDataError
        If there are fewer than two members.
    """
    context = Context(observations.grid, observations.time)

    given = (observations.mask, observations.obs_sd, observations.time.month, context)
    main = checked.reconstruct(method, observations.values, *given)
    departures: list[FloatArray] = []
    if step:
        step(1)
    for values in _batches(members, method.capabilities.members_at_once):
        filled = np.stack([np.where(np.isfinite(one), one, observations.values) for one in values])
        for mean in checked.same_mask_means(method, filled, *given):
            departures.append((mean - main.mean).astype(np.float32))
            if step:
                step(1 + len(departures))
    if len(departures) < FEWEST:
        raise InputDataError(
            f"The spread of an ensemble needs two members at least; {len(departures)} were given.", "Name more of them."
        )
    away = np.stack(departures)
    del departures
    spread = away.std(axis=0, ddof=1, dtype=np.float64)
    return Estimate(
        mean=main.mean,
        stddev=None if main.stddev is None else np.hypot(main.stddev, spread).astype(np.float32),
        prior_stddev=main.prior_stddev,
        sample=_sampled(main.sample, away),
        area_mean_sd=_of_means(main.area_mean_sd, away),
        observational_stddev=spread.astype(np.float32),
    )


def _batches(members: Iterable[FloatArray], count: int) -> Iterator[list[FloatArray]]:
    """Members, ``count`` at a time."""
    left = iter(members)
    while taken := list(islice(left, count)):
        yield taken


def _sampled(
    sample: Callable[[int, int], FloatArray] | None, away: FloatArray
) -> Callable[[int, int], FloatArray] | None:
    """Draws about the analysis of one member after the other."""
    if sample is None:
        return None

    def drawn(count: int, seed: int) -> FloatArray:
        draws = np.array(sample(count, seed))
        for number, draw in enumerate(draws):
            draw += away[number % len(away)]
        return draws

    return drawn


def _of_means(
    area_mean_sd: Callable[[FloatArray], FloatArray] | None, away: FloatArray
) -> Callable[[FloatArray], FloatArray] | None:
    """Standard deviation of a weighted mean, with the variance over the members' weighted means."""
    if area_mean_sd is None:
        return None

    def total(weights: FloatArray) -> FloatArray:
        means = np.array([(weights * member).sum(axis=(1, 2)) for member in away])
        return np.asarray(np.hypot(area_mean_sd(weights), means.std(axis=0, ddof=1)))

    return total
