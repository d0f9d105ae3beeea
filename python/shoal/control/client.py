"""Asks a node that runs: blocking, for commands. No event loop is started for it.

The one rule: no node there is no error of the socket, but `NodeNotRunning`.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final

from shoal.control.message import LINE_BYTES_MAX, Request, parse_answer, request_line
from shoal.control.place import socket_path
from shoal.errors import ConnectionLost, NodeNotRunning

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

__all__ = ["ask", "is_running"]

_CONNECT_SECONDS: Final = 5.0
"""A node that does not take a connection in this time is stopped, or has more than it can do."""
_RECEIVE_BYTES: Final = 65536


def is_running(store_path: str | os.PathLike[str]) -> bool:
    """Whether a node runs over the store."""
    try:
        _connected(store_path).close()
    except (NodeNotRunning, ConnectionLost):
        return False
    return True


def ask(
    store_path: str | os.PathLike[str],
    verb: str,
    arguments: dict[str, Any],
    on_event: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Any:
    """The result of a request to the store's node; `on_event` is called with what comes before it.

    Raises `NodeNotRunning`, `ConnectionLost` where the node ends meanwhile, and whatever the node raised.
    """
    with contextlib.closing(_connected(store_path)) as connection:
        # Where the node is gone already, reading says so.
        with contextlib.suppress(ConnectionError):
            connection.sendall(request_line(Request(verb, arguments)))
        for line in _lines(connection):
            answer = parse_answer(line)
            if answer.error is not None:
                raise answer.error
            if answer.kind == "result":
                return answer.value
            if answer.kind == "event" and isinstance(answer.value, dict):
                on_event(answer.value)
    raise ConnectionLost(
        "the node ended before it had answered; what it had fetched is stored: give the same command again"
    )


def _connected(store_path: str | os.PathLike[str]) -> socket.socket:
    path = socket_path(store_path)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(str(path))
        # From here on the node says when it is done: a fetch may take days.
        connection.settimeout(None)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        raise NodeNotRunning(f"no node runs over the store {store_path}: `shoal node` starts one") from None
    except TimeoutError:
        connection.close()
        raise ConnectionLost(
            f"a node has {path} open and does not answer: end it, or wait until it has less to do"
        ) from None
    except OSError as error:
        connection.close()
        raise NodeNotRunning(
            f"the node of the store {store_path} cannot be reached at {path}: {error.strerror}"
        ) from None
    return connection


def _lines(connection: socket.socket) -> Iterator[bytes]:
    rest = b""
    while data := _received(connection):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
        if len(rest) > LINE_BYTES_MAX:
            raise ConnectionLost("the node's answer is longer than an answer can be: end it and start it again")


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_RECEIVE_BYTES)
    except ConnectionError:
        return b""
