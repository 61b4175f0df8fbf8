"""Servers that answer as a test wants: slowly, for ever, or as OPeNDAP."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import netCDF4
import numpy as np

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"


@contextmanager
def server(answer: Callable[[socket.socket, str], None]) -> Iterator[str]:
    """A server that hands each connection, with the path that was asked for, to ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=reply, args=(connection,), daemon=True).start()

        def reply(connection: socket.socket) -> None:
            with connection:
                try:
                    asked = connection.recv(4096).decode("latin-1").split(" ")[1]
                    answer(connection, asked)
                except (OSError, IndexError):  # the client went away
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def drip(start: bytes) -> Callable[[socket.socket, str], None]:
    """An answer of which a byte comes now and then."""

    def answer(connection: socket.socket, asked: str) -> None:
        connection.sendall(start)
        for _ in range(400):
            connection.sendall(b"x")
            time.sleep(0.05)

    return answer


def endless(connection: socket.socket, asked: str) -> None:
    connection.sendall(ENDLESS)
    while True:
        connection.sendall(b"x" * 65536)


def opendap(path: Path, values: Callable[[socket.socket, bytes], None]) -> Callable[[socket.socket, str], None]:
    """A server of one netCDF file by version 2 of the protocol; ``values`` sends what was asked for of its variables."""
    kinds = {"f": "Float32", "d": "Float64", "i": "Int32", "l": "Int32"}
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        # The protocol knows no integers of 64 bits.
        narrow = {name: v[:].astype("i4") if v.dtype.char == "l" else v[:] for name, v in file.variables.items()}
        variables = {name: (v.dimensions, narrow[name], v.__dict__) for name, v in file.variables.items()}

    def declared(names: list[str]) -> str:
        lines = [
            f"  {kinds[data.dtype.char]} {name}{''.join(f'[{dim} = {size}]' for dim, size in zip(dims, data.shape, strict=True))};"
            for name, (dims, data, _) in variables.items()
            if name in names
        ]
        return "\n".join(["Dataset {", *lines, "} made;\n"])

    def described() -> str:
        def one(key: str, value: object) -> str:
            kind = "String" if isinstance(value, str) else kinds[np.asarray(value).dtype.char]
            return f"    {kind} {key} " + (f'"{value}";' if isinstance(value, str) else f"{value};")

        parts = [
            "\n".join([f"  {name} {{", *(one(*pair) for pair in attributes.items()), "  }"])
            for name, (_, _, attributes) in variables.items()
        ]
        return "\n".join(["Attributes {", *parts, "}\n"])

    def answer(connection: socket.socket, asked: str) -> None:
        place, _, wanted = unquote(asked).partition("?")
        names = [part.split("[")[0].split(".")[-1] for part in wanted.split(",")] if wanted else list(variables)
        if not place.endswith(".dods"):
            text = declared(names) if place.endswith(".dds") else described()
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
            return
        content = declared(names).encode() + b"\nData:\n"
        for name, (_, data, _) in variables.items():
            if name in names:
                size = struct.pack(">I", data.size) * 2 if data.ndim else b""
                content += size + data.astype(data.dtype.newbyteorder(">")).tobytes()
        values(connection, content)

    return answer


def whole(connection: socket.socket, content: bytes) -> None:
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
