"""Blind events, seams and poles in the two real early months, which no training has seen (benchmarks/events.py)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from climrecon.fields import Context, Observations
from climrecon.grid import NINO34, Region, weighted_mean
from climrecon.methods.contract import Method
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.store import load_network
from climrecon.preprocess import PrepareRequest, read_observations

TROPICAL_PACIFIC = Region("tropical Pacific", -20.0, 20.0, 120.0, -80.0)


@pytest.fixture(scope="module")
def months(shared_data: Path) -> Observations:
    file = shared_data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
    return read_observations([file], PrepareRequest())


@pytest.fixture(scope="module")
def network() -> Method:
    return load_network("punet6").method


def without(months: Observations, region: Region) -> tuple[Observations, np.ndarray]:
    hidden = months.mask & (months.grid.region_weights(region) > 0)
    kept = months.mask & ~hidden
    return replace(months, values=np.where(kept, months.values, np.nan), mask=kept), hidden


def estimate(network: Method, seen: Observations):  # type: ignore[no-untyped-def]
    network.calibrate(seen)
    context = Context(seen.grid, seen.time)
    return network.reconstruct(seen.values, seen.mask, None, seen.time.month, context)


def test_el_nino_of_1877_and_la_nina_of_1893_are_seen_blind(months: Observations, network: Method) -> None:
    seen, hidden = without(months, NINO34)
    ours = estimate(network, seen)
    spread = np.sqrt(ours.stddev**2 + network.observation_sd(None, seen.values.shape) ** 2)
    inside = np.abs(ours.mean - months.values)[hidden] <= 1.645 * spread[hidden]
    assert inside.mean() >= 0.85
    kriging = Kriging(Covariance(2000.0, 1.1, 0.1)).reconstruct(
        seen.values, seen.mask, None, seen.time.month, Context(seen.grid, seen.time)
    )
    box = months.grid.region_weights(NINO34)
    truth, our_mean, their_mean = (
        weighted_mean(np.where(hidden, field, np.nan), box) for field in (months.values, ours.mean, kriging.mean)
    )
    assert (np.sign(our_mean) == [1, -1]).all()
    assert (np.abs(our_mean - truth) < np.abs(their_mean - truth)).all()


def test_nothing_seen_in_the_tropical_pacific_makes_nino34_far_less_certain(
    months: Observations, network: Method
) -> None:
    box = months.grid.region_weights(NINO34)
    few, none = (
        estimate(network, without(months, region)[0]).area_mean_sd(box / box.sum())
        for region in (NINO34, TROPICAL_PACIFIC)
    )
    assert (none > 1.35 * few).all()
    assert (none > 0.6).all()  # the box's own spread over the held-out months is 0.84 K


def test_there_is_no_seam_and_nothing_odd_at_the_poles(months: Observations, network: Method) -> None:
    ours = estimate(network, months)
    step = np.abs(np.roll(ours.mean, -1, axis=2) - ours.mean).mean((0, 1))
    assert step[[35, 71]].max() < 1.6 * np.median(step)  # at 0 E and at the date line
    poles = ours.mean[:, [0, 1, -2, -1]]
    assert np.abs(poles).max() < 5.0
    # Around a pole lie neighbours, whatever their longitudes.
    assert np.abs(np.roll(poles, 36, axis=2) - poles).max() < 6.0
    assert (ours.stddev[:, [0, -1]] > 0.3).all()
