"""Reading from a server: the one place, with limits on the whole answer. Standard library alone."""

from __future__ import annotations

import math
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread

#: Seconds without a byte after which a server counts as gone.
SILENCE = 20.0
_PIECE = 1 << 16


class ServerError(OSError):
    """A server cannot be reached, or its answer is cut short, takes too long or is too long."""


@dataclass(frozen=True)
class Limits:
    """What a whole answer may take; a server that sends a byte now and then never times out.

    Parameters
    ----------
    seconds:
        For any answer.
    rate:
        Bytes a second for which a longer answer gets more time; infinite: none.
    longest:
        Seconds that no answer exceeds.
    size:
        Bytes.
    """

    seconds: float = 45.0
    rate: float = math.inf
    longest: float = math.inf
    size: int = 1 << 29

    def seconds_for(self, size: int) -> float:
        """Seconds that an answer of ``size`` bytes, or the first ``size`` bytes of one, may take."""
        return min(self.seconds + size / self.rate, self.longest)

    def late(self, size: int) -> str:
        """Why an answer that took longer is given up."""
        return f"there was no whole answer within {self.seconds_for(size):.3g} s"

    @property
    def large(self) -> str:
        """Why a larger answer is given up."""
        return f"the answer is longer than {self.size >> 20} MB"


#: A catalogue is kept in memory; that of a large centre has a fifth of the bytes.
TEXT = Limits()
#: Monthly fields of a century at a quarter of a degree have 4 GB.
DATA = Limits(rate=1 << 18, longest=1800.0, size=1 << 33)


def fetch(url: str) -> bytes:
    """The answer of a server in memory, within the limits of :data:`TEXT`; errors as of :func:`pieces`."""
    return b"".join(pieces(url, TEXT))


def pieces(url: str, limits: Limits) -> Iterator[bytes]:
    """The answer of a server, piece by piece.

    Raises
    ------
    ServerError
        If there is no whole answer within the limits.
    """
    begun, received, given_up = time.monotonic(), 0, Event()
    answer: Queue[bytes | Exception] = Queue(16)
    # In a thread that may be left behind: name servers and headers know no limit on the whole.
    Thread(target=_read, args=(url, limits.size, answer, given_up), daemon=True).start()
    try:
        while True:
            left = begun + limits.seconds_for(received) - time.monotonic()
            try:
                piece = answer.get(timeout=left) if left > 0 else None
            except Empty:
                piece = None
            if piece is None:
                raise ServerError(limits.late(received))
            if isinstance(piece, Exception):
                raise ServerError(str(piece) or type(piece).__name__) from piece
            if not piece:
                return
            received += len(piece)
            if received > limits.size:
                raise ServerError(limits.large)
            yield piece
    finally:
        given_up.set()


def _read(url: str, most: int, answer: Queue[bytes | Exception], given_up: Event) -> None:
    def hand_on(piece: bytes | Exception) -> None:
        while not given_up.is_set():
            with suppress(Full):
                answer.put(piece, timeout=1.0)
                return

    try:
        with urllib.request.urlopen(url, timeout=SILENCE) as reply:
            if reply.length and reply.length > most:
                raise ServerError(f"the answer has {reply.length >> 20} MB, more than {most >> 20}")
            while not given_up.is_set() and (piece := reply.read1(_PIECE)):
                hand_on(piece)
            if reply.length and not given_up.is_set():
                raise ServerError(f"the answer ended {reply.length} bytes early")
        hand_on(b"")
    except Exception as error:  # whatever urllib raises; the caller says it
        hand_on(error)
