"""Servers that are slow, endless or cut an answer short: limits on the whole answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catalogue.conftest import FREVA, descriptor
from climrecon.catalogue import fetch as module
from climrecon.catalogue import open_catalogue
from climrecon.catalogue.fetch import fetch
from climrecon.errors import NoDataError
from climrecon.watch.file_stamps import remote_digest

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that hands each connection, its request read, to ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    try:
                        answer(connection)
                    except OSError:  # the client went away
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/c.json"


def drip(start: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize("start", [HEAD, b"HTTP/1.1 200 OK\r\nX: "], ids=["body", "header"])
@pytest.mark.parametrize("reader", [fetch, remote_digest, open_catalogue])
def test_a_server_that_drips_is_given_up(
    monkeypatch: pytest.MonkeyPatch, start: bytes, reader: Callable[[str], object]
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.3)
    begun = time.monotonic()
    with server(drip(start)) as url, pytest.raises((OSError, NoDataError), match="no whole answer within"):
        reader(url)
    assert time.monotonic() - begun < 3


def test_a_server_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 20)

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with server(endless) as url, pytest.raises(OSError, match="longer than 1 MB"):
        fetch(url)


def test_an_answer_that_ends_early_is_refused() -> None:
    def short(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"{}")

    with server(short) as url, pytest.raises(OSError, match="bytes early"):
        fetch(url)


def test_a_csv_beside_a_descriptor_is_read_within_the_same_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.5)
    with server(drip(HEAD)) as url:
        content = descriptor("file", FREVA, None, url.replace("c.json", "table.csv"))
        (tmp_path / "c.json").write_text(json.dumps(content))
        with pytest.raises(NoDataError, match="no whole answer within"):
            open_catalogue(tmp_path / "c.json")
