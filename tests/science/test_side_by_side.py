"""Chunks of months estimated at the same time: the same results in the same order, whatever the threads."""

from __future__ import annotations

import gc
import threading
import time as clock
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from climrecon.demo.climate import coverage_masks, make_climate
from climrecon.fields import Context, Estimate, Months, Observations, Source
from climrecon.methods.by_chunks import reconstruct
from climrecon.methods.contract import Capabilities, Method
from climrecon.methods.store import load_network


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Torch's threads, as they were."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def observed(months: int) -> Observations:
    climate = make_climate(Months(np.arange(1880 * 12, 1880 * 12 + months)), 0)
    mask = coverage_masks(climate, 0)
    values = np.where(mask, climate.anomalies, np.nan).astype(np.float32)
    made_up = Source("made up", "", (), (), "tas")
    return Observations("tas", values, mask, None, climate.time, climate.grid, (1961, 1990), made_up)


class Slow(Method):
    """The number of a chunk's first month, later the earlier it comes."""

    name = "slow"
    capabilities = Capabilities(uses_observation_errors=False, gives_spread=False, parallel_chunks=True)

    def __init__(self, fails_at: int = -1) -> None:
        self.fails_at = fails_at
        self.busy = self.most_busy = self.calls = 0
        self.of_torch: set[int] = set()
        self.lock = threading.Lock()

    def reconstruct(self, values, mask, obs_sd, month, context: Context) -> Estimate:  # type: ignore[no-untyped-def]
        first = int(context.time.index[0]) - 1880 * 12
        with self.lock:
            self.busy += 1
            self.calls += 1
            self.most_busy = max(self.most_busy, self.busy)
            self.of_torch.add(torch.get_num_threads())
        clock.sleep(0.02 if first % 16 else 0.06)
        with self.lock:
            self.busy -= 1
        if first == self.fails_at:
            raise ValueError("no such month")
        return Estimate(np.full(values.shape, first, np.float32))


def test_a_networks_results_do_not_depend_on_the_number_of_threads() -> None:
    observations = observed(40)
    network = load_network("punet6").method
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        parts = list(reconstruct(network, observations, chunk=8))
        assert torch.get_num_threads() == threads
        assert [part.start for part, _ in parts] == [0, 8, 16, 24, 32]
        results.append(
            [np.concatenate([getattr(e, what) for _, e in parts]) for what in ("mean", "stddev")]
            + [np.concatenate([e.sample(2, 5) for _, e in parts], axis=1)]
        )
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            assert np.array_equal(one, same)


def test_chunks_come_in_order_with_one_thread_each_and_progress_only_grows() -> None:
    torch.set_num_threads(3)
    observations, method = observed(64), Slow()
    told: list[tuple[int, int]] = []
    found = list(reconstruct(method, observations, chunk=8, progress=lambda *step: told.append(step)))
    assert [float(estimate.mean[0, 0, 0]) for _, estimate in found] == [0, 8, 16, 24, 32, 40, 48, 56]
    assert method.of_torch == {1}
    assert method.most_busy == 3
    done = [step for step, _ in told]
    assert done == sorted(done)
    assert told[-1] == (64, 64)


def test_what_is_not_waited_for_is_not_done() -> None:
    """A run that ends early, by a full disk or a signal, does not go on in the background."""
    torch.set_num_threads(2)
    method = Slow()
    for _part, _ in reconstruct(method, observed(200), chunk=8):
        break
    gc.collect()
    assert method.calls <= 5
    assert torch.get_num_threads() == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chunk")]


def test_an_error_in_one_chunk_is_raised_and_ends_the_others() -> None:
    torch.set_num_threads(2)
    method = Slow(fails_at=16)
    with pytest.raises(ValueError, match="no such month"):
        list(reconstruct(method, observed(200), chunk=8))
    assert method.calls <= 6
    assert torch.get_num_threads() == 2
