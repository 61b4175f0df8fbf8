"""What a method returns is finite and of the right shape, or the run ends: methods may be of other packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.errors import NetworkError
from climrecon.methods.contract import Context, Estimate, Method


def reconstruct(
    method: Method, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
) -> Estimate:
    """The estimate of :meth:`climrecon.methods.contract.Method.reconstruct`, ``prior_stddev`` as (T, H, W).

    Draws and spreads of means are checked when they are asked for.

    Raises
    ------
    NetworkError
        If it is none, has another shape, holds values that are not finite or negative standard deviations, or lacks the
        standard deviation that the capabilities promise.
    """
    found = method.reconstruct(values, mask, obs_sd, month, context)
    if not isinstance(found, Estimate):
        raise _wrong(method, f"{type(found).__name__}, no Estimate")
    if found.stddev is None and method.capabilities.gives_spread:
        raise _wrong(method, "no standard deviation, which its capabilities promise")
    shape = values.shape
    _check(method, "a mean", found.mean, shape)
    if found.stddev is not None:
        _check(method, "a standard deviation", found.stddev, shape, least=0.0)
    prior = found.prior_stddev
    if prior is not None:
        try:
            prior = np.broadcast_to(prior, shape)
        except ValueError:
            raise _wrong(method, f"a prior standard deviation of shape {np.shape(prior)}, not {shape}") from None
        _check(method, "a prior standard deviation", prior, shape, least=0.0)
    return replace(
        found,
        prior_stddev=prior,
        sample=_sample(method, found.sample, shape),
        area_mean_sd=_area_mean_sd(method, found.area_mean_sd, shape),
    )


def same_mask_means(
    method: Method, values: FloatArray, mask: BoolArray, obs_sd: FloatArray | None, month: IntArray, context: Context
) -> FloatArray:
    """(M, T, H, W) means of members.

    Raises
    ------
    NetworkError
        As :func:`reconstruct`.
    """
    means = method.same_mask_means(values, mask, obs_sd, month, context)
    _check(method, "means of members", means, values.shape)
    return means


def observation_sd(method: Method, obs_sd: FloatArray | None, shape: tuple[int, ...]) -> FloatArray | None:
    """(T, H, W) errors that the method works with, or None.

    Raises
    ------
    NetworkError
        As :func:`reconstruct`.
    """
    used = method.observation_sd(obs_sd, shape)
    if used is not None:
        _check(method, "errors of observed cells", used, shape, least=0.0)
    return used


def _sample(
    method: Method, sample: Callable[[int, int], FloatArray] | None, shape: tuple[int, ...]
) -> Callable[[int, int], FloatArray] | None:
    if sample is None:
        return None

    def drawn(count: int, seed: int) -> FloatArray:
        draws = sample(count, seed)
        _check(method, "realisations", draws, (count, *shape))
        return draws

    return drawn


def _area_mean_sd(
    method: Method, area_mean_sd: Callable[[FloatArray], FloatArray] | None, shape: tuple[int, ...]
) -> Callable[[FloatArray], FloatArray] | None:
    if area_mean_sd is None:
        return None

    def spread(weights: FloatArray) -> FloatArray:
        series = area_mean_sd(weights)
        _check(method, "standard deviations of a regional mean", series, shape[:1], least=0.0)
        return series

    return spread


def _check(method: Method, what: str, values: FloatArray, shape: tuple[int, ...], least: float = -np.inf) -> None:
    if np.shape(values) != shape:
        raise _wrong(method, f"{what} of shape {np.shape(values)}, not {shape}")
    if np.asarray(values).dtype.kind not in "fiu":
        raise _wrong(method, f"{what} that are no real numbers ({np.asarray(values).dtype})")
    if not np.size(values):
        return
    # The least and the largest value hold any NaN, and cost no array as large as the values.
    low, high = float(np.min(values)), float(np.max(values))
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int((~np.isfinite(values)).sum())
        raise _wrong(method, f"{what} with {count} of {np.size(values)} values that are not finite")
    if low < least:
        raise _wrong(method, f"{what} with values below {least:g} ({low:g} at least)")


def _wrong(method: Method, what: str) -> NetworkError:
    return NetworkError(
        f"The method {method.name} gave {what}.",
        "Choose another network (see 'climrecon networks'), or repair the package that the method comes from.",
    )
