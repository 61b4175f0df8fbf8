"""Work for torch side by side, one thread each.

What is done for a chunk of months is too small for several threads to share it well. And as each piece is done by
one thread, its last bits do not depend on how many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

#: Held while something is worked out that all months need, so that threads do so once.
MAKING = threading.RLock()


@contextmanager
def one_thread() -> Iterator[int]:
    """Inside, what this thread asks of torch is done by one thread; gives how many did it before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread_each(most: int) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """A pool of as many workers as torch has threads, but at most ``most``, and their number; one thread each.

    So has the caller inside.
    """
    with one_thread() as threads:
        workers = max(1, min(threads, most))
        with ThreadPoolExecutor(workers, "torch", torch.set_num_threads, (1,)) as pool:
            yield pool, workers
