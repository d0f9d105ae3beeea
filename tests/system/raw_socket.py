"""Bytes as they are, said to a server on this machine."""

from __future__ import annotations

import contextlib
import socket


def spoken(port: int, data: bytes) -> bytes:
    """Everything a server answers until it closes, or is silent because it waits for the rest of a request."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
        contextlib.suppress(ConnectionError, TimeoutError),
    ):
        connection.sendall(data)
        connection.settimeout(2)
        while piece := connection.recv(65536):
            answer += piece
    return answer or b"closed"
