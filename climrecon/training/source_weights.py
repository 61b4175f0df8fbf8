"""How training sets count in the covariance: the weights under which real months that were left out are most likely.

Models vary as the climate does, but not in all their patterns; observations and reanalyses hold the true patterns in few
decades. Months of the training set that was named first judge: covariances are learned without one part of their period
after the other, as for the amplitudes of forced responses (:mod:`climrecon.training.amplitudes`). A set counts by its
weight, whatever its number of months.

Source: type II maximum likelihood, as there; weights of a mixture of covariances with the sample's own are those of
hybrid data assimilation (Hamill & Snyder 2000, Mon. Weather Rev. 128:2905), here learned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from climrecon.array_types import FloatArray, IntArray
from climrecon.data.masks import MaskSource
from climrecon.errors import InputDataError
from climrecon.methods.priors.covariance import SampleCovariance
from climrecon.methods.priors.forced import none_on
from climrecon.training.amplitudes import ROUNDS, Amplitudes, Climates, observed, parts_left_out
from climrecon.training.fields import TrainingFields
from climrecon.training.rarely_known import FEWEST

#: Weights of a set that are tried; the others share the rest as they did before.
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
#: Months of each set that enter the fit, at most.
MOST = 2000


def spread(rows: IntArray, count: int) -> IntArray:
    """At most ``count`` of ``rows``, spread evenly."""
    return np.asarray(rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(int))])


def spread_over_sets(fields: TrainingFields, rows: IntArray, count: int) -> IntArray:
    """At most ``count`` of ``rows``: as many of each training set, and more where others have fewer, spread evenly."""
    source = fields.source(rows)
    groups = sorted((rows[source == number] for number in np.unique(source)), key=len)
    found = []
    for number, group in enumerate(groups):
        found.append(spread(group, count // (len(groups) - number)))
        count -= len(found[-1])
    return np.sort(np.concatenate([rows[:0], *found]))


def month_weights(fields: TrainingFields, rows: IntArray, shares: FloatArray | None = None) -> NDArray[np.float64]:
    """(n,) weights of the months ``rows`` in covariances, 1 on average: those of a set share its weight.

    Parameters
    ----------
    shares:
        (S,) weights of the sets; None: those of ``fields``. All months count alike where there is one set or no weight.
    """
    if shares is None:
        shares = np.array([fields.shares[name] for name in fields.set_names if fields.shares])
    if len(shares) < 2:
        return np.ones(len(rows))
    source = fields.source(rows)
    each = shares[source] / np.bincount(source, minlength=len(shares))[source]
    return np.asarray(each / max(each.mean(), 1e-30)) if len(rows) else each


def fit_shares(fields: TrainingFields, masks: MaskSource, seed: int) -> dict[str, float]:
    """The weight of each training set; they sum to 1. Nothing is computed for a single one.

    Parameters
    ----------
    fields:
        Months to learn from; those of the first set judge.
    masks:
        What is observed of months left out.

    Raises
    ------
    InputDataError
        If the sets do not know common cells outside of the parts left out.
    """
    names = fields.set_names
    if len(names) < 2:
        return dict.fromkeys(names, 1.0)
    source = fields.source()
    rows = np.concatenate([spread(np.flatnonzero(source == number), MOST) for number in range(len(names))])
    values, index, source = fields.known(rows), np.asarray(fields.index)[rows], source[rows]
    month = np.asarray(fields.month)[rows]
    flat, none = values.reshape(len(rows), -1), none_on(fields.grid)
    cases = []
    for number, (keep, judges) in enumerate(parts_left_out(index, source == 0)):
        # The same cells whatever the weights, so that likelihoods compare.
        counts = [np.isfinite(flat[keep & (source == one)]).sum(axis=0) for one in range(len(names))]
        usable = np.min(counts, axis=0) >= FEWEST
        rng = np.random.default_rng([seed, number])
        if usable.any():
            cases.append((keep, list(observed(flat, month, judges, usable, masks, Climates(0.0), none, rng))))
    if not cases:
        steps = fields.frequency.plural
        raise InputDataError(
            f"The training sets {', '.join(names)} cannot be weighted: no cell is known in {FEWEST} {steps} of "
            f"each outside of those of {names[0]} that judge.",
            "Train on one of them, or on sets of more years.",
        )

    def log_likelihood(shares: FloatArray) -> float:
        total = 0.0
        for keep, seen in cases:
            learned = np.flatnonzero(keep & (shares[source] > 0))
            weights = month_weights(fields, rows[learned], shares)
            sample = SampleCovariance(values[learned], month[learned], fields.grid, weights)
            covariance = sample.whole_year()
            for some in seen:
                for part in some.likelihoods(sample.scale, covariance, none.patterns, ()):
                    total += part.log_likelihood(Amplitudes()) + part.constant
        return total

    tried: dict[tuple[float, ...], float] = {}
    best = (1.0 / len(names),) * len(names)
    for _ in range(ROUNDS):
        before = best
        for number in range(len(names)):
            for share in SHARES:
                candidate = _with_share(best, number, share)
                if candidate not in tried:
                    tried[candidate] = log_likelihood(np.array(candidate))
                best = max(best, candidate, key=lambda one: tried.get(one, -np.inf))
        if best == before:
            break
    return dict(zip(names, best, strict=True))


def _with_share(shares: tuple[float, ...], number: int, share: float) -> tuple[float, ...]:
    """``shares`` with another one for ``number``; the rest is divided as before, evenly where there was none."""
    others = np.delete(np.array(shares), number)
    others = others / others.sum() if others.sum() else np.full(len(others), 1.0 / len(others))
    return tuple(float(one) for one in np.insert((1.0 - share) * others, number, share).round(4))
