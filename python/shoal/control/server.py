"""The node's end of the socket: takes requests, one for each connection, and runs each as a task of its own.

Whoever closes its connection, or dies, has its request cancelled. An answer that is not read ends the request as well.
The one rule: one node for each store. Who holds the lock beside the socket may replace a socket that a killed node left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc

from shoal.control.message import LINE_BYTES_MAX, answer_line, parse_request
from shoal.control.place import make_folder, socket_path
from shoal.control.verbs import VERBS
from shoal.errors import InvalidInput, NodeRunning, ShoalError, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from shoal.node import Node

__all__ = ["serving"]

CONNECTIONS_MAX: Final = 64
"""Requests at one time: commands of one person, and what scripts start beside each other. More wait to be taken."""
REQUEST_SECONDS: Final = 10.0
"""In which a request has to come once its connection is there."""
ANSWER_SECONDS: Final = 30.0
"""In which a line of the answer has to be taken."""
EVENTS_MAX: Final = 256
"""Events of one request that wait to be taken. What comes beyond them is left out: the next one says more."""


@contextlib.asynccontextmanager
async def serving(node: Node) -> AsyncIterator[Path]:
    """Answers requests over the node's socket until the block ends. Gives the socket's path. Raises `NodeRunning`."""
    path = socket_path(node.path)
    with _held(path):
        listener = _listen(path)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_accept, listener, node)
                yield path
                tasks.cancel_scope.cancel()
        finally:
            listener.close()
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """The lock that says who may have the socket. It is freed by the system when the process dies."""
    make_folder(path)
    try:
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(f"the node's lock cannot be made beside {path}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            who = os.pread(lock, 20, 0).decode(errors="replace").strip()
            which = f"process {who}" if who.isdigit() else "another process"
            raise NodeRunning(
                f"{which} is this store's node already: end it, or use another store with --store"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(CONNECTIONS_MAX)
        listener.settimeout(0)
    except OSError as error:
        listener.close()
        raise StoreError(f"the node's socket cannot be made at {path}: {error.strerror}") from None
    finally:
        os.umask(before)
    return listener


async def _accept(listener: socket.socket, node: Node) -> None:
    room = anyio.Semaphore(CONNECTIONS_MAX)
    async with anyio.create_task_group() as tasks:
        while True:
            await room.acquire()
            await anyio.wait_readable(listener)
            try:
                connection, _ = listener.accept()
            except OSError:
                # Gone again, or no file handle for it: both pass.
                room.release()
                await anyio.sleep(0.05)
                continue
            tasks.start_soon(_serve, connection, node, room)


async def _serve(connection: socket.socket, node: Node, room: anyio.Semaphore) -> None:
    connection.settimeout(0)
    try:
        with connection, contextlib.suppress(OSError):
            if _is_owner(connection):
                await _answer(connection, node)
    finally:
        room.release()


def _is_owner(connection: socket.socket) -> bool:
    """Whether the process at the other end is this user's, or root's. The socket's mode says so too, where systems heed it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, user, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return user in (0, os.getuid())


async def _answer(connection: socket.socket, node: Node) -> None:
    line = await _request_line(connection)
    if line is None:
        return
    try:
        request = parse_request(line)
        work = VERBS.get(request.verb)
        if work is None:
            raise InvalidInput(
                f"the node that runs knows no {request.verb!r}: it is of another version; end it and start it again"
            )
    except InvalidInput as error:
        await _send(connection, answer_line("error", error))
        return
    sender, events = anyio.create_memory_object_stream[bytes](EVENTS_MAX)

    def tell(event: dict[str, Any]) -> None:
        with contextlib.suppress(anyio.WouldBlock):
            sender.send_nowait(answer_line("event", event))

    async def run() -> None:
        try:
            answer = answer_line("result", await work(node, request.arguments, tell))
        except ShoalError as error:
            answer = answer_line("error", error)
        except Exception as error:  # noqa: BLE001 - a fault of one request must not end the node
            answer = answer_line(
                "error", ShoalError(f"the node failed at {request.verb}: {type(error).__name__}: {error}")
            )
        await sender.send(answer)
        sender.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch_end, connection, tasks.cancel_scope)
        tasks.start_soon(run)
        with sender, events:
            async for each in events:
                await _send(connection, each)
        tasks.cancel_scope.cancel()


async def _request_line(connection: socket.socket) -> bytes | None:
    """The one line that a connection sends; None where it ends before, takes too long, or goes on and on."""
    line = b""
    with anyio.move_on_after(REQUEST_SECONDS):
        while not line.endswith(b"\n") and len(line) <= LINE_BYTES_MAX:
            await anyio.wait_readable(connection)
            data = connection.recv(65536)
            if not data:
                return None
            line += data
        return line if line.endswith(b"\n") else None
    return None


async def _watch_end(connection: socket.socket, scope: anyio.CancelScope) -> None:
    """Cancels the request when who asked is gone. It has nothing more to say."""
    while True:
        await anyio.wait_readable(connection)
        try:
            data = connection.recv(4096)
        except BlockingIOError:
            continue
        except OSError:
            data = b""
        if not data:
            scope.cancel()
            return


async def _send(connection: socket.socket, line: bytes) -> None:
    view = memoryview(line)
    with anyio.move_on_after(ANSWER_SECONDS) as scope:
        while view:
            try:
                view = view[connection.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(connection)
    if scope.cancelled_caught:
        raise OSError("who asked does not read the answer")
