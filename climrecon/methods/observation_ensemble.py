"""The systematic errors of observations: each member of their ensemble is reconstructed by itself.

An observed cell is y = x + s + e: the truth, a systematic error that cells and months share, and an error of its own.
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
from climrecon.fields import Context, Estimate, Observations, Reconstructor

#: A variance needs two members at least.
FEWEST = 2
#: Members that a method which takes several at once is given.
MEMBERS_AT_ONCE = 25


def reconstruct_members(
    reconstructor: Reconstructor,
    observations: Observations,
    members: Iterable[FloatArray],
    step: Callable[[int], None] | None = None,
) -> Estimate:
    """Estimate complete fields with the total uncertainty: what the gaps leave, and what the members say.

    Parameters
    ----------
    observations:
        All T months at once, with the months beside that the method looks at. ``obs_sd`` holds the errors that the
        members do not sample: the uncorrelated ones.
    members:
        (T, H, W) anomalies in K of each member; where one has no value, that of ``observations`` stands for it.
    step:
        Told how many fields of all months are done: the observations' own, then each member's.

    Returns
    -------
    ``mean`` is the analysis of ``observations``. ``observational_stddev`` is the standard deviation over the members'
    analyses, ``stddev`` the root of the sum of that variance and the method's own; ``area_mean_sd`` likewise, with the
    variance of each member's regional mean. ``sample`` gives as k-th draw the method's draw about the analysis of member
    k modulo M. A method that states no standard deviation gives none here.

    Raises
    ------
    InputDataError
        If there are fewer than two members.
    """
    context = Context(observations.grid, observations.time)

    def apply(values: FloatArray) -> Estimate:
        return reconstructor.reconstruct(
            values, observations.mask, observations.obs_sd, observations.time.month, context
        )

    own = apply(observations.values)
    found = []
    if step:
        step(1)
    # Optional: (M, T, H, W) means of M members with one mask and the context; see climrecon.methods.kriging.
    alike = getattr(reconstructor, "same_mask_means", None)
    for values in _some(members, MEMBERS_AT_ONCE if alike else 1):
        given = np.stack([np.where(np.isfinite(one), one, observations.values) for one in values])
        analyses = alike(given, observations.mask, context) if alike else [apply(given[0]).mean]
        for analysis in analyses:
            found.append((analysis - own.mean).astype(np.float32))
            if step:
                step(1 + len(found))
    if len(found) < FEWEST:
        raise InputDataError(
            f"The spread of an ensemble needs two members at least; {len(found)} were given.",
            "Name more of them.",
        )
    away = np.stack(found)
    del found
    spread = away.std(axis=0, ddof=1, dtype=np.float64)
    return Estimate(
        mean=own.mean,
        stddev=None if own.stddev is None else np.hypot(own.stddev, spread).astype(np.float32),
        prior_stddev=own.prior_stddev,
        sample=_sampled(own.sample, away),
        area_mean_sd=_of_means(own.area_mean_sd, away),
        observational_stddev=spread.astype(np.float32),
    )


def _some(members: Iterable[FloatArray], count: int) -> Iterator[list[FloatArray]]:
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
