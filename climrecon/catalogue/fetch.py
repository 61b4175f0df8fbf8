"""Reading from a server: the one place, with limits on the whole answer."""

from __future__ import annotations

import time
import urllib.request
from queue import Empty, SimpleQueue
from threading import Thread

#: Seconds for the whole answer, and for each wait within it. A server that sends a byte now and then never times out.
SECONDS, SILENCE = 45.0, 20.0
#: Bytes of the longest answer; the catalogue of a large centre has a fifth of them.
MOST_BYTES = 1 << 29
_PIECE = 1 << 16


def fetch(url: str) -> bytes:
    """The answer of a server.

    Raises
    ------
    OSError
        If the server cannot be reached, or its answer takes too long or is too long.
    """
    answer: SimpleQueue[bytes | Exception] = SimpleQueue()
    # In a thread that may be left behind: name servers and headers know no limit on the whole.
    Thread(target=_read, args=(url, answer), daemon=True).start()
    try:
        content = answer.get(timeout=SECONDS)
    except Empty:
        raise OSError(f"there was no whole answer within {SECONDS:g} s") from None
    if isinstance(content, Exception):
        raise OSError(str(content) or type(content).__name__) from content
    return content


def _read(url: str, answer: SimpleQueue[bytes | Exception]) -> None:
    until, content = time.monotonic() + SECONDS, bytearray()
    try:
        with urllib.request.urlopen(url, timeout=SILENCE) as reply:
            while piece := reply.read1(_PIECE):
                content += piece
                if len(content) > MOST_BYTES:
                    raise OSError(f"the answer is longer than {MOST_BYTES >> 20} MB")
                if time.monotonic() > until:
                    return
            if reply.length:
                raise OSError(f"the answer ended {reply.length} bytes early")
        answer.put(bytes(content))
    except Exception as error:  # whatever urllib raises; the caller says it
        answer.put(error)
